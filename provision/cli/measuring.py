"""Measuring mirrors for `provision mirrors`: what is asked here, and the table that people read."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from provision.cli.session import Session

if TYPE_CHECKING:
    from provision.mirrors.measuring import Measurement, Needs
    from provision.mirrors.settings import Wish
    from provision.spec import Spec

BARE = {"file": None, "profile": None}


def measure_here(session: Session, tools: Sequence[str] | None, given: Sequence[Wish]) -> tuple[Measurement, ...]:
    """Measure the mirrors of `tools` (None: those that are given, else the usual), remember the rows and return them."""
    from provision.events import Note
    from provision.facts.python import probe_pip
    from provision.machines.local import LocalMachine
    from provision.mirrors.catalogue import catalogue, own_files
    from provision.mirrors.choosing import DEFAULT_TOOLS, candidates, inherited
    from provision.mirrors.measuring import measure, save

    spec = session.spec(BARE, default_profile="bare")
    rows = catalogue(own_files(session.environ, spec.mirrors.catalogue))
    asked = list(tools or dict.fromkeys(wish.tool for wish in given) or DEFAULT_TOOLS)
    needs = _needs(session, spec, asked)
    if "torch" in asked and not needs.wheel_tag:
        session.listener(Note("measure", "torch: no wheel of an index of its own is needed here, so none is measured"))
        asked.remove("torch")
    machine = LocalMachine(session.environ)
    found = candidates(rows, asked, given, inherited(machine, session.environ, asked), spec.region)
    session.listener(Note("measure", f"{len(found)} mirrors, each for what is needed here; this takes some seconds"))
    own = {"pip": probe_pip(machine, session.environ, "python3").cert} if "pip" in asked else {}
    measured = measure(found, needs, session.environ, session.listener, own)
    save(memory(session), measured)
    return measured


def recall_or_measure(session: Session, tools: Sequence[str]) -> tuple[Measurement, ...]:
    """Return fresh rows for every tool: those remembered where they speak for all of them, else measured now."""
    from provision.events import Note
    from provision.mirrors.measuring import load
    from provision.mirrors.measuring.result import FRESH

    remembered = load(memory(session))
    if remembered:
        rows, age = remembered
        is_whole = set(tools) <= {row.tool for row in rows} and not any("***@" in row.url for row in rows)
        if is_whole and age < FRESH:
            session.listener(
                Note("measure", f"as measured {age / 60:.0f} minutes ago; `provision mirrors measure` asks again")
            )
            return rows
    return measure_here(session, tools, ())


def memory(session: Session) -> Path:
    """Return where the last measurement is kept."""
    from provision.site import Home

    return Home.of(session.environ).measured


def table(rows: Iterable[Measurement]) -> list[str]:
    """Return the rows as aligned lines, by tool, the best first; under a refusal, its reason."""
    from provision.mirrors.measuring import ranked
    from provision.mirrors.veil import veil

    shown = ranked(rows)
    width = max((len(veil(row.url)) for row in shown), default=0)
    lines, tool = [], ""
    for row in shown:
        if row.tool != tool:
            tool = row.tool
            lines.append(f"{tool}")
        url = veil(row.url).ljust(width)
        figures = f"{row.first_byte * 1000:5.0f} ms {row.rate / 1e6:7.2f} MB/s"
        mine = f"  [{row.origin}]" if row.origin in ("inherited", "default", "--set") else ""
        lines.append(f"  ✓ {url} {figures}" if row.serves else f"  ✗ {url}  {row.refusal}")
        lines.append(f"      {_told(row) if row.serves else veil(row.reason)}{mine}")
    return lines


def _told(row: Measurement) -> str:
    way = "" if len(row.way) < 2 else f"  by way of {' → '.join(row.way)}"
    proof = "sha256 right" if row.is_verified else "sha256 not known" if row.received >= row.size else "in part"
    what = row.label or row.artefact.rpartition("/")[2]
    return f"{what}, {row.received / 1e6:.2f} MB, {proof}{way}"


def _needs(session: Session, spec: Spec, tools: Sequence[str]) -> Needs:
    from provision.facts.host import parse_os_release
    from provision.mirrors.choosing import needs_of
    from provision.site import survey

    resolution = survey(spec, session.environ, session.listener, want_engine=False).resolution if "torch" in tools else None
    release = Path("/etc/os-release")
    told = parse_os_release(release.read_text("utf-8")) if release.is_file() else {}
    return needs_of(spec, told, platform.machine(), resolution)
