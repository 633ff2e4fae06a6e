"""Handing the terminal over to a command: it reads our stdin, writes our stdout, and its exit code is ours."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from provision.errors import MachineError
from provision.machines.engine import ContainerSettings


def hand_over(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `argv` on our own terminal and return its exit code, 128 + n after signal n. Raises MachineError.

    Ctrl-C is the command's own to answer; where we are told to end, so is the command.
    """
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(list(argv), env=dict(environ), preexec_fn=_default_interrupt)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            raise
    except OSError as error:
        raise MachineError(f"{argv[0]} cannot be run", context=str(error)) from error
    finally:
        signal.signal(signal.SIGINT, former)
    return code if code >= 0 else 128 - code


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def client(kind: str, environ: Mapping[str, str]) -> list[str]:
    """Return the program that attaches a terminal to a container, which the SDK cannot: docker's; a Podman's own first.

    `environ` leads it to the engine. Raises MachineError where there is none.
    """
    ways = {"podman": ["podman", "--remote", f"--url={environ.get('DOCKER_HOST')}"], "docker": ["docker"]}
    for program, words in ways.items():
        if program in (kind, "docker") and shutil.which(program, path=environ.get("PATH", os.defpath)):
            return words
    hint = "apt-get install podman" if kind == "podman" else "apt-get install docker-cli"
    raise MachineError("a terminal in a container takes an engine's client, and there is none on the PATH", hint=hint)


def run_arguments(settings: ContainerSettings, command: Sequence[str], workdir: str) -> list[str]:
    """Return `run …` for the settings, as docker's client and Podman's understand it."""
    given = settings.arguments()
    words = ["run", "--rm", "--init", "--interactive", *(["--tty"] if sys.stdin.isatty() else [])]
    words += [f"--network={given['network_mode']}", f"--user={given['user']}", f"--shm-size={given['shm_size']}"]
    words += ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--workdir={workdir}"]
    words += [f"--tmpfs={target}:{options}" for target, options in given["tmpfs"].items()]
    words += [f"--mount={_mount(source, **to)}" for source, to in given["volumes"].items()]
    words += [f"--env={name}={value}" for name, value in given["environment"].items()]
    words += [f"--env={name}" for name in settings.passed]
    words += [f"--gpus={gpus(settings.cdi)}"] if settings.gpus else []
    return [*words, settings.image, *command]


def _mount(source: str, bind: str, mode: str) -> str:
    """One mount; a folder that the engine's machine has not is refused."""
    return _line(["type=bind", f"source={source}", f"target={bind}", *(["readonly"] if mode == "ro" else [])])


def gpus(names: Sequence[str]) -> str:
    """All, or those of these CDI names: said like this, also by a client that is older than CDI and refuses `--device`."""
    return _line(["driver=cdi", f"device={','.join(names)}"]) if names else "all"


def _line(fields: Sequence[str]) -> str:
    """What the client reads as one option of many parts: a line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()


def inside_environment(environ: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return `environ` with a Python environment's programs first, as its own `activate` would."""
    return {**environ, "VIRTUAL_ENV": folder, "PATH": f"{folder}/bin{os.pathsep}{environ.get('PATH', os.defpath)}"}
