"""A fake `nvidia-container-runtime-hook`: notes what it is asked, and puts an nvidia-smi into the container."""

from __future__ import annotations

from pathlib import Path

NAME = "nvidia-container-runtime-hook"
_PROGRAM = """#!/usr/bin/python3 -S
import json, os, shutil, sys
state = json.load(sys.stdin)
with open(os.path.join(state["bundle"], "config.json")) as file:
    config = json.load(file)
root = config["root"]["path"]
for path, place in {files!r}.items():
    os.makedirs(os.path.dirname(root + place), exist_ok=True)
    shutil.copy(path, root + place)
with open({log!r}, "a") as log:
    log.write(json.dumps({{"words": sys.argv[1:], "env": config["process"]["env"]}}) + "\\n")
"""


def install(folder: Path, files: dict[str, str], log: Path) -> Path:
    """Write the hook into `folder`; `files` here → their places inside, `log` gets a line of JSON a call."""
    program = folder / NAME
    program.write_text(_PROGRAM.format(files=files, log=str(log)))
    program.chmod(0o755)
    return program
