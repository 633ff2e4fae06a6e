"""torch: imported, on the GPU it should be on, with kernels for it that run and are right."""

from __future__ import annotations

import re
from collections.abc import Sequence

from checks.interface import About, Check, Fact, Judgement, always, failed, on_gpu, passed, skipped, unknown, warned
from checks.thresholds import GIB, GPU_FREE_WARN
from checks.toolkit import RELEASE

TOLERANCE = 1e-2  # of the largest element; TF32 matmul keeps 10 bits of mantissa (NVIDIA, Ampere white paper)
NVIDIA = "nvidia-smi; dmesg | tail; then: python3 -m torch.utils.collect_env"
EAGER = "TORCHDYNAMO_DISABLE=1 …   # and upgrade torch and triton"
INIT_ERRORS = {  # CUDA runtime API, cudaError: number in the message → code, what to do
    "802": (
        "fabric-manager",
        "start the fabric manager of the driver's very version: `systemctl restart nvidia-fabricmanager`",
    ),
    "803": ("compat-mismatch", "remove the cuda-compat package, or its folder from LD_LIBRARY_PATH"),
    "804": ("compat-unsupported", "cuda-compat works on data-centre GPUs only: remove it, or raise the driver"),
    "999": ("cuda-unknown", "reload the module: `sudo rmmod nvidia_uvm; sudo modprobe nvidia_uvm`, else reboot"),
}


def judge_import(fact: Fact, about: About) -> Judgement:
    """Fail where torch is not there or will not load, warn of CUDA libraries from outside the wheel."""
    if fact.error:
        missing = fact.error["type"] == "ModuleNotFoundError"
        return failed(
            "torch-missing" if missing else "torch-broken",
            "torch is not installed in this environment" if missing else "torch does not import",
            expected="import torch",
            observed=f"{fact.error['type']}: {fact.error['message']}",
            hint=("provision up" if about.spec.profile != "bare" else "provision up --profile smoke")
            if missing
            else "the wheel and its CUDA packages do not fit: provision up --engine local builds a whole one",
        )
    told = f"torch {fact['version']}, Python {fact['python']}"
    if fact["foreign_libraries"]:
        return warned(
            "foreign-cuda-libraries",
            f"{told}, with CUDA libraries from outside the wheel",
            evidence="\n".join(fact["foreign_libraries"]),
            hint="unset LD_LIBRARY_PATH (pytorch#140797: __nvJitLink and friends)",
        )
    return passed(told, observed=str(fact["version"]))


def judge_cuda(fact: Fact, about: About) -> Judgement:
    """The most common mistake is a `+cpu` wheel on a GPU machine."""
    if fact.error:
        return failed("cuda-init", "CUDA does not initialise", observed=fact.error["message"], hint=NVIDIA)
    if fact["available"]:
        return passed(f"{fact['count']} × {', '.join(sorted(set(fact['devices'])))}", observed=str(fact["count"]))
    why = str(fact.value.get("why", ""))
    if not why:
        return failed(
            "cpu-wheel",
            "this torch is built for the CPU alone, on a machine that is to compute on a GPU",
            expected="a CUDA build of torch",
            observed="torch.version.cuda is None",
            hint=_wheel_hint(about),
        )
    for number, (code, hint) in INIT_ERRORS.items():
        if f"{number}:" in why or f"error {number}" in why.lower():
            return failed(code, f"CUDA does not initialise: error {number}", evidence=why, hint=hint)
    return failed("cuda-unavailable", "torch is built for CUDA and finds no usable GPU", evidence=why, hint="nvidia-smi")


def _wheel_hint(about: About) -> str:
    chosen = about.resolution
    if chosen is None or not chosen.ok:
        return "provision image resolve"
    return f"pip install '{chosen.torch_requirement}'" + (f" --index-url {chosen.index}" if chosen.index else "")


