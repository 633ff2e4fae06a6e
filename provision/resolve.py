"""Facts × matrix → Resolution: torch, wheel, toolkit, Python, base and index that agree with driver and every GPU. Pure.

A candidate is one wheel of the matrix in one place (a Python here, or a base image). `RULES` let it pass or not; the best
of those that pass all is the answer. Where none does, each rule is lifted alone: what then passes is what is nearest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from provision.facts import Facts
from provision.facts.engine import EngineState
from provision.facts.gpu import GpuFacts, GpuState
from provision.facts.plain import to_plain
from provision.facts.python import Interpreter, PythonFacts, TorchWheel
from provision.facts.smi import Gpu
from provision.matrix import Matrix, Row, Wheel, version

AUTO = "auto"


@dataclass(frozen=True)
class Wanted:
    """What was asked for. `python` is `auto`, a version, or a path; `torch` a release or its beginning (`2.13`).

    `torch_index` is the address of torch wheels chosen among the mirrors (without the tag); empty: the first of `measured`
    that served the very wheel, else the first known. `measured` are mirrors that served a wheel: address and file name.
    """

    engine: Literal["docker", "local"] = "local"
    python: str = AUTO
    torch: str = AUTO
    variant: Literal["auto", "cpu", "cuda"] = "auto"
    wheel_tag: str = AUTO
    toolkit: bool = True
    base: str = AUTO
    torch_index: str = ""
    measured: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Reason:
    """One rule that decided: what it chose, why, and the mark and source of the row it stands on (empty for facts)."""

    rule: str
    chose: str
    because: str
    mark: str = ""
    source: str = ""


@dataclass(frozen=True)
class Nearest:
    """One change that would make it work, and the wheel it would give. `text` is for people."""

    change: str  # driver, torch, python, wheel_tag, gpus, variant, …
    value: str
    text: str
    torch: str = ""
    wheel_tag: str = ""


@dataclass(frozen=True)
class ServedGpu:
    """A GPU of the machine, and what in the wheel runs on it: `sm_86`, `compute_120` (PTX), or empty for nothing."""

    name: str
    uuid: str
    compute_capability: str
    served_by: str


@dataclass(frozen=True)
class Resolution:
    """The joint answer. Versions are empty where nothing was chosen.

    `index` is the address that has the torch wheel, empty where the package index itself has it, or a folder of ours
    (`find_links`, and in it `wheel_file`).
    `driver_floor` is the oldest driver the choice runs on. `python` is a minor version (empty: what the given base has),
    `interpreter` the path of the one chosen for the local engine. `bootstrap` names the release to make `base` from.
    """

    ok: bool
    engine: str = ""
    variant: str = ""
    torch: str = ""
    wheel_tag: str = ""
    cuda_toolkit: str = ""
    python: str = ""
    interpreter: str = ""
    base: str = ""
    bootstrap: str = ""
    index: str = ""
    mirrors: tuple[str, ...] = ()
    find_links: str = ""
    wheel_file: str = ""
    torch_requirement: str = ""
    toolkit_requirement: str = ""
    driver_floor: str = ""
    architectures: tuple[str, ...] = ()
    gpus: tuple[ServedGpu, ...] = ()
    reasons: tuple[Reason, ...] = ()
    nearest: tuple[Nearest, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-plain data, as CONTRACT's `resolution{}`."""
        plain: dict[str, Any] = to_plain(self)
        return plain


@dataclass(frozen=True)
class Place:
    """Where a wheel would be installed: a Python of this machine, or a base image. `order` is the rank, best first."""

    python: str
    order: int
    label: str
    interpreter: Interpreter | None = None
    base: str = ""
    toolkit: str = ""
    cuda: str = ""
    bootstrap: str = ""
    row: Row | None = None


@dataclass(frozen=True)
class Candidate:
    """A wheel in a place, with the file that a folder of ours holds for it, if any."""

    wheel: Wheel
    place: Place
    file: TorchWheel | None


@dataclass(frozen=True)
class Demand:
    """What a candidate has to agree with. `driver` is empty where none has to be agreed with.

    `family`: the base that was asked for is a repository with CUDA (`nvidia/cuda`), its tag left to us.
    """

    wanted: Wanted
    matrix: Matrix
    variant: str
    machine: str
    driver: str
    gpus: tuple[Gpu, ...]
    uv: bool
    family: bool


