"""An engine's socket on another machine, brought here by the ssh client, with the user's own settings, keys and agent."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from provision.errors import EngineUnreachable

SOCKET = "/var/run/docker.sock"  # there, where the address names none
PATIENCE = 15.0  # seconds until the socket is here; a handshake across the world takes two
OPTIONS = {
    "BatchMode": "yes",  # nobody is there to type a password
    "ConnectTimeout": "8",
    "ExitOnForwardFailure": "yes",
    "ServerAliveInterval": "15",
    "ControlMaster": "no",
    "ControlPath": "none",
}


class Tunnel:
    """`address` is a socket here that leads to the engine. ssh ends with us, however we end: its standard input closes."""

    def __init__(self, host: str, environ: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="provision-ssh-")
        self._socket = Path(self._folder.name) / "engine.sock"
        parts = urlsplit(host)
        target = f"{parts.username}@{parts.hostname}" if parts.username else str(parts.hostname)
        argv = ["ssh", "-T", *(f"-o{name}={value}" for name, value in OPTIONS.items())]
        argv += [f"-p{parts.port}"] if parts.port else []
        argv += [f"-L{self._socket}:{parts.path.rstrip('/') or SOCKET}", "--", target, "cat"]
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=dict(environ),
                start_new_session=True,
            )
        except OSError as error:
            raise EngineUnreachable(
                "there is no ssh client here", context=str(error), hint="apt-get install openssh-client"
            ) from error
        self._wait(host)

    @property
    def address(self) -> str:
        return f"unix://{self._socket}"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _wait(self, host: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._socket.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                words = self._process.communicate()[1].decode("utf-8", "replace").strip()
                self._folder.cleanup()
                raise EngineUnreachable(
                    f"{host} cannot be reached by ssh",
                    context=words or f"no answer in {PATIENCE:g} s",
                    hint=f"ssh ssh://{urlsplit(host).netloc} true   # it must work without a question",
                )
            time.sleep(0.02)
