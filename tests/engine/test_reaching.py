"""Engines that are reached otherwise: over ssh, by a context, on another machine."""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provision.errors import MachineError
from provision.machines.engine import ContainerSettings, Engine, Mount, connect
from tests.conftest import REAL_ENVIRON
from tests.engine.own_engine import BASE, needed, served
from tests.program import environ, report, run

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
SETTINGS = (
    "StrictHostKeyChecking accept-new\nIdentityFile {folder}/key\nUserKnownHostsFile {folder}/known\nIdentitiesOnly yes\n"
)


@pytest.fixture(scope="module")
def far(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which the engine is found over a real sshd on loopback."""
    needed(SSHD, "openssh-server")
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("key", "host"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    shutil.copy(folder / "key.pub", folder / "authorized")
    (folder / "config").write_text(SETTINGS.format(folder=folder))
    client = folder / "bin" / "ssh"
    client.parent.mkdir()
    client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    client.chmod(0o755)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    Path("/run/sshd").mkdir(exist_ok=True)
    given = [f"HostKey={folder}/host", f"AuthorizedKeysFile={folder}/authorized", "StrictModes=no", "PidFile=none"]
    given += [f"Port={port}", "ListenAddress=127.0.0.1", "UsePAM=no"]
    with served([str(SSHD), "-D", "-e", "-f", "/dev/null", *(f"-o{each}" for each in given)], folder / "log"):
        time.sleep(0.5)
        path = engine.at.host.removeprefix("unix://")
        host = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{path}"
        yield {"DOCKER_HOST": host, "PATH": f"{client.parent}:{REAL_ENVIRON['PATH']}"}


def test_over_ssh_a_container_is_a_machine_and_a_build_is_one(
    first: dict[str, Any], far: dict[str, str], tmp_path: Path
) -> None:
    done = run("check", f"--image={BASE}", "--scope=engine", "--gpu=none", "--json", env=environ(tmp_path, **far))
    status = {check["id"]: check["status"] for check in report(done)["checks"]}
    assert status["engine.reachable"] == status["engine.environment"] == "pass", done.stderr
    there = connect({**REAL_ENVIRON, **far}, str(tmp_path))
    assert there.at.remote and there.elsewhere == ""  # over a network, and this very machine
    with there.container(ContainerSettings(BASE, mounts=(Mount(str(tmp_path), "/m"),))) as machine:
        assert machine.run(["cat"], stdin=b"x" * 200_000).stdout == b"x" * 200_000 and machine.exists("/m")


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