def resolve(facts: Facts, wanted: Wanted, matrix: Matrix) -> Resolution:
    """Return the best that agrees with everything, or `ok=False` with what is nearest."""
    demand = Demand(
        wanted=wanted,
        matrix=matrix,
        variant=_variant(facts.gpu, wanted),
        machine=_machine(facts, wanted),
        driver=facts.gpu.driver if facts.gpu.state is GpuState.PRESENT else "",
        gpus=facts.gpu.gpus if facts.gpu.state is GpuState.PRESENT else (),
        uv=facts.python.uv is not None,
        family=any(wanted.base.endswith(row.repository) for row in matrix.bases if row.toolkit or row.cuda),
    )
    candidates = list(_candidates(facts.python, demand))
    chosen_variant = _variant_reason(facts.gpu, demand)
    broken = _obstacle(facts, wanted, demand)
    if broken:
        return _refuse(demand, (chosen_variant, broken), _mending(facts.gpu, candidates, demand))
    best = _best(candidates, demand)
    if best is None:
        return _refuse(demand, (chosen_variant, *_refusals(candidates, demand)), _nearest(facts.python, candidates, demand))
    return _accept(best, demand, chosen_variant)


def explain(resolution: Resolution) -> list[str]:
    """Return the answer and its reasons as lines for people."""
    head = f"torch {resolution.torch} ({resolution.wheel_tag})" if resolution.ok else "nothing fits"
    lines = [head]
    for reason in resolution.reasons:
        known = f" [{reason.mark}: {reason.source}]" if reason.source else ""
        lines.append(f"  {reason.rule}: {reason.chose}: {reason.because}{known}")
    lines += [f"  nearest: {near.text}" for near in resolution.nearest]
    return lines


# --- what is asked of a candidate ---------------------------------------------------------------------------------------


def _variant(gpu: GpuFacts, wanted: Wanted) -> str:
    if wanted.variant != AUTO:
        return wanted.variant
    if wanted.wheel_tag != AUTO:
        return "cpu" if wanted.wheel_tag == "cpu" else "cuda"
    return "cpu" if gpu.state in (GpuState.NONE, GpuState.NO_DRIVER) else "cuda"


def _machine(facts: Facts, wanted: Wanted) -> str:
    asked = wanted.engine == "docker" and facts.engine.state is EngineState.REACHABLE and facts.engine.machine
    name = asked or facts.host.machine
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(name, name)


def _candidates(python: PythonFacts, demand: Demand) -> Iterator[Candidate]:
    places = list(_bases(demand) if demand.wanted.engine == "docker" else _interpreters(python))
    for wheel in demand.matrix.wheels:
        for place in places:
            yield Candidate(wheel, place, _file_for(wheel, place, python.torch_wheels, demand.machine))


def _interpreters(python: PythonFacts) -> Iterator[Place]:
    if not python.interpreters:
        yield Place("none", 0, "there is no Python here")  # so that what is missing can be named
    for order, interpreter in enumerate(python.interpreters):
        yield Place(interpreter.minor, order, f"{interpreter.executable} ({interpreter.version})", interpreter)


def _bases(demand: Demand) -> Iterator[Place]:
    wanted = demand.wanted
    rows = demand.matrix.bases
    if wanted.base == AUTO:
        named = [row for row in rows if not row.cuda]
    elif demand.family:
        named = [row for row in rows if wanted.base.endswith(row.repository)]
    else:
        named = [row for row in rows if wanted.base.endswith(row.base)]
    if not named:
        python = "" if wanted.python == AUTO else wanted.python
        yield Place(python, 0, wanted.base, base=wanted.base)
        return
    for order, row in enumerate(named):
        base = row.base if wanted.base == AUTO or demand.family else wanted.base
        yield Place(
            row.python, order, base, base=base, toolkit=row.toolkit, cuda=row.cuda, bootstrap=row.bootstrap, row=row
        )


def _file_for(wheel: Wheel, place: Place, files: Iterable[TorchWheel], machine: str) -> TorchWheel | None:
    tag = {wheel.tag, ""} if wheel.packaged else {wheel.tag}
    key = (wheel.torch, place.python, machine)
    return next((file for file in files if file.tag in tag and (file.version, file.python, file.machine) == key), None)


