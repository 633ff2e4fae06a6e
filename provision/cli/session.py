"""What every verb is given: the environment as it was at the start, and where to show progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from provision.errors import UsageError
    from provision.events import Listener
    from provision.spec import Spec

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Session:
    """The edge of the program: nothing below reads `os.environ` or prints."""

    environ: Mapping[str, str]
    verbose: bool = False
    as_json: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether lines should be plain: no terminal, CI, or NO_COLOR."""
        return bool(self.environ.get("NO_COLOR") or self.environ.get("CI")) or not sys.stderr.isatty()

    @cached_property
    def listener(self) -> Listener:
        """Who hears progress: a live view on a terminal, elsewhere lines, of JSON with `--json`. Always on stderr."""
        from provision.cli.progress import json_lines, live, plain

        if not self.is_plain:
            return live(self.verbose)
        return json_lines() if self.as_json else plain(self.verbose)

    def waiting(self, task: str) -> Callable[[], None]:
        """Return what says that another process of ours is waited for."""
        from provision.events import Note

        return lambda: self.listener(Note(task, "another provision is at work here: waiting for it"))

    def close(self) -> None:
        """Clear what is being redrawn, before something is printed."""
        close = getattr(self.listener, "close", None)
        if close:
            close()

    def ask(self, question: str, unasked: UsageError) -> None:
        """Ask whoever sits at the terminal. Raises `unasked` where nobody does, and UsageError where the answer is no."""
        from provision.errors import UsageError

        if not sys.stdin.isatty():
            raise unasked
        self.close()
        if not click.confirm(question, err=True):
            raise UsageError("the answer was no: nothing was changed", reference="declined")

    def spec(self, wanted: Mapping[str, Any], default_profile: str | None = None) -> Spec:
        """Return the merged spec of the shared options. Raises SpecError, also where there is neither file nor default."""
        from provision.errors import SpecError
        from provision.spec import DEFAULT_FILE, load

        flags = dict(wanted)
        file, profile = flags.pop("file"), flags.pop("profile")
        if file is None and profile is None and Path(DEFAULT_FILE).is_file():
            file = Path(DEFAULT_FILE)
        if file is None and profile is None and default_profile is None:
            hint = "provision up --profile smoke   # or write one: provision init"
            raise SpecError(f"there is no {DEFAULT_FILE} here, and no --file or --profile was given", hint=hint)
        return load(
            file=file, profile=profile, environ=self.environ, flags=flags, default_profile=default_profile or "bare"
        )


def _speak_up(ctx: click.Context, param: click.Parameter, verbose: bool) -> None:
    if verbose:
        ctx.obj = replace(ctx.obj, verbose=True)


def _speak_json(ctx: click.Context, param: click.Parameter, as_json: bool) -> bool:
    if as_json:
        ctx.obj = replace(ctx.obj, as_json=True)
    return as_json


def _choose_language(ctx: click.Context, param: click.Parameter, language: str) -> None:
    from provision.errors import NotYet

    if language != "en":
        raise NotYet(f"--lang {language}", "every message is in English for now: --lang en")


def spec_options(command: Command) -> Command:
    """Add the options that make a spec; they reach the verb as `**wanted`, for `Session.spec`."""
    languages = click.Choice(["en", "zh"])
    options = [
        click.option(
            "-v",
            "--verbose",
            is_flag=True,
            expose_value=False,
            callback=_speak_up,
            help="Show what installers and builders say.",
        ),
        click.option(
            "--lang", type=languages, default="en", expose_value=False, callback=_choose_language, help="The language."
        ),
        click.option("-f", "--file", type=click.Path(path_type=Path), help="The spec to read.  [default: provision.yaml]"),
        click.option("--profile", help="A built-in spec: bare, smoke, qwen3-0.6b."),
        click.option(
            "--engine", type=click.Choice(["auto", "docker", "local"]), help="A container engine, or this machine's python."
        ),
        click.option("--python", metavar="PATH|VERSION", help="Adopt the environment of this python, or choose a version."),
        click.option("--gpu", type=click.Choice(["auto", "required", "none"]), help="Whether a GPU must be there."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def json_option(command: Command) -> Command:
    """Add `--json`: one object on stdout, and nothing else there; progress as JSON lines on stderr, off a terminal."""
    option = click.option("--json", "as_json", is_flag=True, callback=_speak_json, help="Print one JSON object.")
    return option(command)


def echo_json(data: Any) -> None:
    """Print one JSON object to stdout."""
    import json

    click.echo(json.dumps(data, ensure_ascii=False, indent=2))
