"""Both builders: the failing instruction, the reason for falling back, one result, and credentials that stay nowhere."""

from __future__ import annotations

import base64
import hashlib
import io
import ipaddress
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provision.errors import BuildFailed
from provision.machines.building import Order, clients
from provision.machines.engine import ContainerSettings, Engine
from provision.pins import Pin
from provision.steps.image import Recipe
from provision.steps.inputs import Inputs
from tests.conftest import REAL_ENVIRON
from tests.engine.conftest import HOME, LAYER_OF
from tests.fakes.private_index import private_index

PASSWORD = "kaninchenbau-7731"


@pytest.fixture
def classic(engine: Engine, first: dict[str, Any], tmp_path: Path) -> Engine:
    """The same engine with a base, where the only docker client lacks BuildKit, and says so as the real one does."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\necho 'ERROR: BuildKit is enabled but the buildx component is missing or broken.'\nexit 1\n"
    )
    program.chmod(0o755)
    return Engine(engine._client, str(HOME), {**REAL_ENVIRON, "PATH": str(program.parent)})


def test_a_failed_build_names_the_instruction_and_its_last_lines(engine: Engine, classic: Engine) -> None:
    order = Order(
        {"Dockerfile": b"FROM provision-base:bookworm\nRUN echo before && no-such-command\n"}, "provision-test/broken"
    )
    for builder, place in ((engine, "[2/2] RUN"), (classic, "Step 2/")):
        with pytest.raises(BuildFailed, match="127") as caught:
            builder.build(order, print, print)
        assert place in caught.value.context
        assert "before" in caught.value.context and "no-such-command: not found" in caught.value.context


def test_what_an_engine_refuses_is_told_in_its_words(classic: Engine) -> None:
    with pytest.raises(BuildFailed, match="would not build this") as caught:
        classic.build(Order({"Dockerfile": b"FORM provision-base:bookworm\n"}, "provision-test/broken"), print, print)
    assert "unknown instruction: FORM" in caught.value.context


NO_ROOM = """
import os
from provision.errors import BuildFailed
from provision.machines.building import Order
from provision.machines.engine import connect
engine = connect(dict(os.environ), "nobody's")
try:
    engine.build(Order({"Dockerfile": b"FROM x", "large": bytes(1 << 20)}, "provision-test/large"), print, print)
except BuildFailed as error:
    print(error.message, "|", error.context)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a full disk takes root")
def test_a_full_disk_here_is_not_called_an_engine_that_went_away(engine: Engine, tmp_path: Path) -> None:
    script = f"mount -t tmpfs -o size=64k none '{tmp_path}' && exec '{sys.executable}' -c \"$NO_ROOM\""
    env = {**REAL_ENVIRON, "TMPDIR": str(tmp_path), "NO_ROOM": NO_ROOM}
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert f"{tmp_path} is full | [Errno 28]" in done.stdout, done.stderr


def test_where_a_client_has_buildkit_it_is_used_and_where_not_the_reason_is_told(engine: Engine, classic: Engine) -> None:
    order = Order(
        {"Dockerfile": b"FROM provision-base:bookworm\nRUN --mount=type=cache,target=/c true\n"}, "provision-test/tried"
    )
    told: list[str] = []
    engine.build(order, print, told.append)
    assert told == [], f"no client here has BuildKit: {clients(REAL_ENVIRON)}"
    classic.build(order, print, told.append)
    assert len(told) == 1 and "buildx component is missing" in told[0]
    Engine(engine._client, str(HOME), {"PATH": ""}).build(order, print, told.append)
    assert told[1] == "there is no docker client on the PATH"


def test_both_builders_make_the_same_and_only_times_differ(
    engine: Engine, classic: Engine, small: Recipe, tmp_path: Path
) -> None:
    came_as_a_file = _with_wheel(small, tmp_path)
    engine.build(came_as_a_file.order("provision-test/one"), print, print)
    classic.build(came_as_a_file.order("provision-test/two"), print, print)
    one, two = (_content(engine, f"provision-test/{name}") for name in ("one", "two"))
    assert {path for path in one if one[path] != two.get(path)} == set()
    assert set(two) - set(one) == set()
    assert "usr/local/share/provision/sbom.cdx.json" in one
    assert [path for path in one if path.endswith("/torch/__pycache__/__init__.cpython-311.pyc")]
    [wheel] = came_as_a_file.wheels
    assert not [path for name in ("one", "two") for path in _paths(engine, f"provision-test/{name}") if wheel in path]
    configs = [_config(engine, f"provision-test/{name}") for name in ("one", "two")]
    assert configs[0] == configs[1]
    assert "NVIDIA_REQUIRE_CUDA=driver>=580.65.06" in configs[0]["Env"] and configs[0]["User"] == "provision"
    assert configs[0]["Labels"]["io.provision.lock"] == came_as_a_file.pins.digest and configs[0]["Healthcheck"]


def test_the_bill_of_materials_names_what_is_inside(engine: Engine, small: Recipe) -> None:
    engine.build(small.order("provision-test/one"), print, print)
    with engine.container(ContainerSettings("provision-test/one")) as machine:
        found = json.loads(machine.read("/usr/local/share/provision/sbom.cdx.json") or b"")
    named = {component["purl"] for component in found["components"]}
    assert {f"pkg:pypi/{name}@{small.pins.version(name)}" for name in LAYER_OF if name != "uv"} <= named
    assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in named) and found["specVersion"] == "1.5"


