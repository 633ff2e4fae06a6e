"""Hashing what is in the store again, on all cores, and saying what of it is damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from provision.events import Listener, Progress
from provision.store.record import ModelRecord, StoredFile
from provision.store.trees import is_linked

BLOCK = 1024 * 1024
PIECE = 8 * BLOCK  # bytes between two prefix digests (`provision.download.verify.PREFIX`)


@dataclass(frozen=True)
class Damage:
    """One file that is not what it was. `what` is for people; `ranges` (half-open, in bytes) is what to bring again: the
    first damaged piece where prefix digests tell it, else the whole file; nothing where its content is here, unlinked, and
    for a door (`path` is its place in the store, and there is no `sha256`)."""

    repo: str
    commit: str
    path: str
    sha256: str
    size: int
    what: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Looked:
    """What became of a blob: the first range that is not right (None: all is), and the digests of its prefixes."""

    damaged: tuple[int, int] | None
    prefixes: tuple[str, ...] = ()


def look_at_all(
    files: Sequence[StoredFile],
    blob_path: Callable[[str], Path],
    digests: Callable[[str], Sequence[str]],
    workers: int,
    listener: Listener,
) -> dict[str, Looked | None]:
    """Hash the contents by `workers` threads (hashing lets go of the interpreter), the largest first.

    Returns by sha256 what became of each; None where it is missing. `listener` hears how far the whole is. Raises OSError.
    """
    total, done, lock = sum(file.size for file in files), 0, Lock()

    def passed(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            listener(Progress("verify", done, total))

    def one(file: StoredFile) -> Looked | None:
        try:
            return _look(blob_path(file.sha256), file, digests(file.sha256), passed)
        except FileNotFoundError:
            return None

    ordered = sorted(files, key=lambda file: file.size, reverse=True)
    with ThreadPoolExecutor(workers, "verify") as pool:
        return dict(zip([file.sha256 for file in ordered], pool.map(one, ordered), strict=True))


def is_right(blob: Path, damage: Damage) -> bool:
    """Whether what was found damaged is right by now: another process may have mended it. Raises OSError."""
    file = StoredFile(damage.path, damage.size, damage.sha256)
    return _look(blob, file, (), lambda _: None).damaged is None


def judge(record: ModelRecord, file: StoredFile, looked: Looked | None, blob: Path, place: Path) -> Damage | None:
    """Return what is wrong with a file of a record, or None. `place` is where the doors lead."""
    ranges: tuple[tuple[int, int], ...] = ()
    if looked is None:
        what, ranges = "is missing", ((0, file.size),)
    elif looked.damaged:
        start, end = looked.damaged
        what = "is damaged" if looked.damaged == (0, file.size) else f"is damaged, first between bytes {start} and {end}"
        ranges = (looked.damaged,)
    elif not is_linked(blob, place):
        what = "was replaced by something that is not verified" if place.exists() else "is missing behind its door"
    else:
        return None
    return Damage(record.repo, record.commit, file.path, file.sha256, file.size, what, ranges)


def _look(blob: Path, file: StoredFile, prefixes: Sequence[str], passed: Callable[[int], None]) -> Looked:
    digest, position, found = hashlib.sha256(), 0, list[str]()
    for data in _blocks(blob):
        digest.update(data)
        position += len(data)
        passed(len(data))
        if position % PIECE == 0:
            found.append(digest.copy().hexdigest())
            if len(found) <= len(prefixes) and found[-1] != prefixes[len(found) - 1]:
                return Looked((position - PIECE, min(position, file.size)))
    if position == file.size and digest.hexdigest() == file.sha256:
        return Looked(None, tuple(found))
    right = min(len(found), len(prefixes)) * PIECE  # those before were right
    return Looked((right, file.size) if right < file.size else (0, file.size))


def _blocks(path: Path) -> Iterator[memoryview]:
    view = memoryview(bytearray(BLOCK))
    with path.open("rb", buffering=0) as handle:
        while count := handle.readinto(view):
            yield view[:count]