# --- the rules ----------------------------------------------------------------------------------------------------------


def _fits_machine(candidate: Candidate, demand: Demand) -> bool:
    return demand.machine in candidate.wheel.machines


def _fits_variant(candidate: Candidate, demand: Demand) -> bool:
    return candidate.wheel.variant == demand.variant


def _fits_torch(candidate: Candidate, demand: Demand) -> bool:
    """A release that was asked for; else one that `auto` may choose, or that a folder of ours holds."""
    release = version(candidate.wheel.torch)
    if demand.wanted.torch != AUTO:
        return candidate.wheel.torch == demand.wanted.torch or candidate.wheel.torch.startswith(demand.wanted.torch + ".")
    default = demand.matrix.default(candidate.wheel.variant)
    return candidate.file is not None or version(default.at_least) <= release <= version(default.at_most)


def _fits_tag(candidate: Candidate, demand: Demand) -> bool:
    return demand.wanted.wheel_tag in (AUTO, candidate.wheel.tag)


def _fits_python(candidate: Candidate, demand: Demand) -> bool:
    """The Python that was asked for, or any; and an environment can be made with it."""
    place, asked = candidate.place, demand.wanted.python
    return _can_hold(place, demand.uv, named=asked != AUTO) and (asked == AUTO or _is_python(place, asked))


def _has_wheel_for_python(candidate: Candidate, demand: Demand) -> bool:
    """What Python a foreign base holds is not known before it is there."""
    return not candidate.place.python or candidate.place.python in candidate.wheel.pythons


def _fits_platform(candidate: Candidate, demand: Demand) -> bool:
    """The wheels are for glibc; what system a base is, is ours to choose or the user's to know."""
    return candidate.place.interpreter is None or not candidate.place.interpreter.refuses_wheels


def _can_hold(place: Place, uv: bool, named: bool) -> bool:
    """Whether an environment can be made there; one that was named may be an environment already."""
    python = place.interpreter
    return python is None or (python.implementation == "CPython" and (python.venv or uv or (named and python.in_venv)))


def _is_python(place: Place, asked: str) -> bool:
    exact = {place.python}
    if place.interpreter:
        exact |= {place.interpreter.name, place.interpreter.executable, place.interpreter.version}
    return asked in exact


def _fits_driver(candidate: Candidate, demand: Demand) -> bool:
    wheel = candidate.wheel
    if wheel.variant == "cpu" or not demand.driver:
        return True
    return version(demand.driver) >= version(demand.matrix.floor(wheel).driver)


def _fits_gpus(candidate: Candidate, demand: Demand) -> bool:
    return candidate.wheel.variant == "cpu" or all(_served_by(gpu, candidate.wheel, demand) for gpu in demand.gpus)


def _served_by(gpu: Gpu, wheel: Wheel, demand: Demand) -> str:
    """What in the wheel runs on the GPU: machine code of its own compute major and no newer minor, else PTX, which only a
    driver as new as the toolkit's own may compile (CUDA Compatibility; error 222 otherwise)."""
    if not gpu.compute_capability:
        return ""
    own = version(gpu.compute_capability)
    code = [each for each in map(version, wheel.architectures) if each[0] == own[0] and each <= own]
    if code:
        return f"sm_{_digits(max(code))}"
    ptx = [each for each in map(version, wheel.ptx) if each <= own]
    return f"compute_{_digits(max(ptx))}" if ptx and _is_native(wheel, demand) else ""


def _is_native(wheel: Wheel, demand: Demand) -> bool:
    return bool(demand.driver) and version(demand.driver) >= version(demand.matrix.shipped(wheel).driver)


def _fits_toolkit(candidate: Candidate, demand: Demand) -> bool:
    """A given base is the user's own choice; of a repository the tag with the wheel's CUDA, and nvcc in it where it is
    wanted; among ours, one with a toolkit only where nvcc can't come otherwise."""
    place, wheel = candidate.place, candidate.wheel
    if demand.wanted.engine == "docker" and demand.family:
        return (place.toolkit if demand.wanted.toolkit else place.cuda) == wheel.toolkit != ""
    if demand.wanted.engine == "local" or demand.wanted.base != AUTO:
        return True
    return place.toolkit == (wheel.toolkit if _needs_toolkit_base(wheel, demand) else "")


