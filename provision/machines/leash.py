"""Commands that end with us, also where we are killed and can tell them nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache

KILLED_WITH_US = ("--pdeathsig", "KILL", "--")  # prctl(2), PR_SET_PDEATHSIG; util-linux 2.33 and newer


def leashed(argv: Sequence[str], path: str | None) -> list[str]:
    """Return `argv` as the kernel ends it with the thread that starts it; unchanged where nothing here can ask for that, or
    where `path` (as in PATH) has no such program."""
    return [*_leash(), *argv] if shutil.which(argv[0], path=path) else list(argv)


@cache
def _leash() -> tuple[str, ...]:
    program = shutil.which("setpriv", path=os.defpath)
    if program is None:
        return ()
    leash = (program, *KILLED_WITH_US)
    return leash if subprocess.run([*leash, "true"], capture_output=True, check=False).returncode == 0 else ()
