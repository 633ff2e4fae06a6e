"""A file on its way: where bytes are, who brought them, and who brings the rest. Survives `kill -9` at any instant.

`<key>.part` holds the bytes at their final offsets, `<key>.journal` one JSON line per run of bytes that was written before
the line was. A process's death loses at most what was read and not yet journaled (`grain` per connection). After a power
loss a line may speak of bytes that are not there: the digest over the whole file is taken from the disk, so it will tell.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import fcntl
import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from provision.download.options import KIB, MIB


class Spans:
    """Sorted, disjoint, half-open runs of bytes."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.total = 0

    def add(self, start: int, end: int) -> None:
        """Take a run in, merging what touches it."""
        left = bisect.bisect_left(self._ends, start)
        right = bisect.bisect_right(self._starts, end)
        for index in range(left, right):
            self.total -= self._ends[index] - self._starts[index]
        if left < right:
            start, end = min(start, self._starts[left]), max(end, self._ends[right - 1])
        self._starts[left:right], self._ends[left:right] = [start], [end]
        self.total += end - start

    def gaps(self, size: int) -> list[tuple[int, int]]:
        """Return the runs of `[0, size)` that are not here, in order."""
        edges = zip([0, *self._ends], [*self._starts, size], strict=True)
        return [(start, end) for start, end in edges if start < end]

    @property
    def frontier(self) -> int:
        """How many bytes are here from the very first on."""
        return self._ends[0] if self._starts and self._starts[0] == 0 else 0


@dataclass(eq=False)
class Claim:
    """A run that one connection brings: `position` is the next byte; `end` comes nearer when another takes a half.

    `void` means that its source lied, and what it brought does not count.
    """

    start: int
    end: int
    position: int = field(init=False)
    journaled: int = field(init=False)
    since: float = field(default_factory=time.monotonic)
    source: str = ""
    void: bool = False

    def __post_init__(self) -> None:
        self.position = self.journaled = self.start

    @property
    def left(self) -> int:
        return self.end - self.position


@dataclass(frozen=True)
class Run:
    """Bytes that one source sent."""

    start: int
    end: int
    source: str


