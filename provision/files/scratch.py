"""Folders for a while. One that a killed process left is swept by whoever of ours comes next."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "provision-scratch-"
MOUNTS = Path("/proc/self/mounts")


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield an empty folder that only this user may enter; gone afterwards. Abandoned ones are swept first."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as folder:
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # it ends with us, however we end
            yield Path(folder)
        finally:
            os.close(handle)


def sweep() -> list[Path]:
    """Remove the scratch folders of this user that no process holds any more, and return them."""
    return [
        folder for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _is_abandoned(folder) and _removed(folder)
    ]


def _is_abandoned(folder: Path) -> bool:
    with suppress(OSError):
        if folder.is_symlink() or folder.stat().st_uid != os.getuid() or _holds_a_mount(folder):
            return False
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(handle)
    return False


def _holds_a_mount(folder: Path) -> bool:
    """Whether something is mounted below: what is removed then would be another file system's."""
    return MOUNTS.is_file() and any(line.split()[1].startswith(f"{folder}/") for line in MOUNTS.read_text().splitlines())


def _removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
