"""Changes of files that are not ours: one transaction, journaled before it begins, taken back byte for byte.

Every apply is a layer. Undoing goes from the newest layer of a file down, and only where the file still is what the layer
left; anything else was edited since, and is a question (`Edited`), never a loss.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from provision.errors import MachineError, ProvisionError, StepFailed
from provision.files.locking import locked
from provision.files.merge import merge
from provision.files.records import Move, Record, Records
from provision.files.state import FileState, is_restored, is_same, new_state, read_state, refused, write_state

Layer = tuple[Record, Move]


@dataclass(frozen=True)
class Edit:
    """One file as a tool's setting wants it. `former` is what the plan was made from; `mode` None keeps the file's own."""

    path: Path
    former: bytes | None
    data: bytes
    tool: str
    scope: str
    mode: int | None = None


class Edited(str, Enum):
    """What to do with a file that somebody else edited since."""

    KEEP = "keep"  # leave it as it is and forget that we changed it; the former file is laid aside
    RESTORE = "restore"  # give back the former file; theirs is laid aside
    MERGE = "merge"  # take out our lines and leave theirs


@dataclass(frozen=True)
class Undone:
    """What an undo did: files given back, and where the versions that gave way were laid aside."""

    restored: tuple[Path, ...] = ()
    laid_aside: tuple[Path, ...] = ()


Answer = Callable[[Path], "Edited | None"]  # what to do with a file that was edited since; None: it is a question


def unanswered(path: Path) -> Edited | None:
    """Leave it a question."""
    return None


@dataclass(frozen=True)
class Drift:
    """A file that we changed: `state` is `as applied`, `edited` or `gone`; what we left (`ours`) and what is there."""

    path: Path
    tool: str
    scope: str
    state: str
    ours: bytes = field(repr=False)
    theirs: bytes | None = field(repr=False)


class Changes:
    """The changes recorded in `folder`, which is ours alone. `waiting` is called once where another process is at work."""

    def __init__(self, folder: Path, waiting: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._records = Records(folder)
        self._waiting = waiting

    def apply(self, edits: Sequence[Edit], verify: Callable[[], None] = lambda: None) -> tuple[Path, ...]:
        """Write every edit, then `verify`; return the files changed. Whatever is raised on the way, all is taken back.

        Raises StepFailed where a file is no longer what its edit was planned from, and MachineError.
        """
        with self._held():
            moves = self._moves(edits)
            if not moves:
                return ()
            record = Record(self._records.next_id(), "apply", moves)
            try:
                with _as_machine_errors(self._folder):
                    self._records.save(record)
                self._carry_out(record)
                verify()
                self._records.save(replace(record, done=True))
            except BaseException:
                self._roll_back(record)
                raise
        return tuple(move.path for move in moves)

    def undo(self, is_wanted: Callable[[str, str], bool], answer: Answer = unanswered) -> Undone:
        """Give back what was there before every layer whose (tool, scope) is wanted.

        Raises StepFailed, with nothing changed, where a file was edited since and nobody answers what to do with it, or
        where a layer that is not wanted lies over one that is; MachineError where a file cannot be written.
        """
        with self._held():
            return self._undo(is_wanted, answer)

    def recover(self) -> tuple[Path, ...]:
        """Finish or roll back what a crash left half done, and return its files. Raises ProvisionError where that cannot
        be."""
        if all(record.kind == "apply" and record.done for record in self._records.all()):
            return ()
        with self._held() as settled:
            return settled

    def drift(self) -> tuple[Drift, ...]:
        """Return every file that our layers changed and what became of it since; changes nothing."""
        found = []
        for path, layers in self._chains().items():
            _, newest = layers[0]
            current = read_state(path)
            state = "as applied" if is_same(current, newest.after) else "gone" if current is None else "edited"
            ours = newest.after.data if newest.after else b""
            found.append(Drift(path, newest.tool, newest.scope, state, ours, current.data if current else None))
        return tuple(found)

    @contextmanager
    def _held(self) -> Iterator[tuple[Path, ...]]:
        """Hold the lock; yields the files of what a crash had left half done, which is settled by then."""
        settled: list[Path] = []
        with locked(self._folder / "lock", self._waiting):
            with _as_machine_errors(self._folder):
                self._folder.chmod(0o700)
                self._records.sweep()
            for record in reversed(self._records.all()):
                if record.kind == "undo":
                    self._give_back(record)
                    self._close(record)
                elif not record.done:
                    self._roll_back(record)
                else:
                    continue
                settled += [move.path for move in record.moves]
            yield tuple(settled)

    def _chains(self) -> dict[Path, list[Layer]]:
        """Every changed file with its layers, the newest first."""
        chains: dict[Path, list[Layer]] = {}
        for record in reversed(self._records.all()):
            for move in record.moves if record.kind == "apply" else ():
                chains.setdefault(move.path, []).append((record, move))
        return chains

    def _moves(self, edits: Sequence[Edit]) -> tuple[Move, ...]:
        ours = {folder for record in self._records.all() for move in record.moves for folder in move.made}
        moves: list[Move] = []
        for edit in edits:
            path = Path(os.path.realpath(edit.path))  # a link is somebody's arrangement: what it leads to is written
            before = read_state(path)
            if (before.data if before else None) != edit.former:
                raise StepFailed(f"{path} changed while the plan was made", hint="nothing was changed: run it again")
            if any(move.path == path for move in moves):
                raise StepFailed(f"two settings are links to one file: {path}", hint="leave one of the tools out")
            after = _after(path, before, edit)
            if not is_same(before, after):
                moves.append(Move(path, edit.tool, edit.scope, before, after, _folders(path, ours)))
        return tuple(moves)

    def _carry_out(self, record: Record) -> None:
        for move in record.moves:
            for folder in move.made:
                with _as_machine_errors(Path(folder)):
                    _make_folder(Path(folder))
            with _as_machine_errors(move.path):
                write_state(move.path, move.after, _temporary(move.path, record))

    def _roll_back(self, record: Record) -> None:
        """Bring every file back to before; what is neither before nor after is somebody's, and stays."""
        for move in reversed(record.moves):
            with _as_machine_errors(move.path):
                _temporary(move.path, record).unlink(missing_ok=True)
                current = read_state(move.path)
                if is_same(current, move.after) and not is_same(current, move.before):
                    write_state(move.path, move.before, _temporary(move.path, record))
                elif not is_same(current, move.before):
                    self._lay_aside(record.id, move.path, move.before)
        made = [folder for move in record.moves for folder in move.made] if record.kind == "apply" else []
        _remove_empty(made)
        with _as_machine_errors(self._folder):
            if (self._folder / record.id).exists():
                self._records.delete(record)

    def _give_back(self, record: Record) -> None:
        for move in record.moves:
            with _as_machine_errors(move.path):
                _temporary(move.path, record).unlink(missing_ok=True)
                current = read_state(move.path)
                if is_same(current, move.before) and not is_restored(current, move.after):
                    move.path.parent.mkdir(parents=True, exist_ok=True)
                    write_state(move.path, move.after, _temporary(move.path, record))

    def _close(self, record: Record) -> None:
        _remove_empty(record.removes)
        with _as_machine_errors(self._folder):
            self._records.forget(record.forgets)
            self._records.delete(record)

    def _undo(self, is_wanted: Callable[[str, str], bool], answer: Answer) -> Undone:
        name = self._records.next_id()
        moves, aside, strangers, layers = [], [], [], []
        for path, chain in self._chains().items():
            wanted = _wanted_layers(path, chain, is_wanted)
            if not wanted:
                continue
            current = read_state(path)
            target, yielded, is_stranger = _target(current, wanted, answer(path))
            layers += wanted
            aside += [(path, state) for state in yielded if state]
            strangers += [path] if is_stranger else []
            moves.append(Move(path, wanted[0][1].tool, wanted[0][1].scope, current, target))
        if strangers:
            raise _edited_since(strangers, answer)
        if not moves:
            return Undone()
        forgets = tuple((record.id, str(move.path)) for record, move in layers)
        removes = tuple(folder for _, move in layers for folder in move.made)
        record = Record(name, "undo", tuple(moves), forgets=forgets, removes=removes)
        return self._take_back(record, aside)

    def _take_back(self, record: Record, aside: Sequence[tuple[Path, FileState]]) -> Undone:
        with _as_machine_errors(self._folder):
            laid = tuple(self._lay_aside(record.id, path, state) for path, state in aside)
            self._records.save(record)
        try:
            self._give_back(record)
        except BaseException:
            self._roll_back(record)
            raise
        self._close(record)
        restored = tuple(move.path for move in record.moves if not is_same(move.before, move.after))
        return Undone(restored, tuple(path for path in laid if path))

    def _lay_aside(self, name: str, path: Path, state: FileState | None) -> Path | None:
        if state is None:
            return None
        folder = self._folder / "kept"
        folder.mkdir(mode=0o700, exist_ok=True)
        place = folder / f"{name}{str(path).replace('/', '-')}"
        place = next(free for free in (place.with_name(f"{place.name}{end}") for end in _endings()) if not free.exists())
        write_state(place, replace(state, mode=0o600, uid=os.geteuid(), gid=os.getegid(), xattrs={}), folder / "new")
        return place


