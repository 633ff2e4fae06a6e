"""One HTTP transport for every hub: redirects by hand, credentials for one origin only, each failure says whose it is.

urllib3 does the wire (keep-alive, TLS, proxies); its import is put off to the first request. Nothing here reads the
environment: `Transport.from_environ` takes it as a mapping. Addresses in messages carry no query: it may be a signature.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from provision.sources.interface import Blame, SourceError

if TYPE_CHECKING:
    import urllib3

REDIRECTS = 8
REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
JSON_LIMIT = 64 * 1024 * 1024  # bytes of one metadata answer
NEAR = 4000  # microseconds of round trip within which a host is near
QUEUE = 128 * 1024  # bytes that may wait in the kernel of a near host's answer
USER_AGENT = "provision"


@dataclass(frozen=True)
class Transport:
    """How to reach hosts. Seconds: `connect`, `stall` (no byte for so long), `metadata` (one whole listing answer)."""

    connect: float = 8.0
    stall: float = 8.0
    metadata: float = 20.0
    ca_file: str | None = None
    proxies: Mapping[str, str] = field(default_factory=dict)  # by scheme; "no" holds the comma-separated exceptions
    keep: int = 32  # idle connections kept per host

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Transport:
        """Return the transport that the usual variables ask for: `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`, `*_PROXY`."""
        proxies = {}
        for scheme in ("http", "https", "all", "no"):
            value = environ.get(f"{scheme}_proxy") or environ.get(f"{scheme.upper()}_PROXY")
            if value:
                proxies[scheme] = value
        return cls(ca_file=environ.get("SSL_CERT_FILE") or environ.get("REQUESTS_CA_BUNDLE") or None, proxies=proxies)

    def proxy_for(self, url: str) -> str | None:
        """Return the proxy to use for `url`, or None."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        for raw in self.proxies.get("no", "").split(","):
            exception = raw.strip().lower().lstrip(".")
            if exception and (exception == "*" or host == exception or host.endswith(f".{exception}")):
                return None
        return self.proxies.get(parts.scheme) or self.proxies.get("all")


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of `url`: what a credential belongs to."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def bare(url: str) -> str:
    """Return `url` without user, query and fragment, fit for a message."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


class Reply:
    """One answer, its body not read yet. `url` and `host` are those that really answered, after redirects."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, url: str, source: str) -> None:
        self._raw = raw
        self.url = url
        self.host = urlsplit(url).netloc.rpartition("@")[2]
        self.source = source
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.first: Mapping[str, str] = raw.headers  # of the host that was asked, where it redirected

    def blame(self) -> Blame:
        """Who answered this."""
        return Blame(self.source, self.host, self.status, retry_after(self.headers, time.time()), dict(self.headers))

    def read_some(self, limit: int) -> bytes:
        """Return what is there now, at most `limit` bytes; empty at the end. Raises SourceError where the body is cut."""
        try:
            return self._raw.read1(limit, decode_content=False)
        except Exception as error:  # noqa: BLE001 - sorted at once: what is not a wire failure goes up again
            raise wire_error(error, self.source, self.url) from None

    def read_all(self, limit: int, seconds: float) -> bytes:
        """Return the whole body. Raises SourceError past `limit` bytes or `seconds`."""
        deadline, body = time.monotonic() + seconds, bytearray()
        while chunk := self.read_some(65536):
            body += chunk
            if len(body) > limit:
                raise self.error("answer-too-large", f"{self.host} sent more than {limit} bytes where a listing was due")
            if time.monotonic() > deadline:
                raise self.error("source-slow", f"{self.host} took more than {seconds:g} s over a listing", retriable=True)
        return bytes(body)

    def error(self, reference: str, message: str, *, retriable: bool = False, hint: str = "") -> SourceError:
        """Return the SourceError that blames this answer's host."""
        context = f"HTTP {self.status} from {bare(self.url)}"
        return SourceError(
            message, blame=self.blame(), reference=reference, retriable=retriable, context=context, hint=hint
        )

    def close(self) -> None:
        """Let go; a body that was not read to its end takes its connection along."""
        self._raw.close()


