"""The container engine, and what a container gets of the machine."""

from __future__ import annotations

import re
from dataclasses import replace

from checks.interface import About, Check, Fact, Judgement, always, failed, passed, skipped, unknown, warned
from checks.thresholds import GIB, SHM_GPUS_WARN, SHM_WARN
from provision.facts.engine import EngineState

LOOK = "provision run -- env"
INSIDE = "provision run -- nvidia-smi -L"
HINTS = {
    EngineState.NO_SOCKET: "install Docker and `sudo systemctl start docker`, or use --engine local",
    EngineState.PERMISSION: "sudo usermod -aG docker $USER, then log in again; or use --engine local",
    EngineState.NOT_RUNNING: "sudo systemctl start docker, or use --engine local",
}


WORDS = (  # what engines say when a container does not start → code, hint
    (
        r"unsatisfied condition: (?:cuda|driver|brand|arch)",
        "image-needs-newer-driver",
        "take an older image, or raise the driver: provision image resolve",
    ),
    (
        r"could not select device driver|Unknown runtime specified nvidia|unresolvable CDI devices",
        "gpu-runtime-missing",
        "install nvidia-container-toolkit; sudo nvidia-ctk runtime configure; sudo systemctl restart docker",
    ),
    (
        r"initialization error: (?:nvml|driver)|nvidia-container-cli",
        "gpu-hook-failed",
        "nvidia-container-cli -k -d /dev/tty info",
    ),
    (r"no space left on device", "disk-full", "docker system prune"),
    (
        r"container-init binary not found",
        "init-missing",
        "Podman's init is not on its machine: apt-get install catatonit",
    ),
    (
        r"unable to setup user: invalid argument",
        "user-unmapped",
        "a rootless engine has no ids to map: sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER",
    ),
    (
        r"bind source path does not exist|statfs \S+: no such file",
        "folder-elsewhere",
        "the engine's machine has no such folder: run provision there",
    ),
    (r"there is no image", "image-missing", "provision up   # or docker pull"),
    (r"exec format error", "other-architecture", "take an image of this machine's architecture: docker pull --platform"),
)


def in_container(about: About) -> Judgement | None:
    """Applies where an engine is in use."""
    return None if about.engine == "docker" else skipped("no-engine", "no engine in use: this is the local one")


def engine_known(about: About) -> Judgement | None:
    """Applies where an engine is in use, or one answered though nobody asked for it."""
    return None if about.facts.engine.state is EngineState.REACHABLE else in_container(about)


def gpu_in_container(about: About) -> Judgement | None:
    """Applies where a container is to see GPUs."""
    not_here = in_container(about)
    if not_here or about.wants_gpu:
        return not_here
    return skipped("no-gpu", "no NVIDIA GPU here, and none was asked for")


def gpu_for_engine(about: About) -> Judgement | None:
    """Applies where an engine, in use or not, could be asked for GPUs."""
    not_here = engine_known(about)
    return not_here if not_here or about.wants_gpu else skipped("no-gpu", "no NVIDIA GPU here, and none was asked for")


def is_used(about: About) -> bool:
    """Required where the engine is in use."""
    return about.engine == "docker"


def judge_reachable(fact: Fact, about: About) -> Judgement:
    """An engine answered."""
    engine = about.facts.engine
    if engine.state is not EngineState.REACHABLE:
        hint = HINTS.get(engine.state, "docker info")
        return failed("engine-unreachable", "no container engine answers", evidence=engine.detail, hint=hint)
    return passed(f"{engine.kind} {engine.version}, API {engine.api_version}", observed=engine.version)


def judge_runtime(fact: Fact, about: About) -> Judgement:
    """An nvidia runtime or CDI devices, looked for before anything is created: a request fails only at start. An engine
    that nobody uses is only warned of."""
    engine = about.facts.engine
    if engine.gpu_capable:
        how = "CDI" if engine.cdi_gpus else "nvidia runtime" if engine.nvidia_runtime else "the container toolkit's hook"
        return passed(how, observed=", ".join(engine.cdi_devices or engine.runtimes))
    generate = [f"sudo nvidia-ctk cdi generate --output={folder}/nvidia.yaml" for folder in engine.cdi_spec_dirs[:1]]
    return (failed if is_used(about) else warned)(
        "gpu-runtime-missing",
        "the engine knows no way to give a container a GPU",
        expected="an nvidia runtime, or CDI devices",
        observed=", ".join((*engine.runtimes, *engine.cdi_devices)),
        hint="; ".join(["install nvidia-container-toolkit", *generate]) if generate else WORDS[1][2],
    )


def judge_environment(fact: Fact, about: About) -> Judgement:
    """The container starts, or the environment's python does, and says who it is."""
    if fact.error:
        return failed("environment-odd", "the environment's python stumbles", observed=fact.error["message"], hint=LOOK)
    return passed(f"Python {fact['version']} at {fact['executable']}", observed=str(fact["version"]))


def explain_trouble(trouble: Judgement) -> Judgement:
    """Return why a place could not be entered, by the words of whoever refused."""
    words = f"{trouble.summary}\n{trouble.evidence}"
    for pattern, code, hint in WORDS:
        if re.search(pattern, words, re.IGNORECASE):
            return replace(trouble, code=code, hint=hint)
    return trouble