def _needs_toolkit_base(wheel: Wheel, demand: Demand) -> bool:
    return demand.wanted.toolkit and demand.matrix.nvcc_for(wheel.toolkit) is None


Rule = Callable[[Candidate, Demand], bool]
RULES: dict[str, Rule] = {
    "machine": _fits_machine,
    "variant": _fits_variant,
    "torch": _fits_torch,
    "wheel_tag": _fits_tag,
    "python": _fits_python,
    "python_release": _has_wheel_for_python,
    "platform": _fits_platform,
    "driver": _fits_driver,
    "gpus": _fits_gpus,
    "toolkit": _fits_toolkit,
}


def _passing(candidates: Iterable[Candidate], demand: Demand, but: Sequence[str] = ()) -> list[Candidate]:
    rules = [rule for name, rule in RULES.items() if name not in but]
    return [candidate for candidate in candidates if all(rule(candidate, demand) for rule in rules)]


def _best(candidates: Iterable[Candidate], demand: Demand, but: Sequence[str] = ()) -> Candidate | None:
    """A file of ours first, then the newest torch, then the wheel that any package mirror has, then the toolkit the driver
    knows best, then the first place. A newer driver only lets more pass, so it never gives an older torch."""

    def rank(candidate: Candidate) -> tuple[Any, ...]:
        wheel = candidate.wheel
        native = wheel.variant == "cuda" and _is_native(wheel, demand)
        toolkit = version(wheel.toolkit) if wheel.toolkit else ()
        return candidate.file is not None, version(wheel.torch), wheel.packaged, native, toolkit, -candidate.place.order

    return max(_passing(candidates, demand, but), key=rank, default=None)


# --- the answer ---------------------------------------------------------------------------------------------------------


def _accept(best: Candidate, demand: Demand, variant: Reason) -> Resolution:
    wheel, place = best.wheel, best.place
    from_folder = best.file is not None
    nvcc = "" if place.toolkit == wheel.toolkit != "" else _nvcc(wheel, demand)
    indexes = [] if from_folder or wheel.packaged else [f"{row.url}/{wheel.tag}" for row in demand.matrix.torch_indexes]
    own = [f"{demand.wanted.torch_index.rstrip('/')}/{wheel.tag}"] if indexes and demand.wanted.torch_index else []
    own += [f"{url}/{wheel.tag}" for url in _holders(best, demand)] if indexes else []
    return Resolution(
        ok=True,
        engine=demand.wanted.engine,
        variant=demand.variant,
        torch=wheel.torch,
        wheel_tag=wheel.tag,
        cuda_toolkit=nvcc.split("==")[1] if nvcc and "*" not in nvcc else wheel.toolkit,
        python=place.python,
        interpreter=place.interpreter.executable if place.interpreter else "",
        base=place.base,
        bootstrap=place.bootstrap,
        index=next(iter(own + indexes), ""),
        mirrors=tuple(indexes),
        find_links=best.file.folder if best.file else "",
        wheel_file=best.file.filename if best.file else "",
        torch_requirement=wheel.requirement,
        toolkit_requirement=nvcc,
        driver_floor=demand.matrix.floor(wheel).driver if wheel.variant == "cuda" else "",
        architectures=tuple(f"sm_{_digits(version(each))}" for each in wheel.architectures),
        gpus=_served(wheel, demand),
        reasons=(variant, *_reasons(best, demand, nvcc)),
    )


def _nvcc(wheel: Wheel, demand: Demand) -> str:
    """The requirement that brings nvcc, of the same release as the toolkit that the wheel pins; empty where none does."""
    row = demand.matrix.nvcc_for(wheel.toolkit) if demand.wanted.toolkit else None
    if row is None:
        return ""
    release = row.version if wheel.variant == "cpu" else wheel.cuda_package or f"{wheel.toolkit}.*"
    return f"{row.requirement}=={release}"


def _served(wheel: Wheel, demand: Demand) -> tuple[ServedGpu, ...]:
    served = _served_by if wheel.variant == "cuda" else lambda *_: ""
    return tuple(ServedGpu(gpu.name, gpu.uuid, gpu.compute_capability, served(gpu, wheel, demand)) for gpu in demand.gpus)


