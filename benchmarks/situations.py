"""What befalls a pull on this machine and between two runs: the rows of benchmarks/faults.md that are no hub's fault."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from provision.download import FolderTarget, pull
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import ModelRef, Source
from provision.wire import Transport
from tests.download.faults import REPO, SIZE, WEIGHTS, Boast, Stale, content, good_hub, source
from tests.fakes.faulty_hub import Fault, FaultyHub, Repo

REF = ModelRef(REPO)
RATE = 1e6  # bytes per second and connection, where something is to happen under way
OTHER = """
import sys
from provision.download import FolderTarget, pull
from provision.sources.huggingface import HuggingFaceSource
from provision.sources.interface import ModelRef
pull(ModelRef(sys.argv[1]), [HuggingFaceSource(sys.argv[2])], FolderTarget(sys.argv[3]))
"""


@dataclass(frozen=True)
class Scene:
    """A place prepared, the source to ask first, and the hub whose bytes are counted."""

    folder: Path
    source: Source
    hub: FaultyHub


@contextmanager
def damaged_afterwards() -> Iterator[Scene]:
    with plain() as scene:
        pull(REF, [scene.source], FolderTarget(scene.folder))
        flip(scene.folder / WEIGHTS)
        yield scene


@contextmanager
def damaged_in_the_part() -> Iterator[Scene]:
    with plain() as scene:
        halfway(scene, signal.SIGKILL)
        flip(next((scene.folder / ".provision/partial").glob("*.part")))
        yield scene


@contextmanager
def killed_at_half() -> Iterator[Scene]:
    with plain() as scene:
        halfway(scene, signal.SIGKILL)
        yield scene


@contextmanager
def moved_between_runs() -> Iterator[Scene]:
    with plain() as scene:
        pull(REF, [scene.source], FolderTarget(scene.folder))
        scene.hub.repos[REPO] = Repo({**content(), "config.json": b'{"new": 1}'}, commit="b" * 40)
        yield scene


@contextmanager
def moved_under_way() -> Iterator[Scene]:
    with plain() as scene:
        scene.hub.rate = RATE
        scene.hub.faults = [Fault("cut", after=SIZE // 2, times=1)]

        def move() -> None:
            wait_for(scene.hub, SIZE // 4)
            scene.hub.repos[REPO] = Repo({**content(), WEIGHTS: os.urandom(SIZE)}, commit="b" * 40)

        mover = threading.Thread(target=move)
        mover.start()
        yield scene
        mover.join()


@contextmanager
def listed_by(kind: type[HuggingFaceSource]) -> Iterator[Scene]:
    with plain() as scene:
        yield replace(scene, source=kind(scene.hub.url, transport=Transport()))


@contextmanager
def self_signed() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder) / "key.pem", Path(folder) / "cert.pem"
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        subprocess.run([*argv, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with FaultyHub({REPO: Repo(content())}, tls=context) as hub:
            yield Scene(Path(folder) / "to", source(hub, Transport()), hub)


@contextmanager
def two_at_once() -> Iterator[Scene]:
    with plain() as scene, another(scene) as other:
        wait_for(scene.hub, SIZE // 4)
        yield scene
        other.wait()


@contextmanager
def another_is_killed() -> Iterator[Scene]:
    with plain() as scene, another(scene) as other:
        wait_for(scene.hub, SIZE // 4)
        timer = threading.Timer(1.0, other.kill)
        timer.start()
        yield scene
        timer.join()


@contextmanager
def another_is_stopped() -> Iterator[Scene]:
    with plain() as scene:
        halfway(scene, signal.SIGSTOP)
        yield scene


@contextmanager
def disk_too_small() -> Iterator[Scene]:
    usage = namedtuple("usage", "total used free")
    with plain() as scene, mock.patch.object(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**6)):
        yield scene


@contextmanager
def disk_fills_up() -> Iterator[Scene]:
    usage = namedtuple("usage", "total used free")
    with plain() as scene:
        scene.folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2000000", "tmpfs", scene.folder], check=True)
        try:
            with mock.patch.object(shutil, "disk_usage", lambda path: usage(10**12, 0, 10**12)):
                yield scene
        finally:
            subprocess.run(["umount", "-l", scene.folder], check=True)


@contextmanager
def warm_without_a_network() -> Iterator[Scene]:
    with plain() as scene:
        pull(REF, [scene.source], FolderTarget(scene.folder))
        yield replace(scene, source=HuggingFaceSource("http://127.0.0.1:9", transport=Transport()))


SITUATIONS: Mapping[str, Callable[[], AbstractContextManager[Scene]]] = {
    "byte flipped on disk afterwards": damaged_afterwards,
    "byte flipped in the partial file": damaged_in_the_part,
    "killed with -9 at half": killed_at_half,
    "commit moved between runs": moved_between_runs,
    "commit moved while downloading": moved_under_way,
    "listing stale": lambda: listed_by(Stale),
    "9 TiB declared": lambda: listed_by(Boast),
    "self-signed TLS": self_signed,
    "two at once": two_at_once,
    "two at once, the first is killed": another_is_killed,
    "two at once, the first is stopped": another_is_stopped,
    "disk too small, seen before": disk_too_small,
    "disk fills up": disk_fills_up,
    "warm, the network off": warm_without_a_network,
}


@contextmanager
def plain() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as folder, good_hub() as hub:
        yield Scene(Path(folder) / "to", source(hub, Transport()), hub)


@contextmanager
def another(scene: Scene) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that pulls the same model to the same place, slowly."""
    scene.hub.rate = RATE / 4
    argv = [sys.executable, "-c", OTHER, REPO, scene.hub.url, str(scene.folder)]
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def halfway(scene: Scene, end: signal.Signals) -> None:
    """Leave what another process brings when it is sent a signal at half of the model; a stopped one lives on a while."""
    with ExitStack() as stack:
        process = stack.enter_context(another(scene))
        wait_for(scene.hub, SIZE // 2)
        process.send_signal(end)
        if end is signal.SIGSTOP:
            threading.Timer(60.0, stack.pop_all().close).start()
    scene.hub.rate = 0


def wait_for(hub: FaultyHub, count: int) -> None:
    deadline = time.monotonic() + 30
    while sum(hub.sent.values()) < count and time.monotonic() < deadline:
        time.sleep(0.01)


def flip(path: Path) -> None:
    with path.open("r+b") as handle:
        handle.seek(1000)
        byte = handle.read(1)
        handle.seek(1000)
        handle.write(bytes([byte[0] ^ 1]))
