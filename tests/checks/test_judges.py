"""Every judge is pure: each rule on plain facts, no hardware. (What they find on whole machines is in test_machines.)"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import checks
from checks import engine, generation, host, mirrors, model, performance, pytorch, suite, toolkit
from checks.interface import About, Fact, Judgement
from provision.errors import UnknownName, UsageError
from provision.facts.engine import EngineFacts, EngineState
from provision.facts.gpu import GpuFacts, GpuState, Hardware
from provision.facts.kernel_log import KernelLog, LogState, Xid
from provision.facts.smi import Gpu
from provision.findings import SCOPES, Status
from provision.resolve import Resolution
from provision.spec import MirrorsSpec, load
from tests.fakes.site import GIB, about
from tests.fakes.site import host as host_facts

Judge = Callable[[Fact, About], Judgement]
CARD = Gpu(uuid="GPU-1", name="H100", compute_capability="9.0")
READ = KernelLog(LogState.READ, "dmesg")


def error(kind: str, message: str = "words") -> Fact:
    return Fact(error={"type": kind, "message": message})


def gpu(**changes: Any) -> GpuFacts:
    one = GpuFacts(
        GpuState.PRESENT,
        driver_version="580.65.06",
        kernel_module="580.65.06",
        attached=1,
        gpus=(CARD,),
        hardware=Hardware(pci_gpus=("0000:01:00.0",)),
        kernel_log=READ,
    )
    return dataclasses.replace(one, **changes)


def card(**changes: Any) -> GpuFacts:
    return gpu(gpus=(dataclasses.replace(CARD, **changes),))


CUDA = Resolution(
    ok=True, torch="2.12.0", wheel_tag="cu130", driver_floor="580.65.06", torch_requirement="torch==2.12.0+cu130"
)
SPLIT = {
    "reasoning": "thought",
    "content": "answer",
    "state": "closed",
    "method": "ids",
    "family": "qwen3",
    "tokens": 20,
    "close_count": 1,
    "opened_by": "model",
}
BASIC = {"tokens": 20, "tokens_per_second": 10.0, "ttft_seconds": 0.1, "finite": True, "text": "Hello there, all well"}
TEXT = {"text": "a", "back": "a", "tokens": 1, "list": True, "pt": True, "np": True}
BATCH = {"shape": [2, 3], "mask": [2, 3]}
NVCC = {"path": "/x/nvcc", "output": {"code": 0, "out": "Cuda compilation tools, release 13.0, V13.0.88", "err": ""}}
CUBIN = {
    "architecture": "sm_75",
    "host_compiler": "/usr/bin/g++",
    "told": {"code": 0, "out": "", "err": ""},
    "bytes": 900,
    "magic": "7f454c46",
}
LOADED = {
    "load_seconds": 1.0,
    "dtype": "torch.bfloat16",
    "device": "cuda:0",
    "parameters": 9,
    "bytes": 18,
    "finite": True,
    "class_name": "Q",
}
KERNEL = {"devices": [{"device": "cpu", "relative_error": 1e-7, "finite": True}]}
TORCH = {"version": "2.13.0+cpu", "python": "3.11.2", "cuda": None, "foreign_libraries": []}
TRIED = {"model": "a/b", "source": "hf=x", "bytes": 10, "file": "m", "host": "h", "why": ""}


DECODE = {"tokens_per_second": 10.0, "ttft_seconds": 0.1, "share": 0.5, "bytes_per_token": 9, "bandwidth": 180.0}


def before(check: str, figure: float) -> About:
    return dataclasses.replace(about(), baseline={check: figure})


def but(base: Mapping[str, Any], **changes: Any) -> Fact:
    return Fact({**base, **changes})


ON_GPU = about(gpu=gpu(), resolution=CUDA)
CASES: list[tuple[Judge, Fact, About, str]] = [
    (host.judge_loaded, Fact(), about(gpu=gpu()), "pass ok"),
    (host.judge_loaded, Fact(), about(gpu=gpu(kernel_module="570.26")), "fail driver-mismatch"),
    (host.judge_loaded, Fact(), about(gpu=GpuFacts(GpuState.NONE)), "fail gpu-absent"),
    (host.judge_loaded, Fact(), about(gpu=GpuFacts(GpuState.NO_DRIVER)), "fail driver-missing"),
    (host.judge_loaded, Fact(), about(gpu=GpuFacts(GpuState.DRIVER_NOT_LOADED)), "fail driver-not-loaded"),
    (host.judge_loaded, Fact(), about(gpu=GpuFacts(GpuState.MISMATCH)), "fail driver-mismatch"),
    (host.judge_loaded, Fact(), about(gpu=GpuFacts(GpuState.PERMISSION)), "fail driver-permission"),
    (host.judge_loaded, Fact(), about(gpu=GpuFacts(GpuState.HUNG)), "hung driver-hung"),
    (host.judge_loaded, Fact(), about(gpu=GpuFacts(GpuState.UNREADABLE)), "unknown driver-unreadable"),
    (host.judge_visible, Fact(), about(gpu=gpu()), "pass ok"),
    (host.judge_visible, Fact(), about(gpu=gpu(attached=2)), "fail gpu-count"),
    (host.judge_visible, Fact(), about(gpu=gpu(hardware=Hardware(pci_gpus=("a", "b")))), "fail gpu-count"),
    (host.judge_visible, Fact(), about(gpu=gpu(hardware=Hardware(pci_gpus=None))), "pass ok"),
    (host.judge_visible, Fact(), about(gpu=GpuFacts(GpuState.LOST)), "fail gpu-lost"),
    (host.judge_supports, Fact(), ON_GPU, "pass ok"),
    (host.judge_supports, Fact(), about(gpu=gpu(driver_version="570.26"), resolution=CUDA), "fail driver-too-old"),
    (host.judge_supports, Fact(), about(gpu=gpu(), resolution=Resolution(ok=False)), "fail nothing-fits"),
    (host.judge_supports, Fact(), about(gpu=gpu()), "unknown not-resolved"),
    (host.judge_health, Fact(), about(gpu=gpu()), "pass ok"),
    (host.judge_health, Fact(), about(gpu=card(ecc_volatile_uncorrected=3)), "fail ecc-uncorrected"),
    (host.judge_health, Fact(), about(gpu=card(ecc_volatile_uncorrected=0)), "pass ok"),
    (host.judge_health, Fact(), about(gpu=card(remap_pending=True)), "fail row-remap"),
    (host.judge_health, Fact(), about(gpu=card(remap_failure=True)), "fail row-remap-failed"),
    (host.judge_recovery, Fact(), about(gpu=card(recovery_action="Reset")), "fail recovery-needed"),
    (host.judge_recovery, Fact(), about(gpu=card(recovery_action="None")), "pass ok"),
    (host.judge_throttle, Fact(), about(gpu=card(clock_reasons=("hw_slowdown",))), "fail gpu-slowed"),
    (host.judge_throttle, Fact(), about(gpu=card(clock_reasons=("sw_thermal_slowdown",))), "warn gpu-warm"),
    (host.judge_throttle, Fact(), about(gpu=card(clock_reasons=("gpu_idle",))), "pass ok"),
    (host.judge_xid, Fact(), about(gpu=gpu(kernel_log=KernelLog(LogState.DENIED, "no"))), "unknown kernel-log-unread"),
    (
        host.judge_xid,
        Fact(),
        about(gpu=gpu(kernel_log=KernelLog(LogState.READ, "", (Xid(79, "0", 60.0, "x"),)))),
        "fail xid",
    ),
    (
        host.judge_xid,
        Fact(),
        about(gpu=gpu(kernel_log=KernelLog(LogState.READ, "", (Xid(79, "0", 9e4, "x"),)))),
        "pass ok",
    ),
    (
        host.judge_xid,
        Fact(),
        about(gpu=gpu(kernel_log=KernelLog(LogState.READ, "", (Xid(13, "0", 60.0, "x"),)))),
        "pass ok",
    ),
    (host.judge_disk, Fact(), about(), "pass ok"),
    (host.judge_disk, Fact(), about(host_facts=host_facts(free=5 * GIB)), "warn disk-low"),
    (host.judge_disk, Fact(), about(host_facts=host_facts(free=GIB // 2)), "fail disk-full"),
    (host.judge_disk, Fact(), about(host_facts=dataclasses.replace(host_facts(), disks=())), "unknown disk-unread"),
    (host.judge_memory, Fact(), about(), "pass ok"),
    (host.judge_memory, Fact(), about(host_facts=dataclasses.replace(host_facts(), memory_limit=GIB)), "warn memory-low"),
    (
        host.judge_memory,
        Fact(),
        about(host_facts=dataclasses.replace(host_facts(), memory_available=None)),
        "unknown memory-unread",
    ),
    (engine.judge_shm, Fact({"bytes": GIB}), about(engine="docker"), "pass ok"),
    (engine.judge_shm, Fact({"bytes": 64 << 20}), about(engine="docker"), "warn shm-small"),
    (engine.judge_shm, error("OSError"), about(engine="docker"), "unknown shm-unread"),
    (toolkit.judge_version, Fact(NVCC), about(), "pass ok"),
    (toolkit.judge_version, Fact({"path": None}), about(), "skip no-toolkit"),
    (toolkit.judge_version, Fact({"path": None}), about(engine="docker"), "fail nvcc-missing"),
    (toolkit.judge_version, but(NVCC, output={"code": 1, "out": "", "err": "x"}), about(), "fail nvcc-broken"),
    (
        toolkit.judge_version,
        Fact(NVCC),
        about(engine="docker", resolution=Resolution(ok=True, cuda_toolkit="13.0.3")),
        "pass ok",
    ),
    (
        toolkit.judge_version,
        Fact(NVCC),
        about(engine="docker", resolution=Resolution(ok=True, cuda_toolkit="12.6")),
        "fail nvcc-other-version",
    ),
    (toolkit.judge_compile, Fact(CUBIN), about(), "pass ok"),
    (
        toolkit.judge_compile,
        but(CUBIN, told={"code": 1, "out": "", "err": "gcc?"}, bytes=0),
        about(),
        "fail nvcc-compile-failed",
    ),
    (toolkit.judge_compile, but(CUBIN, magic="00000000"), about(), "warn cubin-odd"),
    (mirrors.judge_config, Fact({"pip": {}}), about(), "pass ok"),
    (mirrors.judge_config, Fact({"pip": None}), about(), "unknown pip-unread"),
    (mirrors.judge_reachable, Fact({"tried": [TRIED], "needed": True}), about(), "pass ok"),
    (mirrors.judge_reachable, Fact({"tried": [TRIED, {**TRIED, "bytes": 0}], "needed": True}), about(), "warn source-dead"),
    (mirrors.judge_reachable, Fact({"tried": [{**TRIED, "bytes": 0}], "needed": True}), about(), "fail no-source-serves"),
    (mirrors.judge_reachable, Fact({"tried": [{**TRIED, "bytes": 0}], "needed": False}), about(), "warn no-source-serves"),
    (mirrors.judge_reachable, Fact({"tried": [], "needed": True}), about(), "unknown sources-untried"),
    (pytorch.judge_import, Fact(TORCH), about(), "pass ok"),
    (pytorch.judge_import, but(TORCH, foreign_libraries=["/usr/lib/libcudart.so"]), about(), "warn foreign-cuda-libraries"),
    (pytorch.judge_import, error("ModuleNotFoundError"), about(), "fail torch-missing"),
    (
        pytorch.judge_import,
        error("ImportError", "undefined symbol: __nvJitLinkComplete_12_4"),
        about(),
        "fail torch-broken",
    ),
    (pytorch.judge_cuda, Fact({"available": True, "count": 1, "devices": ["H100"]}), ON_GPU, "pass ok"),
    (pytorch.judge_cuda, Fact({"available": False, "count": 0}), ON_GPU, "fail cpu-wheel"),
    (
        pytorch.judge_cuda,
        Fact({"available": False, "why": "Error 802: system not yet initialized"}),
        ON_GPU,
        "fail fabric-manager",
    ),
    (
        pytorch.judge_cuda,
        Fact({"available": False, "why": "Error 803: system has unsupported"}),
        ON_GPU,
        "fail compat-mismatch",
    ),
    (
        pytorch.judge_cuda,
        Fact({"available": False, "why": "Error 804: forward compatibility"}),
        ON_GPU,
        "fail compat-unsupported",
    ),
    (pytorch.judge_cuda, Fact({"available": False, "why": "Error 999: unknown error"}), ON_GPU, "fail cuda-unknown"),
    (pytorch.judge_cuda, Fact({"available": False, "why": "No CUDA GPUs are available"}), ON_GPU, "fail cuda-unavailable"),
    (pytorch.judge_arch, Fact({"flags": ["sm_90"], "capabilities": [[9, 0]]}), ON_GPU, "pass ok"),
    (pytorch.judge_arch, Fact({"flags": ["sm_90", "compute_90"], "capabilities": [[12, 0]]}), ON_GPU, "pass ok"),
    (pytorch.judge_arch, Fact({"flags": ["sm_50", "sm_90"], "capabilities": [[12, 0]]}), ON_GPU, "fail arch-missing"),
    (pytorch.judge_arch, Fact({"flags": ["sm_90"], "capabilities": [[9, 0], [8, 0]]}), ON_GPU, "fail arch-missing"),
    (pytorch.judge_kernel, Fact(KERNEL), about(), "pass ok"),
    (pytorch.judge_kernel, error("RuntimeError", "no kernel image is available"), ON_GPU, "fail kernel-failed"),
    (
        pytorch.judge_kernel,
        Fact({"devices": [{"device": "cuda:0", "relative_error": 0.5, "finite": True}]}),
        ON_GPU,
        "fail kernel-wrong",
    ),
    (
        pytorch.judge_kernel,
        Fact({"devices": [{"device": "cuda:0", "relative_error": float("nan"), "finite": False}]}),
        ON_GPU,
        "fail kernel-wrong",
    ),
    (pytorch.judge_dtypes, Fact({"float32": True, "bfloat16": True}), about(), "pass ok"),
    (pytorch.judge_dtypes, Fact({"float32": True, "bfloat16": "no"}), about(), "warn dtype-unsupported"),
    (model.judge_files, Fact({"missing": [], "damaged": [], "files": 3, "bytes": 9}), about(), "pass ok"),
    (model.judge_files, Fact({"missing": ["a/b"], "damaged": [], "files": 0, "bytes": 0}), about(), "fail model-missing"),
    (
        model.judge_files,
        Fact({"missing": [], "damaged": ["x: sha256"], "files": 3, "bytes": 9}),
        about(),
        "fail files-damaged",
    ),
    (model.judge_config, Fact({"model_type": "qwen3", "transformers": "5.2", "architectures": ["Q"]}), about(), "pass ok"),
    (model.judge_config, error("ModuleNotFoundError"), about(), "fail transformers-missing"),
    (model.judge_config, error("ValueError", "does not recognize this architecture"), about(), "fail config-unknown"),
    (model.judge_roundtrip, Fact({"texts": [TEXT], "batch": BATCH}), about(), "pass ok"),
    (model.judge_roundtrip, Fact({"texts": [{**TEXT, "back": "?"}], "batch": BATCH}), about(), "fail tokenizer-lossy"),
    (model.judge_roundtrip, Fact({"texts": [{**TEXT, "np": False}], "batch": BATCH}), about(), "fail tensors-differ"),
    (model.judge_roundtrip, Fact({"texts": [TEXT]}), about(), "warn no-padding"),
    (model.judge_roundtrip, Fact({"texts": [TEXT], "batch": {"shape": [2, 3], "mask": [3, 2]}}), about(), "pass ok"),
    (
        model.judge_roundtrip,
        Fact({"texts": [TEXT], "batch": {"shape": [2, 3], "mask": [0, 3]}}),
        about(),
        "fail padding-wrong",
    ),
    (model.judge_template, Fact({"on": "你好，请介绍一下自己", "off": "x"}), about(), "pass ok"),
    (model.judge_template, Fact({"on": "你好，请介绍一下自己", "off": "你好，请介绍一下自己"}), about(), "pass no-switch"),
    (model.judge_template, Fact({"on": "<|im_start|>", "off": ""}), about(), "fail template-loses-prompt"),
    (model.judge_load, Fact(LOADED), ON_GPU, "pass ok"),
    (model.judge_load, but(LOADED, device="cpu"), ON_GPU, "fail model-on-cpu"),
    (model.judge_load, but(LOADED, device="cpu"), about(), "pass ok"),
    (model.judge_load, but(LOADED, finite=False), ON_GPU, "fail weights-not-finite"),
    (model.judge_load, error("OutOfMemoryError", "CUDA out of memory"), ON_GPU, "fail out-of-memory"),
    (model.judge_load, error("OSError", "no file"), ON_GPU, "fail model-load-failed"),
    (generation.judge_basic, Fact(BASIC), about(), "pass ok"),
    (generation.judge_basic, but(BASIC, finite=False), about(), "fail logits-not-finite"),
    (generation.judge_basic, but(BASIC, text="  "), about(), "fail generation-empty"),
    (generation.judge_basic, but(BASIC, text="!" * 40), about(), "fail generation-degenerate"),
    (generation.judge_split, Fact(SPLIT), about(), "pass ok"),
    (generation.judge_split, but(SPLIT, state="truncated", content=""), about(), "warn thinking-truncated"),
    (generation.judge_split, but(SPLIT, reasoning=" "), about(), "warn thinking-empty"),
    (generation.judge_split, but(SPLIT, content="\n"), about(), "fail answer-lost"),
    (generation.judge_split, but(SPLIT, state="absent", reasoning=""), about(), "warn thinking-absent"),
    (generation.judge_off, but(SPLIT, state="off", reasoning="", honoured=True), about(), "pass ok"),
    (generation.judge_off, but(SPLIT, honoured=True), about(), "fail thinks-when-off"),
    (generation.judge_off, but(SPLIT, reasoning="", content="", honoured=True), about(), "fail answer-empty"),
    (generation.judge_off, but(SPLIT, honoured=False), about(), "skip no-switch"),
    (generation.judge_deterministic, Fact({"same": True, "compared": 9}), about(), "pass ok"),
    (generation.judge_deterministic, Fact({"same": False, "compared": 9}), about(), "fail not-deterministic"),
    (generation.judge_deterministic, Fact({"same": True, "compared": 0}), about(), "unknown nothing-compared"),
    (performance.judge_decode, Fact(DECODE), about(), "pass no-baseline"),
    (performance.judge_decode, Fact(DECODE), before("performance.decode", 9.0), "pass ok"),
    (performance.judge_decode, Fact(DECODE), before("performance.decode", 20.0), "warn slower-than-baseline"),
    (performance.judge_decode, but(DECODE, tokens_per_second=None), about(), "unknown not-measured"),
    (performance.judge_gemm, Fact({"tflops": [700.0]}), ON_GPU, "pass no-baseline"),
    (performance.judge_gemm, Fact({"tflops": [700.0, 0.0]}), ON_GPU, "fail gemm-zero"),
    (performance.judge_allreduce, Fact({"right": True, "count": 2, "sums": [3, 3]}), ON_GPU, "pass ok"),
    (performance.judge_allreduce, Fact({"right": False, "count": 2, "sums": [3, 1]}), ON_GPU, "fail allreduce-wrong"),
]


@pytest.mark.parametrize(("judge", "fact", "known", "wanted"), CASES, ids=[f"{c[0].__name__}-{c[3]}" for c in CASES])
def test_judges(judge: Judge, fact: Fact, known: About, wanted: str) -> None:
    made = judge(fact, known)
    assert f"{made.status} {made.code}" == wanted
    assert made.summary
    if made.status is Status.FAIL:
        assert made.expected or made.observed or made.evidence or made.hint


def test_every_finding_says_what_to_do() -> None:
    """Whatever is failed, warned or unknown carries a hint, wherever in the suite it is made."""
    bare = [
        f"{path.name}:{call.lineno}"
        for path in sorted(Path(checks.__file__).parent.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("failed", "warned", "unknown")
        and not {"hint", None} & {word.arg for word in call.keywords}
    ]
    assert bare == []


# An image's fact never is an error; a known answer never fails (CHECKS, G5).
JUDGES_OF_FACTS = [check for check in suite.CHECKS if check.probe and check.scope != "image"]


@pytest.mark.parametrize("check", JUDGES_OF_FACTS, ids=lambda check: check.id)
def test_no_judge_passes_an_error(check: Any) -> None:
    made = check.judge(error("RuntimeError", "it went wrong"), ON_GPU)
    softest = Status.WARN if check.id == "generation.known_answer" else Status.UNKNOWN
    assert made.status in (Status.FAIL, softest)
    assert "it went wrong" in made.observed + made.evidence


@pytest.mark.parametrize(
    ("state", "status"),
    [(EngineState.REACHABLE, "pass"), (EngineState.NO_SOCKET, "fail"), (EngineState.PERMISSION, "fail")],
)
def test_engine_reachable(state: EngineState, status: str) -> None:
    known = about(engine="docker")
    known = dataclasses.replace(known, facts=dataclasses.replace(known.facts, engine=EngineFacts("docker", state, "words")))
    assert engine.judge_reachable(Fact(), known).status == status


def test_gpu_runtime_is_looked_for_before_anything_is_created() -> None:
    known = about(gpu=gpu(), engine="docker")
    without = dataclasses.replace(known.facts, engine=EngineFacts("docker", EngineState.REACHABLE, runtimes=("runc",)))
    with_it = dataclasses.replace(without, engine=dataclasses.replace(without.engine, nvidia_runtime=True))
    assert engine.judge_runtime(Fact(), dataclasses.replace(known, facts=without)).code == "gpu-runtime-missing"
    assert engine.judge_runtime(Fact(), dataclasses.replace(known, facts=with_it)).status == "pass"


def test_a_wanted_mirror_must_be_the_one_in_force() -> None:
    spec = dataclasses.replace(load(profile="smoke"), mirrors=MirrorsSpec(pip="https://mirror.example/simple"))
    assert mirrors.judge_config(Fact({"pip": {}}), about(spec)).code == "pip-other-index"
    there = {"pip": {"global.index-url": "https://mirror.example/simple"}}
    assert mirrors.judge_config(Fact(there), about(spec)).status == "pass"


@pytest.mark.parametrize(
    ("flags", "capability", "runs"),
    [
        (["sm_86"], (8, 9), True),
        (["sm_86"], (8, 0), False),
        (["sm_90"], (12, 0), False),
        (["compute_90"], (12, 0), True),
        (["sm_90a"], (9, 0), True),
        (["compute_90a"], (12, 0), False),
        (["sm_120"], (12, 1), True),
        (["gfx90a"], (9, 0), False),
        ([], (9, 0), False),
    ],
)
def test_machine_code_runs_within_its_major_and_ptx_beyond(
    flags: list[str], capability: tuple[int, int], runs: bool
) -> None:
    assert pytorch.runs_on(flags, capability) is runs


CONTRACT = (
    "host.gpu.visible host.driver.loaded host.driver.supports_cuda host.gpu.health host.disk host.memory engine.reachable "
    "engine.gpu_runtime engine.shm toolkit.nvcc.version toolkit.nvcc.compiles torch.import torch.cuda.available "
    "torch.arch.supported torch.kernel.runs torch.dtypes mirrors.config mirrors.reachable model.files model.config "
    "model.loads tokenizer.roundtrip tokenizer.chat_template generation.basic generation.thinking_split "
    "generation.thinking_off generation.deterministic performance.decode performance.gemm multigpu.allreduce"
)


def test_every_id_of_the_contract_exists_once_and_needs_come_before() -> None:
    ids = [check.id for check in suite.CHECKS]
    assert set(CONTRACT.split()) <= set(ids) and len(ids) == len(set(ids))
    for place, check in enumerate(suite.CHECKS):
        assert check.scope in SCOPES and set(check.needs) <= set(ids[:place])


def test_selecting() -> None:
    assert {check.scope for check in suite.select(["torch"])} == {"torch"}
    assert [check.id for check in suite.select(only=["host.gpu.visible"])] == [
        "host.processes.stuck",
        "host.driver.loaded",
        "host.gpu.visible",
    ]
    assert "host.driver.loaded" in {check.id for check in suite.select(only=["torch.cuda.available"])}
    for wrong in ({"scopes": ["tourch"]}, {"only": ["torch.imports"]}):
        with pytest.raises(UnknownName, match="is called"):
            suite.select(**wrong)
    with pytest.raises(UsageError, match="empty suite"):
        suite.select(known=())


@pytest.mark.parametrize(
    "inside", [{"container": "docker"}, {"container": "kubernetes"}, {"environment": {"NVIDIA_VISIBLE_DEVICES": "GPU-1"}}]
)
def test_a_container_that_was_given_one_gpu_of_two_lacks_none(inside: dict[str, Any]) -> None:
    bus = gpu(hardware=Hardware(pci_gpus=("a", "b")))
    here = dataclasses.replace(host_facts(), **inside)
    assert host.judge_visible(Fact(), about(gpu=bus, host_facts=here)).status is Status.PASS
    assert host.judge_visible(Fact(), about(gpu=bus)).code == "gpu-count"
