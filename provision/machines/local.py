"""This very machine."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from provision.errors import MachineError
from provision.files import replace_file
from provision.machines.interface import OUTPUT_LIMIT, Completed, Outcome
from provision.machines.leash import leashed

TERM_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
KILL_GRACE = 3.0  # seconds a killed process is waited for; after that it sits in the kernel and we walk on
DRAIN_GRACE = 1.0  # seconds for the last words; a grandchild may hold the pipe open for ever


class LocalMachine:
    """Runs on this machine; every command in a session of its own, so that its whole family can be ended.

    `environ` is what commands start from, so that nobody below reads `os.environ`.
    """

    name = "local"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 30.0,
        env: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> Completed:
        """See `Machine.run`. An interruption ends the command's whole family before it goes on up.

        A long one, whose lines somebody follows, ends even where we are killed. What is asked for an answer is not started
        by way of another program: that one's words would stand for the kernel's own on what cannot be run.
        """
        began = time.monotonic()
        environ = {**self._environ, **(env or {})}
        try:
            process = subprocess.Popen(
                leashed(argv, environ.get("PATH")) if on_line else list(argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environ,
                start_new_session=True,
            )
        except FileNotFoundError:
            return _not_started(argv, Outcome.NOT_FOUND)
        except OSError as error:
            return _not_started(argv, Outcome.DENIED, str(error))
        self._running.add(process)
        with _Conversation(process, stdin, on_line) as talk:
            try:
                outcome = _await(process, timeout)
            except BaseException:
                _end(process)
                raise
            finally:
                self._running.discard(process)
        returncode = process.returncode if outcome is Outcome.EXITED else None
        return Completed(tuple(argv), outcome, returncode, talk.out.bytes(), talk.err.bytes(), time.monotonic() - began)

    def stop(self) -> None:
        """End every command that still runs, each with its whole family: those that other threads wait for."""
        for process in tuple(self._running):
            _end(process)

    def read(self, path: str, limit: int = OUTPUT_LIMIT) -> bytes | None:
        """See `Machine.read`."""
        try:
            with Path(path).open("rb") as file:
                return file.read(limit)
        except OSError:
            return None

    def write(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """See `Machine.write`."""
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, data, mode)
        except OSError as error:
            raise MachineError(f"cannot write {path}", context=str(error)) from error

    def exists(self, path: str) -> bool:
        """See `Machine.exists`."""
        try:
            return Path(path).exists()
        except OSError:  # a folder on the way may not be entered
            return False


def _not_started(argv: Sequence[str], outcome: Outcome, why: str = "") -> Completed:
    return Completed(tuple(argv), outcome, None, b"", why.encode(), 0.0)


def _await(process: subprocess.Popen[bytes], timeout: float) -> Outcome:
    try:
        process.wait(timeout)
        return Outcome.EXITED
    except subprocess.TimeoutExpired:
        return Outcome.TIMED_OUT if _end(process) else Outcome.HUNG


def _end(process: subprocess.Popen[bytes]) -> bool:
    """SIGTERM the family, then SIGKILL; return whether the leader died. A process stuck in the kernel is left behind."""
    for sign, grace in ((signal.SIGTERM, TERM_GRACE), (signal.SIGKILL, KILL_GRACE)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return True
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            continue
        if sign is signal.SIGTERM:
            _kill_rest(process.pid)
        return True
    return False


def _kill_rest(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


class _Tail:
    """The newest OUTPUT_LIMIT bytes of a stream."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= OUTPUT_LIMIT:
            self._size -= len(self._chunks.popleft())

    def bytes(self) -> bytes:
        return b"".join(self._chunks)[-OUTPUT_LIMIT:]


class _Conversation:
    """Feeds a process its input and hears both its streams, each in a thread, until it ends or is left."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, on_line: Callable[[str], None] | None) -> None:
        self.out, self.err = _Tail(), _Tail()
        assert process.stdin and process.stdout and process.stderr
        self._threads = [
            threading.Thread(target=_feed, args=(process.stdin, stdin), daemon=True),
            threading.Thread(target=_hear, args=(process.stdout, self.out, on_line), daemon=True),
            threading.Thread(target=_hear, args=(process.stderr, self.err, on_line), daemon=True),
        ]

    def __enter__(self) -> _Conversation:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + DRAIN_GRACE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def _feed(pipe: IO[bytes], data: bytes) -> None:
    try:
        with pipe:
            pipe.write(data)
    except OSError:
        return  # it ended, or closed its input, before it had read everything: its exit says the rest


def _hear(pipe: IO[bytes], tail: _Tail, on_line: Callable[[str], None] | None) -> None:
    with pipe:
        if on_line is None:
            while chunk := os.read(pipe.fileno(), 65536):
                tail.add(chunk)
            return
        for line in pipe:
            tail.add(line)
            on_line(line.decode("utf-8", "replace").rstrip("\r\n"))