def _reasons(best: Candidate, demand: Demand, nvcc: str) -> Iterator[Reason]:
    wheel, place = best.wheel, best.place
    yield _torch_reason(best, demand)
    yield _wheel_reason(best, demand)
    if wheel.variant == "cuda":
        yield _driver_reason(wheel, demand)
    for gpu in _served(wheel, demand) if wheel.variant == "cuda" else ():
        yield Reason("gpus", gpu.served_by, f"runs on {gpu.name} ({gpu.compute_capability})", wheel.mark, wheel.source)
    if place.row:
        yield Reason("base", place.base, _base_because(best, demand), place.row.mark, place.row.source)
    elif place.base:
        yield Reason("base", place.base, "it was asked for; what is in it is not in the table")
    yield Reason("python", place.python or "the base's own", f"{place.label}, which torch {wheel.torch} has a wheel for")
    if demand.wanted.toolkit:
        yield _toolkit_reason(wheel, place, demand, nvcc)


def _torch_reason(best: Candidate, demand: Demand) -> Reason:
    if demand.wanted.torch != AUTO:
        return Reason("torch", best.wheel.torch, f"{demand.wanted.torch} was asked for")
    if best.file:
        return Reason(
            "torch", best.wheel.torch, f"{best.file.filename} lies in {best.file.folder}, where pip already looks"
        )
    default = demand.matrix.default(best.wheel.variant)
    because = f"the newest that fits of {default.at_least} to {default.at_most}"
    return Reason("torch", best.wheel.torch, because, default.mark, default.source)


def _holders(best: Candidate, demand: Demand) -> list[str]:
    """The mirrors that served this very wheel when they were measured, the best first."""
    named = f"torch-{best.wheel.torch}+{best.wheel.tag}-cp{best.place.python.replace('.', '')}-"
    return [url for url, file in demand.wanted.measured if file.startswith(named)]


def _wheel_reason(best: Candidate, demand: Demand) -> Reason:
    wheel = best.wheel
    if best.file:
        because = "the wheel of the folder"
    elif wheel.packaged:
        because = "the wheel that every package index has: no torch index is needed"
    elif not demand.wanted.torch_index and (holders := _holders(best, demand)):
        because = f"{holders[0]} served this very wheel when it was measured"
    else:
        because = f"the torch index has it under /{wheel.tag}"
    return Reason("wheel_tag", wheel.tag, because, wheel.mark, wheel.source)


def _driver_reason(wheel: Wheel, demand: Demand) -> Reason:
    floor, shipped = demand.matrix.floor(wheel), demand.matrix.shipped(wheel)
    chose = f"driver >= {floor.driver}"
    if not demand.driver:
        return Reason(
            "driver", chose, "no driver here to agree with: it must hold where the image runs", floor.mark, floor.source
        )
    because = f"driver {demand.driver} runs CUDA {wheel.toolkit}"
    if not _is_native(wheel, demand):
        because += f" by minor-version compatibility: before {shipped.driver}, PTX is not compiled (error 222)"
    return Reason("driver", chose, because, floor.mark, floor.source)


def _base_because(best: Candidate, demand: Demand) -> str:
    wheel = best.wheel
    if demand.family:
        with_nvcc = "with nvcc, which is wanted" if demand.wanted.toolkit else "without nvcc, which is not wanted"
        return f"{demand.wanted.base} was asked for: its tag of CUDA {wheel.toolkit}, {with_nvcc}"
    if _needs_toolkit_base(wheel, demand):
        return f"nvcc {wheel.toolkit} comes with it; the package index has none before CUDA 13"
    return "the first base with such a Python; CUDA comes from packages, so it needs none in it"


def _toolkit_reason(wheel: Wheel, place: Place, demand: Demand, nvcc: str) -> Reason:
    row = demand.matrix.nvcc_for(wheel.toolkit)
    if row and nvcc:
        shared = ", sharing torch's own CUDA libraries" if wheel.variant == "cuda" else ""
        return Reason("toolkit", nvcc, f"nvcc from the package index{shared}", row.mark, row.source)
    if place.toolkit:
        return Reason("toolkit", place.toolkit, f"nvcc of {place.base}")
    return Reason("toolkit", "the machine's own", f"the package index has no nvcc for CUDA {wheel.toolkit}")


