"""`pull`: one model from a set of sources to a target."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from provision.download.board import Board, Job
from provision.download.carrier import Carrier, Works
from provision.download.choice import UNSELECTED, Selection, Wish, select
from provision.download.governor import Governor
from provision.download.options import Options
from provision.download.others import Others
from provision.download.parts import Part
from provision.download.record import ArrivedFile, Pulled
from provision.download.repair import repair
from provision.download.roster import Roster
from provision.download.space import check_space, disk_error, on_disk
from provision.download.target import Target
from provision.download.verify import Follower, Seal
from provision.errors import ArrivalError
from provision.events import Listener, Note, Progress, silent
from provision.lock import LockedModel
from provision.sources.interface import Manifest, ModelRef, RemoteFile, Source, SourceError
from provision.sources.names import check_names

LISTING_LONG = 5.0  # seconds after which a listing is worth a word


def pull(
    ref: ModelRef,
    sources: Sequence[Source],
    target: Target,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    lock: LockedModel | None = None,
    allow_pickle: bool = False,
    allow_code: bool = False,
    listener: Listener = silent,
    options: Options | None = None,
) -> Pulled:
    """Return the model `ref`, whole and verified at `target`: bytes from any of `sources`, in order of preference.
    A source that no longer sends what it lists gives the lead to the next.

    What is there already is not fetched again, and where all is there and the commit is known (a lock, a commit as the
    revision, or no source answers) nothing is asked of the network. With a `lock`, exactly its files. Raises ArrivalError
    (SourceError says which host failed) and UsageError; what has come by then is kept and the next call goes on from it.
    """
    wish = Wish(tuple(include), tuple(exclude), allow_pickle, allow_code)
    stale: SourceError | None = None
    for lead in range(1 if lock else max(1, len(sources))):
        if stale:
            text = f"{sources[lead - 1].name} lists what nobody sends; going by what {sources[lead].name} lists"
            listener(Note(str(ref), text, "warn"))
        try:
            turn = [*sources[lead:], *sources[:lead]]
            return _Pull(ref, turn, target, listener, options or Options()).run(lock, wish)
        except SourceError as error:
            stale = stale or error
            if error.name != "changed-under-way":
                break
    assert stale
    raise stale


class _Pull:
    def __init__(
        self, ref: ModelRef, sources: Sequence[Source], target: Target, listener: Listener, options: Options
    ) -> None:
        self._ref, self._target, self._listener, self._options = ref, target, listener, options
        self._sources = sources
        self._task = str(ref)
        self._began = time.monotonic()
        self._jobs: list[Job] = []
        self._works: Works | None = None
        self._parts: dict[str, Part] = {}
        self._others = Others(target.partial, options, listener)
        self._shown: dict[str, int] = {}
        self._shown_at = self._beaten_at = 0.0

    def run(self, lock: LockedModel | None, wish: Wish) -> Pulled:
        try:
            return self._run(lock, wish)
        except OSError as error:
            missing = sum(job.file.size - self._have(job) for job in self._jobs)
            raise disk_error(error, self._ref, missing) from error

    def _run(self, lock: LockedModel | None, wish: Wish) -> Pulled:
        at = ModelRef(self._ref.repo, lock.commit) if lock else self._ref
        roster = Roster(self._sources, at, self._options, self._listener)
        manifest = _locked_manifest(lock, self._ref) if lock else self._manifest(roster, wish)
        selection = select(manifest, wish)
        check_names(file.path for file in selection.files)
        _check_digests(manifest.source, selection.files)
        for path, reason in selection.left_out:
            if reason != UNSELECTED:
                self._listener(Note(path, f"left out: {reason}"))
        before = self._target.known(ModelRef(self._ref.repo, manifest.commit))
        here = {file.path: self._target.find(file) for file in selection.files}
        missing = [file for file in selection.files if here[file.path] is None]
        self._jobs = _jobs(missing)
        if self._jobs:
            check_space(self._ref, self._target.partial, self._jobs)
            self._bring(roster)
        pulled = self._account(manifest, selection, here, before)
        return replace(pulled, path=self._target.finish(pulled), seconds=time.monotonic() - self._began)

    def _manifest(self, roster: Roster, wish: Wish) -> Manifest:
        """Return the manifest to go by: of what is here where that is enough and the commit certain, else a source's."""
        known = self._target.known(self._ref)
        if known and any(not wish.refusal(path) for path in known.left_out):
            known = None  # more is wanted than was taken then
        if known and re.fullmatch(r"[0-9a-f]{40}", self._ref.revision):
            return _manifest_of(known)
        try:
            with self._heard():
                manifest = roster.lead(self._task, patient=known is None)
        except SourceError as error:
            if known is None:
                raise
            text = f"{error.message}; all files of commit {known.commit[:12]} are here, and are used"
            self._listener(Note(self._task, text, "warn"))
            return _manifest_of(known)
        roster.adopt(manifest)
        return manifest

    @contextlib.contextmanager
    def _heard(self) -> Iterator[None]:
        """Say a word where the listing takes long: a hub of many pages, a folder that is hashed."""
        note = Note(self._task, "still reading what there is of it")
        timer = threading.Timer(LISTING_LONG, self._listener, [note])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _bring(self, roster: Roster) -> None:
        governor = Governor(self._options)
        board = Board(self._jobs, self._options, governor, self._begin)
        self._works = Works(board, roster, self._options, self._settle, self._open_part)
        carriers: list[Carrier] = []
        try:
            while not board.done:
                self._hire(carriers)
                board.wait(0.05)
                self._beat()
                governor.observe(time.monotonic(), board.received, board.flowing, board.first_byte)
                self._tell()
        except BaseException as error:
            board.fail(error)
            raise
        finally:
            self._end(carriers)
        self._tell(last=True)
        if board.error:
            raise board.error

    def _beat(self) -> None:
        """Show those who wait for our parts that we are at work, be it on their digests."""
        now = time.monotonic()
        if now - self._beaten_at >= self._options.beat:
            self._beaten_at = now
            for part in list(self._parts.values()):
                part.beat()

    def _hire(self, carriers: list[Carrier]) -> None:
        assert self._works
        small = sum(1 for job in self._jobs if job.file.size <= self._options.small)
        large = self._works.board.governor.limit if small < len(self._jobs) else 0
        wanted = min(small, self._options.small_connections) + large
        while len(carriers) < wanted:
            carriers.append(Carrier(self._works, f"carry {len(carriers)}"))
            carriers[-1].start()

    def _end(self, carriers: list[Carrier]) -> None:
        deadline = time.monotonic() + 1.0
        for carrier in carriers:
            carrier.join(max(0.0, deadline - time.monotonic()))
        for job in self._jobs:
            if job.part:
                job.part.close()

    def _open_part(self, job: Job) -> Part | None:
        """Return the job's part, held by us; None where another process holds it, or has just finished it."""
        assert self._works
        part = Part.open(self._target.partial, job.key, job.file.size)
        if part is None:
            self._others.wait_for(job)
            return None
        self._parts[job.key] = part
        sha256 = None if part.here else self._target.find(job.file)  # another process may just have finished it
        if sha256 is None:
            return part
        part.discard()
        self._works.board.finish(job, Seal(sha256, job.file.blob_id))
        return None

    def _begin(self, job: Job) -> Part | None:
        """Open a large job's part and hash behind it."""
        part = self._open_part(job)
        if part:
            assert self._works
            held, works = part, self._works
            Follower(part, job.file, lambda seal: self._whole(job, held, seal), works.board.fail).start()
        return part

    def _whole(self, job: Job, part: Part, seal: Seal) -> None:
        assert self._works
        if not seal.fits(job.file):
            seal = repair(job, part, seal, self._works, self._listener)
        job.shares.update(part.shares())
        self._settle(job, part, seal)
        part.close()

    def _settle(self, job: Job, part: Part, seal: Seal) -> None:
        """Put a verified part in its place."""
        assert self._works
        part.hold_still()
        self._target.put(job.file, seal.sha256, part.path)
        part.forget_journal()
        self._works.board.finish(job, seal)

    def _account(
        self, manifest: Manifest, selection: Selection, here: dict[str, str | None], before: Pulled | None
    ) -> Pulled:
        """Return what is here now. Files that an earlier pull of this commit brought stay part of the model."""
        brought = {job.key: job for job in self._jobs}
        files = [
            ArrivedFile(file.path, file.size, sha256, file.blob_id) if sha256 else brought[_key(file)].arrived(file)
            for file in selection.files
            for sha256 in [here[file.path]]
        ]
        names = {file.path for file in files}
        files += [file for file in before.files if file.path not in names] if before else []
        names = {file.path for file in files}
        out = dict.fromkeys([*(before.left_out if before else ()), *(path for path, _ in selection.left_out)])
        left_out = tuple(path for path in out if path not in names)
        fetched = self._works.board.received if self._works else 0
        return Pulled(self._ref.repo, self._ref.revision, manifest.commit, manifest.source, tuple(files), left_out, fetched)

    def _tell(self, *, last: bool = False) -> None:
        """Say how far each file and the whole are."""
        assert self._works
        now = time.monotonic()
        if not last and now - self._shown_at < self._options.tick:
            return
        self._shown_at = now
        done = 0
        for job in self._jobs:
            have = self._have(job)
            done += have
            if self._shown.get(job.key) != have and have:
                self._shown[job.key] = have
                self._listener(Progress(job.file.path, have, job.file.size, detail=job.source))
        total = sum(job.file.size for job in self._jobs)
        sources = sorted({job.source for job in self._jobs if job.source and not job.seal})
        self._listener(Progress(self._task, done, total, detail=", ".join(sources)))

    def _have(self, job: Job) -> int:
        """Return how much of a file is here, be it another process that brings it."""
        if job.seal:
            return job.file.size
        if job.held and job.part is None:
            return min(job.file.size, on_disk(self._target.partial / f"{job.key}.part"))
        return job.part.here if job.part else 0


