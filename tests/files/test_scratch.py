"""Scratch folders: ours while we live, swept when we were killed, never swept with something mounted in them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from provision.files import scratch, sweep

HOLD = """
import sys, tempfile, time
from provision.files import scratch
tempfile.tempdir = sys.argv[1]
with scratch() as folder:
    (folder / "password").write_text("kept apart")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_this_users_alone_and_gone_afterwards(place: Path) -> None:
    with scratch() as folder:
        assert folder.parent == place and folder.stat().st_mode & 0o077 == 0
    assert list(place.iterdir()) == []


def test_one_that_is_held_stays_and_one_that_a_kill_left_is_swept(place: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, place], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    assert sweep() == [] and (folder / "password").exists()
    process.kill()
    process.communicate()
    assert (folder / "password").exists()
    with scratch():
        assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_what_is_mounted_below_is_not_removed(place: Path) -> None:
    source = f"import tempfile; tempfile.tempdir = {str(place)!r}; from provision.files import sweep; print(sweep())"
    inside = place / "provision-scratch-left" / "proc"
    inside.mkdir(parents=True)
    mounted = f'mount --bind "{place}" "{inside}" && "{sys.executable}" -c "{source}"'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", mounted], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
    assert [path.name for path in sweep()] == ["provision-scratch-left"]


def test_a_link_of_that_name_is_nobodys_folder(place: Path) -> None:
    (place / "mine").mkdir()
    (place / "provision-scratch-link").symlink_to(place / "mine")
    assert sweep() == [] and (place / "mine").exists()
