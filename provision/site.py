"""What a spec means on this machine: its engine, its facts, the resolution, and the steps that bring it about."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from provision import __version__, pins, registry
from provision import lock as lockfile
from provision.errors import EngineUnreachable, StepFailed
from provision.events import Listener, Note, silent
from provision.facts import Facts
from provision.facts import probe as probe_facts
from provision.facts.engine import EngineFacts, read_cdi, unreachable
from provision.facts.engine import parse as parse_engine
from provision.facts.host import Disk, probe_disk
from provision.facts.network import is_loopback
from provision.http import USER_AGENT, Http
from provision.machines.engine import Engine, connect
from provision.machines.local import LocalMachine
from provision.matrix import load_matrix
from provision.mirrors import registries
from provision.mirrors.catalogue import catalogue, own_files
from provision.mirrors.measuring import load, ranked
from provision.mirrors.measuring.wire import Wire, transport
from provision.mirrors.veil import veil
from provision.resolve import Resolution, Wanted, explain, resolve
from provision.spec import Spec
from provision.steps.base import Base, Bootstrapped, Elsewhere, Pulled, Route
from provision.steps.environment import AdoptedEnvironment, Installer, LocalEnvironment, libraries
from provision.steps.inputs import Inputs
from provision.steps.interface import Step
from provision.steps.lock import Lock
from provision.store import Store
from provision.surroundings import BUNDLE, Inherited, authority, surroundings

HOOK = "nvidia-container-runtime-hook"  # with it on its PATH, an engine takes requests for GPUs (moby, `nvidia_linux.go`)
PATIENCE = 20.0  # seconds for a registry's answer about one name
SYSTEM_BUNDLES = (BUNDLE, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem")


@dataclass(frozen=True)
class Home:
    """Our own folder on a machine: `PROVISION_HOME`, else the XDG data folder."""

    path: Path

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Home:
        """Return it as the environment says; nothing is made yet."""
        if given := environ.get("PROVISION_HOME"):
            return cls(Path(given).absolute())
        data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "/")) / ".local" / "share")
        return cls(Path(data) / "provision")

    def environment(self, profile: str) -> Path:
        """The local environment of a profile."""
        return self.path / "envs" / profile

    def store(self, spec: Spec) -> Path:
        """The model store: the spec's, else ours."""
        return self.path / "store" if spec.store == "auto" else Path(spec.store).expanduser().absolute()

    @property
    def measured(self) -> Path:
        """What mirrors did when they were last measured."""
        return self.path / "mirrors.json"

    def lock(self, spec: Spec) -> Path:
        """The lock: beside the spec's file, and for a built-in profile here."""
        return Path(spec.file).parent / "provision.lock" if spec.file else self.path / "locks" / f"{spec.profile}.lock"


@dataclass(frozen=True)
class Site:
    """A spec on this machine. `engine` is None where the local one is used."""

    spec: Spec
    environ: Mapping[str, str]
    home: Home
    machine: LocalMachine
    engine: Engine | None
    facts: Facts
    resolution: Resolution

    @property
    def engine_name(self) -> str:
        return "docker" if self.engine else "local"

    @property
    def tag(self) -> str:
        """The image's name."""
        return self.spec.image.name or f"provision/{self.spec.profile}:latest"

    @property
    def lock(self) -> Path:
        return self.home.lock(self.spec)

    @property
    def store(self) -> Store:
        return Store(self.home.store(self.spec))

    def surroundings(self, *, inside: bool) -> dict[str, str]:
        """Return the variables that a place of this site is handed; see `provision.surroundings`."""
        inherited = Inherited.of(self.machine, self.environ, self.facts.python.pip)
        return surroundings(self.spec, self.environ, inherited, self.store, inside=inside)


def survey(spec: Spec, environ: Mapping[str, str], listener: Listener = silent, *, want_engine: bool = True) -> Site:
    """Choose the engine, look at the machine, and resolve; changes nothing and needs no network. Where the engine is not
    wanted it is looked at all the same, and not used.

    Raises EngineUnreachable where `engine: docker` was asked for and none answers.
    """
    home = Home.of(environ)
    machine = LocalMachine(environ)
    engine, engine_facts = _engine(spec, machine, environ, home, listener if want_engine else silent)
    engine = engine if want_engine else None
    paths = (str(home.path), str(home.store(spec)))
    python = spec.python if spec.python != "auto" else ""
    uv = find_uv(machine)
    known = {"engine": engine_facts} if engine_facts else {}
    facts = probe_facts(machine, paths=paths, python=python, uv=uv or "", **known)
    wanted = replace(_wanted(spec, engine), measured=_measured(home))
    resolution = _resolve_as_locked(facts, wanted, home.lock(spec))
    return Site(spec, environ, home, machine, engine, facts, resolution)


