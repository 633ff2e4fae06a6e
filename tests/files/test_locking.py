"""Our own lock, held by real processes: waited for, taken over, and refused where its holder is stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from provision.errors import MachineError
from provision.files import holder, locked

HOLD = """
import sys, time
from pathlib import Path
from provision.files import locked
with locked(Path(sys.argv[1]), lambda: None):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_lock_goes_on_where_its_holder_dies(held: subprocess.Popen[str], tmp_path: Path) -> None:
    waited: list[bool] = []

    def waiting() -> None:
        waited.append(True)
        end(held)

    with locked(tmp_path / "lock", waiting):
        assert waited == [True]


def test_a_stopped_holder_is_named_and_not_waited_for(held: subprocess.Popen[str], tmp_path: Path) -> None:
    held.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(MachineError) as caught, locked(tmp_path / "lock", lambda: None):
            pass
    finally:
        end(held)
    assert caught.value.name == "holder-stopped"
    assert str(held.pid) in caught.value.message
    assert f"kill -CONT {held.pid}" in caught.value.hint


def test_nobody_holds_a_lock_that_was_let_go(tmp_path: Path) -> None:
    with locked(tmp_path / "lock", lambda: None):
        assert holder(tmp_path / "lock") is not None
    assert holder(tmp_path / "lock") is None
    assert holder(tmp_path / "never") is None
