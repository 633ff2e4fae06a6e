"""One connection's work: take a task, ask a source, write what comes, and report how it went."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from provision.download.board import Board, Job, Task
from provision.download.options import Options
from provision.download.parts import Claim, Part
from provision.download.roster import PROGRESS, Choice, Roster
from provision.download.verify import Seal, seal_of
from provision.sources.interface import Blame, SourceError, Stream


@dataclass(frozen=True)
class Works:
    """What every carrier works with. `settle` puts a verified part in its place."""

    board: Board
    roster: Roster
    options: Options
    settle: Callable[[Job, Part, Seal], None]
    open_part: Callable[[Job], Part | None]


class Carrier(threading.Thread):
    """A connection. Ends when the board has nothing more."""

    def __init__(self, works: Works, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._works = works
        self._buffer: memoryview | None = None

    def run(self) -> None:
        try:
            while task := self._works.board.take():
                self._one(task)
        except BaseException as error:  # noqa: BLE001 - a thread's failure belongs to the one who waits for the pull
            self._works.board.fail(error)

    def _one(self, task: Task) -> None:
        board, roster, job = self._works.board, self._works.roster, task.job
        finished = False
        try:
            choice = roster.choose(job.file, job.refused, job.file.path)
            if not isinstance(choice, Choice):
                rest = choice.seconds
            else:
                rest = 0.0
                finished = self._ask(task, choice)
        finally:
            board.give_back(task, finished=finished)
        if rest:
            roster.rest(rest, job.file.path, lambda: board.done)

    def _ask(self, task: Task, choice: Choice) -> bool:
        """Carry the task out with the source chosen; return whether a small file is finished."""
        opened = time.monotonic()
        try:
            if task.claim is None:
                return self._bring_small(task.job, choice)
            self._bring_part(task.job, task.claim, choice, opened)
        except SourceError as error:
            self._failed(task, choice, error, opened)
        return False

    def _failed(self, task: Task, choice: Choice, error: SourceError, opened: float) -> None:
        roster, job, name = self._works.roster, task.job, choice.entry.source.name
        if self._works.board.done:
            return
        if error.name in ("rate-limited", "source-unavailable"):
            self._works.board.governor.ease(time.monotonic())
        if error.name == "range-ignored" and not _another(roster, job, choice):
            job.alone = choice.entry.whole_only = True
            return
        if error.name == "sha256-mismatch" and name not in job.doubted and not _another(roster, job, choice):
            job.doubted.add(name)  # once may be the wire's fault, and nobody else can be asked
            return
        if not error.retriable:
            if name in job.refused:
                return
            job.refused[name] = error
            if job.part and error.name in ("login-page", "lfs-pointer", "changed-under-way", "content-differs"):
                job.part.forget(name)
        roster.failed(choice.entry, error, opened, job.file.path)

    def _bring_part(self, job: Job, claim: Claim, choice: Choice, opened: float) -> None:
        part, entry = job.part, choice.entry
        assert part is not None
        claim.source, claim.since = entry.source.name, opened
        if entry.whole_only:
            job.alone = True
            stream = entry.source.open(choice.manifest, choice.file)
            skip = claim.position
        else:
            stream = entry.source.open(choice.manifest, choice.file, claim.position, claim.left)
            skip = 0
            if not stream.ranged and not _another(self._works.roster, job, choice):
                job.alone = entry.whole_only = True
                part.widen(claim)
        first = claim.position
        pace = Pace(self._works, opened, Blame(entry.source.name, stream.host))
        try:
            self._pour(job, claim, stream, pace, skip)
        finally:
            stream.close()
            pace.end()
            if claim.position - first >= min(PROGRESS, job.file.size):
                self._works.roster.good(entry)

    def _pour(self, job: Job, claim: Claim, stream: Stream, pace: Pace, skip: int) -> None:
        part, view, board = job.part, self._room(self._works.options.read), self._works.board
        assert part is not None
        while claim.left > 0 and not claim.void and not board.stopped:
            count = stream.readinto(view)
            pace.step(count)
            board.count(job, claim.source, count)
            if not count:
                raise _cut(job, claim.source, stream.host)
            passed = min(skip, count)
            skip -= passed
            if count > passed:
                part.write(claim, view[passed:count])

    def _bring_small(self, job: Job, choice: Choice) -> bool:
        part = self._works.open_part(job)
        if part is None:
            return bool(job.seal)
        try:
            data = self._whole(job, choice)
            seal = seal_of(data, job.file)
            if not seal.fits(job.file):
                raise mismatch(job, choice.entry.source.name, seal)
            part.overwrite(data, 0)
            job.shares[choice.entry.source.name] += len(data)
            self._works.settle(job, part, seal)
            self._works.roster.good(choice.entry)
            return True
        finally:
            part.close()

    def _whole(self, job: Job, choice: Choice) -> memoryview:
        """Return the content of a small file. Raises SourceError where it is cut or too long."""
        have, size, read = 0, job.file.size, self._works.options.read
        buffer = self._room(size + read)
        if not size:
            return buffer[:0]
        stream = choice.entry.source.open(choice.manifest, choice.file)
        pace = Pace(self._works, time.monotonic(), Blame(choice.entry.source.name, stream.host), small=True)
        try:
            while count := stream.readinto(buffer[have : have + read]):
                pace.step(count)
                self._works.board.count(job, choice.entry.source.name, count)
                have += count
                if have > size:
                    break
        finally:
            stream.close()
        if have == size:
            return buffer[:size]
        if have < size:
            raise _cut(job, choice.entry.source.name, stream.host)
        raise SourceError(
            f"{stream.host} sent more than the {size} bytes listed of {job.file.path}",
            blame=Blame(choice.entry.source.name, stream.host),
            reference="wrong-length",
        )

    def _room(self, length: int) -> memoryview:
        if self._buffer is None or len(self._buffer) < length:
            self._buffer = memoryview(bytearray(length))
        return self._buffer[:length]


class Pace:
    """Watches one stream's speed. Raises `source-slow` where it stays below its share of the floor."""

    def __init__(self, works: Works, opened: float, blame: Blame, *, small: bool = False) -> None:
        self._works, self._opened, self._blame, self._small = works, opened, blame, small
        self._window, self._in_window, self._total, self._began = opened, 0, 0, 0.0

    def step(self, count: int) -> None:
        """So many bytes came just now."""
        now, options = time.monotonic(), self._works.options
        if not self._began:
            self._began = now
            if not self._small:
                self._works.board.first(now - self._opened)
        self._total += count
        self._in_window += count
        seconds = now - self._window
        if seconds < options.patience:
            return
        share = options.floor / max(1, self._works.board.flowing)
        if self._in_window / seconds < share:
            raise SourceError(
                f"{self._blame.host} sends only {self._in_window / seconds:.0f} bytes per second",
                blame=self._blame,
                reference="source-slow",
                retriable=True,
            )
        self._window, self._in_window = now, 0

    def end(self) -> None:
        """The stream has ended."""
        if self._began and not self._small:
            self._works.board.dried(self._total, time.monotonic() - self._began)


def mismatch(job: Job, source: str, seal: Seal) -> SourceError:
    """Return the error for bytes that are not the ones listed."""
    wanted = f"sha256 {job.file.sha256}" if job.file.sha256 else f"blob {job.file.blob_id}"
    return SourceError(
        f"{source} sent bytes of {job.file.path} that are not the ones listed",
        blame=Blame(source),
        reference="sha256-mismatch",
        context=f"{wanted} is listed, sha256 {seal.sha256} came",
        hint="the hub's copy is damaged, its listing is stale, or something on the way changes bytes: use another source",
    )


def _cut(job: Job, source: str, host: str) -> SourceError:
    return SourceError(
        f"{host} ended {job.file.path} before its last byte",
        blame=Blame(source, host),
        reference="body-cut",
        retriable=True,
    )


def _another(roster: Roster, job: Job, choice: Choice) -> bool:
    """Whether a source other than the chosen one is left for the job."""
    return any(
        entry is not choice.entry and not entry.gone and entry.source.name not in job.refused for entry in roster.entries
    )
