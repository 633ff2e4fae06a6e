"""A command or a shell inside the ready environment, with what the checks run in: mounts, caches, GPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from provision.errors import StepFailed
from provision.machines.engine import ContainerSettings, Mount
from provision.machines.terminal import docker_arguments, hand_over, inside_environment
from provision.site import Site, environment
from provision.surroundings import MOUNT, private, public

WORK = "/work"


def enter_and_run(site: Site, command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `command` on this terminal inside and return its exit code. Raises StepFailed where nothing is built yet."""
    found = site.surroundings(inside=bool(site.engine))
    if site.engine:
        words = docker_arguments(_settings(site, found), command, WORK)
        return hand_over(words, {**environ, **site.engine.environ, **private(found)})
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
        network="bridge",
        gpus=site.facts.engine.gpu_capable,
        cdi=site.facts.engine.gpus_by_cdi,
        user=f"{os.getuid()}:{os.getgid()}",
    )
