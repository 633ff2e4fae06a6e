"""provision status"""

from __future__ import annotations

import click

from provision.cli.session import Session, echo_json, json_option


@click.command("status", epilog="Example: provision status --json")
@json_option
@click.pass_obj
def command(session: Session, /, as_json: bool) -> int:
    """Show what is here.

    Images, environments and models that `up` brought, and the settings we changed: `edited` is by somebody else since.
    """
    from provision.inventory import look

    found = look(session.environ)
    if as_json:
        echo_json(found)
        return 0
    click.echo(f"engine: {found['engine']}")
    for kind in ("images", "environments", "settings", "models"):
        click.echo(f"{kind}:" if found[kind] else f"{kind}: none")
        for row in found[kind]:
            click.echo(f"  {row['name']}  {row['detail']}")
    if any(row["detail"].endswith((": edited", ": gone")) for row in found["settings"]):
        click.echo("what was edited since is yours to decide: provision mirrors undo")
    return 0
