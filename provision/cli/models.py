"""provision models"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli.session import Session, echo_json, json_option

if TYPE_CHECKING:
    from provision.store import Store

store_option = click.option("--dir", "folder", type=click.Path(path_type=Path), help="The store.  [default: ours]")


@click.group("models", epilog="Example: provision models pull Qwen/Qwen3-0.6B --source hf=https://hf-mirror.com")
def command() -> None:
    """Pull, verify, list and serve models."""


@command.command(
    "pull", epilog="Example: provision models pull Qwen/Qwen3-0.6B@main --source modelscope=upstream --local-dir ./qwen3"
)
@click.argument("model", metavar="REPO[@REV]")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="KIND=URL",
    help="hf, modelscope or dir; tried in order, switched mid-file.",
)
@store_option
@click.option(
    "--local-dir", type=click.Path(path_type=Path), help="Lay the files straight into this folder instead of the store."
)
@click.option("--include", multiple=True, metavar="GLOB", help="Only these files.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Not these files.")
@click.option(
    "--lock",
    "lock",
    type=click.Path(path_type=Path),
    help="Exactly what this lock pins; written if it does not pin the model yet.",
)
@click.option("--allow-pickle", is_flag=True, help="Also weights that can run code when they are loaded.")
@click.option("--allow-code", is_flag=True, help="Also *.py files.")
@json_option
@click.pass_obj
def pull(
    session: Session,
    /,
    model: str,
    sources: tuple[str, ...],
    folder: Path | None,
    local_dir: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    lock: Path | None,
    allow_pickle: bool,
    allow_code: bool,
    as_json: bool,
) -> int:
    """Bring a model here: resumed, verified, from whichever source serves.

    Into the store with its three doors, or with --local-dir into a plain folder.
    """
    from provision.arrivals import Wish, fetch

    wish = Wish(model, sources, include, exclude, lock, allow_pickle, allow_code)
    target = local_dir if local_dir is not None else _store(session, folder)
    pulled = fetch(wish, target, session.environ, session.listener)
    session.close()
    if as_json:
        echo_json(pulled)
        return 0
    click.echo(f"{pulled['repo']} @ {pulled['revision'][:12]} → {pulled['path']}")
    click.echo(f"{len(pulled['files'])} files, {pulled['bytes']:,} bytes")
    click.echo(f"fetched {pulled['fetched']:,} bytes" if pulled["fetched"] else "everything was here already")
    return 0


@command.command("list", epilog="Example: provision models list --json")
@store_option
@json_option
@click.pass_obj
def list_(session: Session, /, folder: Path | None, as_json: bool) -> int:
    """List what the store holds: size, where from, when verified."""
    from provision.arrivals import listing

    rows = listing(_store(session, folder))
    if as_json:
        echo_json(rows)
        return 0
    for row in rows:
        click.echo(f"{row['repo']} @ {row['revision'][:12]}  {row['bytes']:>15,} bytes  {row['files']} files")
        click.echo(f"    from {row['source']}; fetched {row['fetched']}, verified {row['verified']}")
    if not rows:
        click.echo("The store is empty.")
    return 0


@command.command("verify", epilog="Example: provision models verify --repair")
@store_option
@click.option("--repair", is_flag=True, help="Bring what is damaged again: only the damaged ranges where they are known.")
@click.option(
    "--source", "sources", multiple=True, metavar="KIND=URL", help="Repair from here.  [default: where it came from]"
)
@json_option
@click.pass_obj
def verify(session: Session, /, folder: Path | None, repair: bool, sources: tuple[str, ...], as_json: bool) -> int:
    """Hash every file again, on all cores, and name what is damaged.

    Exits 1 where anything is, and stays so.
    """
    from dataclasses import asdict

    from provision.arrivals import mend
    from provision.errors import ExitCode

    store = _store(session, folder)
    damages = store.verify(store.models(), listener=session.listener)
    if damages and repair:
        mend(store, damages, sources, session.environ, session.listener)
    session.close()
    if as_json:
        echo_json([asdict(damage) for damage in damages])
    else:
        for damage in damages:
            click.echo(f"{damage.repo} {damage.path}: {damage.what}")
        click.echo(_verdict(len(damages), sum(len(record.files) for record in store.models()), repair))
    return ExitCode.NOT_READY if damages and not repair else ExitCode.READY


def _verdict(damaged: int, count: int, repaired: bool) -> str:
    if not damaged:
        return f"{count} files, all right"
    if repaired:
        return f"{damaged} of {count} files were damaged, and are right again"
    return f"{damaged} of {count} files are damaged: `provision models verify --repair` brings the damaged ranges again"


@command.command("gc", epilog="Example: provision models gc --dry-run")
@store_option
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.pass_obj
def gc(session: Session, /, folder: Path | None, dry_run: bool) -> int:
    """Remove what no model needs: contents and abandoned parts."""
    swept = _store(session, folder).gc(dry_run=dry_run)
    for one in swept:
        click.echo(f"{one.kind} {one.name}  {one.size:,} bytes")
    total = sum(one.size for one in swept)
    click.echo(f"{'would remove' if dry_run else 'removed'} {len(swept)} things, {total:,} bytes")
    return 0


@command.command("serve", epilog="Example: provision models serve --host 0.0.0.0 --port 8090")
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 for the whole network.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0 takes a free one.")
@click.pass_obj
def serve(session: Session, /, folder: Path | None, host: str, port: int) -> int:
    """Serve the store in the Hugging Face and ModelScope protocols.

    Read-only. A token in PROVISION_HUB_TOKEN is asked of every client.
    """
    from provision.hub import Hub, StoreCatalogue

    if not host.strip():
        raise click.BadParameter("an address to listen at is needed, such as 127.0.0.1", param_hint="--host")
    store = _store(session, folder)
    token = session.environ.get("PROVISION_HUB_TOKEN")
    hub = Hub(StoreCatalogue(store), host=host, port=port, token=token, listener=session.listener)
    hub.start()
    click.echo(f"HF_ENDPOINT={hub.endpoint_outside}\nMODELSCOPE_ENDPOINT={hub.endpoint_outside}")
    hub.run_forever()
    return 0


def _store(session: Session, folder: Path | None) -> Store:
    from provision.site import Home
    from provision.spec import load
    from provision.store import Store

    return Store(folder.absolute() if folder else Home.of(session.environ).store(load(environ=session.environ)))
