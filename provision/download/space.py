"""Room on the disk: looked at before a pull, and told of where it ends under way."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

from provision.download.board import Job
from provision.errors import ArrivalError
from provision.sources.interface import ModelRef

SPARE = 16 * 1024 * 1024  # bytes left free beside the model


def check_space(ref: ModelRef, folder: Path, jobs: Sequence[Job]) -> None:
    """Raise ArrivalError where the disk of `folder`, which is made, cannot hold what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    need = sum(max(0, job.file.size - on_disk(folder / f"{job.key}.part")) for job in jobs)
    usage = shutil.disk_usage(folder)
    if need + SPARE <= usage.free:
        return
    raise ArrivalError(
        f"{ref} needs {_size(need)} more; {_size(usage.free)} are free, {_size(need + SPARE - usage.free)} short",
        reference="disk-too-small" if need > usage.total else "disk-full",
        context=str(folder),
        hint="free that much, or choose another place; what is here is kept",
    )


def disk_error(error: OSError, ref: ModelRef, missing: int) -> ArrivalError:
    """Return what to tell of a failure to write, with `missing` bytes to come."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ArrivalError(
            "the place for the model cannot be written as it must be",
            reference="target-unwritable",
            context=str(error),
            hint="look at its owner, its rights and what lies there; what has come is kept",
        )
    return ArrivalError(
        f"the disk is full, and {_size(missing)} of {ref} are missing",
        reference="disk-full",
        context=str(error),
        hint="free that much and run the same command again: what has come is kept",
    )


def on_disk(path: Path) -> int:
    """Return the bytes that a file, which may have holes, takes up; 0 where there is none."""
    with contextlib.suppress(OSError):
        return path.stat().st_blocks * 512
    return 0


def _size(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
