"""Other processes that pull into the same place: waited for as long as they show signs of life."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from provision.download.board import Job
from provision.download.options import Options
from provision.errors import ArrivalError
from provision.events import Listener, Note
from provision.files import holder

AGAIN = 0.3  # seconds between looks at a part that another process holds


@dataclass
class Sign:
    """When a part that another process holds was last touched, by its own clock, and when we saw that, by ours."""

    touched: int
    seen: float


class Others:
    """Looks at parts in `folder` that other processes hold. Their holders touch them every second (`Part.beat`)."""

    def __init__(self, folder: Path, options: Options, listener: Listener) -> None:
        self._folder, self._options, self._listener = folder, options, listener
        self._signs: dict[str, Sign] = {}

    def wait_for(self, job: Job) -> None:
        """Put a job off that another process holds. Raises ArrivalError `holder-silent` where that one shows no sign of
        life any more: stopped, or frozen in its container."""
        path = self._folder / f"{job.key}.part"
        now, touched = time.monotonic(), _touched(path)
        job.try_again = now + AGAIN
        if not job.held:
            job.held = True
            self._listener(Note(job.file.path, f"another process brings {job.file.path}: waiting for it"))
        sign = self._signs.get(job.key)
        if sign is None or sign.touched != touched:
            self._signs[job.key] = Sign(touched, now)
        elif now - sign.seen > self._options.absent:
            raise _silent(job, path)


def _silent(job: Job, path: Path) -> ArrivalError:
    found = holder(path)
    who = f"process {found.pid}" if found else "another process"
    what = "is stopped" if found and found.stopped else "shows no sign of life"
    return ArrivalError(
        f"{who} brings {job.file.path} and {what}",
        reference="holder-silent",
        context=f"it holds {path}",
        hint=found.hint
        if found
        else "a container or machine that shares this place holds it: let it go on, or end it there",
    )


def _touched(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0