def _wanted(spec: Spec, engine: Engine | None) -> Wanted:
    return Wanted(
        engine="docker" if engine else "local",
        python=spec.python,
        torch=spec.image.torch,
        variant=_variant(spec),
        toolkit=spec.image.toolkit and engine is not None,
        base=spec.image.base,
        torch_index="" if spec.mirrors.torch == "inherit" else spec.mirrors.torch,
    )


def _measured(home: Home) -> tuple[tuple[str, str], ...]:
    """Return the mirrors of torch that served a wheel, with its name, the quickest first."""
    rows, _ = load(home.measured) or ((), 0.0)
    served = [row for row in ranked(rows) if row.tool == "torch" and row.serves and row.url == veil(row.url)]
    return tuple((row.url, unquote(row.artefact).rpartition("/")[2]) for row in served)


def _resolve_as_locked(facts: Facts, wanted: Wanted, lock: Path) -> Resolution:
    """What a lock pins is what `auto` means: a newer table changes nothing until the lock's entry is deleted."""
    matrix = load_matrix()
    free = resolve(facts, wanted, matrix)
    if wanted.torch != "auto" or not free.ok:
        return free

    def again(torch: str, wheel_tag: str) -> Resolution:
        return resolve(facts, replace(wanted, torch=torch, wheel_tag=wheel_tag), matrix)

    return pins.as_locked(lockfile.load(lock), _machine_type(facts, wanted.engine == "docker"), free, again, str(lock))


def _variant(spec: Spec) -> Literal["auto", "cpu", "cuda"]:
    """A place that must have a GPU gets a CUDA build, also where the image is made without one; `none` gets none."""
    if spec.image.variant != "auto" or spec.gpu == "auto":
        return spec.image.variant
    return "cuda" if spec.gpu == "required" else "cpu"


def _engine(
    spec: Spec, machine: LocalMachine, environ: Mapping[str, str], home: Home, listener: Listener
) -> tuple[Engine | None, EngineFacts | None]:
    if spec.engine == "local":
        return None, None
    try:
        engine = connect(environ, str(home.path))
    except EngineUnreachable as error:
        if spec.engine == "docker":
            raise
        listener(Note("engine", f"no container engine answers ({error.context}): using a local environment", "info"))
        return None, unreachable(error.context)
    info, version = engine.describe()
    hook = any(machine.exists(f"{folder}/{HOOK}") for folder in environ.get("PATH", "").split(os.pathsep))
    facts = parse_engine(info, version, remote=engine.at.remote, nvidia_hook=hook)
    if facts.hides_devices and not engine.elsewhere:
        facts = replace(facts, cdi_devices=read_cdi(machine, facts.cdi_spec_dirs))
    return engine, facts


def find_uv(machine: LocalMachine) -> str | None:
    """Return the path of the uv that came with us, or of one on PATH, or None."""
    try:
        import uv

        return str(uv.find_uv_bin())
    except (FileNotFoundError, ImportError):
        done = machine.run(["uv", "--version"])
        return "uv" if done.ok else None


def steps(site: Site) -> tuple[Step, ...]:
    """Return what `up` brings about, in order. Raises StepFailed where nothing fits this machine."""
    from provision.steps.mirrors import host_settings
    from provision.steps.models import Models

    if not site.resolution.ok and not _is_adopted(site):
        raise StepFailed(
            "no torch build fits this machine",
            context="\n".join(explain(site.resolution)),
            hint="; or ".join(near.text for near in site.resolution.nearest) or "provision image resolve",
        )
    elsewhere = site.engine.elsewhere if site.engine and site.spec.models else ""
    if elsewhere:
        raise StepFailed(
            f"the engine is on {elsewhere}, which sees no folder of this machine: the models cannot be mounted there",
            context=f"{site.engine and site.engine.at.host}, by {site.engine and site.engine.at.origin}",
            hint=f"run provision on {elsewhere}; from here, `provision image build` and `check --image` need no folder",
            reference="engine-elsewhere",
        )
    models = (Models(site.spec.models, site.store, site.lock, site.environ),) if site.spec.models else ()
    mirrors = host_settings(site.spec, site.environ, site.home.path, site.machine)
    return (*mirrors, *_environment_steps(site), *models)


