"""The options of `check` that add to the suite, gathered into one value for the verb."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from checks.extending import Extension
    from provision.spec import Spec

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclass(frozen=True)
class Added:
    """What the command line adds to the suite."""

    files: tuple[Path, ...] = ()
    imports: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    endpoint: str = ""
    model: str = ""

    def scopes(self, asked: tuple[str, ...], only: tuple[str, ...]) -> tuple[str, ...]:
        """Return the scopes to check: where an endpoint is asked about, it alone unless somebody says otherwise."""
        return ("endpoint",) if self.endpoint and not asked and not only else asked

    def extensions(self, spec: Spec, environ: Mapping[str, str], image: str | None = None) -> tuple[Extension, ...]:
        """Return all extensions, the installed ones and the spec's own among them. Raises UsageError."""
        from checks.added import gather
        from provision.machines.local import LocalMachine

        told = {"PROVISION_ENGINE": spec.engine, "PROVISION_IMAGE": image or "", "PROVISION_PYTHON": spec.python}
        machine = LocalMachine(environ)
        found = gather(spec, machine, files=self.files, imports=self.imports, programs=self.programs, env=told)
        return (*found, self._endpoint(spec, environ)) if self.endpoint else found

    def _endpoint(self, spec: Spec, environ: Mapping[str, str]) -> Extension:
        from checks.endpoint import KEY, extension
        from checks.served import Endpoint
        from provision.wire import Transport

        return extension(
            Endpoint(
                self.endpoint,
                self.model,
                environ.get(KEY, ""),
                spec.generation.prompt,
                spec.generation.max_new_tokens,
                spec.generation.family,
                Transport.from_environ(environ),
            )
        )


def adding_options(command: Command) -> Command:
    """Add `--checks`, `--import`, `--exec`, `--endpoint` and `--model`; they reach the verb as one value, `added`."""

    @functools.wraps(command)
    def taking(*args: Any, files: Any, imports: Any, programs: Any, endpoint: str, model: str, **rest: Any) -> Any:
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise click.BadParameter(f"{endpoint!r} is no address: http://HOST:PORT/v1", param_hint="--endpoint")
        if model and not endpoint:
            raise click.UsageError("--model is one of an --endpoint's; a model of the spec is generation.model")
        return command(*args, added=Added(files, imports, programs, endpoint, model), **rest)

    options = [
        click.option("--checks", "files", type=FILE, multiple=True, help="Checks of your own, YAML or Python."),
        click.option(
            "--import", "imports", metavar="TOOL=FILE", multiple=True, help="A goss or container-structure-test file."
        ),
        click.option("--exec", "programs", type=FILE, multiple=True, help="A program that exits 0, 1 or 2."),
        click.option(
            "--endpoint", metavar="URL", default="", help="A served model, OpenAI-compatible: http://HOST:8000/v1"
        ),
        click.option("--model", metavar="NAME", default="", help="The endpoint's model.  [default: the first it lists]"),
    ]
    for option in reversed(options):
        taking = option(taking)
    return taking  # type: ignore[return-value]
