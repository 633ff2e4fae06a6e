"""A lock between our own processes, and who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.errors import MachineError

LOOK = 0.1  # seconds between looks at a lock that another holds
LOCKS = Path("/proc/locks")


@dataclass(frozen=True)
class Holder:
    """The process that holds a lock. `stopped`: by Ctrl-Z or SIGSTOP, so that it will not go on by itself."""

    pid: int
    stopped: bool

    @property
    def hint(self) -> str:
        """What to do where it does not go on."""
        if self.stopped:
            return f"let it go on (`fg` in its terminal, or kill -CONT {self.pid}), or end it: kill -9 {self.pid}"
        return f"look at it: ps -fp {self.pid}; to end it: kill {self.pid}"


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file `path` among our processes; `waiting` is called once where another holds it. Kernel locks end with
    their process, so a killed one leaves nothing to clean. Raises MachineError where the file cannot be made, and
    `holder-stopped` where the holder will not go on by itself.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise MachineError(
            f"cannot write in {path.parent}",
            context=str(error),
            hint="give this user the folder, or choose another: PROVISION_HOME, or --dir for a store",
        ) from error
    with file:
        told = False
        while not _taken(file.fileno()):
            if not told:
                waiting()
            told = True
            _refuse_stopped(path)
            time.sleep(LOOK)
        yield


def holder(path: Path) -> Holder | None:
    """Return who holds a lock on `path`, or None where the system does not tell: another container's process, or no Linux.

    `/proc/locks` names the process and the inode (proc_locks(5)), `/proc/PID/stat` the state (proc_pid_stat(5)).
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        inode = str(path.stat().st_ino)
        for line in LOCKS.read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode and int(fields[4]) > 0:
                state = Path(f"/proc/{fields[4]}/stat").read_text().rpartition(")")[2].split()[0]
                return Holder(int(fields[4]), state in ("T", "t"))
    return None


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _refuse_stopped(path: Path) -> None:
    found = holder(path)
    if found and found.stopped:
        raise MachineError(
            f"another provision (process {found.pid}) is at work here, and is stopped",
            context=f"it holds {path}",
            hint=found.hint,
            reference="holder-stopped",
        )
