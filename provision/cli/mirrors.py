"""provision mirrors"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import click

from provision.cli.session import Command, Session, echo_json, json_option

if TYPE_CHECKING:
    from provision.files import Answer, Changes, Drift
    from provision.mirrors.catalogue import Mirror
    from provision.mirrors.settings import Wish

Scope = Literal["user", "system"]
MARKS = {"S": "read in its own words", "I": "an issue", "D": "derived", "M": "from memory"}
WAYS = """merge    take our lines out of it and leave theirs
restore  give back the former file; theirs is laid aside
keep     leave it as it is; the former file is laid aside"""


@click.group("mirrors", epilog="Example: provision mirrors apply --set pip=https://pypi.tuna.tsinghua.edu.cn/simple")
def command() -> None:
    """List, measure, apply and undo mirrors."""


def tool_option(function: Command) -> Command:
    """Add `--tool`."""
    return click.option("--tool", metavar="TOOLS", help="Only these, with commas between.")(function)


def set_option(function: Command) -> Command:
    """Add `--set`."""
    text = "This address for that tool, instead of any other."
    return click.option("--set", "settings", multiple=True, metavar="TOOL=URL", help=text)(function)


def scope_option(default: str | None) -> Callable[[Command], Command]:
    """Return the option `--scope`."""
    shown = "Whose settings." if default is None else f"Whose settings.  [default: {default}]"
    return click.option("--scope", type=click.Choice(["user", "system"]), default=default, help=shown)


@command.command("list", epilog="Example: provision mirrors list --tool pip,torch")
@tool_option
@json_option
@click.pass_obj
def list_(session: Session, /, tool: str | None, as_json: bool) -> int:
    """List the known addresses, and where each is known from. Nothing is tried."""
    from provision.facts.plain import mask, to_plain

    shown = _rows(session, tool)
    if as_json:
        echo_json([to_plain(row) for row in shown])
        return 0
    previous = None
    for row in shown:
        head = f"{row.tool}  {row.kind}, {row.region}" + (f"  from {row.origin}" if row.origin != "provision" else "")
        if row.source:
            head += f"\n  {MARKS.get(row.mark, row.mark)}, {row.date}: {row.source}"
        if head != previous:
            click.echo(head)
        previous = head
        click.echo(f"  {mask(row.url)}")
    return 0


@command.command("measure", epilog="Example: provision mirrors measure --tool pip")
@tool_option
@set_option
@json_option
@click.pass_obj
def measure(session: Session, /, tool: str | None, settings: tuple[str, ...], as_json: bool) -> int:
    """Measure the very file that is needed from each mirror.

    At most 8 MiB of it come, asked for as the real client asks. What the machine is set to is measured with the rest.
    Nothing is changed; the result is kept for `apply --tool`.
    """
    from provision.cli.measuring import measure_here, memory, table
    from provision.facts.plain import to_plain
    from provision.mirrors.measuring import ranked
    from provision.mirrors.settings import parse_wishes

    rows = measure_here(session, _names(tool), parse_wishes(settings))
    session.close()
    if as_json:
        echo_json([{**to_plain(row), "serves": row.serves} for row in ranked(rows)])
        return 0
    for line in table(rows):
        click.echo(line)
    serving = sum(row.serves for row in rows)
    click.echo(f"{serving} of {len(rows)} serve. Kept in {memory(session)} for `provision mirrors apply --tool …`.")
    return 0


@command.command("diff", epilog="Example: provision mirrors diff --set pip=https://mirrors.aliyun.com/pypi/simple")
@tool_option
@scope_option("user")
@set_option
@click.option("--exit-code", is_flag=True, help="Exit 10 where something would change.")
@json_option
@click.pass_obj
def diff(
    session: Session,
    /,
    tool: str | None,
    scope: Scope,
    settings: tuple[str, ...],
    exit_code: bool,
    as_json: bool,
) -> int:
    """Show what `apply` would change in the tools' settings."""
    from provision.errors import ExitCode
    from provision.mirrors.interface import Place
    from provision.mirrors.settings import difference, plan

    _changes(session)
    place = Place.of(session.environ, scope)
    planned = plan(place, _wishes(session, tool, settings))
    shown = difference(planned.edits)
    if as_json:
        echo_json({"files": [str(edit.path) for edit in planned.edits], "diff": shown, "notes": planned.notes})
    else:
        click.echo(shown or "Nothing to change.\n", nl=False)
        _say_notes(planned.notes)
    return ExitCode.CHANGES if planned.edits and exit_code else ExitCode.READY


