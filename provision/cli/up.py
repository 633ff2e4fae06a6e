"""provision up"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli.plan import show_plan
from provision.cli.report import deliver, report_options
from provision.cli.session import Session, json_option, spec_options

if TYPE_CHECKING:
    from provision.steps.interface import Step


@click.command("up", epilog="Example: provision up --profile smoke --engine local")
@spec_options
@click.option("--dry-run", is_flag=True, help="Stop before anything is changed.")
@click.option("--yes", is_flag=True, help="Do not ask before changing an adopted python.")
@click.option("--strict", is_flag=True, help="Ready with warnings exits 4.")
@report_options
@json_option
@click.pass_obj
def command(
    session: Session,
    /,
    dry_run: bool,
    yes: bool,
    strict: bool,
    reports: tuple[tuple[str, Path], ...],
    as_json: bool,
    **wanted: Any,
) -> int:
    """Bring this machine to readiness, then prove it.

    Builds the image (or a local environment where no engine answers), brings the models, and runs the check suite.
    Twice in a row, the second changes nothing and says so.
    """
    from checks import suite
    from checks.extending import joined
    from provision.cli.adding import Added
    from provision.files import locked
    from provision.plan import converge
    from provision.prove import Question, prove
    from provision.site import steps, survey

    began = time.monotonic()
    spec = session.spec(wanted)
    extensions = Added().extensions(spec, session.environ)
    checks = joined(suite.CHECKS, extensions)
    site = survey(spec, session.environ, session.listener)
    todo = steps(site)
    if dry_run:
        show_plan(site, todo, as_json)
        return 0
    _ask(session, spec.python, todo, yes)

    with locked(site.home.path / "up.lock", session.waiting("up")):
        done = converge(todo, session.listener)
    report = prove(site, Question(checks, strict=strict, extensions=extensions), session.listener, done, began)
    deliver(session, report, reports, as_json)
    return int(report.exit_code)


def _ask(session: Session, python: str, todo: Sequence[Step], yes: bool) -> None:
    """An adopted environment is somebody's own: it is changed only with a word, and looked at before anything else is."""
    from provision.errors import UsageError

    for change in (step.diff() for step in todo if step.name == "environment" and "/" in python):
        if change and not yes:
            words = "\n".join(change.details)
            unasked = UsageError(f"`up` would change {change.summary}", context=words, hint="say --yes")
            session.ask(f"{change.summary} ({', '.join(change.details)})?", unasked)