def judge_arch(fact: Fact, about: About) -> Judgement:
    """`is_available()` is True and the kernel fails: pytorch#167244. A cubin runs within one compute major only."""
    if fact.error:
        return failed(
            "arch-unreadable", "torch does not tell its architectures", observed=fact.error["message"], hint=NVIDIA
        )
    flags = tuple(fact["flags"])
    lost = [f"{major}.{minor}" for major, minor in fact["capabilities"] if not runs_on(flags, (major, minor))]
    if lost:
        return failed(
            "arch-missing",
            f"this torch has no kernels for compute capability {', '.join(lost)}",
            expected=f"sm_{lost[0].replace('.', '')} or its PTX",
            observed=" ".join(flags),
            hint=_wheel_hint(about),
        )
    return passed("kernels for every GPU here", observed=" ".join(flags))


def runs_on(flags: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether any of torch's architecture flags (`sm_86`, `sm_90a`, `compute_120`) serves a GPU of that capability.

    Machine code runs within its compute major on the same minor or a newer one, PTX on anything newer (CUDA C++
    Programming Guide, binary and PTX compatibility); an `a` flag on its own capability alone.
    """
    for flag in flags:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", flag)
        if not match:
            continue
        own = (int(match[2]), int(match[3]))
        if match[4]:
            served = own == capability
        else:
            served = own <= capability and (match[1] == "compute" or own[0] == capability[0])
        if served:
            return True
    return False


def judge_kernel(fact: Fact, about: About) -> Judgement:
    """A real add and matmul, compared with the CPU in double precision."""
    if fact.error:
        return failed(
            "kernel-failed", "a small matmul does not run", observed=fact.error["message"], hint=_wheel_hint(about)
        )
    for made in fact["devices"]:
        if not made["finite"] or made["relative_error"] > TOLERANCE:
            return failed(
                "kernel-wrong",
                f"a small matmul on {made['device']} is wrong",
                expected=f"within {TOLERANCE:g} of the CPU's",
                observed=f"relative error {made['relative_error']:.3g}, finite: {made['finite']}",
                hint="the GPU or its memory is suspect: nvidia-smi -q -d ECC,ROW_REMAPPER",
            )
    worst = max(made["relative_error"] for made in fact["devices"])
    return passed(f"matmul right on {', '.join(made['device'] for made in fact['devices'])}", observed=f"{worst:.1e}")


def judge_dtypes(fact: Fact, about: About) -> Judgement:
    """Every dtype that models come in multiplies exactly; float8 is asked for only where the GPUs have it."""
    if fact.error:
        return failed("dtypes-failed", "dtypes could not be tried", observed=fact.error["message"], hint=NVIDIA)
    tried = {name: answer for name, answer in fact.value.items() if answer is not None}
    bad = {name: answer for name, answer in tried.items() if answer is not True}
    if bad:
        hint = "choose one that works: dtype=torch.float32"
        return warned("dtype-unsupported", f"not usable here: {', '.join(bad)}", evidence=str(bad), hint=hint)
    return passed(" ".join(tried))


def judge_sdpa(fact: Fact, about: About) -> Judgement:
    """Attention, causal, against its formula."""
    if fact.error:
        hint = 'load with attn_implementation="eager" and compare'
        return failed("sdpa-failed", "scaled_dot_product_attention does not run", observed=fact.error["message"], hint=hint)
    for made in fact["devices"]:
        if not made["finite"] or made["relative_error"] > TOLERANCE:
            return failed(
                "sdpa-wrong",
                f"attention on {made['device']} is wrong",
                expected=f"within {TOLERANCE:g} of the formula",
                observed=f"relative error {made['relative_error']:.3g}, finite: {made['finite']}",
                hint='load with attn_implementation="eager", and upgrade torch',
            )
    return passed(f"attention right on {', '.join(made['device'] for made in fact['devices'])}")


def when_asked(about: About) -> Judgement | None:
    """Applies where `--only` or the spec names it: the first compilation takes 10 to 60 s."""
    if "torch.compile" in {*about.asked, *about.spec.checks.required}:
        return None
    return skipped("not-asked", "compiling takes up to a minute: --only torch.compile")


def judge_compile(fact: Fact, about: About) -> Judgement:
    """A small function through torch.compile."""
    if fact.error:
        return failed(
            "compile-failed",
            "torch.compile does not work here",
            observed=fact.error["message"][:400],
            hint="apt-get install g++ python3-dev   # inductor compiles C++ and Triton kernels at run time",
        )
    if not fact["difference"] <= TOLERANCE:
        return failed(
            "compile-wrong", "the compiled function gives another answer", observed=str(fact["difference"]), hint=EAGER
        )
    return passed(f"compiled in {fact['seconds']:.1f} s", observed=f"{fact['difference']:.1e}")


def judge_memory(fact: Fact, about: About) -> Judgement:
    """How much of each GPU others hold already."""
    if fact.error:
        return unknown("memory-unread", "the GPUs' memory cannot be read", observed=fact.error["message"], hint=NVIDIA)
    told = [f"{free / GIB:.1f} of {total / GIB:.1f} GiB free" for free, total in fact["devices"]]
    held = [
        f"{process.name} (pid {process.pid}): {(process.memory or 0) / GIB:.1f} GiB of {card.name}"
        for card in about.facts.gpu.gpus
        for process in card.processes
    ]
    if any(free < GPU_FREE_WARN.value / 100 * total for free, total in fact["devices"]):
        return warned(
            "gpu-busy",
            f"others hold most of a GPU: {', '.join(told)}",
            expected=f"≥ {GPU_FREE_WARN.value} % free",
            evidence="\n".join(held),
            hint="nvidia-smi   # then end what you do not need, or CUDA_VISIBLE_DEVICES=… to choose another GPU",
        )
    return passed(", ".join(told) or "no GPU in use")


def judge_toolkit(fact: Fact, about: About) -> Judgement:
    """Extensions are compiled with nvcc and loaded into torch: both must be of one CUDA major version."""
    if fact.error:
        return unknown("torch-unread", "torch's CUDA version is not known", observed=fact.error["message"], hint=NVIDIA)
    there = about.told.get("toolkit.nvcc.version")
    release = RELEASE.search(there.value["output"]["out"]) if there and there.value.get("path") else None
    if release is None or not fact["cuda"]:
        return skipped("nothing-to-compare", "no nvcc beside this torch, or no CUDA in it")
    told = f"nvcc {release[1]}, torch for CUDA {fact['cuda']}"
    if release[1].split(".")[0] != str(fact["cuda"]).split(".")[0]:
        return warned(
            "toolkit-other-major",
            f"extensions cannot be built: {told}",
            expected=f"nvcc {str(fact['cuda']).split('.')[0]}.x",
            observed=release[1],
            hint="set CUDA_HOME to a toolkit of torch's major version",
        )
    return passed(told)


CHECKS = (
    Check("torch.import", judge_import, "runtime", needs=("engine.environment",), required=always),
    Check(
        "torch.cuda.available",
        judge_cuda,
        "runtime",
        needs=("torch.import", "host.gpu.visible", "engine.gpu_uuids", "toolkit.libcuda"),
        applies=on_gpu,
        required=always,
    ),
    Check("torch.arch.supported", judge_arch, "runtime", needs=("torch.cuda.available",), applies=on_gpu, required=always),
    Check("torch.kernel.runs", judge_kernel, "runtime", needs=("torch.import", "torch.arch.supported"), required=always),
    Check("torch.dtypes", judge_dtypes, "runtime", needs=("torch.kernel.runs",)),
    Check("torch.sdpa", judge_sdpa, "runtime", needs=("torch.kernel.runs",), required=always),
    Check("torch.memory", judge_memory, "runtime", needs=("torch.cuda.available",), applies=on_gpu),
    Check("torch.toolkit", judge_toolkit, "runtime", "torch.import", needs=("torch.import", "toolkit.nvcc.version")),
    Check("torch.compile", judge_compile, "runtime", needs=("torch.kernel.runs",), applies=when_asked),
)
