"""provision export"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from provision.cli.session import Session, spec_options

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command("export", epilog='Example: eval "$(provision export env --profile smoke)"')
@click.argument("target", type=click.Choice(["compose", "devcontainer", "kubernetes", "env"]))
@click.option(
    "--shell", type=click.Choice(["bash", "zsh", "sh", "fish", "powershell"]), help="Whose words.  [default: of $SHELL]"
)
@click.option("--install", is_flag=True, help="Have your new shells read it; `provision mirrors undo` takes it back.")
@spec_options
@click.pass_obj
def command(session: Session, /, target: str, shell: str | None, install: bool, **wanted: Any) -> int:
    """Hand over to compose, devcontainer, kubernetes or a shell.

    `env` prints the variables that point every tool at the store and the mirrors, and at the authorities that this shell
    trusts. On a terminal, credentials are not shown; a shell that reads it gets them.
    """
    from provision.machines.local import LocalMachine
    from provision.mirrors.shells import render, shell_of
    from provision.mirrors.veil import veil
    from provision.site import Home
    from provision.store import Store
    from provision.surroundings import Inherited, surroundings

    if target != "env":
        from provision.cli.handover import hand_over

        return hand_over(session, target, wanted)
    spec = session.spec(wanted)
    store = Store(Home.of(session.environ).store(spec))
    inherited = Inherited.of(LocalMachine(session.environ), session.environ)
    found = surroundings(spec, session.environ, inherited, store)
    if install:
        return _install(session, found)
    text = render(shell or shell_of(session.environ), found)
    click.echo(veil(text) if sys.stdout.isatty() else text, nl=False)
    return 0


def _install(session: Session, found: Mapping[str, str]) -> int:
    from provision.files import Changes
    from provision.mirrors.environment import STORE, plan_variables
    from provision.mirrors.interface import Place
    from provision.mirrors.settings import folder
    from provision.site import Home

    place = Place.of(session.environ, "user")
    planned = plan_variables(place, STORE, found)
    for path in Changes(folder(Home.of(session.environ).path)).apply(planned.edits):
        click.echo(f"wrote {path}")
    for note in planned.notes:
        click.echo(f"note: {note}", err=True)
    return 0
