"""A command or a shell inside the ready environment, with what the checks run in: mounts, caches, GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from provision.errors import StepFailed
from provision.machines.engine import ContainerSettings, Mount
from provision.machines.terminal import client, hand_over, inside_environment, run_arguments
from provision.site import Site, environment
from provision.surroundings import MOUNT, private, public

WORK = "/work"


def enter_and_run(site: Site, command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `command` on this terminal inside and return its exit code. Raises StepFailed where nothing is built yet."""
    found = site.surroundings(inside=bool(site.engine))
    if site.engine:
        around = {**environ, **site.engine.environ, **private(found)}
        program = client(site.facts.engine.kind, around)
        return hand_over([*program, *run_arguments(_settings(site, found), command, WORK)], around)
    place = environment(site)
    if not site.machine.exists(place.python):
        raise StepFailed(f"there is no environment for the profile {site.spec.profile} yet", hint="provision up")
    folder = str(Path(place.python).parent.parent)
    return hand_over(command, {**inside_environment(environ, folder), **found})


def _settings(site: Site, found: Mapping[str, str]) -> ContainerSettings:
    assert site.engine
    if site.engine.image(site.tag) is None:
        raise StepFailed(f"there is no image {site.tag} yet", hint="provision up")
    store = str(site.home.store(site.spec))
    models = (Mount(store, MOUNT),) if site.machine.exists(store) else ()
    return ContainerSettings(
        site.tag,
        mounts=(*models, Mount(str(Path.cwd()), WORK, writable=True)),
        environment=public(found),
        passed=tuple(private(found)),
        network="default",
        gpus=site.facts.engine.gpu_capable,
        cdi=site.facts.engine.cdi_gpus,
        user=f"{os.getuid()}:{os.getgid()}" if not site.facts.engine.rootless else "0:0",  # there, we are its root
    )
