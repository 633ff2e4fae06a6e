"""The real Docker Engine. In CI it must be there; elsewhere its absence is said."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision import lock, pins
from provision.errors import EngineUnreachable
from provision.machines.engine import Engine, connect
from provision.pins import Pins
from provision.steps.image import Recipe
from provision.steps.inputs import Inputs
from tests.conftest import REAL_ENVIRON
from tests.engine.own_engine import BASE, OwnEngine
from tests.fakes import nvidia_smi
from tests.fakes.authority import Authority
from tests.program import environ, report, run

HOME = Path(__file__).parent.parent.parent / ".make" / "engine-home"
NEXT = Path(__file__).parent.parent.parent / ".make" / "next" / "usr"
GET = "python3 tools/next_release.py docker.io containerd .make/next"
OVER_TLS = "tcp://127.0.0.1:2376"  # in a network of its own
IMAGE = "provision-test/smoke:latest"
LAYER_OF = {"uv": "tools", "mdurl": "toolkit", "filelock": "torch", "tqdm": "libraries", "idna": "packages"}
SPEC = f"profile: smoke\nengine: docker\ngpu: none\nimage:\n  name: {IMAGE}\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/engine/" in item.path.as_posix():
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """An engine that answers. PROVISION_REQUIRE_ENGINE (CI) makes its absence a failure."""
    try:
        return connect(REAL_ENVIRON, str(HOME))
    except EngineUnreachable as error:
        if REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
            pytest.fail(f"the engine tests must run here, and no engine answers: {error.context}")
        pytest.skip(f"no container engine answers: {error.context}")


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke profile, under an image name of the tests' own."""
    path = tmp_path_factory.mktemp("spec") / "provision.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="session")
def first(engine: Engine, spec: Path) -> dict[str, Any]:
    """The report of `provision up` with the engine: base, image, models, checks."""
    if subprocess.run(["mmdebstrap", "--version"], capture_output=True, check=False).returncode:
        pytest.fail("mmdebstrap is needed to make a base without a registry: apt-get install mmdebstrap")
    done = run("up", "-f", str(spec), "--json", env=environ(HOME), timeout=1500)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-4000:]
    return report(done)


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose nvidia-smi replays a real card's capture, by the python that is in images too."""
    folder = tmp_path_factory.mktemp("card")
    nvidia_smi.install(folder, "replay", python="/usr/bin/python3")
    return folder


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whose certificates the newer engine takes over TLS."""
    return Authority(tmp_path_factory.mktemp("authority") / "own")


def newer(folder: Path, settings: Mapping[str, object]) -> OwnEngine:
    """The next release's dockerd and containerd, with this one's runc."""
    if not (NEXT / "sbin" / "dockerd").exists():
        if REAL_ENVIRON.get("PROVISION_REQUIRE_ENGINE"):
            pytest.fail(f"it must run here: {GET}")
        pytest.skip(f"no newer engine is here: {GET}")
    return OwnEngine(folder, {"PATH": f"{NEXT}/sbin:{NEXT}/bin:{REAL_ENVIRON['PATH']}"}, settings)


@pytest.fixture(scope="session")
def current(
    engine: Engine, first: dict[str, Any], authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnEngine]:
    """A newer engine with the base: it looks for CDI specs in a folder of its own, and over TCP lets in only whom the
    authority signed."""
    folder, there = tmp_path_factory.mktemp("current"), authority.sign(authority.folder / "server", "serverAuth")
    (folder / "cdi").mkdir()
    settings = {
        "features": {"cdi": True},
        "cdi-spec-dirs": [f"{folder}/cdi"],
        "hosts": [f"unix://{folder}/sock", OVER_TLS],
        "tlsverify": True,
        **{f"tls{name}": f"{there}/{file}.pem" for name, file in (("cacert", "ca"), ("cert", "cert"), ("key", "key"))},
    }
    found = newer(folder, settings)
    found.bring(engine, BASE)
    yield found
    found.kill()


@pytest.fixture
def image(first: dict[str, Any]) -> str:
    """The built image's name."""
    return IMAGE


@pytest.fixture
def store(first: dict[str, Any]) -> Path:
    """The store that the report's models are in."""
    return HOME / "store"


@pytest.fixture
def no_leftovers(engine: Engine) -> Iterator[None]:
    """No container of ours is left behind by the test."""
    yield
    assert json.loads(json.dumps(engine.containers())) == []


@pytest.fixture
def small(first: dict[str, Any], spec: Path) -> Recipe:
    """The Dockerfile itself with a tiny package in each layer, pinned as the real lock pins them."""
    [entry] = pins.relatives(lock.load(spec.parent / "provision.lock"), "")
    chosen = tuple(replace(pin, layer=LAYER_OF[pin.name]) for pin in entry.pins if pin.name in LAYER_OF)
    assert {pin.name for pin in chosen} == set(LAYER_OF)
    return Recipe(
        base="provision-base:bookworm",
        variant="cuda",
        python="3.11",
        driver_floor="580.65.06",
        toolkit=True,
        pins=Pins({}, "2.13.0", "cpu", "debian:bookworm-slim", "", chosen),
        inputs=Inputs(certificates=_authorities()),
        wheels={},
        labels={},
    )


def _authorities() -> dict[str, Path]:
    found = [*Path("/usr/local/share/ca-certificates").rglob("*.crt")]
    return {path.name: path for path in found}