class Http:
    """Requests to any host, over kept-alive connections. `source` names who asks, for the blame."""

    def __init__(self, transport: Transport, source: str) -> None:
        self.transport = transport
        self.source = source
        self._managers: dict[str | None, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._watch = _HeaderWatch(transport.stall)

    def get(self, url: str, headers: Mapping[str, str] | None = None, private: Mapping[str, str] | None = None) -> Reply:
        """Return the final answer to a GET, redirects followed. `private` headers go to `url`'s own origin alone.

        Raises SourceError for a host that cannot be reached or a redirect loop; a status is not an error here.
        """
        home, seen, first = origin(url), {url}, None
        while True:
            reply = self.once(url, {**(headers or {}), **((private or {}) if origin(url) == home else {})})
            first = reply.first = first or reply.headers
            if reply.status not in REDIRECT_STATUSES or "location" not in reply.headers:
                return reply
            target = urljoin(url, reply.headers["location"])
            reply.read_some(65536)
            if target in seen or len(seen) > REDIRECTS:
                raise reply.error("redirect-loop", f"{reply.host} redirects in a circle, or more than {REDIRECTS} times")
            if urlsplit(target).scheme not in ("http", "https"):
                raise reply.error("redirect-refused", f"{reply.host} redirects to something that is not HTTP")
            seen.add(target)
            url = target

    def get_json(self, url: str, private: Mapping[str, str] | None = None) -> tuple[Any, Reply]:
        """Return the parsed answer and the Reply; of a status other than 200, the Reply's JSON or None.

        Raises SourceError: `login-page` for HTML, `listing-cut` for JSON that does not parse.
        """
        reply = self.get(url, {"Accept": "application/json"}, private)
        body = reply.read_all(JSON_LIMIT, self.transport.metadata)
        try:
            return json.loads(body), reply
        except ValueError:
            if reply.status != 200:
                return None, reply
        if looks_like_html(body):
            raise login_page(reply)
        raise reply.error("listing-cut", f"{reply.host} sent a listing that is not whole JSON", retriable=True)

    def once(self, url: str, headers: Mapping[str, str]) -> Reply:
        """Return the answer to one GET, a redirect as it is. Raises SourceError for a host that cannot be reached."""
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        try:
            raw = self._manager(url).request("GET", url, headers=sent, redirect=False, retries=False, preload_content=False)
        except Exception as error:  # noqa: BLE001 - sorted at once: what is not a wire failure goes up again
            raise wire_error(error, self.source, url) from None
        return Reply(raw, url, self.source)

    def _manager(self, url: str) -> urllib3.PoolManager:
        proxy = self.transport.proxy_for(url)
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = _make_manager(self.transport, proxy, self._watch)
            return self._managers[proxy]

    def close(self) -> None:
        """Close every idle connection."""
        for manager in self._managers.values():
            manager.clear()
        self._watch.stop()


def _make_manager(transport: Transport, proxy: str | None, watch: _HeaderWatch) -> urllib3.PoolManager:
    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            _bound_queue(self.sock)

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            with watch.over(self.sock):
                return super().getresponse()

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            _bound_queue(self.sock)

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            with watch.over(self.sock):
                return super().getresponse()

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    settings: dict[str, Any] = {
        "maxsize": transport.keep,
        "timeout": urllib3.Timeout(connect=transport.connect, read=transport.stall),
        "ca_certs": transport.ca_file,
    }
    manager = urllib3.ProxyManager(proxy, **settings) if proxy else urllib3.PoolManager(**settings)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return manager


def _bound_queue(sock: socket.socket | None) -> None:
    """Keep the kernel from queueing megabytes of a near host's bytes for a reader that is busy: a killed process loses them.

    Round-trip time of the handshake: `tcpi_rtt`, microseconds, at byte 68 of Linux's `struct tcp_info`. Farther hosts need
    the room that the kernel gives them.
    """
    if sock is None or not hasattr(socket, "TCP_INFO"):
        return
    with contextlib.suppress(OSError, struct.error):
        (microseconds,) = struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 72), 68)
        if microseconds < NEAR:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)


