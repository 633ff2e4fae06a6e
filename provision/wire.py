"""Connections below HTTP: names looked up and hosts dialled within a deadline, headers that dribble, and what went wrong.

urllib3 does the wire (keep-alive, TLS, proxies); its import is put off to the first request.
"""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from provision.sources.interface import Blame, SourceError

if TYPE_CHECKING:
    import urllib3
    from urllib3.connection import HTTPConnection

NEAR = 4000  # microseconds of round trip within which a host is near
QUEUES = (512 * 1024, 512 * 1024, 128 * 1024)  # bytes that may wait in the kernel for a reader: of the first connection, …


@dataclass(frozen=True)
class Transport:
    """How to reach hosts. Seconds: `connect` (each of name look-up and dialling), `stall` (no byte for so long), `metadata`
    (one whole listing answer)."""

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
        host, port = (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        if any(_excepted(host, port, raw.strip().lower()) for raw in self.proxies.get("no", "").split(",")):
            return None
        proxy = self.proxies.get(parts.scheme) or self.proxies.get("all")
        return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _excepted(host: str, port: int | None, exception: str) -> bool:
    """Whether an entry of NO_PROXY is for this host: a name and what ends in it, with or without a port, a network, `*`."""
    if not exception or exception == "*":
        return exception == "*"
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(exception, strict=False)
    name, mark, digits = exception.rpartition(":")
    if mark and digits.isdigit():
        exception = name
        if int(digits) != port:
            return False
    exception = exception.lstrip("*").lstrip(".")
    return host == exception or host.endswith(f".{exception}")


def bare(url: str) -> str:
    """Return `url` without user, query and fragment, fit for a message."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def make_manager(transport: Transport, proxy: str | None, watch: HeaderWatch) -> urllib3.PoolManager:
    """Return the pools of connections that keep to `transport`'s deadlines."""
    import urllib3
    from urllib3.connection import HTTPConnection, HTTPSConnection

    queues = chain(QUEUES, repeat(QUEUES[-1]))  # many connections are made where each is slow: they need less room

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _dial(self, transport.connect, next(queues))

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
            with watch.over(self.sock):
                return super().getresponse()

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _dial(self, transport.connect, next(queues))

        def _tunnel(self) -> None:
            with watch.over(self.sock):
                super()._tunnel()

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
    manager = urllib3.PoolManager(**settings)
    if proxy:
        user = urllib3.util.parse_url(proxy).auth
        known = urllib3.make_headers(proxy_basic_auth=unquote(user)) if user else None
        manager = urllib3.ProxyManager(proxy, proxy_headers=known, **settings)
    manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return manager


def _dial(connection: HTTPConnection, seconds: float, room: int) -> socket.socket:
    """Return a socket to the first of the host's addresses that answers: `seconds` for the name, as many for all of them.

    A system's resolver has deadlines of its own that add up to minutes, and so have many dead addresses tried in turn.
    Raises urllib3's NameResolutionError, ConnectTimeoutError and NewConnectionError.
    """
    from urllib3 import exceptions
    from urllib3.util.connection import create_connection

    host, port = connection._dns_host, connection.port
    try:
        addresses = lookup(host, port, seconds)
    except socket.gaierror as error:
        raise exceptions.NameResolutionError(connection.host, connection, error) from error
    deadline, last = time.monotonic() + seconds, OSError("the name has no address")
    for index, address in enumerate(addresses):
        share = max(0.5, (deadline - time.monotonic()) / (len(addresses) - index))
        try:
            sock = create_connection((address, port), share, connection.source_address, connection.socket_options)
        except OSError as error:
            last = error
            continue
        sys.audit("http.client.connect", connection, connection.host, port)
        _bound_queue(sock, room)
        return sock
    if isinstance(last, TimeoutError):
        raise exceptions.ConnectTimeoutError(connection, f"{connection.host} did not answer in {seconds:g} s") from last
    raise exceptions.NewConnectionError(connection, str(last)) from last


def lookup(host: str, port: int, seconds: float) -> list[str]:
    """Return the host's addresses, in the resolver's order. Raises socket.gaierror, also after `seconds` without an answer.

    The look-up itself cannot be ended: it is left to a thread that ends with the process.
    """
    answer: queue.SimpleQueue[list[str] | socket.gaierror] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
            answer.put([str(address[0]) for *_, address in found])
        except socket.gaierror as error:
            answer.put(error)
        except (OSError, UnicodeError) as error:
            answer.put(socket.gaierror(socket.EAI_NONAME, str(error)))

    threading.Thread(target=ask, name=f"look up {host}", daemon=True).start()
    try:
        told = answer.get(timeout=seconds)
    except queue.Empty:
        told = socket.gaierror(socket.EAI_AGAIN, f"no name server answered in {seconds:g} s")
    if isinstance(told, socket.gaierror):
        raise told
    return told


def _bound_queue(sock: socket.socket, room: int) -> None:
    """Keep the kernel from queueing more than `room` of a near host's bytes for a busy reader: a killed process loses them.

    Round-trip time of the handshake: `tcpi_rtt`, microseconds, at byte 68 of Linux's `struct tcp_info`. Farther hosts need
    the room that the kernel gives them.
    """
    if not hasattr(socket, "TCP_INFO"):
        return
    with contextlib.suppress(OSError, struct.error):
        (microseconds,) = struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 72), 68)
        if microseconds < NEAR:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)


class HeaderWatch:
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
    words = type(error).__name__ if reference not in ("tls-untrusted", "tls-date") else str(getattr(error, "args", [""])[0])
    context = f"GET {bare(url)}: {re.sub(r'[?][^ )]*', '', words)}"
    return SourceError(
        message, blame=Blame(source, host), reference=reference, retriable=retriable, context=context, hint=hint
    )


def _sort(error: Exception, host: str) -> tuple[str, str, bool, str]:
    from urllib3 import exceptions as wire

    if isinstance(error, wire.SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        hint = "if the certificate is your own authority's, point SSL_CERT_FILE at it"
        if re.search(r"certificate (is not yet valid|has expired)", str(error)):
            told = f"the certificate of {host} is not valid at this machine's date"
            return (
                "tls-date",
                told,
                False,
                "date   # if that is wrong: sudo timedatectl set-ntp true; else use another source",
            )
        untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
        return "tls-untrusted" if untrusted else "tls-failed", f"{host} is not trusted over TLS", not untrusted, hint
    if isinstance(error, wire.ProxySchemeUnknown):
        hint = "HTTPS_PROXY is to be http://host:port; SOCKS is not spoken here"
        return "proxy-invalid", "the proxy's address is none that can be used", False, hint
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