@command.command("apply", epilog="Example: provision mirrors apply --tool pip,uv --yes")
@tool_option
@scope_option("user")
@set_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def apply(
    session: Session,
    /,
    tool: str | None,
    scope: Scope,
    settings: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> int:
    """Write the settings of each tool, in one transaction.

    Each tool is asked what it reads then; where one reads something else, all of it is taken back.
    """
    from provision.facts.plain import to_plain
    from provision.machines.local import LocalMachine
    from provision.mirrors import settings as host
    from provision.mirrors.interface import Place
    from provision.mirrors.veil import veil

    changes = _changes(session)
    place = Place.of(session.environ, scope)
    wishes = _wishes(session, tool, settings)
    planned = host.plan(place, wishes)
    if not as_json:
        click.echo(host.difference(planned.edits) or "Nothing to change.\n", nl=False)
        _say_notes(planned.notes)
    if planned.edits:
        _ask(session, "Write this?", yes)
    done = host.apply(changes, LocalMachine(session.environ), place, wishes, planned)
    if as_json:
        verified = [to_plain(row) for row in done.verified]
        echo_json({"changed": [str(path) for path in done.paths], "verified": verified, "notes": planned.notes})
        return 0
    for row in done.verified:
        click.echo(f"{row.tool}: {f'{row.by} says' if row.by else 'not verified:'} {veil(row.words)}")
    if done.paths:
        click.echo(f"{len(done.paths)} files changed; provision mirrors undo gives back what was there.")
    return 0


@command.command("undo", epilog="Example: provision mirrors undo --tool pip")
@tool_option
@scope_option(None)
@click.option(
    "--edited", type=click.Choice(["merge", "restore", "keep"]), help="What to do with files that were edited since."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.pass_obj
def undo(session: Session, /, tool: str | None, scope: str | None, edited: str | None, yes: bool, as_json: bool) -> int:
    """Give back the former settings, byte for byte.

    A file that somebody edited since is a question: --edited merge takes out our lines and leaves theirs, restore gives
    back the former file, keep leaves theirs; what gives way is laid aside.
    """
    from provision.mirrors import settings as host

    changes = _changes(session)
    names = _names(tool)
    rows = [row for row in changes.drift() if scope in (None, row.scope) and (names is None or row.tool in names)]
    if rows and not as_json:
        for row in rows:
            click.echo(f"{row.path}  {row.state}", err=True)
    answer = _answers(rows, edited, is_asking=not (as_json or yes) and sys.stdin.isatty())
    if rows and not as_json:
        _ask(session, "Give back what was there?", yes)
    done = host.undo(changes, names, scope, answer)
    if as_json:
        echo_json({"restored": [str(path) for path in done.restored], "laid_aside": [str(p) for p in done.laid_aside]})
        return 0
    for path in done.restored:
        click.echo(f"restored {path}")
    for path in done.laid_aside:
        click.echo(f"laid aside {path}")
    if not done.restored:
        click.echo("Nothing of ours to undo.")
    return 0


def _rows(session: Session, tool: str | None) -> list[Mirror]:
    from provision.mirrors.catalogue import catalogue, own_files

    spec = session.spec({"file": None, "profile": None}, default_profile="bare")
    rows = catalogue(own_files(session.environ, spec.mirrors.catalogue))
    known = {row.tool: row for row in rows}
    wanted = _names(tool) or known
    for name in wanted:
        _check_known(name, known)
    return [row for row in rows if row.tool in wanted]


def _wishes(session: Session, tool: str | None, settings: tuple[str, ...]) -> tuple[Wish, ...]:
    """What is wanted: each `--set`, else what the spec's `mirrors:` name; `--tool` alone gets the best measured."""
    from provision.errors import UsageError
    from provision.mirrors.settings import parse_wishes, wishes_of

    wishes = parse_wishes(settings)
    if not wishes:
        spec = session.spec({"file": None, "profile": None}, default_profile="bare")
        wishes = wishes_of(asdict(spec.mirrors))
    names = _names(tool)
    if names is None:
        if not wishes:
            hint = "provision mirrors apply --set pip=https://…/simple   # or --tool pip: the best that is measured"
            raise UsageError("neither an address nor a tool was given", hint=hint)
        return wishes
    found = {wish.tool: wish for wish in wishes}
    unnamed = [name for name in names if name not in found]
    found.update({wish.tool: wish for wish in _measured(session, unnamed)})
    return tuple(found[name] for name in names if name in found)


def _measured(session: Session, tools: list[str]) -> tuple[Wish, ...]:
    from provision.cli.measuring import recall_or_measure
    from provision.mirrors.choosing import chosen
    from provision.mirrors.writers import writers

    if not tools:
        return ()
    for name in tools:
        _check_known(name, writers())
    wishes, kept = chosen(recall_or_measure(session, tools), tools)
    session.close()
    _say_notes(kept)
    return wishes


def _check_known(name: str, known: Iterable[str]) -> None:
    from provision.errors import UnknownName

    if name not in known:
        raise UnknownName("tool", name, known)


def _names(tool: str | None) -> list[str] | None:
    return [name.strip() for name in tool.split(",") if name.strip()] if tool else None


def _changes(session: Session) -> Changes:
    """The record of our changes; what a crash left half done is settled first, and told."""
    from provision.files import Changes
    from provision.mirrors.settings import folder
    from provision.site import Home

    changes = Changes(folder(Home.of(session.environ).path), session.waiting("mirrors"))
    if settled := changes.recover():
        _say_notes([f"an earlier run was cut off: {path} is back as it was" for path in settled])
    return changes


def _answers(rows: Iterable[Drift], edited: str | None, *, is_asking: bool) -> Answer:
    """What to do with each file that was edited since: as `--edited` says, else as a person at the terminal answers."""
    from provision.files import Edited
    from provision.mirrors.settings import edited_since

    if edited:
        return lambda path: Edited(edited)
    found = {}
    for row in rows if is_asking else ():
        if row.state != "as applied":
            click.echo(f"\n{edited_since(row)}\n{WAYS}", err=True)
            found[row.path] = Edited(click.prompt("Which", type=click.Choice([way.value for way in Edited]), err=True))
    return found.get


def _ask(session: Session, question: str, yes: bool) -> None:
    from provision.errors import UsageError

    if not yes:
        unasked = UsageError(
            "this changes settings that are not ours: say --yes", hint="provision mirrors diff shows which"
        )
        session.ask(question, unasked)


def _say_notes(notes: Iterable[str]) -> None:
    for note in notes:
        click.echo(f"note: {note}", err=True)