# --- when nothing fits --------------------------------------------------------------------------------------------------

_UNUSABLE = {
    GpuState.DRIVER_NOT_LOADED: "load the driver: `sudo modprobe nvidia`, or install it",
    GpuState.MISMATCH: "reboot, so that the kernel module and the user library are of one version",
    GpuState.PERMISSION: "let this user read /dev/nvidia* (group `video` or `render`)",
    GpuState.LOST: "reset or reboot: the GPU has fallen off the bus",
    GpuState.HUNG: "reboot: the driver does not answer",
    GpuState.UNREADABLE: "see what `nvidia-smi -q -x` prints here",
}


def _obstacle(facts: Facts, wanted: Wanted, demand: Demand) -> Reason | None:
    """What makes every wheel of the table moot."""
    if wanted.engine == "local" and facts.host.system not in ("Linux", ""):
        return Reason("machine", "none", f"{facts.host.system} is not supported: the table holds wheels for Linux")
    if not demand.machine:
        return Reason("machine", "none", f"the machine's architecture is unknown: {facts.host.detail or 'nobody said'}")
    if demand.variant == "cuda" and wanted.variant == AUTO and facts.gpu.state in _UNUSABLE:
        return Reason("gpus", "none", f"there is a GPU, and it cannot be used: {facts.gpu.detail}")
    return None


