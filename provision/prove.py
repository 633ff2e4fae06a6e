"""Proving a place: where checks look, what they may ask, and the Report they make."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Any

from checks import generation, suite
from checks import image as image_checks
from checks.extending import Extension
from checks.interface import About, Check, Fact, Judgement, failed
from checks.runner import Seen, run
from provision import looking
from provision.bundle import Recorder
from provision.errors import MachineError
from provision.events import Listener, silent
from provision.findings import Report, StepRecord
from provision.machines.confined import without_network
from provision.machines.engine import ContainerSettings, Mount
from provision.machines.interface import Machine
from provision.mirrors.environment import AUTHORITIES
from provision.site import Site, environment
from provision.surroundings import MOUNT


@dataclass(frozen=True)
class Question:
    """What is asked of a place: which checks, of which image instead of the spec's own, with whose probes besides ours.

    `asked` are the ids named one by one; `baseline` the figures to compare with, by check id.
    """

    checks: tuple[Check, ...] = suite.CHECKS
    image: str | None = None
    strict: bool = False
    extensions: tuple[Extension, ...] = ()
    asked: frozenset[str] = frozenset()
    baseline: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Inside:
    """Where torch is: a machine, the python there, where the store is seen, and what is laid over its environment."""

    machine: Machine
    python: str
    store: str
    env: Mapping[str, str]
    told: Mapping[str, Any] = field(default_factory=dict)


def prove(
    site: Site,
    question: Question,
    listener: Listener = silent,
    steps: tuple[StepRecord, ...] = (),
    began: float | None = None,
    recorder: Recorder | None = None,
) -> Report:
    """Run the checks and return the Report. A place that cannot be entered is a finding, not an error.

    Whatever is still running when this ends, also by an interruption, is ended with it.
    """
    started = datetime.now(timezone.utc)
    began = time.monotonic() if began is None else began
    engine = "docker" if question.image else site.engine_name
    about = About(
        site.spec,
        site.facts,
        engine,
        site.resolution,
        question.image,
        baseline=question.baseline,
        asked=question.asked,
    )
    recorder = recorder or Recorder()
    inside, trouble = None, None
    try:
        with enter(site, question) as inside:
            probes = recorder.beside(_probes(site, question, about, inside))
            findings, facts = run(question.checks, probes, about, listener)
    except MachineError as error:
        if inside is not None:
            raise
        trouble = failed("environment-unusable", error.message, evidence=error.context, hint=error.hint or "provision up")
        findings, facts = run(question.checks, recorder.beside(_absent(site, question, trouble)), about, listener)
    finally:
        site.machine.stop()
    report = Report(
        checks=findings,
        started=started.isoformat(timespec="seconds"),
        seconds=time.monotonic() - began,
        profile=site.spec.profile,
        engine=engine,
        machine=_machine(site),
        environment=_environment(inside, facts),
        resolution=site.resolution.to_dict(),
        models=tuple(_models(site)),
        steps=steps,
        generation=generation.summarise(facts, site.spec.generation.prompt),
        strict=question.strict,
    )
    recorder.finish(about, question.checks, report)
    return report


@contextmanager
def enter(site: Site, question: Question) -> Iterator[Inside]:
    """Yield where torch is to be found: a container of the image, or this machine with the environment's python.

    The network is cut off in containers, and here where the kernel lets this user. Raises MachineError.
    """
    store = str(site.home.store(site.spec))
    if question.image or site.engine:
        with _container(site, question, store) as inside:
            yield inside
        return
    machine = without_network(site.machine)
    python = _local_python(site)
    told = {
        "kind": "local",
        "python_path": python,
        "network": "cut off" if machine is not site.machine else "offline flags",
    }
    yield Inside(machine, python, store, site.surroundings(inside=False), told)


def _container(site: Site, question: Question, store: str) -> Any:
    if site.engine is None:
        raise MachineError("no container engine answers, and an image was to be checked", hint="docker info")
    image = question.image or site.tag
    here = site.engine.image(image)
    if here is None:
        hint = f"docker pull {image}" if question.image else "provision up"
        raise MachineError(f"there is no image {image} here", hint=hint)
    return _started(site, image, str(here["Id"]), store)


@contextmanager
def _started(site: Site, image: str, digest: str, store: str) -> Iterator[Inside]:
    assert site.engine
    about = About(site.spec, site.facts, "docker", site.resolution)
    mounts = (Mount(store, MOUNT),) if site.spec.models and site.machine.exists(store) else ()
    engine = site.facts.engine
    if about.wants_gpu and not engine.gpu_capable:
        raise MachineError("no container is made: it is to have GPUs, and the engine knows no way to give it any")
    handed = site.surroundings(inside=True)
    if image != site.tag:  # somebody's own may have no such bundle, and a path that leads nowhere breaks every client
        handed = {name: value for name, value in handed.items() if name not in AUTHORITIES}
    settings = ContainerSettings(image, mounts, handed, gpus=about.wants_gpu, cdi=engine.cdi_gpus)
    with site.engine.container(settings) as machine:
        told = {"kind": "docker", "image": image, "digest": digest, "network": "cut off"}
        yield Inside(machine, "python3", MOUNT, {}, told)


def _local_python(site: Site) -> str:
    if site.spec.models or site.spec.python != "auto":
        return environment(site).python
    active = site.facts.host.environment.get("VIRTUAL_ENV")
    return f"{active}/bin/python" if active else "python3"


def _probes(site: Site, question: Question, about: About, inside: Inside) -> dict[str, Any]:
    added = {name: partial(probe, inside) for added in question.extensions for name, probe in added.inside.items()}
    return {**_own_probes(site, question, inside), **looking.scripts(site, about, inside), **added}


def _own_probes(site: Site, question: Question, inside: Inside | None = None) -> dict[str, Any]:
    here = {name: probe for added in question.extensions for name, probe in added.here.items()}
    own = {"store": lambda: looking.look_at_store(site), "sources": lambda: looking.try_sources(site)}
    return {**own, "image": lambda: _look_at_image(site, question, inside), **here}


def _look_at_image(site: Site, question: Question, inside: Inside | None) -> Seen:
    return image_checks.look(site.engine, question.image, inside) if site.engine and question.image else Seen()


def _absent(site: Site, question: Question, trouble: Judgement) -> dict[str, Any]:
    nowhere = Seen(trouble=trouble)
    names = (*looking.SCRIPTS, *(name for added in question.extensions for name in added.inside))
    return {**_own_probes(site, question), **{name: lambda: nowhere for name in names}}


def _machine(site: Site) -> dict[str, Any]:
    host, gpu = site.facts.host, site.facts.gpu
    return {
        "name": site.machine.name,
        "os": f"{host.distribution} {host.distribution_version}".strip() or host.system,
        "kernel": host.kernel,
        "architecture": host.machine,
        "cpus": host.cpus,
        "memory": host.memory_total,
        "driver": gpu.driver,
        "gpus": [
            {"name": card.name, "uuid": card.uuid, "compute_capability": card.compute_capability} for card in gpu.gpus
        ],
    }


def _environment(inside: Inside | None, facts: Mapping[str, Fact]) -> dict[str, Any]:
    told = dict(inside.told) if inside else {}
    torch, libraries = facts.get("torch.import"), facts.get("runtime.libraries")
    if torch and not torch.error:
        told |= {"python": torch["python"], "torch": torch["version"], "cuda": torch["cuda"]}
    cuda = facts.get("torch.cuda.available")
    if cuda and not cuda.error:
        told["cuda_available"] = cuda["available"]
    if libraries and not libraries.error:
        told |= dict(libraries.value)
    return told


def _models(site: Site) -> Iterator[dict[str, Any]]:
    for model in site.spec.models:
        record = site.store.record(model.repo)
        if record is not None:
            files = [
                {
                    "path": file.path,
                    "size": file.size,
                    "sha256": file.sha256,
                    "source": ", ".join(file.shares) or "here already",
                }
                for file in record.files
            ]
            yield {"repo": record.repo, "revision": record.commit, "files": files}
