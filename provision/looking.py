"""The probes of the suite, bound to a place: scripts piped to the python there, and what is looked at from this side."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, Protocol

from checks.differential import VARIATIONS, Variation
from checks.interface import About, Fact
from checks.runner import Probe, Seen, run_script
from provision.errors import ProvisionError
from provision.facts.gpu import GpuState
from provision.machines.interface import Machine
from provision.matrix import version
from provision.site import Site
from provision.sources.interface import ModelRef, Source
from provision.spec import ModelSpec
from provision.steps.models import builtin_hub, open_sources

OLDEST_TARGET = "sm_75"  # what nvcc compiles for where there is no GPU: the oldest that CUDA 13 knows


@dataclass(frozen=True)
class Script:
    """A module piped to the python of the place, those it imports, and its deadline in seconds."""

    module: str
    along: tuple[str, ...]
    timeout: float


SCRIPTS = {
    "environment": Script("checks.probes.environment", ("checks.probes.folder",), 180.0),
    # from `import torch` to the last token; a large model on a slow disk. Each stage has a shorter limit of its own.
    "runtime": Script(
        "checks.probes.runtime", ("checks.thinking", "checks.probes.devices", "checks.probes.crosscheck"), 1800.0
    ),
    "multigpu": Script("checks.probes.multigpu", ("checks.probes.devices",), 120.0),
}


class Place(Protocol):
    """Where torch is: a machine, the python there, where the store is seen, and what is laid over its environment."""

    @property
    def machine(self) -> Machine: ...
    @property
    def python(self) -> str: ...
    @property
    def store(self) -> str: ...
    @property
    def env(self) -> Mapping[str, str]: ...


def scripts(site: Site, about: About, place: Place) -> dict[str, Probe]:
    """Return every script as a probe, and every variation of one."""
    plain: dict[str, Probe] = {name: partial(_pipe, site, about, place, name, None) for name in SCRIPTS}
    varied = {one.key: partial(_pipe, site, about, place, one.probe, one) for one in VARIATIONS}
    return {**plain, **varied}


def _pipe(site: Site, about: About, place: Place, name: str, variation: Variation | None) -> Seen:
    script = SCRIPTS[name]
    change = variation or Variation("", "", (), name, "")
    return run_script(
        place.machine,
        place.python,
        script.module,
        {**_parameters(site, about, place), **change.params},
        along=script.along,
        timeout=script.timeout,
        env={**place.env, **change.env},
        without=change.without,
    )


def _parameters(site: Site, about: About, place: Place) -> dict[str, Any]:
    spec, model = site.spec, _chosen(site)
    unsafe = bool(model and (model.trust_remote_code or model.allow_pickle))
    known = sorted((gpu.compute_capability for gpu in site.facts.gpu.gpus if gpu.compute_capability), key=version)
    return {
        "model": f"{place.store}/{model.repo}" if model and not (unsafe and _damaged(site)) else None,
        "trust_remote_code": bool(model and model.trust_remote_code),
        "allow_pickle": bool(model and model.allow_pickle),
        "prompt": spec.generation.prompt,
        "family": spec.generation.family,
        "max_new_tokens": spec.generation.max_new_tokens,
        "architecture": f"sm_{known[0].replace('.', '')}" if known else OLDEST_TARGET,
        "gpu": about.wants_gpu,
        "compile": "torch.compile" in {*about.asked, *spec.checks.required},
        # A driver that does not answer would hang whoever touches CUDA: then only what needs no GPU is asked.
        "until": "torch.import" if about.wants_gpu and site.facts.gpu.state is not GpuState.PRESENT else "",
    }


def _chosen(site: Site) -> ModelSpec | None:
    models = site.spec.models
    return next((model for model in models if model.repo == site.spec.generation.model), models[0] if models else None)


def _damaged(site: Site) -> bool:
    """Whether a model whose files may run code is not, byte for byte, what it should be: then nothing of it is loaded."""
    told = look_at_store(site).facts["model.files"]
    return bool(told["missing"] or told["damaged"])


def look_at_store(site: Site) -> Seen:
    """Hash every file of every model that the spec wants again, and name what is missing or damaged."""
    began = time.monotonic()
    records = {model.repo: site.store.record(model.repo) for model in site.spec.models}
    present = [record for record in records.values() if record]
    value = {
        "missing": [repo for repo, record in records.items() if record is None],
        "damaged": [f"{bad.repo} {bad.path}: {bad.what}" for bad in site.store.verify(present)],
        "files": sum(len(record.files) for record in present),
        "bytes": sum(record.size for record in present),
    }
    return Seen({"model.files": Fact(value, seconds=time.monotonic() - began)})


def try_sources(site: Site, least: int = 1 << 16) -> Seen:
    """Ask every source of every model, side by side, for the first `least` bytes of its largest file, through its own
    protocol; note how many bytes of the models are not here yet."""
    began = time.monotonic()
    absent = {model.repo for model in site.spec.models if site.store.record(model.repo) is None}
    with builtin_hub(site.spec.models) as endpoint:
        pairs = [
            (model, text, source)
            for model in site.spec.models
            for text, source in zip(model.sources, open_sources(model, endpoint, site.environ), strict=True)
        ]
        with ThreadPoolExecutor(max(1, len(pairs))) as pool:
            tried = list(pool.map(lambda pair: _try(pair[0], pair[1], pair[2], least), pairs))
    sizes = {row["model"]: row["size"] for row in tried if row["model"] in absent and row["size"]}
    value = {"tried": tried, "needed": bool(absent), "bytes_to_come": sum(sizes.values())}
    return Seen({"mirrors.reachable": Fact(value, seconds=time.monotonic() - began)})


def _try(model: ModelSpec, text: str, source: Source, least: int) -> dict[str, Any]:
    row = {"model": model.repo, "source": text, "bytes": 0, "size": 0, "file": "", "host": "", "why": "", "skew": None}
    try:
        manifest = source.manifest(ModelRef(model.repo, model.revision))
        row["size"] = sum(file.size for file in manifest.files)
        largest = max(manifest.files, key=lambda file: file.size)
        stream = source.open(manifest, largest, 0, min(least, largest.size))
        try:
            row |= {"bytes": stream.readinto(memoryview(bytearray(least))), "file": largest.path, "host": stream.host}
            row["skew"] = None if text.endswith("=builtin") else clock_skew(stream.headers, time.time())
        finally:
            stream.close()
    except ProvisionError as error:
        row["why"] = f"{error.message} [{error.name}]"
    return row


def clock_skew(headers: Mapping[str, str], now: float) -> float | None:
    """Return by how many seconds `now` is ahead of the clock of who sent these headers; None where they do not tell.

    A cache sends the origin's Date on, and says in Age how old it is (RFC 9111, 5.1).
    """
    age = headers.get("age", "").strip()
    try:
        sent = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except ValueError:
        return None
    return now - sent - (int(age) if age.isdigit() else 0)