def judge_uuids(fact: Fact, about: About) -> Judgement:
    """The GPUs inside are those outside: some engines ignore the request in silence, and a restart can take them away."""
    if fact.error:
        return unknown(
            "inside-unread", "the container's GPUs cannot be listed", observed=fact.error["message"], hint=INSIDE
        )
    outside = {card.uuid for card in about.facts.gpu.gpus}
    if not fact["smi"] and not fact["nodes"]:
        return failed(
            "gpu-not-passed",
            f"{about.facts.engine.kind} started the container without a GPU and said nothing",
            expected=f"{len(outside)} GPUs inside",
            observed="no device node and no nvidia-smi",
            hint="docker run --gpus all …; podman: --device nvidia.com/gpu=all",
        )
    if not fact["smi"]:
        return passed(f"{len(fact['nodes'])} device nodes; no nvidia-smi inside to ask", observed=" ".join(fact["nodes"]))
    if fact["code"]:
        return failed(
            "gpu-detached",
            "the driver answers outside and not inside: the container has lost its GPUs",
            evidence=fact["words"],
            hint="make the container anew; a daemon-reload takes device rights away (nvidia-container-toolkit#48): use CDI",
        )
    if set(fact["uuids"]) != outside:
        return failed(
            "uuids-differ",
            f"{len(fact['uuids'])} GPUs inside, {len(outside)} outside",
            expected=" ".join(sorted(outside)),
            observed=" ".join(sorted(fact["uuids"])),
            hint="look at NVIDIA_VISIBLE_DEVICES and --gpus",
        )
    return passed(f"the same {len(outside)} GPUs inside as outside")


HOSTILE = {  # variable → what it does (CUDA and ld.so documentation; CHECKS, R7)
    "LD_PRELOAD": "loads a library into every process",
    "CUDA_INJECTION64_PATH": "loads a library into every CUDA process",
    "NVTX_INJECTION64_PATH": "loads a library into every CUDA process",
    "CUDA_LAUNCH_BLOCKING": "makes every kernel launch wait",
    "CUDA_DEBUGGER_SOFTWARE_PREEMPTION": "slows every kernel for a debugger",
    "CUDA_DEVICE_WAITS_ON_EXCEPTION": "stops a process for a debugger at an exception",
}


def judge_variables(fact: Fact, about: About) -> Judgement:
    """Variables that change CUDA behind the user's back, and those that hide every GPU."""
    if fact.error:
        return unknown(
            "variables-unread", "the environment's variables cannot be read", observed=fact.error["message"], hint=LOOK
        )
    there = fact["settings"]
    found = [f"{name}={there[name]}: {what}" for name, what in HOSTILE.items() if there.get(name) not in (None, "", "0")]
    visible = there.get("CUDA_VISIBLE_DEVICES")
    if about.wants_gpu and visible is not None and visible.strip() in ("", "-1", "none", "NoDevFiles"):
        found.append(f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU")
    slices = any(card.mig for card in about.facts.gpu.gpus)
    if slices and visible and not all(part.strip().startswith(("MIG-", "GPU-")) for part in visible.split(",")):
        found.append(f"CUDA_VISIBLE_DEVICES={visible}: with MIG a slice is named by its UUID")
    if found:
        names = " ".join(line.split("=", 1)[0] for line in found)
        return warned(
            "hostile-variables", f"set here: {names}", evidence="\n".join(found), hint=f"unset {names}   # if not meant"
        )
    return passed("none that change CUDA behind your back")


def judge_shm(fact: Fact, about: About) -> Judgement:
    """Shared memory inside."""
    if fact.error:
        return unknown("shm-unread", "/dev/shm cannot be looked at", observed=fact.error["message"], hint="df -h /dev/shm")
    told = f"{fact['bytes'] / GIB:.2f} GiB of /dev/shm"
    spread = about.spec.generation.tensor_parallel > 1
    several = spread or (len(about.facts.gpu.gpus) > 1 and about.wants_gpu)
    if fact["bytes"] < SHM_WARN.value:
        hint = "docker run --shm-size 16g …   # in compose: shm_size: 16gb"
        said = failed if several else warned
        return said("shm-small", told, expected=f"≥ {SHM_WARN.value / GIB:g} GiB", hint=hint)
    if several and fact["bytes"] < SHM_GPUS_WARN.value:
        hint = "docker run --shm-size 16g …   # or --ipc host"
        count = about.spec.generation.tensor_parallel if spread else len(about.facts.gpu.gpus)
        summary = f"{told}: little for {count} GPUs in one model"
        return (failed if spread else warned)(
            "shm-small-for-gpus", summary, expected=f"≥ {SHM_GPUS_WARN.value / GIB:g} GiB", hint=hint
        )
    return passed(told)


CHECKS = (
    Check("engine.reachable", judge_reachable, applies=engine_known, required=is_used),
    Check(
        "engine.gpu_runtime",
        judge_runtime,
        needs=("engine.reachable", "host.driver.loaded"),
        applies=gpu_for_engine,
        required=is_used,
    ),
    Check(
        "engine.environment",
        judge_environment,
        "environment",
        "environment.python",
        needs=("engine.reachable", "engine.gpu_runtime"),
        required=always,
        explain=explain_trouble,
    ),
    Check("engine.shm", judge_shm, "environment", needs=("engine.environment",), applies=in_container),
    Check(
        "engine.gpu_uuids",
        judge_uuids,
        "environment",
        needs=("engine.environment", "host.gpu.visible", "engine.gpu_runtime"),
        applies=gpu_in_container,
        required=always,
    ),
    Check("engine.variables", judge_variables, "environment", "environment.python", needs=("engine.environment",)),
)
