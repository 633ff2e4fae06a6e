"""Somebody's own python: asked about at a real terminal, refused where it may not be changed, and never half changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import nvidia_smi
from tests.fakes.wheels import torch_wheel
from tests.program import environ, run
from tests.terminal import CTRL_C, typed

CAPTURE = "rtx-4000-sff-ada-v13.xml"  # its driver runs the newest wheels
VERSION = "from importlib.metadata import version; print(version('torch'))"


def own_python(ready_home: Path, folder: Path) -> Path:
    """A venv that has all that the ready one has, but torch."""
    subprocess.run([ready_home / "envs/smoke/bin/python", "-m", "venv", "--without-pip", folder], check=True)
    fill(ready_home, next(folder.glob("lib/python*/site-packages")), but="torch")
    return folder / "bin" / "python"


def fill(ready_home: Path, place: Path, but: str) -> None:
    for entry in next((ready_home / "envs/smoke/lib").glob("python*/site-packages")).iterdir():
        if re.split(r"[-.]", entry.name)[0] != but:
            (place / entry.name).symlink_to(entry)


def put_torch(python: Path, wheels: Path, version: str) -> None:
    """Install a package that calls itself torch, as pip or uv would."""
    torch_wheel(wheels, version)
    argv = ["uv", "pip", "install", "-q", "--no-index", "--no-deps", f"--find-links={wheels}", f"--python={python}"]
    subprocess.run([sys.executable, "-m", *argv, f"torch=={version}"], check=True)


def torch_of(python: Path) -> str:
    return _said(python, VERSION)


def _said(python: Path, source: str) -> str:
    return subprocess.run([python, "-c", source], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def gpu_machine(tmp_path: Path) -> dict[str, str]:
    """A machine with a GPU by its `nvidia-smi`, and no index but a folder, which holds a torch of each kind."""
    folder = tmp_path / "bin"
    wheels = tmp_path / "wheels"
    folder.mkdir()
    wheels.mkdir()
    [uuid] = re.findall("<uuid>(.*?)</uuid>", (nvidia_smi.CAPTURES / CAPTURE).read_text())
    nvidia_smi.install(folder, "replay", capture=CAPTURE, capability="8.9", uuid=uuid)
    for version in ("2.13.0+cpu", "2.13.0"):
        torch_wheel(wheels, version)
    offline = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_FIND_LINKS": str(wheels)}
    return environ(tmp_path / "home", PATH=f"{folder}:{os.environ['PATH']}", **offline)


@pytest.fixture
def cpu_python(ready_home: Path, gpu_machine: dict[str, str], tmp_path: Path) -> Path:
    """Somebody's own python, whole, with a torch that is built for the CPU alone."""
    python = own_python(ready_home, tmp_path / "own")
    put_torch(python, tmp_path / "wheels", "2.13.0+cpu")
    return python


def up(python: Path) -> tuple[str, ...]:
    return ("up", "--profile", "bare", "--engine", "local", "--python", str(python))


@pytest.mark.parametrize(
    ("answer", "code", "words", "torch"),
    [
        ("n\n", 2, "the answer was no: nothing was changed", "2.13.0+cpu"),
        ("\n", 2, "the answer was no: nothing was changed", "2.13.0+cpu"),
        (CTRL_C, 130, "interrupted", "2.13.0+cpu"),
        ("y\n", 1, "NOT READY", "2.13.0"),  # replaced, and then judged: it is a torch in name alone
    ],
)
def test_a_cpu_torch_beside_a_gpu_is_replaced_when_somebody_says_yes(
    cpu_python: Path, gpu_machine: dict[str, str], answer: str, code: int, words: str, torch: str
) -> None:
    ended, shown = typed(*up(cpu_python), env=gpu_machine, at="[y/N]:", answer=answer)
    assert "replace torch 2.13.0+cpu by torch===2.13.0 (it is built for the CPU alone" in shown.replace("\r\n", "")
    assert (ended, torch_of(cpu_python)) == (code, torch), shown
    assert words in shown and "Traceback" not in shown


def test_with_nobody_to_ask_a_word_is_needed_and_no_pip(cpu_python: Path, gpu_machine: dict[str, str]) -> None:
    for path in next(cpu_python.parent.parent.glob("lib/python*/site-packages")).glob("pip*"):
        path.unlink()
    refused = run(*up(cpu_python), env=gpu_machine)
    assert refused.returncode == 2 and "say --yes" in refused.stderr and torch_of(cpu_python) == "2.13.0+cpu"
    run(*up(cpu_python), "--yes", env=gpu_machine)
    assert torch_of(cpu_python) == "2.13.0"


def test_the_systems_own_is_refused_before_anything_is_done(
    ready_home: Path, gpu_machine: dict[str, str], tmp_path: Path
) -> None:
    python = _managed(ready_home, tmp_path / "system")
    done = run(*up(python), "--yes", env=gpu_machine)
    assert done.returncode == 5 and "PEP 668" in done.stderr and "leave --python out" in done.stderr
    assert "add accelerate" in done.stderr and "Traceback" not in done.stderr


def _managed(ready_home: Path, folder: Path) -> Path:
    """A Python that is no venv, marked as the system's own; it has all but accelerate."""
    whole = Path(os.path.realpath(ready_home / "envs/smoke/bin/python"))
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python3"
    shutil.copy(whole, python)
    library = Path(_said(whole, "import os; print(os.path.dirname(os.__file__))"))
    here = folder / "lib" / library.name
    here.mkdir(parents=True)
    for entry in library.iterdir():
        if entry.name not in ("site-packages", "dist-packages", "EXTERNALLY-MANAGED"):
            (here / entry.name).symlink_to(entry)
    (here / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=use the package manager\n")
    place = Path(_said(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    assert place.is_relative_to(folder)
    place.mkdir(parents=True, exist_ok=True)
    fill(ready_home, place, but="accelerate")
    return python


@pytest.mark.skipif(os.geteuid() != 0, reason="making a folder that root may not write takes root")
def test_one_that_may_not_be_written_is_refused_before_anything_is_done(
    cpu_python: Path, gpu_machine: dict[str, str]
) -> None:
    folder = str(cpu_python.parent.parent)
    closed = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$0"; mount -o remount,ro,bind "$0"; exec "$@"', folder]
    done = run(*up(cpu_python), "--yes", env=gpu_machine, prefix=closed)
    assert done.returncode == 5 and "may not be written" in done.stderr and "Traceback" not in done.stderr
    assert torch_of(cpu_python) == "2.13.0+cpu"


def test_condas_torch_is_left_to_conda(ready_home: Path, gpu_machine: dict[str, str], tmp_path: Path) -> None:
    python = own_python(ready_home, tmp_path / "env")
    place = next((tmp_path / "env").glob("lib/python*/site-packages"))
    whole = next((ready_home / "envs/smoke/lib").glob("python*/site-packages"))
    (place / "torch").symlink_to(whole / "torch")
    notes = next(whole.glob("torch-*.dist-info"))
    told = place / "torch-2.13.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text((notes / "METADATA").read_text().replace("Version: 2.13.0+cpu", "Version: 2.13.0"))
    (told / "INSTALLER").write_text("conda")
    done = run(*up(python), "--yes", env=gpu_machine)
    assert done.returncode == 5 and f"conda install --prefix {tmp_path}/env pytorch-gpu" in done.stderr, done.stderr
    assert (told / "INSTALLER").read_text() == "conda" and torch_of(python) == "2.13.0"
