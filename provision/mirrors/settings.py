"""Mirrors put into the tools' own settings: planned, shown, applied as one transaction, verified, taken back."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provision.errors import UsageError
from provision.files import Answer, Changes, Drift, Edit, Undone, unanswered
from provision.machines.interface import Machine
from provision.mirrors import environment
from provision.mirrors.interface import Place, Verified
from provision.mirrors.veil import veil
from provision.mirrors.writers import writer_for, writers


@dataclass(frozen=True)
class Wish:
    """This address (or these, in order) for that tool."""

    tool: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """Every file that would change, and what a person should know besides."""

    edits: tuple[Edit, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Applied:
    """The files that were changed, and what each tool said to it."""

    paths: tuple[Path, ...]
    verified: tuple[Verified, ...]


def parse_wishes(settings: Iterable[str]) -> tuple[Wish, ...]:
    """Return the wishes of `TOOL=URL` words; a tool named twice gets both in order. Raises UsageError."""
    found: dict[str, list[str]] = {}
    for setting in settings:
        tool, equals, url = setting.partition("=")
        if not (tool and equals and url):
            raise UsageError(f"--set {veil(setting)} is not TOOL=URL", hint="--set pip=https://…/simple")
        found.setdefault(tool, []).append(url)
    return tuple(Wish(tool, tuple(urls)) for tool, urls in found.items())


def plan(place: Place, wishes: Sequence[Wish]) -> Planned:
    """Return what the wishes would change at `place`; changes nothing. Raises UsageError, StepFailed and MachineError."""
    edits: dict[Path, Edit] = {}
    notes: dict[str, None] = {}
    for wish in wishes:
        writer = writer_for(wish.tool, place.scope)
        planned = writer.plan(place, wish.urls)
        changing = [edit for edit in planned.edits if edit.former != edit.data or _mode_differs(edit)]
        if not changing:
            continue
        edits.update({edit.path: edit for edit in changing})
        notes.update(dict.fromkeys(f"{wish.tool}: {note}" for note in planned.notes))
        for name in writer.OVERRIDES:
            if place.environ.get(name) and wish.tool not in environment.TOOLS:
                notes[f"{wish.tool}: {name} is set in this environment, and stands over what is written here"] = None
    for edit in edits.values():
        if not _is_writable(edit.path):
            notes[f"{edit.path} needs root: sudo"] = None
    return Planned(tuple(edits.values()), tuple(notes))


def apply(changes: Changes, machine: Machine, place: Place, wishes: Sequence[Wish], planned: Planned) -> Applied:
    """Write what `planned` holds, ask every tool, and take all of it back where one reads something else.

    Raises StepFailed and MachineError with everything as it was.
    """
    said: list[Verified] = []

    def verify() -> None:
        said.extend(writer_for(wish.tool, place.scope).verify(machine, place, wish.urls) for wish in wishes)

    return Applied(changes.apply(planned.edits, verify), tuple(said))


def undo(changes: Changes, tools: Sequence[str] | None, scope: str | None, answer: Answer = unanswered) -> Undone:
    """Give back what was there before we changed the settings of `tools` (None: every tool) in `scope` (None: both).

    The block in a shell's own files goes with the last tool that needs it. Raises StepFailed, MachineError, UnknownName.
    """
    chosen = set(tools) if tools is not None else None
    for name in sorted((chosen or set()) - set(writers()) - {environment.STORE}):
        writer_for(name, "user")
    rest = {row.tool for row in changes.drift() if row.scope == scope or scope is None}
    if chosen is not None and not (rest & set(environment.NAMES)) - chosen:
        chosen.add(environment.HOOK)

    def is_wanted(tool: str, where: str) -> bool:
        return (chosen is None or tool in chosen) and (scope is None or where == scope)

    return changes.undo(is_wanted, answer)


def undo_all(changes: Changes) -> Undone:
    """Give back everything, as `provision down` does."""
    return undo(changes, None, None)


def drift(folder: Path) -> tuple[Drift, ...]:
    """Return every file that we changed and what became of it since; what a crash left half done is settled first."""
    changes = Changes(folder)
    changes.recover()
    return changes.drift()


def folder(home: Path) -> Path:
    """Return where the changes of a home of ours are recorded."""
    return home / "changes"


def difference(edits: Sequence[Edit]) -> str:
    """Return what the edits would change, as a unified diff without any credential."""
    return "".join(_file_difference(edit) for edit in edits)


def edited_since(row: Drift) -> str:
    """Return what somebody did to a file since we changed it, as a unified diff without any credential."""
    return _unified(row.ours, row.theirs, f"{row.path} as applied", f"{row.path} as it is", "")


def _file_difference(edit: Edit) -> str:
    mode = f", mode {edit.mode:04o}" if edit.mode is not None else ""
    return _unified(edit.former, edit.data, str(edit.path), str(edit.path), mode)


def _unified(one: bytes | None, other: bytes | None, named: str, then: str, mode: str) -> str:
    former, wanted = (veil((data or b"").decode("utf-8", "replace")).splitlines() for data in (one, other))
    source, target = named if one is not None else "/dev/null", then if other is not None else "/dev/null"
    lines = list(difflib.unified_diff(former, wanted, source, target, n=2, lineterm=""))
    if not lines:
        lines = [f"--- {source}", f"+++ {target}", f"@@ the same words{mode}, other credentials or line ends @@"]
    return "".join(f"{line}\n" for line in lines)


def _mode_differs(edit: Edit) -> bool:
    if edit.mode is None or edit.former is None:
        return False
    return edit.path.stat().st_mode & 0o7777 != edit.mode


def _is_writable(path: Path) -> bool:
    real = Path(os.path.realpath(path))
    there = next(parent for parent in real.parents if parent.is_dir())
    return os.access(there, os.W_OK)


def wishes_of(given: Mapping[str, str]) -> tuple[Wish, ...]:
    """Return the wishes of a spec's `mirrors:` keys; `inherit` and `upstream` wish for nothing."""
    return tuple(
        Wish(tool, (url,)) for tool, url in given.items() if tool in writers() and url not in ("inherit", "upstream")
    )