def _mending(gpu: GpuFacts, candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    what = _UNUSABLE.get(gpu.state)
    if what:
        yield Nearest("driver", gpu.state.value, what)
        yield from _without_gpu(candidates, demand)


def _variant_reason(gpu: GpuFacts, demand: Demand) -> Reason:
    if demand.wanted.variant != AUTO or demand.wanted.wheel_tag != AUTO:
        return Reason("variant", demand.variant, "it was asked for")
    if gpu.state is GpuState.PRESENT:
        names = ", ".join(dict.fromkeys(each.name for each in gpu.gpus))
        return Reason("variant", demand.variant, f"{len(gpu.gpus)} GPU, driver {gpu.driver}: {names}")
    return Reason("variant", demand.variant, gpu.detail or gpu.state.value)


def _refuse(demand: Demand, reasons: tuple[Reason, ...], near: Iterable[Nearest]) -> Resolution:
    return Resolution(
        ok=False,
        engine=demand.wanted.engine,
        variant=demand.variant,
        gpus=tuple(ServedGpu(gpu.name, gpu.uuid, gpu.compute_capability, "") for gpu in demand.gpus),
        reasons=reasons,
        nearest=tuple(near),
    )


def _refusals(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Reason]:
    """For each wheel of the newest release that nothing but the hardware or the place refuses: why it was."""
    hard = ("python", "python_release", "platform", "driver", "gpus", "toolkit")
    wheels = {candidate.wheel for candidate in _passing(candidates, demand, but=hard)}
    newest = max((version(wheel.torch) for wheel in wheels), default=())
    for wheel in sorted(
        (each for each in wheels if version(each.torch) == newest), key=lambda each: each.tag, reverse=True
    ):
        of_wheel = [candidate for candidate in candidates if candidate.wheel == wheel]
        why = [_refusal(name, of_wheel, demand) for name in hard if not _passes_somewhere(of_wheel, name, demand)]
        yield Reason("refused", wheel.label, "; ".join(why) or "no one place fits all of it", wheel.mark, wheel.source)
    if not wheels:
        asked = {"torch": demand.wanted.torch, "wheel tag": demand.wanted.wheel_tag}
        words = [f"{name} {value}" for name, value in asked.items() if value != AUTO]
        what = f"the table has no {demand.variant} wheel for {demand.machine}"
        yield Reason("refused", "none", f"{what} that is {' and '.join(words)}" if words else what)


def _passes_somewhere(candidates: Iterable[Candidate], name: str, demand: Demand) -> bool:
    return any(RULES[name](candidate, demand) for candidate in candidates)


def _refusal(name: str, of_wheel: Sequence[Candidate], demand: Demand) -> str:
    wheel = of_wheel[0].wheel
    if name == "platform":
        found = [each.place.interpreter for each in of_wheel if each.place.interpreter]
        return ", ".join(f"{python.executable}: {python.refuses_wheels}" for python in found)
    if name == "driver":
        return f"driver {demand.driver} < {demand.matrix.floor(wheel).driver}"
    if name == "gpus":
        lost = [gpu for gpu in demand.gpus if not _served_by(gpu, wheel, demand)]
        return f"nothing in it for {', '.join(_called(gpu) for gpu in lost)}"
    if name == "toolkit":
        return f"no base with nvcc {wheel.toolkit}"
    if name == "python":
        asked = "no Python" if demand.wanted.python == AUTO else f"no Python that is {demand.wanted.python}"
        return f"{asked} here that can make an environment"
    return f"no Python of {wheel.pythons[0]} to {wheel.pythons[-1]} here"


def _nearest(python: PythonFacts, candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    """What would pass with one rule lifted, the rules in the order of how easily a person changes them; where that is
    nothing, what the machine itself could have."""
    found = [
        *_other_torch(candidates, demand),
        *_other_tag(candidates, demand),
        *_other_python(candidates, demand),
        *_newer_driver(candidates, demand, ("driver",)),
        *_without_nvcc(candidates, demand),
        *_other_engine(candidates, demand),
        *_fewer_gpus(candidates, demand),
        *_without_gpu(candidates, demand),
        *_driver_and_python(candidates, demand),
    ]
    return iter(found or _nothing_asked(python, demand))


def _other_torch(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    """The releases that would do, together where asking for each gives a wheel of the same tag."""
    by_tag: dict[str, set[str]] = {}
    for release in {candidate.wheel.torch for candidate in _passing(candidates, demand, but=("torch",))}:
        best = _best(candidates, dataclasses.replace(demand, wanted=dataclasses.replace(demand.wanted, torch=release)))
        if best:
            by_tag.setdefault(best.wheel.tag, set()).add(release)
    for tag, releases in sorted(by_tag.items(), key=lambda each: max(map(version, each[1])), reverse=True):
        oldest, newest = min(releases, key=version), max(releases, key=version)
        first, last = (".".join(release.split(".")[:2]) for release in (oldest, newest))
        value = first if first == last else f"{first}–{last}"
        yield Nearest("torch", value, f"torch {value} {tag}: ask for torch {newest}", newest, tag)


def _other_tag(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    best = _best(candidates, demand, but=("wheel_tag",))
    if best:
        yield _change("wheel_tag", best.wheel.tag, f"wheel tag {best.wheel.tag}", best)


def _python_rules(demand: Demand) -> tuple[str, ...]:
    """What another Python lifts: one can be added to a machine, and a base has the one that it has."""
    return ("python", "python_release") if demand.wanted.engine == "local" else ("python",)


def _other_python(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    """A Python that is here and can't hold an environment yet, or another than was asked for; else any that has a wheel."""
    best = _best(candidates, demand, but=("python",))
    if best and _can_hold(best.place, demand.uv, named=False):
        yield _change("python", best.place.python, f"Python {best.place.python}", best)
    elif best:
        words = f"`sudo apt-get install python{best.place.python}-venv`, or uv, for {best.place.label}"
        yield _change("python", best.place.python, words, best)
    elif found := _best(candidates, demand, but=_python_rules(demand)):
        yield _change("python", _span(found, demand), f"a Python of {_span(found, demand)}", found)


def _without_nvcc(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    wanted = dataclasses.replace(demand.wanted, toolkit=False)
    if demand.wanted.toolkit and (best := _best(candidates, dataclasses.replace(demand, wanted=wanted))):
        yield _change("toolkit", "", "without nvcc", best)


def _other_engine(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    """Where this machine's own Pythons take no wheel (musl, an old glibc), an image has one that does."""
    if _best(candidates, demand, but=("platform",)) is None:
        return
    wanted = dataclasses.replace(demand.wanted, engine="docker", python=AUTO)
    inside = dataclasses.replace(demand, wanted=wanted)
    if best := _best(list(_candidates(PythonFacts(), inside)), inside):
        yield _change("engine", "docker", "an image: --engine docker", best)


def _nothing_asked(python: PythonFacts, demand: Demand) -> Iterator[Nearest]:
    """Where no single wish is what stands in the way: the answer without any, with the GPU or else without."""
    wanted = Wanted(engine=demand.wanted.engine, toolkit=demand.wanted.toolkit)
    if wanted == demand.wanted:
        return
    for variant in dict.fromkeys((demand.variant, "cpu")):
        free = dataclasses.replace(demand, wanted=wanted, variant=variant, family=False)
        candidates, words = list(_candidates(python, free)), f"all of it left to auto, variant {variant}"
        if best := _best(candidates, free):
            yield _change("wishes", variant, words, best)
            return
        if best := _best(candidates, free, but=_python_rules(free)):
            span = _span(best, free)
            yield _change("wishes and python", f"{variant}, {span}", f"{words}, and a Python of {span}", best)
            return


def _newer_driver(candidates: Sequence[Candidate], demand: Demand, lacking: Sequence[str]) -> Iterator[Nearest]:
    """The oldest driver that would do, and the newest that gives more, where they differ; with `lacking` rules lifted."""
    found = _passing(candidates, demand, but=lacking)
    floors = sorted({demand.matrix.floor(each.wheel).driver for each in found if each.wheel.variant == "cuda"}, key=version)
    others = [name for name in lacking if name != "driver"]
    for floor in dict.fromkeys((*floors[:1], *floors[-1:])):
        best = _best(candidates, dataclasses.replace(demand, driver=floor), but=others)
        if best and others:
            span = _span(best, demand)
            yield _change("driver and python", f"{floor}, {span}", f"driver >= {floor} and a Python of {span}", best)
        elif best:
            yield _change("driver", floor, f"driver >= {floor}", best)


def _driver_and_python(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    """Both at once, where neither alone is enough: an old machine lacks both."""
    python = _python_rules(demand)
    if not any(_passing(candidates, demand, but=but) for but in (("driver",), python)):
        yield from _newer_driver(candidates, demand, ("driver", *python))


def _span(candidate: Candidate, demand: Demand) -> str:
    """The Pythons that would do: the one that was asked for where the wheel has it, a base's own, else all it has."""
    of_wheel = candidate.wheel.pythons
    if demand.wanted.engine == "docker":
        return candidate.place.python
    return demand.wanted.python if demand.wanted.python in of_wheel else f"{of_wheel[0]} to {of_wheel[-1]}"


def _change(name: str, value: str, words: str, best: Candidate) -> Nearest:
    return Nearest(name, value, f"{words}: torch {best.wheel.label}", best.wheel.torch, best.wheel.tag)


def _fewer_gpus(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    """With several kinds of GPU: leaving one kind out."""
    kinds = sorted({gpu.compute_capability for gpu in demand.gpus})
    for kind in kinds if len(kinds) > 1 else ():
        rest = tuple(gpu for gpu in demand.gpus if gpu.compute_capability != kind)
        best = _best(candidates, dataclasses.replace(demand, gpus=rest))
        if best:
            left_out = ", ".join(dict.fromkeys(_called(gpu) for gpu in demand.gpus if gpu.compute_capability == kind))
            uuids = ",".join(gpu.uuid for gpu in rest)
            yield _change("gpus", uuids, f"without {left_out} (CUDA_VISIBLE_DEVICES={uuids})", best)


def _without_gpu(candidates: Sequence[Candidate], demand: Demand) -> Iterator[Nearest]:
    if demand.variant != "cuda" or demand.wanted.variant != AUTO or demand.wanted.wheel_tag != AUTO:
        return
    on_cpu = dataclasses.replace(demand, variant="cpu")
    if best := _best(candidates, on_cpu):
        yield _change("variant", "cpu", "variant cpu, without the GPU", best)
    elif best := _best(candidates, on_cpu, but=_python_rules(demand)):
        span = _span(best, demand)
        yield _change("variant and python", f"cpu, {span}", f"variant cpu, and a Python of {span}", best)


def _called(gpu: Gpu) -> str:
    known = gpu.compute_capability
    return f"{gpu.name} (sm_{_digits(version(known))})" if known else f"{gpu.name} (of unknown compute capability)"


def _digits(capability: Sequence[int]) -> str:
    return "".join(str(part) for part in capability)
