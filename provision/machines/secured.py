"""An engine over TLS, brought here as a plain socket: the bytes of one direction may end while the other is still heard.

A command's input ends so, and Python's own `SSLSocket` cannot: half closed, it hears cipher text.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urlsplit

from provision.errors import EngineUnreachable
from provision.machines.endpoint import Endpoint, Tls, advice

T = TypeVar("T")
PORT = 2376  # where the address names none
PATIENCE = 5.0  # seconds for a connection and its handshake
CHUNK = 65536
PING = b"GET /_ping HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n"


class Secured:
    """`address` is a socket here, each connection to which is one over TLS to the engine at `at`.

    Raises EngineUnreachable where it, or we, cannot prove to be who is expected.
    """

    def __init__(self, at: Endpoint, tls: Tls) -> None:
        parts = urlsplit(at.host)
        self._where = (str(parts.hostname), parts.port or PORT)
        try:
            self._context = _context(tls)
            self._introduce()
        except OSError as error:
            words = f"{at.host}, by {at.origin}, certificates in {tls.folder}: {error}"
            raise EngineUnreachable("no container engine answers", context=words, hint=advice(str(error))) from error
        self._folder = tempfile.TemporaryDirectory(prefix="provision-tls-")
        self.address = f"unix://{self._folder.name}/engine.sock"
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(f"{self._folder.name}/engine.sock")
        self._door.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more."""
        self._door.close()
        self._folder.cleanup()

    def _introduce(self) -> None:
        """What is wrong with our certificate is told only after the handshake, or by a reset that overtakes the alert."""
        channel = self._reach()
        try:
            channel.send(PING)
            if not channel.receive():
                raise ConnectionError("without a word")
        except ConnectionError as error:
            raise ConnectionError(f"the engine ended the connection after the handshake: {error}") from error
        finally:
            channel.close()

    def _reach(self) -> Channel:
        wire = socket.create_connection(self._where, PATIENCE)
        try:
            return Channel(wire, self._context, self._where[0])
        except OSError:
            wire.close()
            raise

    def _serve(self) -> None:
        with suppress(OSError):  # the door is closed
            while True:
                near, _ = self._door.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with near, suppress(OSError):  # whoever speaks to us sees the connection end
            far = self._reach()
            going = threading.Thread(target=_pass_on, args=(lambda: near.recv(CHUNK), far.send, far.end), daemon=True)
            going.start()
            _pass_on(far.receive, near.sendall, lambda: near.shutdown(socket.SHUT_RDWR))
            going.join()
            far.close()


def _pass_on(hear: Callable[[], bytes], say: Callable[[bytes], None], end: Callable[[], None]) -> None:
    with suppress(OSError):
        while data := hear():
            say(data)
    with suppress(OSError):
        end()


class Channel:
    """A TLS connection, spoken to by one thread and heard by another, whose two directions end apart."""

    def __init__(self, wire: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._wire = wire
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._state = threading.Lock()
        self._heard(self._tls.do_handshake, self._flush)
        self._flush()
        wire.settimeout(None)

    def send(self, data: bytes) -> None:
        """Say it all. Raises OSError."""
        with self._state:
            self._tls.write(data)
        self._flush()

    def end(self) -> None:
        """Say that nothing more comes, and go on hearing."""
        with self._state, suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def receive(self) -> bytes:
        """Return what comes next, nothing at the end. Raises OSError."""
        try:
            return self._heard(lambda: self._tls.read(CHUNK))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def close(self) -> None:
        """End both."""
        self._wire.close()

    def _heard(self, ask: Callable[[], T], before: Callable[[], None] = lambda: None) -> T:
        while True:
            with self._state, suppress(ssl.SSLWantReadError):
                return ask()
            before()
            data = self._wire.recv(CHUNK)
            with self._state:
                self._incoming.write(data) if data else self._incoming.write_eof()

    def _flush(self) -> None:
        with self._state:
            data = self._outgoing.read()
        self._wire.sendall(data)


def _context(tls: Tls) -> ssl.SSLContext:
    """What the docker client would believe and show: without ca.pem the authorities of this machine, without cert.pem and
    key.pem nothing. Raises OSError."""
    there = {path.stem: str(path) for path in tls.folder.glob("*.pem")}
    context = ssl.create_default_context(cafile=there.get("ca"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # Python 3.13's; Docker's own instructions fall short of it
    if not tls.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if {"cert", "key"} <= there.keys():
        context.load_cert_chain(there["cert"], there["key"], password=lambda: "")  # a question would wait for ever
    return context
