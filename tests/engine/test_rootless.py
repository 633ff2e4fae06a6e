"""Docker's rootless engine, of a plain user beside root's: his folders, his ids, and nothing left after `down`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from provision.errors import EngineUnreachable
from provision.facts.engine import parse
from provision.machines.building import Order
from provision.machines.engine import Engine, connect
from tests.conftest import REAL_ENVIRON
from tests.engine.own_engine import BASE, needed
from tests.engine.tenant import TENANT, furnish, inside
from tests.program import environ, report, run

SCRIPT = "/usr/share/docker.io/contrib/dockerd-rootless.sh"
TAG = "provision-test/rootless:latest"
BUILT = f"FROM {BASE}\nRUN --mount=type=cache,target=/c head -c 3000000 /dev/urandom >/x; mkdir /usr/local/lib/provision/\n"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tenant(engine: Engine, first: dict[str, Any]) -> Iterator[Path]:
    """The tenant's folder, an engine of his in it that has the base."""
    there = all(shutil.which(name) for name in ("rootlesskit", "newuidmap", "slirp4netns")) and Path(SCRIPT).exists()
    needed(there, "docker.io rootlesskit uidmap slirp4netns")
    folder = Path(tempfile.mkdtemp(prefix="provision-rootless-"))  # pytest's own folders are closed to other users
    try:
        furnish(folder, tenant=True)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(inside(folder, [SCRIPT], tenant=True), stdout=log, stderr=log)
        try:
            _wait_for(folder)._client.images.load(b"".join(engine._client.images.get(BASE).save(named=True)))
            yield folder
        finally:
            process.kill()
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(folder: Path) -> Engine:
    for _ in range(150):
        with suppress(EngineUnreachable):
            return theirs(folder)
        time.sleep(0.2)
    raise AssertionError((folder / "log").read_text()[-3000:])


def reached(folder: Path) -> dict[str, str]:
    return {"DOCKER_HOST": f"unix://{folder}/run/docker.sock"}


def theirs(folder: Path) -> Engine:
    return connect({**REAL_ENVIRON, **reached(folder)}, str(folder / "ours"))


def test_it_says_what_it_is_and_its_images_lie_in_the_users_own_folder(tenant: Path) -> None:
    facts = parse(*theirs(tenant).describe())
    assert (facts.kind, facts.rootless, facts.root_dir) == ("docker", True, f"{tenant}/home/.local/share/docker")


def test_an_image_is_proved_and_what_a_command_writes_is_the_users_own(tenant: Path, tmp_path: Path) -> None:
    env = environ(tmp_path, **reached(tenant))
    done = run("check", f"--image={BASE}", "--scope=engine", "--gpu=none", "--json", env=env)
    found = {check["id"]: check["status"] for check in report(done)["checks"]}
    assert found["engine.reachable"] == found["engine.environment"] == found["engine.shm"] == "pass", done.stderr
    spec = tenant / "provision.yaml"
    spec.write_text(f"profile: bare\nengine: docker\ngpu: none\nimage:\n  name: {BASE}\n")
    ran = run("run", "-f", str(spec), "--", "sh", "-c", "echo made >made; exit 7", env=env, cwd=tenant)
    assert (ran.returncode, ran.stderr) == (7, "")
    assert (tenant / "made").stat().st_uid == TENANT


def test_what_its_buildkit_built_is_taken_away(tenant: Path) -> None:
    fallbacks: list[str] = []
    there = theirs(tenant)
    there.build(Order({"Dockerfile": BUILT.encode()}, TAG), print, fallbacks.append)
    there._client.images.remove(BASE, force=True)  # it is another home's, and while that has anything here, so is the cache
    down = run("down", env=environ(tenant / "ours", **reached(tenant)))
    assert fallbacks == [] and f"removed image {TAG}" in down.stdout, down.stderr
    assert "of build cache" in down.stdout and there.images() == there.containers() == []