def test_a_package_more_does_only_its_own_layer_again(engine: Engine, small: Recipe) -> None:
    engine.build(small.order("provision-test/one"), print, print)
    [added] = [pin for pin in small.pins.pins if pin.name == "idna"]
    fewer = replace(small, pins=replace(small.pins, pins=tuple(pin for pin in small.pins.pins if pin != added)))
    engine.build(fewer.order("provision-test/fewer"), print, print)
    layers = [(engine.image(f"provision-test/{name}") or {})["RootFS"]["Layers"] for name in ("one", "fewer")]
    common = sum(1 for a, b in zip(*layers, strict=False) if a == b)
    assert len(layers[0]) - common <= 4 < common  # the packages, the scripts after them, the bill of materials, the folder


def test_credentials_reach_the_index_and_stay_nowhere(
    engine: Engine, classic: Engine, small: Recipe, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    listing = tmp_path / "all.txt"
    listing.write_text(small.pins.requirements())
    words = ["download", "-q", "--no-deps", "--require-hashes", "--python-version=3.11", "--only-binary=:all:"]
    argv = [sys.executable, "-m", "pip", *words, f"--dest={wheels}", f"--requirement={listing}"]
    subprocess.run(argv, env=REAL_ENVIRON, check=True)
    subnet = engine._client.networks.get("bridge").attrs["IPAM"]["Config"][0]["Subnet"]
    gateway = str(next(ipaddress.ip_network(subnet).hosts()))
    with private_index(wheels, gateway, "somebody", PASSWORD, tmp_path) as index:
        address = index.url.replace("https://", f"https://somebody:{PASSWORD}@")
        inputs = Inputs(pip_index=address, certificates={"authority.crt": index.authority})
        private = replace(small, inputs=inputs)
        engine.build(private.order("provision-test/private"), print, print)
        assert index.served and not any(PASSWORD in str(value) for value in private.arguments().values())
        with pytest.raises(BuildFailed, match="would leave them in the image") as caught:
            classic.build(private.order("provision-test/refused"), print, print)
    assert caught.value.name == "build-secrets-need-buildkit" and engine.image("provision-test/refused") is None
    hidden = [PASSWORD.encode(), base64.b64encode(f"somebody:{PASSWORD}".encode())]
    assert _search(engine, "provision-test/private", [b"pip.conf", *hidden]) == {b"pip.conf"}
    told = str(engine.image("provision-test/private")) + str(engine._client.images.get("provision-test/private").history())
    assert PASSWORD not in told and "SYSTEM_PACKAGES" in told


def _with_wheel(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with a torch that comes as a file."""
    path = folder / "torch-2.13.0-py3-none-any.whl"
    told = "torch-2.13.0.dist-info"
    files = {
        "torch/__init__.py": "__version__ = '2.13.0'\n",
        f"{told}/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n",
        f"{told}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{told}/RECORD", "".join(f"{name},,\n" for name in files))
    pin = Pin("torch", "2.13.0", (f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",), "torch")
    return replace(recipe, wheels={path.name: path}, pins=replace(recipe.pins, pins=(*recipe.pins.pins, pin)))


def _paths(engine: Engine, tag: str) -> set[str]:
    """Every path in every layer of the saved image, hidden by a later one or not."""
    with tempfile.TemporaryFile() as saved:
        saved.writelines(engine._client.images.get(tag).save())
        saved.seek(0)
        found = set()
        with tarfile.open(fileobj=saved) as image:
            for member in image.getmembers():
                layer = image.extractfile(member) if member.name.endswith("layer.tar") else None
                if layer:
                    with tarfile.open(fileobj=layer) as files:
                        found |= set(files.getnames())
    assert "./usr/bin/dpkg" in found
    return found


def _search(engine: Engine, tag: str, needles: list[bytes]) -> set[bytes]:
    """Which of `needles` stand anywhere in the saved image: manifest, history, every file of every layer."""
    found: set[bytes] = set()
    rest = b""
    for chunk in engine._client.images.get(tag).save():
        found |= {needle for needle in needles if needle in rest + chunk}
        rest = (rest + chunk)[-100:]
    return found


def _config(engine: Engine, tag: str) -> dict[str, Any]:
    config = (engine.image(tag) or {})["Config"]
    return {name: config[name] for name in ("Env", "Cmd", "User", "Labels", "Healthcheck", "WorkingDir", "Entrypoint")}


def _content(engine: Engine, tag: str) -> dict[str, str]:
    """Path → kind, mode and digest of everything that the Dockerfile brings."""
    api = engine._client.api
    made = api.create_container(tag, command=["true"])["Id"]
    try:
        return {path: told for folder in ("usr/local", "opt/venv") for path, told in _files(api, made, folder)}
    finally:
        api.remove_container(made, force=True)


def _files(api: Any, container: str, folder: str) -> Iterator[tuple[str, str]]:
    stream, _ = api.get_archive(container, f"/{folder}")
    archive = io.BytesIO(b"".join(stream))
    with tarfile.open(fileobj=archive) as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isfile() else None
            digest = hashlib.sha256(file.read()).hexdigest() if file else ""
            path = f"{folder.partition('/')[0]}/{entry.name}"
            yield path, f"{entry.type!r} {entry.mode:o} {entry.uid} {entry.linkname} {digest}"