class _HeaderWatch:
    """Ends a connection whose headers dribble in: a socket's own timeout starts anew with every byte."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: dict[int, tuple[float, socket.socket]] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, sock: socket.socket | None) -> Iterator[None]:
        if sock is None:
            yield
            return
        with self._lock:
            self._watched[id(sock)] = (time.monotonic() + 2 * self._seconds, sock)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="header-watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(id(sock), None)

    def stop(self) -> None:
        self._wake.set()

    def _run(self) -> None:
        while not self._wake.wait(min(1.0, self._seconds / 2)):
            now = time.monotonic()
            with self._lock:
                for deadline, sock in self._watched.values():
                    if now > deadline:
                        with contextlib.suppress(OSError):
                            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def wire_error(error: Exception, source: str, url: str) -> SourceError:
    """Return the SourceError for a failure below HTTP; raises `error` again where it is none."""
    import http.client
    import ssl

    from urllib3 import exceptions as wire

    host = urlsplit(url).netloc.rpartition("@")[2]
    if not isinstance(error, wire.HTTPError | OSError | http.client.HTTPException | ssl.SSLError):
        raise error
    reference, message, retriable, hint = _sort(error, host)
    words = type(error).__name__ if reference != "tls-untrusted" else str(getattr(error, "args", [""])[0])
    context = f"GET {bare(url)}: {re.sub(r'[?][^ )]*', '', words)}"
    return SourceError(
        message, blame=Blame(source, host), reference=reference, retriable=retriable, context=context, hint=hint
    )


def _sort(error: Exception, host: str) -> tuple[str, str, bool, str]:
    from urllib3 import exceptions as wire

    if isinstance(error, wire.SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        hint = "if the certificate is your own authority's, point SSL_CERT_FILE at it"
        untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
        return "tls-untrusted" if untrusted else "tls-failed", f"{host} is not trusted over TLS", not untrusted, hint
    if isinstance(error, wire.NameResolutionError):
        return "host-unknown", f"the name {host} does not resolve here", True, "look at the address, the DNS and the proxy"
    if isinstance(error, wire.ProxyError):
        return "proxy-failed", f"the proxy did not lead to {host}", True, "look at HTTPS_PROXY and NO_PROXY"
    if isinstance(error, wire.ReadTimeoutError | TimeoutError) and not isinstance(error, wire.ConnectTimeoutError):
        return "source-stalled", f"{host} stopped sending", True, ""
    if isinstance(error, wire.NewConnectionError | wire.ConnectTimeoutError):
        return "host-unreachable", f"{host} cannot be reached", True, "look at the address, the network and the proxy"
    if isinstance(error, wire.IncompleteRead) or "IncompleteRead" in str(error):
        return "body-cut", f"{host} closed the connection in the middle of a body", True, ""
    if isinstance(error, wire.LocationParseError | wire.LocationValueError):
        return "address-invalid", f"{host or 'the address'} is not an address", False, ""
    return "connection-lost", f"{host} broke the connection", True, ""


def status_error(reply: Reply, what: str) -> SourceError:
    """Return the error for a status that says nothing about the repository: 429, 5xx and the odd ones."""
    if reply.status == 429:
        wait = reply.blame().retry_after
        message = f"{reply.host} limits requests" + (f" and asks to wait {wait:.0f} s" if wait else "")
        return reply.error("rate-limited", message, retriable=True, hint="what has come is kept: the same command goes on")
    if reply.status >= 500:
        return reply.error("source-unavailable", f"{reply.host} answers {reply.status} for {what}", retriable=True)
    return reply.error("status-unexpected", f"{reply.host} answers {reply.status} for {what}")


def login_page(reply: Reply) -> SourceError:
    """Return the error for a page where data was due."""
    return reply.error(
        "login-page",
        f"{reply.host} sent a web page instead of the data",
        hint="a login page, a captive portal or a filter stands before it: open it in a browser, or use another source",
    )


def looks_like_html(head: bytes) -> bool:
    """Whether a body's first bytes are a web page's."""
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<script"))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds a host asks to wait: `Retry-After` (seconds or a date, RFC 9110 10.2.3), else `RateLimit`'s `t`
    (draft-ietf-httpapi-ratelimit-headers-09, as huggingface.co sends it)."""
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    if value:
        with contextlib.suppress(ValueError, TypeError):
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    found = re.search(r"\br=0\b.*?\bt=(\d+)", headers.get("ratelimit", ""))
    return float(found.group(1)) if found else None