def _endings() -> Iterator[str]:
    yield ""
    number = 1
    while True:
        yield f".{number}"
        number += 1


def _after(path: Path, before: FileState | None, edit: Edit) -> FileState:
    if before is None:
        return new_state(path, edit.data, 0o644 if edit.mode is None else edit.mode)
    return before.with_data(edit.data, edit.mode)


def _folders(path: Path, ours: set[str]) -> tuple[str, ...]:
    """The folders above `path` that are missing, or that an earlier layer made; outermost first."""
    return tuple(str(folder) for folder in reversed(path.parents) if not folder.exists() or str(folder) in ours)


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        state = new_state(folder, b"", 0)
        folder.mkdir()
        if folder.stat().st_uid != state.uid:
            os.chown(folder, state.uid, state.gid)


def _remove_empty(folders: Sequence[str]) -> None:
    for folder in sorted(set(folders), key=len, reverse=True):
        with contextlib.suppress(OSError):  # somebody's files are in it, or it is gone already
            Path(folder).rmdir()


def _temporary(path: Path, record: Record) -> Path:
    return path.with_name(f".{path.name[:200]}.provision-{record.id}")


def _wanted_layers(path: Path, chain: Sequence[Layer], is_wanted: Callable[[str, str], bool]) -> list[Layer]:
    chosen = [is_wanted(move.tool, move.scope) for _, move in chain]
    wanted = [layer for layer, is_chosen in zip(chain, chosen, strict=True) if is_chosen]
    if chosen != sorted(chosen, reverse=True):
        over = sorted({move.tool for (_, move), is_chosen in zip(chain, chosen, strict=True) if not is_chosen})
        raise StepFailed(
            f"{path} was changed for {' and '.join(over)} afterwards",
            hint=f"undo that with it: --tool {','.join([*over, wanted[0][1].tool])}",
        )
    return wanted


