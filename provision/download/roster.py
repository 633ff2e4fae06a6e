"""The source set of one pull: who is asked next, who rests after a failure, who is given up, and why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from provision.download.options import Options
from provision.events import Listener, Note
from provision.sources.interface import Blame, Manifest, ModelRef, RemoteFile, Source, SourceError

WHOLE_SOURCE = frozenset(
    {
        "address-invalid", "login-page", "not-allowed", "proxy-invalid", "proxy-refused", "redirect-loop",
        "redirect-refused", "repo-gated", "repo-not-found", "revision-not-found", "tls-untrusted",
    }
)  # fmt: skip
FILE_ALONE = frozenset({"content-differs", "file-not-found", "range-ignored", "range-shifted", "wrong-length"})
ONCE_MORE = frozenset({"connection-lost", "body-cut"})  # so common that the same source is asked again at once
ALOUD = 10.0  # seconds between two words on a long wait
PROGRESS = 64 * 1024  # bytes that prove a source alive


@dataclass(eq=False)
class Entry:
    """One source and how it has behaved."""

    source: Source
    manifest: Manifest | None = None
    files: dict[str, RemoteFile] = field(default_factory=dict)
    strikes: int = 0
    last_good: float = field(default_factory=time.monotonic)
    last_failure: float = 0.0
    rests_until: float = 0.0
    gone: SourceError | None = None
    last_error: SourceError | None = None
    whole_only: bool = False  # it ignores ranges
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Choice:
    """Whom to ask for a file: the source, its own manifest and its own name for the file."""

    entry: Entry
    manifest: Manifest
    file: RemoteFile


@dataclass(frozen=True)
class Wait:
    """Nobody may be asked for `seconds`."""

    seconds: float


class Roster:
    """Sources in their order of preference, with one in use until it fails."""

    def __init__(self, sources: Sequence[Source], ref: ModelRef, options: Options, listener: Listener) -> None:
        self.entries = [Entry(source) for source in sources]
        self._ref, self._options, self._listener = ref, options, listener
        self._current = 0
        self._lock = threading.Lock()
        self._silent_until = 0.0

    def lead(self, task: str, *, patient: bool) -> Manifest:
        """Return the manifest of the first source that answers; `patient` asks each more than once. Raises SourceError."""
        first: SourceError | None = None
        while True:
            waits = []
            for entry in self._in_order():
                if entry.gone:
                    continue
                if entry.rests_until > time.monotonic():
                    waits.append(entry.rests_until - time.monotonic())
                    continue
                try:
                    return self._listed(entry, strict=True)
                except SourceError as error:
                    first = first or error
                    self._unlisted(entry, error, task)
                    if not entry.gone:
                        waits.append(max(0.0, entry.rests_until - time.monotonic()))
            if not waits or not patient:
                raise self._verdict(first)
            self.rest(min(waits), task)

    def choose(self, file: RemoteFile, refused: dict[str, SourceError], task: str) -> Choice | Wait:
        """Return whom to ask for `file`, or how long to wait. Raises SourceError where nobody is left.

        `refused` holds the sources that are out for this file, and grows by those that do not list it.
        """
        soonest: float | None = None
        for entry in self._in_order():
            name = entry.source.name
            if entry.gone or name in refused:
                continue
            rests = entry.rests_until - time.monotonic()
            if rests > 0:
                soonest = rests if soonest is None else min(soonest, rests)
                continue
            try:
                manifest = self._listed(entry)
            except SourceError as error:
                self._unlisted(entry, error, task)
                soonest = soonest if entry.gone else 0.0
                continue
            own = entry.files.get(file.path)
            if own and same_content(own, file):
                return Choice(entry, manifest, own)
            refused[name] = _not_listed(entry, file, own)
        if soonest is None:
            raise self._verdict(next(iter(refused.values()), None))
        return Wait(soonest)

    def offers(self, file: RemoteFile, refused: dict[str, SourceError]) -> list[Choice]:
        """Return every source that can send `file` now, in order."""
        found = []
        for entry in self._in_order():
            if entry.gone or entry.source.name in refused:
                continue
            try:
                manifest = self._listed(entry)
            except SourceError as error:
                self._unlisted(entry, error, file.path)
                continue
            own = entry.files.get(file.path)
            if own and same_content(own, file):
                found.append(Choice(entry, manifest, own))
        return found

    def adopt(self, manifest: Manifest) -> None:
        """Take a manifest as its own source's, so that it is not asked for again."""
        for entry in self.entries:
            if entry.source.name == manifest.source and entry.manifest is None:
                _take(entry, manifest)

    def good(self, entry: Entry) -> None:
        """A source has brought bytes worth the name."""
        entry.strikes, entry.last_good = 0, time.monotonic()

    def _unlisted(self, entry: Entry, error: SourceError, task: str) -> None:
        """Take note of a source that did not list the model: one that will not do so another time is out."""
        self.failed(entry, error, time.monotonic(), task)
        if not error.retriable:
            entry.gone = error

    def failed(self, entry: Entry, error: SourceError, opened: float, task: str) -> None:
        """Take note of a failure of a request begun at `opened`; several connections that fail together count once."""
        now = time.monotonic()
        with self._lock:
            if opened < entry.last_failure and error.retriable:
                return
            entry.last_failure, entry.last_error = now, error
            if not error.retriable:
                if error.name in WHOLE_SOURCE:
                    entry.gone = error
                self._say(entry, error, task)
                return
            entry.strikes += 1
            asked = error.blame.retry_after
            out_of_time = now - entry.last_good > self._options.give_up and entry.strikes > 1
            if entry.strikes >= self._options.attempts or out_of_time or (asked or 0) > self._options.max_wait:
                entry.gone = error
            elif error.name in ONCE_MORE and entry.strikes == 1:
                return
            else:
                entry.rests_until = now + max(asked or 0.0, self._options.backoff * 2 ** (entry.strikes - 1))
            self._say(entry, error, task)

    def distrust(self, names: Iterable[str], task: str) -> None:
        """Leave the source in use for the next one, if it is among those that sent wrong bytes."""
        entry = self.entries[self._current]
        if entry.source.name in names:
            error = SourceError("sent wrong bytes", blame=Blame(entry.source.name), reference="sha256-mismatch")
            with self._lock:
                self._say(entry, error, task)

    def _say(self, entry: Entry, error: SourceError, task: str) -> None:
        """Tell of a failure; unless it is about one file alone, move on to the next source that is still there."""
        index = self.entries.index(entry)
        following = [*range(index + 1, len(self.entries)), *range(index)]
        alive = [other for other in following if not self.entries[other].gone]
        what = f"{entry.source.name}: {error.message}"
        one_file = error.name in FILE_ALONE
        if alive and (one_file or index == self._current):
            self._current = self._current if one_file else alive[0]
            self._listener(Note(task, f"{what}; going on from {self.entries[alive[0]].source.name}", "warn"))
        elif not entry.gone and error.retriable:
            self._listener(Note(task, f"{what}; asking again", "warn"))
        else:
            self._listener(Note(task, what, "warn"))

    def rest(self, seconds: float, task: str, stopped: Callable[[], bool] = lambda: False) -> None:
        """Sleep, and count down aloud where it is long; of several connections that rest, one speaks."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stopped():
            with self._lock:
                speak = left > 2 and time.monotonic() >= self._silent_until
                self._silent_until = time.monotonic() + ALOUD if speak else self._silent_until
            if speak:
                self._listener(Note(task, f"waiting {left:.0f} s before the next try", "warn"))
            time.sleep(min(left, 0.1))

    def _in_order(self) -> list[Entry]:
        return [*self.entries[self._current :], *self.entries[: self._current]]

    def _listed(self, entry: Entry, *, strict: bool = False) -> Manifest:
        """Return the source's own manifest, asked for once. Raises SourceError.

        A commit is a hub's own name and the content is what must agree: unless `strict`, a hub that does not know the
        revision is asked for its main branch.
        """
        with entry.lock:
            if entry.manifest is None:
                try:
                    manifest = entry.source.manifest(self._ref)
                except SourceError as error:
                    if strict or error.name != "revision-not-found" or self._ref.revision == "main":
                        raise
                    manifest = entry.source.manifest(ModelRef(self._ref.repo))
                _take(entry, manifest)
            assert entry.manifest is not None
            return entry.manifest

    def _verdict(self, fallback: SourceError | None) -> SourceError:
        """Return the error that ends the pull: the preferred source's, with a line on each of the others."""
        errors = [entry.gone or entry.last_error for entry in self.entries]
        known = [error for error in errors if error is not None] or ([fallback] if fallback else [])
        if not known:
            return SourceError("no source was given", blame=Blame(""), reference="no-source")
        chief = fallback or known[0]
        others = [
            f"{error.blame.source}: {error.message} ({error.name})"
            for error in known
            if error.blame.source != chief.blame.source
        ]
        context = "\n".join([chief.context, *others]).strip()
        return SourceError(
            chief.message,
            blame=chief.blame,
            reference=chief.name,
            retriable=chief.retriable,
            context=context,
            hint=chief.hint,
        )


def same_content(one: RemoteFile, other: RemoteFile) -> bool:
    """Whether two listings speak of the same bytes, by what both know of them."""
    if one.size != other.size:
        return False
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return one.blob_id == other.blob_id if one.blob_id and other.blob_id else True


def _take(entry: Entry, manifest: Manifest) -> None:
    entry.files = {file.path: file for file in manifest.files}
    entry.manifest = manifest


def _not_listed(entry: Entry, file: RemoteFile, own: RemoteFile | None) -> SourceError:
    what = "lists other bytes under the name" if own else "does not list"
    reference = "content-differs" if own else "file-not-found"
    return SourceError(f"{entry.source.name} {what} {file.path}", blame=Blame(entry.source.name), reference=reference)
