"""One mirror on the wire: every hop noted, a deadline over all of it, credentials for the mirror's own origin alone."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from provision.http import REDIRECT_STATUSES, REDIRECTS, Http, Reply, login_page, looks_like_html, origin, refusal
from provision.mirrors.veil import without_user
from provision.sources.interface import Blame, SourceError
from provision.wire import Transport

LISTING_LIMIT = 64 << 20  # bytes; the largest index pages have some 30 MB
SAMPLE_LIMIT = 8 << 20  # bytes of an artefact that are fetched at most
SAMPLE_SECONDS = 4.0  # seconds that are spent on them at most
PREFIX = 64 << 10  # bytes whose digest is compared between mirrors
BREATH = 0.2  # seconds
CONNECT, STALL, METADATA = 3.0, 3.0, 8.0  # seconds


@dataclass(frozen=True)
class Hop:
    """One answer on the way to the bytes."""

    host: str
    status: int


@dataclass(frozen=True)
class Sample:
    """What a mirror really sent. Seconds and bytes; `sha256` of all of it where all came, `prefix` of its beginning."""

    host: str
    status: int
    hops: tuple[Hop, ...]
    first_byte: float
    seconds: float
    received: int
    prefix: str
    sha256: str | None
    headers: Mapping[str, str]

    @property
    def rate(self) -> float:
        """Bytes per second; over the wait too where all came in one breath, which buffers alone would measure."""
        return self.received / (self.seconds if self.seconds > BREATH else self.first_byte + self.seconds)


def transport(environ: Mapping[str, str]) -> Transport:
    """Return the machine's own proxies and authorities, with deadlines fit for a measurement."""
    own = Transport.from_environ(environ)
    return Transport(CONNECT, STALL, METADATA, own.ca_file, own.proxies, keep=4)


class Wire:
    """Asks one mirror as `agent`, until `deadline` (time.monotonic). Every failure is a SourceError with a reference."""

    def __init__(self, http: Http, url: str, agent: str, deadline: float) -> None:
        self._http = http
        self._agent = agent
        self._deadline = deadline
        self._home = origin(url)
        self._private = _authorization(url)

    def text(self, url: str, headers: Mapping[str, str] | None = None) -> tuple[str, Reply]:
        """Return a listing. Raises SourceError, also for a status other than 200."""
        reply, _ = self._open(url, headers or {})
        if reply.status != 200:
            raise refusal(reply)
        body = reply.read_all(LISTING_LIMIT, max(0.1, min(METADATA, self._left())))
        return body.decode("utf-8", "replace"), reply

    def ask(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Return the final answer, whatever its status."""
        return self._open(url, headers)[0]

    def renew(self, deadline: float) -> None:
        """Give it until `deadline`."""
        self._deadline = deadline

    def authorise(self, header: str) -> None:
        """Send this with every further request to the mirror's own origin."""
        self._private = {"Authorization": header}

    def sample(self, url: str, size: int | None) -> Sample:
        """Return what came of `url`, at most SAMPLE_LIMIT bytes in SAMPLE_SECONDS.

        Raises SourceError: no bytes, a page instead of the file, another size than `size`.
        """
        began = time.monotonic()
        reply, hops = self._open(url, {})
        try:
            if reply.status != 200:
                raise refusal(reply)
            return self._read(reply, hops, began, size)
        finally:
            reply.close()

    def _read(self, reply: Reply, hops: tuple[Hop, ...], began: float, size: int | None) -> Sample:
        length = reply.headers.get("content-length", "")
        if size is not None and length.isdigit() and int(length) != size:
            if looks_like_html(reply.read_some(512)):
                raise login_page(reply)
            raise reply.error("size-differs", f"{reply.host} has {length} bytes where {size} were announced")
        whole, prefix, received, first = hashlib.sha256(), b"", 0, 0.0
        until = min(self._deadline, time.monotonic() + SAMPLE_SECONDS)
        ended = False
        while received < SAMPLE_LIMIT and time.monotonic() < until:
            chunk = reply.read_some(1 << 16)
            first = first or time.monotonic()
            if not received and looks_like_html(chunk):
                raise login_page(reply)
            if not chunk:
                ended = True
                break
            whole.update(chunk)
            prefix += chunk[: PREFIX - len(prefix)]
            received += len(chunk)
        if not received:
            raise reply.error("nothing-sent", f"{reply.host} sent not one byte")
        complete = ended or received == size
        if ended and size is not None and received != size:
            raise reply.error("size-differs", f"{reply.host} sent {received} bytes where {size} were announced")
        return Sample(
            reply.host,
            reply.status,
            hops,
            first - began,
            time.monotonic() - first,
            received,
            hashlib.sha256(prefix).hexdigest() if complete or len(prefix) == PREFIX else "",
            whole.hexdigest() if complete else None,
            reply.headers,
        )

    def _open(self, url: str, headers: Mapping[str, str]) -> tuple[Reply, tuple[Hop, ...]]:
        hops: list[Hop] = []
        url = without_user(url)
        for _ in range(REDIRECTS + 1):
            if self._left() <= 0:
                raise late(url)
            private = self._private if origin(url) == self._home else {}
            reply = self._http.once(url, {"User-Agent": self._agent, **headers, **private})
            hops.append(Hop(reply.host, reply.status))
            if reply.status not in REDIRECT_STATUSES or "location" not in reply.headers:
                return reply, tuple(hops)
            target = urljoin(url, reply.headers["location"])
            self.first_redirect(reply, target)
            reply.close()
            if urlsplit(target).scheme not in ("http", "https"):
                raise reply.error("redirect-refused", f"{reply.host} redirects to something that is not HTTP")
            if url.startswith("https:") and target.startswith("http:"):
                raise reply.error("redirect-refused", f"{reply.host} redirects from https to plain http")
            url = target
        raise reply.error("redirect-loop", f"{reply.host} redirects more than {REDIRECTS} times")

    def first_redirect(self, reply: Reply, target: str) -> None:
        """Hear of a redirect before it is followed; a client that would not follow it raises here."""

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def late(url: str) -> SourceError:
    """Return the error for a mirror that used up its time."""
    host = urlsplit(url).netloc
    return SourceError(f"{host} took longer than it was given", blame=Blame("", host), reference="too-late")


def _authorization(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
