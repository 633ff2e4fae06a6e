"""The hub as a thing that starts and stops: a server in its own thread, beside whatever else the process does."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING

from provision.errors import ProvisionError
from provision.events import Listener, Note, silent
from provision.hub.catalogue import Catalogue

if TYPE_CHECKING:
    from aiohttp import web

# where every address is listened at, and a documentation address (RFC 5737, RFC 3849) beyond every LAN
EVERYWHERE = {"0.0.0.0": (socket.AF_INET, "192.0.2.1"), "::": (socket.AF_INET6, "2001:db8::1")}
LAST_WORDS = 1.0  # seconds that answers under way are given when the hub stops


class HubError(ProvisionError):
    """The hub cannot be started."""

    reference = "hub-not-started"


class Hub:
    """Serves a catalogue at `host:port` (0: any free port) until stopped. A context manager; thread-safe.

    Read-only. With a `token`, whoever does not send it (`Authorization: Bearer`, or ModelScope's cookie) gets 401.
    `listener` hears one Note a request, without queries and secrets, on the hub's own thread.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        listener: Listener = silent,
    ) -> None:
        self._catalogue, self._host, self._port = catalogue, host, port
        self._token, self._listener = token, listener
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None

    @property
    def port(self) -> int:
        """The port that is bound, once started."""
        return self._port

    @property
    def endpoint(self) -> str:
        """What `HF_ENDPOINT` and `MODELSCOPE_ENDPOINT` are to be on this machine."""
        return _address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host), self._port)

    @property
    def endpoint_outside(self) -> str:
        """What they are to be on other machines: where every address is listened at, the one that leads out of here."""
        return _address(_own_address(self._host), self._port) if self._host in EVERYWHERE else self.endpoint

    def start(self) -> str:
        """Bind, serve from a thread of its own, and return the endpoint; a hub that runs goes on. Raises HubError."""
        if self._thread is not None:
            return self.endpoint
        if not self._token and not _is_loopback(self._host):
            self._listener(Note("hub", f"no token is set: whoever reaches {self._host} can read the models", "warn"))
        bound: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(bound,), name="hub", daemon=True)
        self._thread.start()
        try:
            self._port = bound.result()
        except OSError as error:
            self._thread.join()
            self._thread = None
            raise HubError(
                f"cannot serve at {self._host}:{self._port}", context=str(error), hint="choose another --port, or 0 for any"
            ) from None
        return self.endpoint

    def stop(self) -> None:
        """End the server and its thread; answers under way are given a second. Does nothing where it does not run."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            thread.join()

    def run_forever(self) -> None:
        """Serve until interrupted (KeyboardInterrupt goes on to the caller). Raises HubError."""
        with self:
            thread = self._thread
            while thread is not None and thread.is_alive():
                thread.join(1.0)

    def __enter__(self) -> Hub:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self, bound: Future[int]) -> None:
        try:
            asyncio.run(self._serve(bound))
        finally:
            bound.cancel()  # of no effect once bound: but a death before that must not leave `start` waiting

    async def _serve(self, bound: Future[int]) -> None:
        from aiohttp import web

        from provision.hub.application import make_application

        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(
            make_application(self._catalogue, self._token, self._listener),
            access_log=None,
            shutdown_timeout=LAST_WORDS,
            handle_signals=False,
        )
        await runner.setup()
        try:
            await self._bind(runner, bound)
            await self._over.wait()
        except OSError as error:
            bound.set_exception(error)
        finally:
            await runner.cleanup()

    async def _bind(self, runner: web.AppRunner, bound: Future[int]) -> None:
        from aiohttp import web

        await web.TCPSite(runner, self._host, self._port, backlog=1024).start()
        bound.set_result(runner.addresses[0][1])


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _own_address(everywhere: str) -> str:
    """Return this machine's address on its way out, as the kernel would choose it (nothing is sent), or its name."""
    family, beyond = EVERYWHERE[everywhere]
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((beyond, 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
