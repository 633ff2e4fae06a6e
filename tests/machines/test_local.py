"""LocalMachine against real processes: deadlines, stubborn children, floods, missing programs, interruptions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from provision.errors import MachineError
from provision.machines import confined, local
from provision.machines.interface import OUTPUT_LIMIT, Outcome
from provision.machines.local import LocalMachine

PYTHON = sys.executable


@pytest.fixture
def machine() -> LocalMachine:
    return LocalMachine({"PATH": os.environ["PATH"], "KEPT": "yes"})


def python(machine: LocalMachine, source: str, **options: object):
    return machine.run([PYTHON, "-c", source], **options)  # type: ignore[arg-type]


def test_streams_input_and_environment(machine: LocalMachine) -> None:
    source = "import os,sys; print(sys.stdin.read(), os.environ['KEPT'], os.environ['LAID']); print('e', file=sys.stderr)"
    done = python(machine, source, stdin="你好".encode(), env={"LAID": "over"})
    assert (done.ok, done.text, done.error_text) == (True, "你好 yes over\n", "e\n")


def test_exit_code_and_signal_are_told_apart(machine: LocalMachine) -> None:
    assert python(machine, "raise SystemExit(9)").returncode == 9
    assert python(machine, "import os; os.abort()").returncode == -6


def test_missing_and_forbidden_programs(machine: LocalMachine, tmp_path: Path) -> None:
    forbidden = tmp_path / "program"
    forbidden.write_text("#!/bin/sh\n")
    assert machine.run(["no-such-program"]).outcome is Outcome.NOT_FOUND
    assert machine.run([str(forbidden)]).outcome is Outcome.DENIED


def test_a_sleeper_is_ended_and_its_words_kept(machine: LocalMachine) -> None:
    done = python(machine, "print('first', flush=True); import time; time.sleep(60)", timeout=0.5)
    assert (done.outcome, done.returncode, done.text) == (Outcome.TIMED_OUT, None, "first\n")


def test_one_that_ignores_sigterm_is_killed_with_its_children(machine: LocalMachine, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    source = (
        "import signal,subprocess,sys,time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "deaf='import signal,time; signal.signal(15,signal.SIG_IGN); time.sleep(60)';"
        "child=subprocess.Popen([sys.executable,'-c',deaf]);"
        f"open({str(pidfile)!r},'w').write(str(child.pid)); time.sleep(60)"
    )
    done = python(machine, source, timeout=1.0)
    assert done.outcome is Outcome.TIMED_OUT
    assert _gone(int(pidfile.read_text()))


def test_a_process_that_cannot_be_killed_is_left_behind(machine: LocalMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "TERM_GRACE", 0.1)
    monkeypatch.setattr(local, "KILL_GRACE", 0.1)
    sent: list[int] = []
    real = os.killpg
    monkeypatch.setattr(os, "killpg", lambda group, sign: sent.append(group))
    done = python(machine, "import time; time.sleep(60)", timeout=0.2)
    real(sent[0], 9)
    assert done.outcome is Outcome.HUNG


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux asks the kernel to end a command with us")
def test_a_command_ends_with_us_where_we_are_killed() -> None:
    source = (
        "import os; from provision.machines.local import LocalMachine\n"
        "LocalMachine(dict(os.environ)).run(['sh', '-c', 'echo $$; exec sleep 60'], on_line=print)"
    )
    us = subprocess.Popen([PYTHON, "-u", "-c", source], stdout=subprocess.PIPE, text=True)
    assert us.stdout
    command = int(us.stdout.readline())
    us.kill()
    us.communicate()
    assert _gone(command)


@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces of its own take root here")
def test_a_command_apart_leaves_neither_mount_nor_process(machine: LocalMachine, tmp_path: Path) -> None:
    command = f"mount -t tmpfs none '{tmp_path}' && touch '{tmp_path}/x' && (sleep 60 &) && ls '{tmp_path}'"
    done = confined.apart(machine).run(["sh", "-c", command])
    assert done.text == "x\n", done.error_text
    assert list(tmp_path.iterdir()) == [] and str(tmp_path) not in Path("/proc/self/mounts").read_text()


def test_a_grandchild_holding_the_pipe_does_not_hold_us(machine: LocalMachine) -> None:
    source = "import subprocess; print(subprocess.Popen(['sleep','30'], start_new_session=True).pid)"
    done = python(machine, source)
    os.kill(int(done.text), 9)  # raises if it had been waited for
    assert done.ok


def test_a_flood_keeps_the_newest_words_only(machine: LocalMachine) -> None:
    done = python(machine, "import sys; sys.stdout.write('x' * (9 << 20)); sys.stdout.write('END')")
    assert len(done.stdout) == OUTPUT_LIMIT and done.stdout.endswith(b"END")


def test_lines_are_heard_as_they_come(machine: LocalMachine) -> None:
    heard: list[str] = []
    python(machine, "print('a'); print('b')", on_line=heard.append)
    assert heard == ["a", "b"]


def test_files(machine: LocalMachine, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"
    assert machine.read(str(target)) is None and not machine.exists(str(target))
    machine.write(str(target), b"bytes", mode=0o600)
    assert machine.read(str(target)) == b"bytes" and target.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_a_file_that_cannot_be_written_says_why(machine: LocalMachine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write"):
        machine.write(str(tmp_path / "file" / "below"), b"")


def _gone(pid: int) -> bool:
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False
