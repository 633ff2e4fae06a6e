"""The command line: one small module per verb, each parses, calls one function, renders."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

INTERRUPTIONS = (signal.SIGTERM, signal.SIGHUP)  # `kill PID`, and a terminal that is closed


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code (CONTRACT); the only place where errors are rendered."""
    import click

    from provision.cli.app import provision
    from provision.cli.errors import render_bug, render_error, render_usage
    from provision.errors import ExitCode, ProvisionError

    try:
        with _interruptible():
            outcome = provision.main(
                args=list(argv) if argv is not None else None, prog_name="provision", standalone_mode=False
            )
    except ProvisionError as error:
        return render_error(error)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        return render_usage(error)
    except (KeyboardInterrupt, click.Abort):
        with suppress(OSError):  # the terminal may be gone
            print("\ninterrupted: nothing is half-written, and the same command goes on from here", file=sys.stderr)  # noqa: T201
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 128 + 13
    except Exception as error:  # noqa: BLE001  the one place where a bug may end up
        return render_bug(error)
    return int(outcome or 0)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Whoever tells us to end is answered as Ctrl-C is: what runs is ended, what lies about is taken away."""
    in_charge = threading.current_thread() is threading.main_thread()
    ours = [each for each in INTERRUPTIONS if in_charge and signal.getsignal(each) is signal.SIG_DFL]
    for each in ours:
        signal.signal(each, _interrupt)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
