"""uv, asked which index it would use. Needs nothing but the standard library: the checks inside an image ask it too."""

from __future__ import annotations

from collections.abc import Sequence

from provision.machines.interface import Machine
from provision.mirrors.asking import ask

OVERRIDES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_CONFIG_FILE", "UV_NO_CONFIG")


def own_index(machine: Machine) -> str:
    """Return the index that somebody set for uv, in its files or variables; empty where nobody did. Sends nothing."""
    index = index_of(emitted(machine, None, ()) or "")
    return "" if index == default_index(machine) else index


def default_index(machine: Machine) -> str:
    """Return the index that uv and pip ask where nobody set another; empty without uv. Sends nothing."""
    return index_of(emitted(machine, None, OVERRIDES, "--no-config") or "")


def emitted(machine: Machine, file: str | None, without: Sequence[str], *more: str) -> str | None:
    """Return what uv says to a list of nothing, with the settings in `file` (None: those in force); None without uv.

    Raises StepFailed where uv cannot read its settings.
    """
    argv = [_program(), "pip", "compile", "--quiet", "--offline", "--no-cache", "--emit-index-url", "--directory", "/"]
    return ask(machine, [*argv, *more, *(["--config-file", file] if file else []), "-"], without=without)


def index_of(said: str) -> str:
    """Return the index in what uv said, empty where there is none."""
    found = [line.partition(" ")[2] for line in said.splitlines() if line.startswith("--index-url ")]
    return found[0] if len(found) == 1 else ""


def _program() -> str:
    """The uv that came with us is as good as any to read uv's settings."""
    try:
        import uv

        return str(uv.find_uv_bin())
    except (FileNotFoundError, ImportError):
        return "uv"
