"""The targets of `provision export` that run our image elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

import provision
from provision.cli.session import Session


def hand_over(session: Session, target: str, wanted: Mapping[str, Any]) -> int:
    """Print the file for `target`: what `up` and `run` would do here, with this machine's folders."""
    from provision.export import TARGETS, Handover
    from provision.site import survey
    from provision.surroundings import private, public

    site = survey(session.spec(wanted), session.environ, session.listener)
    handed = site.surroundings(inside=True)
    here = Handover(
        image=site.tag,
        profile=site.spec.profile,
        store=str(site.home.store(site.spec)),
        suite=str(Path(provision.__file__).parent.parent),
        work=str(Path.cwd()),
        gpus=site.resolution.variant == "cuda",
        cdi=site.facts.engine.cdi_gpus,
        variables=public(handed),
        passed=tuple(private(handed)),
    )
    click.echo(TARGETS[target](here), nl=False)
    return 0
