"""An engine over TLS, as Docker's own instructions set it up: contexts, the client's variables, and who is not let in."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import OVER_TLS
from tests.engine.own_engine import BASE, OwnEngine, needs_own_engine
from tests.fakes.authority import Authority
from tests.program import environ, report, run

BUILD = """
import os, sys
from provision.machines.building import Order
from provision.machines.engine import connect
engine = connect(os.environ, sys.argv[1])
order = Order({"Dockerfile": b"FROM BASE\\nRUN --mount=type=cache,target=/c echo built >/x\\n"}, "provision-test/tls")
engine.build(order, print, lambda reason: print("fell back:", reason))
"""
pytestmark = [pytest.mark.slow, needs_own_engine]


@pytest.fixture(scope="module")
def mine(authority: Authority) -> Path:
    """The client's folder."""
    return authority.sign(authority.folder / "client", "clientAuth")


def context(home: Path, **files: Path) -> dict[str, str]:
    """The variables of a context that the docker client itself made."""
    words = ",".join([f"host={OVER_TLS}", *(f"{name}={path}" for name, path in files.items())])
    where = environ(home, DOCKER_CONFIG=str(home / "docker"))
    where.pop("DOCKER_HOST", None)
    made = subprocess.run(["docker", "context", "create", "far", f"--docker={words}"], env=where, capture_output=True)
    assert made.returncode == 0, made.stderr
    return {**where, "DOCKER_CONTEXT": "far"}


def by_context(home: Path, mine: Path) -> dict[str, str]:
    return context(home, ca=mine / "ca.pem", cert=mine / "cert.pem", key=mine / "key.pem")


def by_variables(home: Path, mine: Path) -> dict[str, str]:
    return environ(home, DOCKER_HOST=OVER_TLS, DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=str(mine))


@pytest.mark.parametrize("way", [by_context, by_variables])
def test_checks_and_builds_go_over_tls(
    current: OwnEngine, mine: Path, tmp_path: Path, way: Callable[[Path, Path], dict[str, str]]
) -> None:
    env = {**way(tmp_path, mine), "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}
    question = ("check", f"--image={BASE}", "--scope=engine", "--gpu=none", "--json")
    found = {check["id"]: check["status"] for check in report(run(*question, env=env, prefix=current.beside))["checks"]}
    assert found["engine.reachable"] == found["engine.environment"] == found["engine.shm"] == "pass"
    argv = [*current.beside, sys.executable, "-c", BUILD.replace("BASE", BASE), str(tmp_path)]
    built = subprocess.run(argv, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert built.returncode == 0 and "fell back" not in built.stdout and "echo built" in built.stdout, built.stderr
    down = run("down", env=env, prefix=current.beside)
    assert "removed image provision-test/tls:latest" in down.stdout, down.stderr


@pytest.mark.parametrize(
    ("files", "hint"),
    [
        (("cert", "key"), "put the right one into"),  # this machine's own authorities know nothing of it
        (("ca",), "lets in only whom its authority signed"),
        (("wrong", "cert", "key"), "put the right one into"),
        ((), "the engine speaks TLS"),
    ],
)
def test_who_is_not_let_in_or_not_believed_is_told_with_what_to_do(
    current: OwnEngine, mine: Path, tmp_path: Path, files: tuple[str, ...], hint: str
) -> None:
    given = {name: mine / f"{name}.pem" for name in files if name != "wrong"}
    if "wrong" in files:
        given["ca"] = Authority(tmp_path / "wrong").certificate
    done = run("check", "--engine=docker", env=context(tmp_path, **given), prefix=current.beside)
    assert done.returncode == 5 and "no container engine answers  [engine-unreachable]" in done.stderr, done.stderr
    assert hint in done.stderr and "Traceback" not in done.stderr
