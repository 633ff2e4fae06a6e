"""What is damaged goes back to where it came from: on its way, with a hole in it. A pull fills the hole and verifies."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provision.download import Pulled, pull
from provision.errors import ArrivalError
from provision.events import Listener
from provision.lock import LockedFile, LockedModel
from provision.sources.interface import ModelRef, Source
from provision.store.record import ModelRecord
from provision.store.target import StoreTarget
from provision.store.verify import Damage, is_right

if TYPE_CHECKING:
    from provision.store.store import Store

SourcesOf = Callable[[ModelRecord], Sequence[Source]]
HERE = "the store"  # who sent the bytes that were right


def give_back(damage: Damage, blob: Path, partial: Path) -> None:
    """Turn a damaged blob into a part whose journal (`provision.download.parts`) speaks of all but the damaged ranges.

    It keeps its links: once a pull has moved it back, the doors lead to it as before. One that is right by now stays.
    Raises OSError.
    """
    if not blob.exists() or is_right(blob, damage):
        return
    partial.mkdir(parents=True, exist_ok=True)
    part = partial / f"{damage.sha256}.part"
    if part.exists():  # a pull brings it already
        blob.unlink()
        return
    part.with_suffix(".journal").write_text("".join(_line(start, end) for start, end in _between(damage)))
    blob.chmod(0o644)
    blob.rename(part)


class _Again(StoreTarget):
    """The store as the place of what it had before: its records and their order stay."""

    def __init__(self, store: Store, record: ModelRecord) -> None:
        super().__init__(store)
        self._record = record

    def finish(self, pulled: Pulled) -> Path:
        self._store.reopen(self._record)
        return self._store.root / self._record.repo


def pull_all(store: Store, records: Sequence[ModelRecord], sources: SourcesOf, listener: Listener) -> None:
    """Bring what is missing of the records: one whose own sources fail has another try once a model that may share its
    contents is whole. Raises ArrivalError, the first of those that are left, and StoreError."""
    left = list(records)
    while left:
        failed: list[tuple[ModelRecord, ArrivalError]] = []
        for record in left:
            try:
                _pull_again(store, record, sources(record), listener)
            except ArrivalError as error:
                failed.append((record, error))
        if len(failed) == len(left):
            raise failed[0][1]
        left = [record for record, _ in failed]


def _pull_again(store: Store, record: ModelRecord, sources: Sequence[Source], listener: Listener) -> None:
    """Bring exactly what the record says; what is here is not brought. Raises ArrivalError, StoreError."""
    revision = next(iter(record.revisions), record.commit)
    files = tuple(LockedFile(file.path, file.size, file.sha256) for file in record.files)
    pinned = LockedModel(record.repo, revision, record.commit, record.source, files)
    pull(
        ModelRef(record.repo, revision),
        sources,
        _Again(store, record),
        lock=pinned,
        allow_pickle=True,  # what is here was allowed when it came
        allow_code=True,
        listener=listener,
    )


def _between(damage: Damage) -> list[tuple[int, int]]:
    """Return the runs of bytes that are right."""
    edges = zip([0, *(end for _, end in damage.ranges)], [*(start for start, _ in damage.ranges), damage.size], strict=True)
    return [(start, end) for start, end in edges if start < end]


def _line(start: int, end: int) -> str:
    return json.dumps({"start": start, "end": end, "source": HERE}) + "\n"