def _target(
    current: FileState | None, layers: Sequence[Layer], edited: Edited | None
) -> tuple[FileState | None, list[FileState | None], bool]:
    """Return the state to bring a file into, the states that give way, and whether the question is still open."""
    target, yielded = current, []
    for _, move in layers:
        if is_same(target, move.after):
            target = move.before
        elif edited is Edited.KEEP:
            return target, [layers[-1][1].before], False
        elif edited is Edited.RESTORE:
            yielded.append(target)
            target = move.before
        else:
            merged = _merged(target, move) if edited is Edited.MERGE else None
            if merged is None:
                return current, [], True
            (target,) = merged
    return target, yielded, False


def _merged(theirs: FileState | None, move: Move) -> tuple[FileState | None] | None:
    """Return a pair of hands holding the merged state, or None where the same lines were changed."""
    if theirs is None or move.after is None:
        return (theirs,)
    data = merge(move.after.data, theirs.data, move.before.data if move.before else b"")
    if data is None:
        return None
    if move.before is None:
        return (theirs.with_data(data) if data else None,)
    mode = theirs.mode if theirs.mode != move.after.mode else move.before.mode
    return (move.before.with_data(data, mode),)


def _edited_since(paths: Sequence[Path], answer: Answer) -> ProvisionError:
    ways: tuple[str, ...] = (
        "provision mirrors undo --edited merge     take out our lines and leave theirs",
        "provision mirrors undo --edited restore   give back the former file; theirs is laid aside",
        "provision mirrors undo --edited keep      leave the file as it is; the former one is laid aside",
    )
    if any(answer(path) is Edited.MERGE for path in paths):
        message, hints = "the same lines were changed by us and by somebody since: no merge", ways[1:]
    else:
        message, hints = "edited by somebody else since we changed it; nothing was touched", ways
    return StepFailed(message, context="\n".join(map(str, paths)), hint="\n".join(hints), reference="edited-since")


@contextmanager
def _as_machine_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except MachineError:
        raise
    except OSError as error:
        raise refused(path, "write", error) from error
