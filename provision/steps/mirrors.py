"""The spec's mirrors in this machine's own settings, where it asks for that: `mirrors: {settings: user}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from provision.events import Listener, Note
from provision.files import Changes
from provision.machines.interface import Machine
from provision.mirrors import settings
from provision.mirrors.interface import Place
from provision.mirrors.settings import Wish
from provision.mirrors.veil import veil
from provision.spec import Spec
from provision.steps.interface import Change


def host_settings(spec: Spec, environ: Mapping[str, str], home: Path, machine: Machine) -> tuple[HostSettings, ...]:
    """Return the step that the spec's `mirrors.settings` asks for, if it does. `home` is our own folder."""
    scope = spec.mirrors.settings
    if scope == "none":
        return ()
    wishes = settings.wishes_of(asdict(spec.mirrors))
    return (HostSettings(Changes(settings.folder(home)), machine, Place.of(environ, scope), wishes),)


class HostSettings:
    """Every wished address in its tool's settings at `place`, in one transaction that `changes` records."""

    name = "mirrors"

    def __init__(self, changes: Changes, machine: Machine, place: Place, wishes: Sequence[Wish]) -> None:
        self._changes = changes
        self._machine = machine
        self._place = place
        self._wishes = tuple(wishes)

    def diff(self) -> Change | None:
        """See `Step.diff`. Raises UsageError for an address no tool could use, StepFailed for a file it cannot read.

        What a crash left half done is settled first: it would pass for what is wanted.
        """
        self._changes.recover()
        planned = settings.plan(self._place, self._wishes)
        if not planned.edits:
            return None
        shown = settings.difference(planned.edits).splitlines()
        tools = ", ".join(wish.tool for wish in self._wishes)
        return Change(f"set {tools} in {len(planned.edits)} files of the {self._place.scope}'s", [*shown, *planned.notes])

    def apply(self, listener: Listener) -> None:
        """See `Step.apply`. Raises StepFailed with everything as it was where a tool does not take its setting."""
        planned = settings.plan(self._place, self._wishes)
        done = settings.apply(self._changes, self._machine, self._place, self._wishes, planned)
        for row in done.verified:
            listener(Note(self.name, f"{row.tool}: {row.by or 'not verified'}: {veil(row.words)}"))