def _check_digests(source: str, files: Sequence[RemoteFile]) -> None:
    """Raise ArrivalError where a file could not be verified; digests name files here, so nothing else may pass for one."""
    for file in files:
        known = [bool(re.fullmatch(r"[0-9a-f]{64}", file.sha256))] if file.sha256 else []
        known += [bool(re.fullmatch(r"[0-9a-f]{40}", file.blob_id))] if file.blob_id else []
        if not known or not all(known) or file.size < 0:
            raise ArrivalError(
                f"{source} lists {file.path[:120]!r} without a digest or size that could be verified; nothing was written",
                reference="listing-invalid",
                hint="use another source, or leave this file out with --exclude",
            )


def _jobs(files: Sequence[RemoteFile]) -> list[Job]:
    """Return one job per content."""
    jobs: dict[str, Job] = {}
    for file in files:
        jobs.setdefault(_key(file), Job(file, _key(file)))
    return list(jobs.values())


def _key(file: RemoteFile) -> str:
    return file.sha256 or f"git-{file.blob_id}"


def _manifest_of(known: Pulled) -> Manifest:
    files = tuple(RemoteFile(file.path, file.size, file.sha256, file.blob_id) for file in known.files)
    return Manifest(known.repo, known.revision, known.commit, files, known.source)


def _locked_manifest(lock: LockedModel, ref: ModelRef) -> Manifest:
    files = tuple(RemoteFile(file.path, file.size, file.sha256) for file in lock.files)
    return Manifest(lock.repo, ref.revision, lock.commit, files, lock.source)