class Part:
    """The partial file of one content `key`, held by this process alone. `changed` is notified as bytes arrive."""

    def __init__(self, path: Path, size: int, handle: int) -> None:
        self.path, self.size = path, size
        self._handle = handle
        self._journal_path = path.with_suffix(".journal")
        self._spans = Spans()
        self._claims: list[Claim] = []
        self._runs: list[Run] = []
        self.changed = threading.Condition()
        self.epoch = 0  # rises when bytes that were here are taken back
        self.closed = self._still = False
        self._grain = max(64 * KIB, min(4 * MIB, size // 4096))
        self._load()
        os.ftruncate(handle, size)
        self._journal: int | None = None

    @classmethod
    def open(cls, folder: Path, key: str, size: int) -> Part | None:
        """Return the part, or None while another process holds it. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{key}.part"
        handle = locked(path)
        return cls(path, size, handle) if handle is not None else None

    def _load(self) -> None:
        """Take in what the journal of an earlier process says, as far as the file is that long."""
        length = os.fstat(self._handle).st_size
        if not length:
            with contextlib.suppress(FileNotFoundError):
                self._journal_path.unlink()
            return
        with contextlib.suppress(FileNotFoundError), self._journal_path.open("rb") as lines:
            for line in lines:
                self._take_in(line, length)

    def _take_in(self, line: bytes, length: int) -> None:
        """Note what one line says of a file `length` bytes long; nothing where it is torn."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            start, end = int(entry["start"]), min(int(entry["end"]), length, self.size)
            if 0 <= start < end:
                self._note(start, end, str(entry["source"]))

    def _note(self, start: int, end: int, source: str) -> None:
        self._spans.add(start, end)
        last = self._runs[-1] if self._runs else None
        if last and last.source == source and last.end == start:
            self._runs[-1] = Run(last.start, end, source)
        else:
            self._runs.append(Run(start, end, source))

    @property
    def here(self) -> int:
        """Bytes that are on disk."""
        return self._spans.total

    @property
    def frontier(self) -> int:
        return self._spans.frontier

    @property
    def complete(self) -> bool:
        return self._spans.total == self.size

    def claim(self, want: int) -> Claim | None:
        """Return the first run that nobody has or brings, at most `want` bytes of it, or None."""
        with self.changed:
            taken = Spans()
            for claim in self._claims:
                taken.add(claim.start, max(claim.end, claim.start + 1))
            for start, end in self._spans.gaps(self.size):
                for free, stop in _minus(start, end, taken, self.size):
                    claim = Claim(free, min(stop, free + want))
                    self._claims.append(claim)
                    return claim
            return None

    def widen(self, claim: Claim) -> None:
        """Have a claim go on as far as nobody has or brings what follows: its source sends that anyway."""
        with self.changed:
            ends = [end for start, end in self._spans.gaps(self.size) if start <= claim.position < end]
            claim.end = min([*ends, *(other.start for other in self._claims if other.start > claim.start)])

    def halve(self, least: int, seconds: float) -> Claim | None:
        """Return the latter half of the run that will take longest, if it is `least` bytes and takes `seconds` more."""
        now = time.monotonic()
        with self.changed:
            slowest, longest = None, seconds
            for claim in self._claims:
                speed = (claim.position - claim.start) / max(now - claim.since, 0.001)
                due = claim.left / max(speed, 1.0)
                if claim.left >= 2 * least and due > longest:
                    slowest, longest = claim, due
            if slowest is None:
                return None
            middle = slowest.position + slowest.left // 2
            half = Claim(middle, slowest.end)
            slowest.end = middle
            self._claims.append(half)
            return half

    def write(self, claim: Claim, data: memoryview) -> int:
        """Put bytes at the claim's position; return how many belonged to it. Raises OSError (the disk may be full)."""
        with self.changed:
            view = data[: max(0, claim.left)]
        self.overwrite(view, claim.position)
        with self.changed:
            if claim.void:
                return 0
            self._spans.add(claim.position, claim.position + len(view))
            claim.position += len(view)
            if claim.position - claim.journaled >= self._grain:
                self._enter(claim)
            self.changed.notify_all()
        return len(view)

    def release(self, claim: Claim) -> None:
        """End a claim; what it did not bring is free again."""
        with self.changed:
            self._claims.remove(claim)
            self._enter(claim)
            if self.closed and not self._claims:
                self._let_go()
            self.changed.notify_all()

    def _enter(self, claim: Claim) -> None:
        if claim.void or claim.position == claim.journaled:
            return
        line = json.dumps({"start": claim.journaled, "end": claim.position, "source": claim.source}).encode() + b"\n"
        if self._journal is None:
            self._journal = os.open(self._journal_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            line = (
                b"\n" + line if os.fstat(self._journal).st_size else line
            )  # the last line of its former owner may be torn
        if os.write(self._journal, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._journal_path))
        self._note(claim.journaled, claim.position, claim.source)
        claim.journaled = claim.position

    def forget(self, source: str) -> int:
        """Take back what `source` sent; return how many bytes that is. The journal is written anew."""
        with self.changed:
            for claim in self._claims:
                self._enter(claim)
                claim.void = claim.source == source
            before, kept = self._spans.total, [run for run in self._runs if run.source != source]
            self._spans, self._runs = Spans(), []
            scratch = self._journal_path.with_suffix(".journal-new")
            with scratch.open("w") as lines:
                for run in kept:
                    self._note(run.start, run.end, run.source)
                    lines.write(json.dumps({"start": run.start, "end": run.end, "source": run.source}) + "\n")
            os.replace(scratch, self._journal_path)
            if self._journal is not None:
                os.close(self._journal)
                self._journal = None
            self.epoch += 1
            self.changed.notify_all()
            return before - self._spans.total

    def read(self, view: memoryview, offset: int) -> int:
        """Read bytes back from the disk's cache; return how many."""
        return os.preadv(self._handle, [view], offset)

    def flush(self) -> None:
        """Have the disk itself write what has come so far, so that little is left to do in the end. Raises OSError."""
        os.fdatasync(self._handle)

    def beat(self) -> None:
        """Show others that the holder is at work, where nothing is written for a while."""
        with self.changed:
            if not (self.closed or self._still):
                os.utime(self._handle)

    def hold_still(self) -> None:
        """Leave the file's time alone from now on: it gets its final name, and is known by its time there."""
        with self.changed:
            self._still = True

    def overwrite(self, data: memoryview, offset: int) -> None:
        """Put all of `data` at an offset. Raises OSError: a disk that is nearly full takes a part of it first."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._handle, data[written:], offset + written)

    @property
    def busy(self) -> bool:
        """Whether any claim is out."""
        return bool(self._claims)

    def shares(self) -> dict[str, int]:
        """Return the bytes that each source sent."""
        shares: Counter[str] = Counter()
        for run in self._runs:
            shares[run.source] += run.end - run.start
        return dict(shares)

    def senders(self, start: int, end: int) -> set[str]:
        """Return who sent any byte of a run."""
        return {run.source for run in self._runs if run.start < end and start < run.end}

    def discard(self) -> None:
        """Take a part away that is not needed after all."""
        self.path.unlink(missing_ok=True)
        self.forget_journal()
        self.close()

    def forget_journal(self) -> None:
        """Drop the journal of a part that has been put in its place."""
        with contextlib.suppress(FileNotFoundError):
            self._journal_path.unlink()

    def close(self) -> None:
        """Let go of the file and its lock, once no claim is out; the bytes and the journal stay."""
        with self.changed:
            if not self.closed:
                self.closed = True
                if not self._claims:
                    self._let_go()
                self.changed.notify_all()

    def _let_go(self) -> None:
        os.close(self._handle)
        if self._journal is not None:
            os.close(self._journal)


def locked(path: Path) -> int | None:
    """Return a handle on `path` that holds its lock, or None while another process does.

    The lock is on the file itself, which its holder may rename away: then the handle is on a finished file, and the name is
    tried anew.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        os.close(handle)


def _minus(start: int, end: int, taken: Spans, size: int) -> list[tuple[int, int]]:
    """Return what of `[start, end)` is not taken, in order."""
    free = [(max(start, low), min(end, high)) for low, high in taken.gaps(size)]
    return [(low, high) for low, high in free if low < high]
