"""Files of other tools' checks, read as ours. What cannot be carried over becomes a check that says so, never a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from checks.custom import Entry, read_entry, slug
from checks.interface import About, Check, Fact, Judgement, always, skipped, unknown
from provision.errors import SpecError
from provision.spec import Located


@dataclass(frozen=True)
class Imported:
    """What a foreign file holds: entries as ours, and checks that only say what became of the rest."""

    entries: tuple[Entry, ...] = ()
    rest: tuple[Check, ...] = ()


class Foreign(Exception):
    """Something that our checks do not say; the words name it."""


@dataclass
class Gathering:
    """Collects what one file holds, keeping ids apart by a number where two would be the same."""

    tool: str
    entries: list[Entry] = field(default_factory=list)
    rest: list[Check] = field(default_factory=list)

    def add(self, name: str, origin: str, make: Callable[[], Mapping[str, Any]]) -> None:
        """Take one entry, made as our YAML has it; one that cannot be is kept as a check that says why."""
        try:
            made = make()
        except Foreign as error:
            self.leave(name, origin, str(error))
            return
        try:
            self.entries.append(read_entry(locate({"name": self._free(name), **made}, origin)))
        except SpecError as error:
            self.leave(name, origin, error.message)

    def leave(self, name: str, origin: str, why: str) -> None:
        """Keep a place for what could not be read: required, and undetermined."""

        def judge(fact: Fact, about: About) -> Judgement:
            hint = "write it as a check of your own (docs/extending.md), or leave it out: --skip"
            return unknown("not-imported", f"not carried over from {self.tool}: {why}", observed=origin, hint=hint)

        self.rest.append(Check(f"custom.{slug(self._free(name))}", judge, required=always))

    def skip(self, name: str, origin: str) -> None:
        """Keep a place for what the file itself leaves out."""

        def left_out(about: About) -> Judgement:
            return skipped("asked", f"left out by {origin}")

        self.rest.append(Check(f"custom.{slug(self._free(name))}", _never_judged, applies=left_out))

    def _free(self, name: str) -> str:
        taken = {entry.id for entry in self.entries} | {check.id for check in self.rest}
        wanted, number = name, 1
        while f"custom.{slug(wanted)}" in taken:
            number += 1
            wanted = f"{slug(name)[:56]}-{number}"
        return wanted

    def imported(self) -> Imported:
        """Return all of it. Raises SpecError where there is nothing."""
        if not self.entries and not self.rest:
            raise SpecError(f"this {self.tool} file holds no checks")
        return Imported(tuple(self.entries), tuple(self.rest))


def locate(value: Any, origin: str) -> Located:
    """Return plain data as if it had been read there."""
    if isinstance(value, Mapping):
        return Located({key: locate(inner, origin) for key, inner in value.items()}, origin)
    return Located([locate(inner, origin) for inner in value] if isinstance(value, list) else value, origin)


def _never_judged(fact: Fact, about: About) -> Judgement:
    return unknown("not-judged", "left out", hint="it was to be skipped, so this is a bug: please report it")


def fields(found: Located, known: Iterable[str], passed_over: Iterable[str] = ()) -> dict[str, Any]:
    """Return a foreign mapping's plain values. Raises Foreign for a key that would be lost."""
    if not isinstance(found.value, dict):
        raise Foreign("keys and values were expected")
    lost = set(found.value) - set(known) - set(passed_over)
    if lost:
        raise Foreign(f"{', '.join(sorted(lost))} is not understood")
    return {key: value.plain for key, value in found.value.items() if key not in passed_over}


def rows(found: Located) -> Iterator[tuple[str, Located]]:
    """Yield what a mapping holds. Raises SpecError where it is none."""
    if not isinstance(found.value, dict):
        raise SpecError(f"{found.origin}: keys and values were expected")
    yield from found.value.items()