def _environment_steps(site: Site) -> Iterable[Step]:
    if site.engine:
        return _image_steps(site, site.engine)
    place = environment(site)
    return (place,) if _is_adopted(site) else (_lock(site), place)


def environment(site: Site) -> LocalEnvironment | AdoptedEnvironment:
    """Return the local engine's environment: the adopted python's, or our own."""
    installer = _installer(site)
    if _is_adopted(site):
        wanted = (*libraries(), *site.spec.image.packages)
        return AdoptedEnvironment(site.machine, site.spec.python, wanted, installer, _cuda_torch(site))
    mirror = site.spec.mirrors.pip
    return LocalEnvironment(
        site.machine,
        str(site.home.environment(site.spec.profile)),
        site.resolution.interpreter,
        _lock(site).pinned,
        installer,
        pip_settings="" if mirror in ("inherit", "upstream") else f"[global]\nindex-url = {mirror}\n",
    )


def _cuda_torch(site: Site) -> str:
    """What an adopted python's torch would be replaced by where it is a CPU build: the same release, if one fits here."""
    own = [found for found in site.facts.python.interpreters if site.spec.python in (found.executable, found.name)]
    if site.resolution.variant != "cuda" or not own:
        return ""
    wanted = replace(_wanted(site.spec, site.engine), torch=own[0].torch.partition("+")[0] or "auto")
    same = resolve(site.facts, wanted, load_matrix())
    return (same if same.ok else site.resolution).torch_requirement


def _lock(site: Site, base: Callable[[], tuple[str, str]] = lambda: ("", "")) -> Lock:
    asked = pins.asked_of(site.resolution, libraries(), site.spec.image.packages)
    scratch = site.home.path / "pins"
    return Lock(
        site.machine,
        site.lock,
        asked,
        site.resolution,
        _machine_type(site.facts, site.engine is not None),
        _installer(site),
        scratch,
        base,
    )


def _machine_type(facts: Facts, in_engine: bool) -> str:
    name = (in_engine and facts.engine.machine) or facts.host.machine
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(name, name)


def _is_adopted(site: Site) -> bool:
    return "/" in site.spec.python


def _installer(site: Site) -> Installer:
    """Return the installer with what the machine's own pip is set to; uv reads none of pip's files."""
    pip = site.facts.python.pip
    uv = site.facts.python.uv
    folders = [site.resolution.find_links, *pip.find_links, _torch_page(site)]
    return Installer(
        uv=uv.path if uv else "uv",
        index=_pip_index(site),
        extra_indexes=tuple(url for url in pip.extra_index_urls if url.startswith("http")),
        find_links=tuple(dict.fromkeys(filter(None, folders))),
        trust={"SSL_CERT_FILE": pip.cert, "PIP_CERT": pip.cert} if pip.cert else {},
    )


def _torch_page(site: Site) -> str:
    """The page that links to torch's wheels: of an index the one of torch alone, so that it can serve nothing else."""
    index = site.resolution.index
    kinds = [row.kind for row in load_matrix().torch_indexes if index.startswith(row.url)]
    return f"{index}/" if "find-links" in kinds else f"{index}/torch/" if index else ""


def _pip_index(site: Site) -> str | None:
    mirror = site.spec.mirrors.pip
    if mirror == "inherit":
        return site.facts.python.pip.index_url or None
    return None if mirror == "upstream" else mirror


