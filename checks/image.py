"""An image as it is, without a GPU: what it will run on, what it gives away, and how it would be run.

The probe asks the engine for the image's settings and history, then looks inside; where nobody can go in, the settings
still say their part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from checks.extending import Place
from checks.interface import About, Check, Fact, Judgement, always, failed, passed, skipped, unknown, warned
from checks.pytorch import runs_on
from checks.runner import Seen, run_script
from checks.thresholds import GIB, Threshold
from provision.facts.image import ImageFacts, branches, cuda_floor, let_through, parse
from provision.facts.plain import from_plain, to_plain
from provision.machines.engine import Engine
from provision.matrix import Matrix, load_matrix, version

SIZE_WARN = Threshold(15 * GIB, "proposal: twice a CUDA image with torch and nvcc, 6.7 GB (measured, GROUND)")
PROBE_TIMEOUT = 180.0  # seconds; the first import of a CUDA torch reads 3 GB from a cold disk
RESOLVE = "raise the driver, or take an image of an older CUDA: provision image resolve"
BY_HAND = "docker run --rm -it IMAGE python3 -c 'import torch'   # what it says is why"
NEWER = "pip install -U provision   # its table of drivers ends before this CUDA"
COMPILING = ("nvcc", "ptxas", "fatbinary", "nvlink")
LOOKING = ("cuobjdump",)  # reads binaries, and makes none
HOSTILE = {  # variable → what it does to whoever runs the image (CHECKS, R7; CUDA and ld.so documentation)
    "LD_PRELOAD": "loads a library into every process",
    "CUDA_INJECTION64_PATH": "loads a library into every CUDA process",
    "NVTX_INJECTION64_PATH": "loads a library into every CUDA process",
    "CUDA_LAUNCH_BLOCKING": "makes every kernel launch wait",
    "CUDA_DEVICE_WAITS_ON_EXCEPTION": "stops a process for a debugger at an exception",
    "CUDA_VISIBLE_DEVICES": "hides GPUs that the container was given",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "changes how torch looks for GPUs",
}
BLIND = ("void", "none", "")  # values of NVIDIA_VISIBLE_DEVICES that give a container no GPU (container toolkit)


def look(engine: Engine, reference: str, place: Place | None) -> Seen:
    """Return the fact `image`: `config` from the engine, `inside` and `torch` from the image's own python (None where it
    has none), `trouble` in words where the look inside came to no end."""
    inspection = engine.image(reference)
    if inspection is None:
        return Seen()
    config = parse(reference, inspection, engine.history(reference))
    value: dict[str, Any] = {"config": to_plain(config), "inside": None, "torch": None, "torch_error": None, "trouble": ""}
    if place is not None:
        seen = run_script(
            place.machine, place.python, "checks.probes.image", {}, timeout=PROBE_TIMEOUT, env={"HF_HUB_OFFLINE": "1"}
        )
        inside, torch = seen.facts.get("image.inside"), seen.facts.get("image.torch")
        value["inside"] = dict(inside.value) if inside and not inside.error else None
        value["torch"] = dict(torch.value) if torch and not torch.error else None
        value["torch_error"] = dict(torch.error) if torch and torch.error else None
        value["trouble"] = seen.trouble.summary if seen.trouble else ""
    return Seen({"image": Fact(value)})


def of_image(about: About) -> Judgement | None:
    """Applies where `--image` names one."""
    return None if about.image else skipped("no-image", "no image was asked about (--image)")


def _config(fact: Fact) -> ImageFacts:
    return from_plain(ImageFacts, fact["config"])


def judge_python(fact: Fact, about: About) -> Judgement:
    """Somebody can look inside: a python3 that a plain user may run."""
    inside = fact["inside"]
    if inside is None:
        return failed(
            "image-closed",
            "this image has no python3 that a plain user can run: nothing in it can be looked at",
            expected="python3 ≥ 3.8 on PATH",
            observed=fact["trouble"],
            hint="chmod the environment's folder for everyone, or put python3 on PATH; `--skip image.python` leaves it out",
        )
    system = inside["system"].get("PRETTY_NAME") or "an unnamed system"
    return passed(
        f"Python {inside['python']} on {system}, {inside['libc'] or 'libc not told'}", observed=inside["executable"]
    )


def judge_predicts(fact: Fact, about: About) -> Judgement:
    """What it will run on. Judged against this machine's GPUs where it has any."""
    config, torch = _config(fact), fact["torch"]
    if torch is None and not config.cuda and not config.requires:
        why = fact["torch_error"] or {}
        if why.get("type") not in (None, "ModuleNotFoundError"):
            return unknown(
                "torch-broken", "torch is in this image and does not import", observed=str(why.get("message")), hint=BY_HAND
            )
        return skipped("no-cuda", "neither torch nor CUDA is in this image: any machine will do")
    if torch and not torch["cuda"]:
        return passed("will run on: any machine, without a GPU (torch is a CPU build)", observed=torch["version"])
    matrix = load_matrix()
    cuda = torch["cuda"] if torch else ".".join(config.cuda.split(".")[:2])
    floor, lines = _driver_floor(matrix, cuda, config)
    if not floor:
        return unknown("cuda-unheard-of", f"no driver is known for CUDA {cuda}", evidence="\n".join(lines), hint=NEWER)
    flags = tuple(torch["flags"]) if torch else ()
    told = f"will run on: driver ≥ {floor}, {_capabilities(flags)}"
    lines += [f"torch {torch['version']} was compiled for {' '.join(flags)}"] if torch else ["no torch that could be asked"]
    brands = let_through(config.requires, about.facts.gpu.driver)
    if brands and _older(about.facts.gpu.driver, floor):
        summary = f"{told}; this machine's driver is let through for {', '.join(brands)} alone"
        return warned("brand-only", summary, observed=about.facts.gpu.driver, evidence="\n".join(lines), hint=RESOLVE)
    return _here(about, floor, flags, told, "\n".join(lines))


