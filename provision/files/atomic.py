"""One file written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_file(target: Path, data: bytes, mode: int = 0o644, scratch: Path | None = None) -> None:
    """Put `data` at `target` so that a reader sees the old bytes or the new, never a part. Raises OSError.

    What a killed process leaves of it is in `scratch`, a folder on the same file system, else beside the target.
    """
    handle, temporary = tempfile.mkstemp(dir=scratch or target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
