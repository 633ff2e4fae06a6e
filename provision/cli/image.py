"""provision image"""

from __future__ import annotations

from typing import Any

import click

from provision.cli.session import Session, echo_json, json_option, spec_options


@click.group("image", epilog="Example: provision image resolve --gpu required")
def command() -> None:
    """Explain the choice of image, build it, or make a base."""


@command.command("resolve", epilog="Example: provision image resolve --json")
@spec_options
@json_option
@click.pass_obj
def resolve(session: Session, /, as_json: bool, **wanted: Any) -> int:
    """Say which torch, toolkit, python and base fit this machine, and why. Exits 1 where none does."""
    from provision.errors import ExitCode
    from provision.resolve import explain
    from provision.site import survey

    site = survey(session.spec(wanted, default_profile="bare"), session.environ, session.listener)
    if as_json:
        echo_json(site.resolution.to_dict())
    else:
        click.echo("\n".join(explain(site.resolution)))
    return ExitCode.READY if site.resolution.ok else ExitCode.NOT_READY


@command.command("build", epilog="Example: provision image build --profile smoke")
@spec_options
@click.pass_obj
def build(session: Session, /, **wanted: Any) -> int:
    """Build the image that `up` would build, and nothing else."""
    return _converge(session, wanted, ("base", "lock", "image"))


@command.command("base", epilog="Example: provision image base --profile smoke")
@spec_options
@click.pass_obj
def base(session: Session, /, **wanted: Any) -> int:
    """Make the base image that `up` would make: from an apt mirror, with no registry."""
    return _converge(session, wanted, ("base",))


def _converge(session: Session, wanted: dict[str, Any], names: tuple[str, ...]) -> int:
    from provision.files import locked
    from provision.plan import converge
    from provision.site import steps, survey

    site = survey(session.spec({**wanted, "engine": "docker"}, default_profile="smoke"), session.environ, session.listener)
    with locked(site.home.path / "up.lock", session.waiting("image")):
        converge([step for step in steps(site) if step.name in names], session.listener)
    return 0