def _driver_floor(matrix: Matrix, cuda: str, config: ImageFacts) -> tuple[str, list[str]]:
    """Minor-version compatibility sets the floor, NVIDIA_REQUIRE_CUDA may raise it."""
    floors, lines = [], []
    major = next((row for row in matrix.floors if cuda and row.major == version(cuda)[0]), None)
    if major:
        floors.append(major.driver)
        lines.append(f"CUDA {cuda}: driver ≥ {major.driver} ({major.source})")
        full = _reports(matrix, cuda)
        lines += [f"with PTX compiled at run time: driver ≥ {full}"] if full and full != major.driver else []
    required = cuda_floor(config.requires)
    if required:
        needed = _reports(matrix, required)
        lines.append(f"NVIDIA_REQUIRE_CUDA wants cuda>={required}: driver ≥ {needed or 'not in the table'}")
        floors += [needed] if needed else []
        lines += [f"or, by brand, driver branch {branch}" for branch in branches(config.requires)]
    return max(floors, key=version, default=""), lines


def _reports(matrix: Matrix, cuda: str) -> str:
    """The oldest driver known to report this CUDA version or a newer one."""
    enough = [row.driver for row in matrix.toolkits if version(row.toolkit) >= version(cuda)[:2]]
    return min(enough, key=version, default="")


def _capabilities(flags: Sequence[str]) -> str:
    found = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[af]?", flag) for flag in flags]
    numbers = {kind: sorted({(int(m[2]), int(m[3])) for m in found if m and m[1] == kind}) for kind in ("sm", "compute")}
    if not numbers["sm"] and not numbers["compute"]:
        return "capability not told"
    words = ", ".join(f"{major}.{minor}" for major, minor in numbers["sm"])
    newer = f" and newer than {'.'.join(map(str, numbers['compute'][-1]))} by PTX" if numbers["compute"] else ""
    return f"capability {words}{newer}"


