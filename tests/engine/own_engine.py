"""dockerd of a test's own, in a network of its own and on a small disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from provision.errors import EngineUnreachable
from provision.machines.engine import Engine, connect
from tests.conftest import REAL_ENVIRON

SIZE = "1300M"  # the base takes 500 MB of it
BASE = "provision-base:bookworm"
CACHED = "RUN --mount=type=cache,id=provision-uv,target=/var/cache/provision-uv"  # as our Dockerfile has it
BEGIN = (
    'if [ -n "$1" ]; then echo "$1" >/proc/sys/kernel/hostname; fi; ip link set lo up; mount -o loop "$0/disk" "$0/data"; '
    'exec dockerd --data-root "$0/data" --exec-root "$0/run" --pidfile "$0/pid" '
    '--config-file "$0/daemon.json" --iptables=false --ip6tables=false --ip-forward=false'
)

needs_own_engine = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("dockerd"), reason="it takes root and dockerd")


def needed(program: str | None, package: str) -> None:
    if not program and REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
        pytest.fail(f"it must run here: apt-get install {package}")
    if not program or os.geteuid() != 0:
        pytest.skip(f"it takes root and {package}")


@contextmanager
def served(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server, ended at the end."""
    with log.open("wb") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


class OwnEngine:
    """dockerd in a network namespace of its own: never one more in ours, it would delete docker0. `name` is its host's."""

    def __init__(
        self,
        folder: Path,
        more: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
        name: str = "",
    ) -> None:
        self.folder = folder
        self.name = name
        (folder / "daemon.json").write_text(json.dumps({"hosts": [f"unix://{folder}/sock"], **(settings or {})}))
        self.environ = {**REAL_ENVIRON, **(more or {}), "DOCKER_HOST": f"unix://{folder}/sock"}
        (folder / "data").mkdir()
        subprocess.run(["truncate", f"--size={SIZE}", str(folder / "disk")], check=True)
        subprocess.run(["mkfs.ext4", "-qF", str(folder / "disk")], check=True)

    def start(self) -> Engine:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("a") as log:
            argv = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
            argv += ["sh", "-c", BEGIN, str(self.folder), self.name]
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, env=self.environ)
        for _ in range(150):
            with suppress(EngineUnreachable):
                return connect(self.environ, str(self.folder))
            time.sleep(0.2)
        raise AssertionError((self.folder / "log").read_text()[-2000:])

    @property
    def beside(self) -> tuple[str, ...]:
        """What a command is prefixed with to be in its network."""
        return ("nsenter", f"--net=/proc/{self.process.pid}/ns/net")

    def kill(self) -> None:
        """Kill it with everything that it started, as a power cut would."""
        self.process.kill()
        self.process.wait(30)
        (self.folder / "pid").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "run", ignore_errors=True)

    def bring(self, engine: Engine, image: str) -> Engine:
        """Start it, and give it an image of another engine."""
        there = self.start()
        there._client.images.load(b"".join(engine._client.images.get(image).save(named=True)))
        return there
