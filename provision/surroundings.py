"""What every place is handed: the store's doors, offline flags, mirrors, authorities and proxies.

`surroundings` alone says it. The checks, `run`, `shell`, compose.yaml, devcontainer.json, Kubernetes, the local environment
and the shells of `provision export env` all render what it returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from provision.facts.network import is_loopback, parse_proxies
from provision.facts.python import PipSettings, probe_pip
from provision.machines.interface import Machine
from provision.mirrors.asking_uv import own_index
from provision.mirrors.environment import AUTHORITIES, MIRRORED, variables
from provision.mirrors.interface import has_credentials
from provision.spec import Spec
from provision.store import Store

MOUNT = "/models"  # where a container sees the store
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"  # what our images trust: the machine's private authorities are in it


@dataclass(frozen=True)
class Inherited:
    """What this machine's pip is set to, and the index that its uv is set to (empty: none of its own)."""

    pip: PipSettings
    uv: str = ""

    @classmethod
    def of(cls, machine: Machine, environ: Mapping[str, str], pip: PipSettings | None = None) -> Inherited:
        """Ask both tools; pip's answer may be known already."""
        return cls(pip or probe_pip(machine, environ, "python3"), own_index(machine))


def surroundings(
    spec: Spec, environ: Mapping[str, str], inherited: Inherited, store: Store, *, inside: bool = False
) -> dict[str, str]:
    """Return the variables of a place: this machine, or `inside` a container of ours.

    They differ in paths alone: where the store is, where the authorities are, and that what is of this machine only (a
    folder of packages, a proxy on loopback) is not there. What the spec inherits is what this machine is set to. Values may
    hold credentials: `public` and `private` tell them apart.
    """
    wanted, pip = asdict(spec.mirrors), _of_pip(inherited.pip, inside)
    known = {**environ, "PIP_INDEX_URL": inherited.pip.index_url, "UV_DEFAULT_INDEX": inherited.uv}
    found = store.environment(mount=MOUNT if inside else None)
    for tool in MIRRORED:
        if wanted[tool] == "inherit":
            found.update({name: known[name] for name in variables(tool, "") if known.get(name)})
        elif wanted[tool] != "upstream":
            found.update(variables(tool, wanted[tool]))
    if wanted["pip"] == "inherit":
        found.update(pip)
    if wanted["uv"] == "inherit" and not inherited.uv:  # uv reads none of pip's files, and is told by `up` too
        found.update({"UV_DEFAULT_INDEX": found["PIP_INDEX_URL"]} if "PIP_INDEX_URL" in found else {})
    if bundle := authority(environ, inherited.pip):
        found.update(dict.fromkeys(AUTHORITIES, BUNDLE if inside else bundle))
    return {**found, **_proxies(environ, inside)}


def authority(environ: Mapping[str, str], pip: PipSettings) -> str:
    """Return the bundle of authorities that this machine's tools are set to, empty where they are left to the system's."""
    return next((environ[name] for name in AUTHORITIES if environ.get(name)), pip.cert)


def public(found: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without a credential: they may stand in files and on command lines."""
    return {name: value for name, value in found.items() if not has_credentials(value)}


def private(found: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with a credential: they are passed on by name."""
    return {name: value for name, value in found.items() if has_credentials(value)}


def _of_pip(pip: PipSettings, inside: bool) -> dict[str, str]:
    """What stands in pip's own files beside its index, as variables: a container does not see the files."""
    words = {
        "PIP_EXTRA_INDEX_URL": [
            url for url in pip.extra_index_urls if not inside or url.startswith(("http://", "https://"))
        ],
        "PIP_TRUSTED_HOST": pip.trusted_hosts,
        "PIP_PROXY": [] if inside and is_loopback(pip.proxy) else [pip.proxy],
    }
    return {name: " ".join(found) for name, found in words.items() if any(found)}


def _proxies(environ: Mapping[str, str], inside: bool) -> dict[str, str]:
    """Both spellings: curl reads the small one alone for http, others the large one."""
    found = {scheme: url for scheme, url in parse_proxies(environ).items() if not (inside and is_loopback(url))}
    around = environ.get("no_proxy") or environ.get("NO_PROXY")
    names = {f"{scheme}_proxy": url for scheme, url in found.items()} | ({"no_proxy": around} if found and around else {})
    return _both_spellings(names.items())


def _both_spellings(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {spelling: value for name, value in pairs for spelling in (name, name.upper())}