def _here(about: About, floor: str, flags: Sequence[str], told: str, evidence: str) -> Judgement:
    """The prediction, held against the driver and the GPUs of this machine where there are any."""
    gpu = about.facts.gpu
    driver = gpu.driver
    if _older(driver, floor):
        return failed(
            "driver-too-old",
            f"{told}; this machine's driver is {driver}",
            expected=f"driver ≥ {floor}",
            observed=driver,
            evidence=evidence,
            hint=RESOLVE,
        )
    capabilities = {card.compute_capability for card in gpu.gpus if card.compute_capability}
    lost = [found for found in sorted(capabilities) if flags and not runs_on(flags, _pair(found))]
    if lost:
        return failed(
            "arch-missing",
            f"{told}; this machine has {', '.join(lost)}",
            expected=f"sm_{lost[0].replace('.', '')} or its PTX",
            observed=" ".join(flags),
            evidence=evidence,
            hint="provision image resolve",
        )
    return passed(told, observed=floor, evidence=evidence)


def _older(driver: str, floor: str) -> bool:
    """Whether the driver is there and older; what follows its numbers is a distribution's own."""
    match = re.match(r"\d+(\.\d+)*", driver or "")
    return match is not None and version(match[0]) < version(floor)


def _pair(capability: str) -> tuple[int, int]:
    major, minor = version(capability)[:2]
    return major, minor


def judge_compat(fact: Fact, about: About) -> Judgement:
    """cuda-compat's libcuda: a help on data-centre GPUs, error 803 or 804 elsewhere."""
    found = (fact["inside"] or {}).get("compat")
    if found is None:
        return unknown("not-looked-at", "nobody could look for compat libraries", observed=fact["trouble"], hint=BY_HAND)
    active = [library for library in found if library["searched"]]
    if not found:
        return passed("no compat library")
    evidence = "\n".join(f"{library['path']}, searched: {library['searched']}" for library in found)
    if not active:
        return passed(f"compat library {found[0]['driver']}, not on the loader's path", evidence=evidence)
    consumer = [card.name for card in about.facts.gpu.gpus if "GeForce" in card.name]
    hint = "remove it from LD_LIBRARY_PATH and ld.so.conf.d, or run on a data-centre GPU"
    if consumer:
        return failed("compat-on-geforce", f"compat library on {consumer[0]}: error 804", evidence=evidence, hint=hint)
    told = f"compat library {active[0]['driver']} is loaded before the driver's own: on a GeForce it is error 804"
    return warned("compat-active", told, evidence=evidence, hint=hint)


def judge_tools(fact: Fact, about: About) -> Judgement:
    """What compiles kernels at run time. Without a toolkit there is nothing to be incomplete."""
    inside = fact["inside"]
    if inside is None:
        return unknown("not-looked-at", "nobody could look for tools", observed=fact["trouble"], hint=BY_HAND)
    there = [tool for tool in (*COMPILING, *LOOKING) if inside["tools"][tool]]
    if not inside["tools"]["nvcc"]:
        only = f"; {', '.join(there)} alone" if there else ""
        return skipped("no-toolkit", f"no nvcc in this image{only}: nothing can be compiled in it")
    missing = [tool for tool in COMPILING if tool not in there]
    missing += [] if inside["host_compiler"] else ["g++"]
    evidence = "\n".join(f"{tool}: {inside['tools'][tool]}" for tool in there)
    if missing:
        hint = "cuda-toolkit[nvcc,cccl] brings them; apt-get install g++"
        return warned("toolkit-incomplete", f"nvcc is here without {', '.join(missing)}", evidence=evidence, hint=hint)
    return passed(f"{', '.join(there)} and {inside['host_compiler']}", evidence=evidence)


