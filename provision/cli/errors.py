"""Errors for people: cause, the tool's literal words, then after a blank line what to do."""

from __future__ import annotations

import sys
import tempfile
import traceback
from typing import TYPE_CHECKING

from provision import __version__
from provision.errors import ExitCode, ProvisionError

if TYPE_CHECKING:
    import click


def render_error(error: ProvisionError) -> ExitCode:
    """Print an expected failure to stderr and return its exit code."""
    from provision.facts.plain import mask

    lines = [f"error: {error.message}  [{error.name}]"]
    lines += [f"  {line}" for line in error.context.splitlines()]
    lines += ["", *(f"  {line}" for line in error.hint.splitlines())] if error.hint else []
    _say([mask(line) for line in lines])
    return error.exit_code


def render_usage(error: click.UsageError) -> ExitCode:
    """Print what is wrong with the command line and return the exit code."""
    from provision.facts.plain import mask

    path = error.ctx.command_path if error.ctx else "provision"
    _say([f"error: {mask(error.format_message())}", "", f"  {path} --help"])
    return ExitCode.USAGE


def render_bug(error: Exception) -> ExitCode:
    """Save the traceback, print its path, and return the exit code."""
    from provision.facts.plain import mask

    with tempfile.NamedTemporaryFile("w", prefix="provision-bug-", suffix=".log", delete=False) as log:
        log.write(f"provision {__version__}, Python {sys.version}\n{' '.join(sys.argv[:2])}\n")
        log.write(mask("".join(traceback.format_exception(error))))
    _say(
        [
            f"bug: {type(error).__name__}: {mask(str(error))}",
            f"  the traceback is in {log.name}",
            "",
            "  please report it with that file",
        ]
    )
    return ExitCode.BUG


def _say(lines: list[str]) -> None:
    from provision.formats.text import neutral

    print("\n".join(neutral(line) for line in lines), file=sys.stderr)  # noqa: T201
