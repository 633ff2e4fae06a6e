"""The program at a terminal: a pseudo-terminal that is its own, typed at as a person types."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Mapping

CTRL_C = "\x03"
PAUSE = 0.3  # seconds that a person takes: typed in the very moment of the question, Ctrl-C is lost to CPython


def typed(*words: str, env: Mapping[str, str], at: str, answer: str, timeout: float = 120) -> tuple[int, str]:
    """Run `provision WORDS`, type `answer` once the words `at` stand there, and return its exit code and all it showed."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, "-m", "provision", *words], {**env, "TERM": "xterm"})
    shown, is_answered, deadline = b"", False, time.monotonic() + timeout
    try:
        while True:
            if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
                os.kill(process, signal.SIGKILL)
                break
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # EIO: it has ended
                break
            if not is_answered and at.encode() in shown:
                is_answered = True
                time.sleep(PAUSE)
                os.write(terminal, answer.encode())
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown.decode("utf-8", "replace")
    finally:
        os.close(terminal)