def judge_secrets(fact: Fact, about: About) -> Judgement:
    """Nothing in environment, labels, history or the usual files that whoever pulls the image should not have."""
    config, inside = _config(fact), fact["inside"] or {}
    lines = [f"{secret.where}: {secret.what} ({secret.begins})" for secret in config.secrets]
    lines += [f"file {path}" for path in inside.get("credentials", ())]
    if lines:
        return failed(
            "secrets-inside",
            f"{len(lines)} credentials go wherever this image goes",
            evidence="\n".join(lines),
            hint="revoke them; build again with `RUN --mount=type=secret,id=token …`, which leaves no trace in a layer",
        )
    closed = inside.get("closed_homes") or ()
    unseen = f"; not looked into: {', '.join(closed)}" if closed else "" if inside else "; its files were not looked at"
    return passed(f"none in environment, labels or history{unseen}")


def judge_user(fact: Fact, about: About) -> Judgement:
    """Root is what everything starts as unless somebody says otherwise."""
    config = _config(fact)
    if config.is_root:
        hint = "in the Dockerfile: RUN useradd --create-home app, then USER app"
        return warned("runs-as-root", "containers of it run as root unless told otherwise", expected="USER", hint=hint)
    return passed(f"runs as {config.user}", observed=config.user)


def judge_size(fact: Fact, about: About) -> Judgement:
    """Bytes that every machine has to fetch."""
    config = _config(fact)
    told = f"{config.size / GIB:.2f} GiB in {config.layers} layers"
    if config.size > SIZE_WARN.value:
        hint = f"docker history {config.reference}   # which step brings them?"
        return warned("image-large", told, expected=f"≤ {SIZE_WARN.value / GIB:g} GiB", hint=hint)
    return passed(told, observed=str(config.size))


def judge_environment(fact: Fact, about: About) -> Judgement:
    """Variables that make a machine look broken which is not."""
    environment = _config(fact).environment
    lines = [f"{name}={environment[name]}: {why}" for name, why in HOSTILE.items() if environment.get(name)]
    lines += [f"{name}: {why}" for name, why in _odd(environment)]
    if lines:
        names = ", ".join(line.partition("=")[0].partition(":")[0] for line in lines)
        return warned("environment-hostile", f"set in the image: {names}", evidence="\n".join(lines), hint="unset them")
    return passed(f"{len(environment)} variables, none in the way")


def _odd(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    found = []
    wanted = environment.get("NVIDIA_DRIVER_CAPABILITIES")
    if wanted and not {"compute", "all"} & set(wanted.split(",")):
        found.append(("NVIDIA_DRIVER_CAPABILITIES", f"{wanted} lacks compute: torch finds no GPU"))
    if "NVIDIA_VISIBLE_DEVICES" in environment and environment["NVIDIA_VISIBLE_DEVICES"] in BLIND:
        found.append(("NVIDIA_VISIBLE_DEVICES", "gives the container no GPU"))
    if "/stubs" in environment.get("LD_LIBRARY_PATH", ""):
        found.append(("LD_LIBRARY_PATH", "holds the toolkit's stubs: libcuda there does nothing, and error 34 follows"))
    return found


def judge_healthcheck(fact: Fact, about: About) -> Judgement:
    """How an engine would tell that a service in it is alive."""
    words = _config(fact).healthcheck
    if not words or words[0] == "NONE":
        return skipped("no-healthcheck", "the image names no health check")
    return passed(" ".join(words[1:]), observed=words[0])


CHECKS = (
    Check("image.python", judge_python, "image", fact="image", applies=of_image, required=always),
    Check("image.predicts", judge_predicts, "image", fact="image", applies=of_image),
    Check("image.compat", judge_compat, "image", fact="image", needs=("image.python",), applies=of_image),
    Check("image.tools", judge_tools, "image", fact="image", needs=("image.python",), applies=of_image),
    Check("image.secrets", judge_secrets, "image", fact="image", applies=of_image, required=always),
    Check("image.user", judge_user, "image", fact="image", applies=of_image),
    Check("image.size", judge_size, "image", fact="image", applies=of_image),
    Check("image.environment", judge_environment, "image", fact="image", applies=of_image),
    Check("image.healthcheck", judge_healthcheck, "image", fact="image", applies=of_image),
)
