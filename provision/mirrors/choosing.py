"""Which mirrors come into question on this machine, for what is needed here, and which of the measured one is used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from provision.errors import StepFailed
from provision.machines.interface import Machine
from provision.mirrors.asking_uv import default_index
from provision.mirrors.catalogue import Mirror
from provision.mirrors.interface import Place
from provision.mirrors.measuring import Candidate, Measurement, Needs, best
from provision.mirrors.settings import Wish
from provision.mirrors.veil import veil
from provision.mirrors.writers import apt, npm, writers
from provision.resolve import Resolution
from provision.sources.interface import ModelRef
from provision.spec import Spec

DEFAULT_TOOLS = ("pip", "torch", "huggingface", "modelscope", "apt", "docker")
REGIONLESS: Mapping[str, tuple[str, ...]] = {"any": ("cn", "global"), "cn": (), "global": ()}
DEFAULTS: Mapping[str, Callable[[Machine, Place], str]] = {  # what tools ask where nobody set anything
    "pip": lambda machine, _: default_index(machine),
    "uv": lambda machine, _: default_index(machine),
    "apt": apt.default_root,
    "npm": npm.default_registry,
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Present:
    """What a tool asks now; `is_default` where nobody set it."""

    url: str
    is_default: bool = False


def inherited(machine: Machine, environ: Mapping[str, str], tools: Iterable[str]) -> dict[str, Present]:
    """Return what the tools ask now, by tool, as far as they can tell; sends nothing."""
    known, found = writers(), {}
    for tool in tools:
        if tool not in known:
            continue
        place = Place.of(environ, known[tool].SCOPES[0])
        with contextlib.suppress(StepFailed):  # a tool that does not run here hands nothing down
            url = known[tool].current(machine, place)
            if url or tool in DEFAULTS:
                found[tool] = Present((url or DEFAULTS[tool](machine, place)).rstrip("/"), is_default=not url)
    return {tool: present for tool, present in found.items() if present.url}


def candidates(
    rows: Sequence[Mirror], tools: Sequence[str], given: Sequence[Wish], set_already: Mapping[str, Present], region: str
) -> tuple[Candidate, ...]:
    """Return what is to be measured for each tool: the addresses given alone, else what it asks now and the catalogue.

    `region` narrows the catalogue only where somebody named one: `auto` measures all of it, and lets the figures speak.
    """
    found = []
    for tool in tools:
        named = [url for wish in given if wish.tool == tool for url in wish.urls]
        if named:
            found += [Candidate(_mirror(tool, url, rows), "--set") for url in named]
            continue
        present = set_already.get(tool)
        origin = "default" if present and present.is_default else "inherited"
        found += [Candidate(_mirror(tool, present.url, rows), origin)] if present else []
        fitting = [row for row in rows if row.tool == tool and region in ("auto", row.region, *REGIONLESS[row.region])]
        found += [Candidate(row, row.origin) for row in fitting if present is None or row.url != present.url]
    return tuple(found)


def needs_of(spec: Spec, release: Mapping[str, str], architecture: str, resolution: Resolution | None) -> Needs:
    """Return what would be fetched here. `release` is /etc/os-release, `architecture` as uname says it."""
    model = next((model for model in spec.models if not all(source.endswith("=builtin") for source in model.sources)), None)
    plain = Needs()
    image, tag = _hub_image(resolution.base if resolution else spec.image.base) or (plain.image, plain.image_tag)
    return Needs(
        image=image,
        image_tag=tag,
        torch=resolution.torch if resolution else "",
        wheel_tag=resolution.wheel_tag if resolution else "",
        python=resolution.python if resolution else "",
        platform=architecture,
        model=ModelRef(model.repo, model.revision) if model else plain.model,
        distribution=release.get("ID", plain.distribution),
        codename=release.get("VERSION_CODENAME", plain.codename),
        architecture=ARCHITECTURES.get(architecture, architecture),
    )


def chosen(rows: Sequence[Measurement], tools: Sequence[str]) -> tuple[tuple[Wish, ...], tuple[str, ...]]:
    """Return the wishes that measured mirrors make, and a line for each tool that keeps what it has.

    Raises StepFailed where a tool's mirrors all refuse.
    """
    wishes, kept = [], []
    for tool in tools:
        winner = best(rows, tool)
        if winner is None:
            reasons = [veil(f"{row.url}: {row.reason or row.refusal}") for row in rows if row.tool == tool]
            raise StepFailed(
                f"no mirror for {tool} serves",
                context="\n".join(reasons) or "none is known",
                hint=f"name one: --set {tool}=https://…",
                reference="no-mirror-serves",
            )
        if winner.origin in ("inherited", "default"):
            why = "which serves" if winner.origin == "inherited" else "its default, which nothing that was measured beats"
            kept.append(veil(f"{tool}: keeps {winner.url}, {why}"))
        else:
            wishes.append(Wish(tool, (winner.url,)))
    return tuple(wishes), tuple(kept)


def _hub_image(reference: str) -> tuple[str, str] | None:
    """Return the repository and tag (or digest) of a docker.io image, None for another registry's or no name at all."""
    name, at, digest = reference.partition("@")
    repository, _, tag = name.partition(":")
    first, slash, _ = repository.partition("/")
    if (
        reference in ("", "auto")
        or first.startswith("provision-base")
        or (slash and ("." in first or first == "localhost"))
    ):
        return None
    return (repository if slash else f"library/{repository}"), digest if at else tag or "latest"


def _mirror(tool: str, url: str, rows: Sequence[Mirror]) -> Mirror:
    known = next((row for row in rows if row.tool == tool and row.url == url.rstrip("/")), None)
    kind = next((row.kind for row in rows if row.tool == tool), "root")
    return known or Mirror(tool, url.rstrip("/"), kind, "any", "", "", "")
