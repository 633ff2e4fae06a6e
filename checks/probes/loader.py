"""Reads one JSON document from stdin, {"modules": {name: source}, "main": name, "params": {...}}, and runs it.

Started as `python -c <this>`; nothing is written on the machine. Modules keep the names that they have here, so that a
probe's own imports work in both places. Facts leave as JSON lines on the former stdout, which nobody else can write to
any more: what libraries print goes to stderr.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import types
from typing import Any

FACTS = 1
KEPT = 1 << 20  # bytes of an output that are kept; what floods is heard to its end and forgotten


def say(**line: Any) -> None:
    """Write one fact as one line."""
    data = (json.dumps(line, default=str) + "\n").encode()
    while data:
        data = data[os.write(FACTS, data) :]


class Stream(threading.Thread):
    """Hears one stream of a command to its end, in a thread of its own; a grandchild may keep it open for ever."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(daemon=True)
        self.kept = b""
        self.pipe = pipe
        self.start()

    def run(self) -> None:
        with self.pipe:
            for chunk in iter(lambda: os.read(self.pipe.fileno(), 65536), b""):
                self.kept += chunk[: KEPT - len(self.kept)]

    def text(self) -> str:
        self.join(1.0)
        return self.kept.decode("utf-8", "replace")


def hear(argv: list[str], timeout: float, env: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a command's "code", "out" and "err", and "late": it had not ended within `timeout` seconds and was ended.

    Raises OSError where it cannot be started. It has a session of its own, which is ended with it.
    """
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(argv, env=env, start_new_session=True, **pipes)
    out, err = Stream(process.stdout), Stream(process.stderr)
    late = False
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return {"code": process.returncode, "out": out.text(), "err": err.text(), "late": late}


class Enough(Exception):
    """The stage after which nothing more was asked has been said."""


class Stage:
    """`with Stage("torch.import") as fact: fact["version"] = ...` says {"begin"}, then {"fact"} with its value or error.

    After `limit` seconds the process says on stderr where it sits, and ends itself. After the stage that the document's
    parameter `until` names, the probe is over.
    """

    until = ""

    def __init__(self, name: str, limit: float = 120.0) -> None:
        self.name = name
        self.limit = limit
        self.value: dict[str, Any] = {}

    def __enter__(self) -> dict[str, Any]:
        say(begin=self.name)
        faulthandler.dump_traceback_later(self.limit, exit=True, file=2)
        self.began = time.perf_counter()
        return self.value

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        faulthandler.cancel_dump_traceback_later()
        if kind is not None and not issubclass(kind, Exception):
            return False
        failure = None if kind is None else {"type": kind.__name__, "message": str(error)[:4000]}
        say(fact=self.name, value=self.value, error=failure, seconds=time.perf_counter() - self.began)
        if self.name == Stage.until:
            raise Enough
        return True


def load(document: dict[str, Any]) -> None:
    """Make the document's modules, in their order, and call the main one."""
    for name, source in document["modules"].items():
        module = types.ModuleType(name)
        parent, _, leaf = name.rpartition(".")
        sys.modules[name] = module
        exec(compile(source, "<piped " + name + ">", "exec"), module.__dict__)
        setattr(sys.modules.setdefault(parent, types.ModuleType(parent)), leaf, module)
    Stage.until = document["params"].get("until", "")
    try:
        sys.modules[document["main"]].main(document["params"])
    except Enough:
        return


def keep_small() -> None:
    """Leave no core file behind; be the first to go where memory runs out; end tidily when told to."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        return  # not Linux, or /proc is sealed: the kernel then chooses by size alone


def start() -> None:
    """Take stdout for the facts alone, stand in for the packages that are not here, and go."""
    global FACTS
    FACTS = os.dup(1)
    os.dup2(2, 1)
    os.write(FACTS, b"\n")  # whatever the interpreter said while it started ends here
    faulthandler.enable(file=2)
    keep_small()
    for name in ("checks", "checks.probes"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["checks.probes.loader"] = sys.modules["__main__"]
    load(json.load(sys.stdin))


if __name__ == "__main__":
    start()
