"""The lock step against the real resolver, offline: a folder of wheels is all it may look into."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest
import uv

from provision import lock as lockfile
from provision import pins
from provision.errors import BuildFailed
from provision.events import silent
from provision.machines.local import LocalMachine
from provision.resolve import Resolution
from provision.steps.environment import Installer
from provision.steps.lock import Lock

CHOSEN = Resolution(
    ok=True, variant="cpu", torch="9.0", wheel_tag="cpu", python="3.11", torch_requirement="atorch==9.0", base="debian:x"
)


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """A wheel with nothing in it but its metadata."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}"
        for path, text in files.items()
    ]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), text)


def step(tmp_path: Path, *packages: str, digest: str = "", base: str = "debian:x") -> Lock:
    asked = {"tools": (), "toolkit": (), "torch": ("atorch==9.0",), "libraries": ("lib",), "packages": packages}
    wheels = tmp_path / "wheels"
    for name, version, requires in (
        ("atorch", "9.0", "dep"),
        ("lib", "1.0", "dep"),
        ("dep", "1.0", ""),
        ("more", "1.0", ""),
    ):
        wheel(wheels, name, version, requires)
    nothing = tmp_path / "nothing"
    nothing.mkdir(exist_ok=True)
    own = {"UV_CACHE_DIR": str(tmp_path / "cache")}
    installer = Installer(str(uv.find_uv_bin()), index=nothing.as_uri(), find_links=(str(wheels),), trust=own)
    machine = LocalMachine({"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    path = tmp_path / "provision.lock"
    return Lock(machine, path, asked, CHOSEN, "x86_64", installer, tmp_path / "scratch", lambda: (base, digest))


def test_what_is_asked_is_pinned_with_the_hashes_of_the_very_files(tmp_path: Path) -> None:
    made = step(tmp_path)
    assert made.pinned() is None and made.diff() is not None
    made.apply(silent)
    assert made.diff() is None
    entry = made.pinned()
    assert entry and {pin.name: pin.layer for pin in entry.pins} == {"atorch": "torch", "dep": "torch", "lib": "libraries"}
    digest = hashlib.sha256((tmp_path / "wheels" / "atorch-9.0-py3-none-any.whl").read_bytes()).hexdigest()
    assert next(pin for pin in entry.pins if pin.name == "atorch").hashes == (f"sha256:{digest}",)
    assert (entry.torch, entry.wheel_tag, entry.base) == ("9.0", "cpu", "debian:x")


def test_a_newer_release_changes_nothing_that_is_pinned(tmp_path: Path) -> None:
    step(tmp_path).apply(silent)
    wheel(tmp_path / "wheels", "dep", "2.0")
    again = step(tmp_path, "more")
    change = again.diff()
    assert change and "pin anew" in change.summary
    again.apply(silent)
    entry = again.pinned()
    assert entry and entry.version("dep") == "1.0" and entry.version("more") == "1.0"
    (tmp_path / "provision.lock").unlink()
    fresh = step(tmp_path)
    fresh.apply(silent)
    found = fresh.pinned()
    assert found and found.version("dep") == "2.0"


def test_another_machine_with_the_same_lock_has_nothing_to_do(tmp_path: Path) -> None:
    step(tmp_path).apply(silent)
    there = tmp_path / "there"
    there.mkdir()
    (there / "provision.lock").write_bytes((tmp_path / "provision.lock").read_bytes())
    assert step(there).diff() is None


def test_a_base_that_is_another_one_is_pinned_anew_and_other_sections_are_kept(tmp_path: Path) -> None:
    lockfile.save(tmp_path / "provision.lock", "models", {"a/b@main": "kept"})
    step(tmp_path, digest="sha256:1").apply(silent)
    assert step(tmp_path, digest="sha256:1").diff() is None and step(tmp_path, digest="sha256:2").diff() is not None
    assert step(tmp_path, base="").diff() is None  # a local environment has no base
    entry = pins.find(lockfile.load(tmp_path / "provision.lock"), "cp311-x86_64-cpu")
    assert entry and entry.base_digest == "sha256:1"
    assert lockfile.load(tmp_path / "provision.lock")["models"] == {"a/b@main": "kept"}


def test_requirements_that_do_not_agree_are_told_in_the_resolvers_words(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as caught:
        step(tmp_path, "dep==7").apply(silent)
    assert "dep" in caught.value.context and not (tmp_path / "provision.lock").exists()