def _image_steps(site: Site, engine: Engine) -> Iterable[Step]:
    from provision.steps.image import Image, Recipe, resolution_label

    chosen, spec = site.resolution, site.spec
    base = _base(site, engine)
    lock = _lock(site, lambda: (chosen.base, base.digest))
    told = resolution_label(chosen.torch, chosen.wheel_tag, chosen.cuda_toolkit, chosen.driver_floor, chosen.architectures)
    labels = {
        "org.opencontainers.image.title": site.tag,
        "org.opencontainers.image.base.name": chosen.base,
        "org.opencontainers.image.revision": _revision(site),
        "io.provision.version": __version__,
        "io.provision.profile": spec.profile,
        "io.provision.resolution": told,
    }

    def recipe() -> Recipe | None:
        pinned = lock.pinned()
        if pinned is None:
            return None
        return Recipe(
            base=base.tag,
            variant=chosen.variant,
            python=chosen.python,
            driver_floor=chosen.driver_floor,
            toolkit=bool(chosen.toolkit_requirement),
            pins=pinned,
            inputs=_inputs(site),
            wheels=_wheels(site),
            labels=labels,
        )

    yield base
    yield lock
    yield Image(engine, site.tag, load_matrix().peak(chosen.variant), recipe, lambda: _engine_disk(site))


def _revision(site: Site) -> str:
    """The commit of the project that the spec is part of; empty where it is under no git."""
    done = site.machine.run(["git", "-C", str(site.lock.parent), "rev-parse", "HEAD"])
    return done.text.strip() if done.ok else ""


def _engine_disk(site: Site) -> Disk | None:
    facts = site.facts.engine
    return None if facts.remote or not facts.root_dir else probe_disk(site.machine, facts.root_dir)


def _inputs(site: Site) -> Inputs:
    network, mirror = site.facts.network, site.spec.mirrors.apt
    return Inputs(
        pip_index=_pip_index(site) or "",
        torch_index=_torch_page(site),
        apt_mirror="" if mirror in ("inherit", "upstream") else mirror,
        proxy={scheme: url for scheme, url in network.proxies.items() if not is_loopback(url)},
        no_proxy=",".join(network.no_proxy),
        certificates=_authorities(site),
    )


def _authorities(site: Site) -> dict[str, Path]:
    """The private ones in the machine's own store, and the bundle that a variable or pip names beside it."""
    found = {Path(file).name: Path(file) for file in site.facts.host.private_authorities}
    named = authority(site.environ, site.facts.python.pip)
    is_own = not named or any(Path(named).resolve() == Path(bundle).resolve() for bundle in SYSTEM_BUNDLES)
    return found if is_own or not Path(named).is_file() else {**found, "named-by-this-machine.crt": Path(named)}


def _base(site: Site, engine: Engine) -> Base:
    """The one that was asked for; else from its registry, from a mirror of that, or made here with no registry."""
    chosen, mirror = site.resolution, site.spec.mirrors.apt

    def digest() -> str:
        entry = pins.find(
            lockfile.load(site.lock), pins.kind_of_place(chosen, _machine_type(site.facts, site.engine is not None))
        )
        return entry.base_digest if entry and entry.base == chosen.base else ""

    def ask(reference: str) -> str:
        name = registry.parse_name(reference)
        http = Http(transport(site.environ), "registry")
        try:
            return registry.digest(Wire(http, name.address, USER_AGENT, time.monotonic() + PATIENCE), name)
        finally:
            http.close()

    names = [chosen.base]
    if chosen.base != site.spec.image.base:  # ours to choose, so also where from
        path = chosen.base if "/" in chosen.base else f"library/{chosen.base}"
        given = site.spec.mirrors.docker
        own = [registries.parse("docker", given).name] if given not in ("inherit", "upstream") else []
        known = [row.url for row in catalogue(own_files(site.environ)) if row.tool == "docker" and row.kind == "prefix"]
        names = [*(f"{prefix}/{path}" for prefix in own), chosen.base, *(f"{prefix}/{path}" for prefix in known)]
    routes: list[Route] = [Pulled(engine, name, digest, ask) for name in dict.fromkeys(names)]
    pinned = digest()
    if pinned:
        routes.append(Elsewhere(chosen.base, pinned, str(site.lock)))
    elif site.spec.image.base == "auto" and chosen.bootstrap:
        apt = None if mirror in ("inherit", "upstream") else mirror
        routes.append(Bootstrapped(site.machine, engine, chosen.bootstrap, apt))
    return Base(engine, routes)


def _wheels(site: Site) -> dict[str, Path]:
    """The wheel file that the resolution takes from a folder of this machine, if it does."""
    chosen = site.resolution
    return {chosen.wheel_file: Path(chosen.find_links) / chosen.wheel_file} if chosen.wheel_file else {}
