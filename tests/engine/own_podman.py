"""Podman's service of a test's own, for root or for a plain user, in namespaces that end with it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from provision.errors import EngineUnreachable
from provision.machines.engine import Engine, connect
from tests.conftest import REAL_ENVIRON
from tests.engine.own_engine import needed
from tests.engine.tenant import furnish, inside

CONTAINERS = (
    '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'  # a sandbox's root may give no more
)


class OwnPodman:
    """`environ` finds it; `tenant` is whether it is a plain user's. `folder` is that user's, and everything is in it."""

    def __init__(self, folder: Path, *, tenant: bool) -> None:
        self.folder = folder
        self.tenant = tenant
        self.environ = {"DOCKER_HOST": f"unix://{folder}/sock"}

    def connect(self, owner: Path) -> Engine:
        return connect({**REAL_ENVIRON, **self.environ}, str(owner))

    def ask(self, path: str, **asked: str) -> Any:
        """Return what Podman's own API answers."""
        api = self.connect(self.folder)._client.api
        return api.get(f"{api.base_url}/v4.0.0/libpod/{path}", params=asked).json()

    def everything(self) -> list[Any]:
        """Return all images, containers and those of builds, and what lies in its /var/tmp."""
        containers = self.ask("containers/json", all="true", external="true")
        return [*self.ask("images/json", all="true"), *containers, *(self.folder / "var-tmp").iterdir()]


@contextmanager
def own_podman(*, tenant: bool) -> Iterator[OwnPodman]:
    """Start one, yield it, and take it away with everything that is in it."""
    there = shutil.which("podman") and shutil.which("runc") and shutil.which("catatonit")
    needed(there, "podman catatonit runc")
    if tenant:
        needed(shutil.which("newuidmap") and shutil.which("slirp4netns"), "uidmap slirp4netns")
    folder = Path(tempfile.mkdtemp(prefix="provision-podman-"))  # pytest's own folders are closed to other users
    try:
        (folder / "containers.conf").write_text(CONTAINERS)
        furnish(folder, tenant=tenant)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(_argv(folder, tenant=tenant), stdout=log, stderr=log)
        try:
            found = OwnPodman(folder, tenant=tenant)
            _wait_for(found)
            yield found
        finally:
            process.kill()  # and with it all that it started
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _argv(folder: Path, *, tenant: bool) -> list[str]:
    podman = ["podman", f"--root={folder}/root", f"--runroot={folder}/run/root", "--storage-driver=overlay"]
    podman += ["--cgroup-manager=cgroupfs", "--events-backend=file"]
    podman += ["--runtime=runc"]  # crun refuses cgroups in hybrid mode
    service = ["system", "service", "--time=0", f"unix://{folder}/sock"]
    return inside(folder, [*podman, *service], tenant=tenant, CONTAINERS_CONF=f"{folder}/containers.conf")


def _wait_for(podman: OwnPodman) -> None:
    for _ in range(150):
        with suppress(EngineUnreachable):
            podman.connect(podman.folder)
            return
        time.sleep(0.1)
    raise AssertionError((podman.folder / "log").read_text())
