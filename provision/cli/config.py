"""provision config"""

from __future__ import annotations

from typing import Any

import click

from provision.cli.session import Session, echo_json, json_option, spec_options


@click.command("config", epilog="Example: provision config --profile smoke")
@spec_options
@json_option
@click.pass_obj
def command(session: Session, /, as_json: bool, **wanted: Any) -> int:
    """Show the effective spec, each value with its origin."""
    from provision.facts.plain import to_plain

    values = session.spec(wanted, default_profile="bare").values()
    if as_json:
        echo_json({key: {"value": to_plain(value), "origin": origin} for key, value, origin in values})
        return 0
    width = max(len(key) for key, _, _ in values)
    for key, value, origin in values:
        click.echo(f"{key:<{width}}  {_shown(to_plain(value)):<40}  {origin}")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value) or '""'
