"""compose.yaml started by a real Compose v2: the suite passes in it, the hub serves, and containers are those of `up`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from provision.export import Handover, compose
from provision.machines.engine import ContainerSettings, Engine, Mount
from provision.store import Store
from provision.surroundings import MOUNT
from tests.conftest import REAL_ENVIRON
from tests.engine.conftest import IMAGE

ROOT = Path(__file__).parent.parent.parent
NEXT = ROOT / ".make" / "next"
PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", str(NEXT / "usr/libexec/docker/cli-plugins"))


@pytest.fixture(scope="session")
def program() -> str:
    """Compose v2: a plugin that is here, else the one of Debian's next release, fetched once."""
    found = _compose_v2()
    if found is None:
        words = [sys.executable, str(ROOT / "tools" / "next_release.py"), "docker-compose", str(NEXT)]
        done = subprocess.run(words, env=REAL_ENVIRON, capture_output=True, text=True, check=False)
        found = _compose_v2()
        if found is None:
            told = f"no Compose v2 is here, and none could be fetched: {done.stderr[-500:]}"
            if REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
                pytest.fail(told)
            pytest.skip(told)
    return found


def _compose_v2() -> str | None:
    folders = os.pathsep.join([*PLUGINS, REAL_ENVIRON.get("PATH", "")])
    found = shutil.which("docker-compose", path=folders)
    version = subprocess.run([found, "version"], capture_output=True, text=True, check=False) if found else None
    return found if version and "version 2" in version.stdout.replace("version v2", "version 2") else None


@pytest.fixture
def project(program: str, store: Path) -> Iterator[Any]:
    """Runs Compose on the checkout's own compose.yaml, and takes away what it made."""
    env = {
        **REAL_ENVIRON,
        "PROVISION_IMAGE": IMAGE,
        "PROVISION_STORE": str(store),
        "HF_ENDPOINT": "https://hf.example.org",
        "COMPOSE_PROJECT_NAME": "provision-test",
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [program, "-f", str(ROOT / "compose.yaml"), *words]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=280)

    yield run
    run("--profile", "*", "down", "--timeout", "1")


@pytest.mark.parametrize(("cdi", "told"), [((), "driver: nvidia"), (("nvidia.com/gpu=all",), "- nvidia.com/gpu=all")])
def test_compose_v2_takes_what_export_writes(program: str, tmp_path: Path, cdi: tuple[str, ...], told: str) -> None:
    path = tmp_path / "compose.yaml"
    path.write_text(compose(Handover(IMAGE, "smoke", "/store", "/program", "/work", gpus=True, cdi=cdi)))
    done = subprocess.run(
        [program, "-f", str(path), "--profile", "*", "config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and not done.stderr and told in done.stdout


def test_the_suite_passes_from_compose(first: dict[str, Any], project: Any) -> None:
    done = project("run", "--rm", "-T", "checks")
    assert done.returncode == 0 and "READY" in done.stdout, done.stdout + done.stderr
    assert "toolkit.nvcc.compiles" in done.stdout and "closed" in done.stdout


def test_the_container_is_the_one_that_up_runs(engine: Engine, first: dict[str, Any], project: Any, store: Path) -> None:
    done = project("--profile", "checks", "create", "checks")
    assert done.returncode == 0, done.stderr
    doors = Store(store).environment(mount=MOUNT)
    settings = ContainerSettings(IMAGE, (Mount(str(store), MOUNT),), doors)
    with engine.container(settings) as machine:
        ours = engine._client.containers.get(machine.name.split()[1]).attrs
    [made] = engine._client.containers.list(all=True, filters={"label": "com.docker.compose.project=provision-test"})
    assert _run_as(made.attrs) == _run_as(ours)
    assert {f"{name}={value}" for name, value in doors.items()} <= set(made.attrs["Config"]["Env"])
    assert "HF_ENDPOINT=https://hf.example.org" in made.attrs["Config"]["Env"], "passed on from the shell"
    assert not [row for row in made.attrs["Config"]["Env"] if row.startswith("MODELSCOPE_ENDPOINT=")], "and not set there"
    store_mounts = [mount for mount in made.attrs["Mounts"] if mount["Destination"] == MOUNT]
    assert [(mount["Source"], mount["RW"]) for mount in store_mounts] == [(str(store), False)]


def _run_as(found: Mapping[str, Any]) -> dict[str, Any]:
    same = ("ReadonlyRootfs", "CapDrop", "CapAdd", "SecurityOpt", "ShmSize", "Tmpfs", "NetworkMode", "Init", "Privileged")
    more = ("DeviceRequests", "Devices", "IpcMode", "PidMode", "UsernsMode", "Memory", "PidsLimit", "Ulimits", "GroupAdd")
    inside = ("User", "Healthcheck", "StopSignal")
    host, config = found["HostConfig"], found["Config"]
    return {name: host[name] or None for name in (*same, *more)} | {name: config.get(name) for name in inside}


def test_the_hub_serves_the_store_and_says_that_it_lives(engine: Engine, first: dict[str, Any], project: Any) -> None:
    done = project("up", "--detach", "--wait", "hub")
    assert done.returncode == 0, done.stderr
    source = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8090/api/models/provision/tiny-think').status)"
    asked = project("exec", "-T", "hub", "python", "-c", source)
    assert asked.stdout.strip() == "200", asked.stderr
    shown = json.loads(project("ps", "--format", "json").stdout)
    assert shown["Health"] == "healthy"
