"""provision plan"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from provision.cli.session import Session, echo_json, json_option, spec_options

if TYPE_CHECKING:
    from provision.site import Site
    from provision.steps.interface import Step


@click.command("plan", epilog="Example: provision plan -f examples/qwen3-0.6b.yaml --exit-code")
@spec_options
@click.option("--exit-code", is_flag=True, help="Exit 10 where something would change.")
@json_option
@click.pass_obj
def command(session: Session, /, exit_code: bool, as_json: bool, **wanted: Any) -> int:
    """Show what `up` would change.

    Needs no network and changes nothing.
    """
    from provision.errors import ExitCode
    from provision.site import steps, survey

    site = survey(session.spec(wanted), session.environ, session.listener)
    changes = show_plan(site, steps(site), as_json)
    return ExitCode.CHANGES if changes and exit_code else ExitCode.READY


def show_plan(site: Site, steps: Sequence[Step], as_json: bool) -> int:
    """Print the plan and return how many steps would change something."""
    from provision.facts.plain import mask, to_plain
    from provision.plan import plan
    from provision.resolve import explain

    pairs = list(plan(steps))
    changes = [change for _, change in pairs if change]
    if as_json:
        rows = [{"name": step.name, "change": to_plain(change)} for step, change in pairs]
        echo_json({"engine": site.engine_name, "steps": rows, "resolution": site.resolution.to_dict()})
        return len(changes)
    for line in (f"engine: {site.engine_name}", *explain(site.resolution), ""):
        click.echo(line)
    for step, change in pairs:
        click.echo(f"+ {step.name}: {mask(change.summary)}" if change else f"= {step.name}: as wanted")
        for detail in change.details if change else ():
            click.echo(f"    {mask(detail)}")
    click.echo(f"\n{len(changes)} of {len(pairs)} steps would change something." if changes else "\nNothing to change.")
    return len(changes)
