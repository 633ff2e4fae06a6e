"""provision down"""

from __future__ import annotations

import click

from provision.cli.session import Session


@click.command("down", epilog="Example: provision down --volumes")
@click.option("--volumes", is_flag=True, help="The models too.")
@click.pass_obj
def command(session: Session, /, volumes: bool) -> int:
    """Take away what `up` brought.

    Containers, images and environments of ours, and our changes of settings; the models stay unless --volumes is given.
    """
    from provision.inventory import cache_left, take_away

    removed = take_away(session.environ, session.waiting("down"), volumes=volumes)
    for name in removed:
        click.echo(f"removed {name}")
    if not removed:
        click.echo("Nothing of ours is here.")
    kept, others = cache_left(session.environ) if removed else (0, [])
    if kept:
        why = f"serve {', '.join(others)} too" if others else "do not say whose they are"
        click.echo(f"{kept / 1e6:.0f} MB of build cache {why}: docker builder prune takes all", err=True)
    return 0
