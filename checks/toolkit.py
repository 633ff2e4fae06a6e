"""nvcc: there, of the version that was pinned, and able to compile a kernel for this machine."""

from __future__ import annotations

import re

from checks.interface import About, Check, Fact, Judgement, always, failed, on_gpu, passed, skipped, unknown, warned

RELEASE = re.compile(r"release (\d+\.\d+), V([\d.]+)")  # nvcc's own words, the same since CUDA 4
NVCC = "type -a nvcc; nvcc --version   # a wrapper, or the rest of another toolkit? provision up installs a whole one"
ELF = "7f454c46"  # a cubin is an ELF file (CUDA Binary Utilities)


def judge_version(fact: Fact, about: About) -> Judgement:
    """Skip where there is none and none was asked for; compare with the resolution's toolkit where there is one."""
    if fact.error:
        return failed("nvcc-broken", "nvcc does not say its version", observed=fact.error["message"], hint=NVCC)
    if not fact["path"]:
        if _wanted(about):
            return failed("nvcc-missing", "nvcc is not in this environment", expected="nvcc", hint="provision up")
        return skipped("no-toolkit", "no nvcc here, and none was asked for (image.toolkit)")
    told = fact["output"]
    match = RELEASE.search(told["out"])
    if told["code"] or not match:
        return failed("nvcc-broken", "nvcc does not say its version", observed=told["out"], evidence=told["err"], hint=NVCC)
    summary = f"nvcc {match[2]} at {fact['path']}"
    pinned = about.resolution.cuda_toolkit if about.resolution and _wanted(about) else None
    if pinned and match[1] != ".".join(pinned.split(".")[:2]):
        return failed("nvcc-other-version", summary, expected=f"CUDA {pinned}", observed=match[1], hint="provision up")
    return passed(summary, observed=match[2], evidence=told["out"].strip())


def judge_compile(fact: Fact, about: About) -> Judgement:
    """A kernel with the half-precision header, to a cubin."""
    if fact.error:
        return failed("nvcc-broken", "nvcc could not be run", observed=fact.error["message"], hint=NVCC)
    told = fact["told"]
    if told["code"] or not fact["bytes"]:
        words = told["err"] or told["out"]
        hint = "the toolkit's headers are incomplete: provision up"
        if re.search(r"Could not open output file|No space left|Read-only file system", words):
            hint = "df -h ${TMPDIR:-/tmp}; ls -ld ${TMPDIR:-/tmp}   # nvcc writes its pieces there, and cannot"
        elif not fact["host_compiler"]:
            hint = "nvcc needs a host compiler: apt-get install g++"
        return failed(
            "nvcc-compile-failed",
            f"nvcc does not compile for {fact['architecture']}",
            observed=f"exit {told['code']}",
            evidence=words[-2000:],
            hint=hint,
        )
    if fact["magic"] != ELF:
        return warned("cubin-odd", "nvcc made something that is no ELF file", observed=str(fact["magic"]), hint=NVCC)
    return passed(f"compiled a kernel for {fact['architecture']}", observed=f"{fact['bytes']} bytes of cubin")


def judge_runs(fact: Fact, about: About) -> Judgement:
    """The compiled kernel, loaded through the driver and run on the GPU it was compiled for."""
    if fact.error:
        return failed(
            "nvcc-kernel-failed",
            "a freshly compiled kernel does not run",
            observed=fact.error["message"],
            hint="CUDA_LAUNCH_BLOCKING=1 compute-sanitizer …; if error 222 or 218: the toolkit is newer than the driver",
        )
    if not fact["right"]:
        return failed("nvcc-kernel-wrong", "a freshly compiled kernel gives a wrong answer", hint="nvidia-smi -q -d ECC")
    return passed(f"a freshly compiled kernel is right on device {fact['device']}")


def judge_jit(fact: Fact, about: About) -> Judgement:
    """What Triton, CuPy, FlashInfer and others call while a program runs."""
    if fact.error:
        return unknown(
            "tools-unread", "the toolkit's programs cannot be looked for", observed=fact.error["message"], hint=NVCC
        )
    lost = sorted(tool for tool, path in fact["tools"].items() if not path)
    if lost == ["cuobjdump"]:
        return passed("nvcc ptxas fatbinary nvlink; no cuobjdump, which only reads binaries", code="no-cuobjdump")
    if lost:
        return warned(
            "jit-tools-missing",
            f"compiling at run time will fail: no {', '.join(lost)}",
            expected=" ".join(fact["tools"]),
            observed=" ".join(sorted(set(fact["tools"]) - set(lost))),
            hint="pip install 'cuda-toolkit[nvcc]'   # or the devel image, or cuda-nvcc and cuda-cuobjdump from apt",
        )
    return passed(" ".join(fact["tools"]))


def judge_libcuda(fact: Fact, about: About) -> Judgement:
    """The driver's own libcuda must come first: a stub computes nothing, a compat library refuses GeForce cards."""
    if fact.error:
        return unknown(
            "libcuda-unread",
            "libcuda could not be looked at",
            observed=fact.error["message"],
            hint="ldconfig -p | grep libcuda",
        )
    path = fact["path"]
    if path is None:
        return failed(
            "libcuda-missing",
            "there is no libcuda.so.1 here: the driver's user half is not in this environment",
            observed=str(fact.value.get("why", "")),
            hint="docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility …; on a host: install the driver",
        )
    if "/stubs/" in path:
        return failed("cuda-stub", "the linker's stub stands before the driver's libcuda", observed=path, hint=UNSET)
    ordinary = [card.name for card in about.facts.gpu.gpus if re.search(r"GeForce|RTX \d{4}|GTX|TITAN", card.name)]
    if "compat" in path and ordinary:
        return failed(
            "compat-on-geforce",
            f"a cuda-compat library stands before the driver's, and {ordinary[0]} cannot use it",
            expected="libcuda of the driver",
            observed=path,
            hint="rm -r /usr/local/cuda/compat   # or take it out of LD_LIBRARY_PATH and /etc/ld.so.conf.d",
        )
    return passed(f"{path}, CUDA {fact['cuda']}", observed=path)


UNSET = "unset LD_LIBRARY_PATH   # or take the stubs folder out of it; it is for linking only"


def _wanted(about: About) -> bool:
    return about.spec.image.toolkit and about.engine == "docker"


CHECKS = (
    Check("toolkit.nvcc.version", judge_version, "environment", needs=("engine.environment",), required=_wanted),
    Check("toolkit.nvcc.compiles", judge_compile, "environment", needs=("toolkit.nvcc.version",), required=_wanted),
    Check("toolkit.nvcc.jit", judge_jit, "environment", needs=("toolkit.nvcc.version",)),
    Check(
        "toolkit.libcuda",
        judge_libcuda,
        "environment",
        needs=("engine.environment", "host.gpu.visible", "engine.gpu_uuids"),
        applies=on_gpu,
        required=always,
    ),
    Check(
        "toolkit.nvcc.runs",
        judge_runs,
        "environment",
        needs=("toolkit.nvcc.compiles", "toolkit.libcuda"),
        applies=on_gpu,
    ),
)
