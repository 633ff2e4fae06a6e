"""Files that outlive us: written whole or not at all, and every change of a file that is not ours journaled and undone.

`replace_file` is for our own files, `Changes` for everybody else's. `locked` is a lock between our own processes.
`scratch` is a folder for a while, `sweep` takes away those that killed processes left.
"""

from provision.files.atomic import replace_file
from provision.files.changes import Answer, Changes, Drift, Edit, Edited, Undone, unanswered
from provision.files.locking import holder, locked
from provision.files.scratch import scratch, sweep
from provision.files.state import FileState, read_state

__all__ = [
    "Answer",
    "Changes",
    "Drift",
    "Edit",
    "Edited",
    "FileState",
    "Undone",
    "holder",
    "locked",
    "read_state",
    "replace_file",
    "scratch",
    "sweep",
    "unanswered",
]
