"""Engines that are reached otherwise: over ssh, by a context, on another machine."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.errors import MachineError
from provision.machines.building import Order
from provision.machines.engine import ContainerSettings, Engine, Mount, connect
from tests.conftest import REAL_ENVIRON
from tests.engine.own_engine import BASE, OwnEngine, needed
from tests.engine.own_sshd import own_sshd
from tests.program import environ, report, run

TAG = "provision-test/far"
HERE, THERE = "169.254.213.1", "169.254.213.2"  # of a link that nobody routes


@pytest.fixture(scope="module")
def far(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which the engine is found over a real sshd on loopback."""
    with own_sshd(tmp_path_factory.mktemp("ssh"), engine.at.host.removeprefix("unix://")) as found:
        yield found


@pytest.fixture(scope="module")
def host(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    """Another host: its own name, network and engine; a cable leads there."""
    needed(shutil.which("dockerd"), "docker.io")
    there = OwnEngine(tmp_path_factory.mktemp("there"), name="gpu7")
    there.start()
    try:
        for argv in (
            ["ip", "link", "add", "provision-here", "type", "veth", "peer", "there", "netns", str(there.process.pid)],
            ["ip", "address", "add", f"{HERE}/30", "dev", "provision-here"],
            ["ip", "link", "set", "provision-here", "up"],
            [*there.beside, "ip", "address", "add", f"{THERE}/30", "dev", "there"],
            [*there.beside, "ip", "link", "set", "there", "up"],
        ):
            subprocess.run(argv, check=True)
        yield there
    finally:
        there.kill()  # and with its network the cable


@pytest.fixture(scope="module")
def elsewhere(host: OwnEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which the other host's engine is found, over an sshd that is there."""
    with own_sshd(tmp_path_factory.mktemp("ssh"), f"{host.folder}/sock", THERE, host.beside) as found:
        yield found


def test_over_ssh_a_container_is_a_machine(first: dict[str, Any], far: dict[str, str], tmp_path: Path) -> None:
    done = run("check", f"--image={BASE}", "--scope=engine", "--gpu=none", "--json", env=environ(tmp_path, **far))
    status = {check["id"]: check["status"] for check in report(done)["checks"]}
    assert status["engine.reachable"] == status["engine.environment"] == "pass", done.stderr
    there = connect({**REAL_ENVIRON, **far}, str(tmp_path))
    assert there.at.remote and there.elsewhere == ""  # over a network, and this very machine
    with there.container(ContainerSettings(BASE, mounts=(Mount(str(tmp_path), "/m"),))) as machine:
        assert machine.run(["cat"], stdin=b"x" * 200_000).stdout == b"x" * 200_000 and machine.exists("/m")


def test_over_ssh_buildkit_makes_an_image_there(
    engine: Engine, first: dict[str, Any], far: dict[str, str], tmp_path: Path
) -> None:
    there = connect({**REAL_ENVIRON, **far}, str(tmp_path))
    told: list[str] = []
    text = f"FROM {BASE}\nRUN --mount=type=secret,id=netrc,target=/root/.netrc wc -c </root/.netrc >/seen\n"
    order = Order({"Dockerfile": text.encode()}, TAG, labels={"a": "b"}, secrets={"netrc": b"hush"})
    try:
        made = there.build(order, print, told.append)
        config = (engine.image(TAG) or {})["Config"]  # as the engine itself says, with no ssh between
        assert told == [] and made == (engine.image(TAG) or {})["Id"]
        ours = {"a": "b", "io.provision": "image", "io.provision.home": str(tmp_path)}
        assert config["Labels"] == {**config["Labels"], **ours}
        with there.container(ContainerSettings(TAG)) as machine:
            assert machine.read("/seen") == b"4\n"
    finally:
        there.remove_ours()
    assert engine.image(TAG) is None


def test_an_engine_on_another_host_builds_there_and_sees_no_models_of_ours(
    host: OwnEngine, elsewhere: dict[str, str], tmp_path: Path
) -> None:
    done = run("up", "--profile", "smoke", "--engine", "docker", env=environ(tmp_path, **elsewhere))
    assert done.returncode == 5 and "[engine-elsewhere]" in done.stderr, done.stderr
    assert "the engine is on gpu7, which sees no folder of this machine" in done.stderr
    assert f"{THERE}:" in done.stderr and "run provision on gpu7" in done.stderr
    assert not (tmp_path / "store").exists()
    there = connect({**REAL_ENVIRON, **elsewhere}, str(tmp_path))
    told: list[str] = []
    there.build(Order({"Dockerfile": b"FROM scratch\nCOPY x /\n", "x": b"x"}, TAG), print, told.append)
    near = connect(host.environ, str(tmp_path))
    assert told == [] and near.elsewhere == "" and there.elsewhere == "gpu7"
    assert (near.image(TAG) or {})["Config"]["Labels"]["io.provision.home"] == str(tmp_path)
    gone = run("down", env=environ(tmp_path, **elsewhere))
    assert gone.returncode == 0 and f"removed image {TAG}:latest" in gone.stdout and near.images() == []


def test_a_context_leads_over_ssh_too_and_nothing_of_the_way_is_left(far: dict[str, str], tmp_path: Path) -> None:
    meta = tmp_path / "contexts" / "meta" / hashlib.sha256(b"far").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": "far", "Endpoints": {"docker": {"Host": far["DOCKER_HOST"]}}}))
    env = environ(tmp_path, PATH=far["PATH"], DOCKER_CONFIG=str(tmp_path), DOCKER_CONTEXT="far")
    env.pop("DOCKER_HOST", None)
    done = run("status", "--json", env=env)
    assert done.returncode == 0 and '"docker' in done.stdout, done.stdout + done.stderr
    time.sleep(0.5)
    told = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not [line for line in told.splitlines() if "provision-ssh-" in line]


def test_a_folder_that_the_engines_machine_has_not_is_refused_and_not_made(
    engine: Engine, first: dict[str, Any], tmp_path: Path
) -> None:
    settings = ContainerSettings(BASE, mounts=(Mount(str(tmp_path / "gone"), "/m"),))
    with pytest.raises(MachineError, match="could not be started") as caught, engine.container(settings):
        pass
    assert "does not exist" in caught.value.context and not (tmp_path / "gone").exists() and engine.containers() == []
