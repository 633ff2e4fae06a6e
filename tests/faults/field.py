"""More planted faults: from the field's issues, and one for every code that no other row comes to.

Rows as in `tests/faults/table.py`, planted in the same captures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from tests.faults.plan import GIB, Fault, Plan, healthy
from tests.faults.table import DOCKER, TWO_IN_DOCKER, disk, error, host, required, tell

TWO = partial(healthy, gpus=2)


def parallel(count: int, plant: Callable[[Plan], None] = lambda plan: None) -> Callable[[Plan], None]:
    """The fault on a machine whose model is to be served by `count` GPUs together."""

    def both(plan: Plan) -> None:
        plant(plan)
        plan.spec = replace(plan.spec, generation=replace(plan.spec.generation, tensor_parallel=count))

    return both


def sources(**changes: Any) -> Callable[[Plan], None]:
    """Change what was seen of every source that was tried."""

    def plant(plan: Plan) -> None:
        for row in plan.fact("mirrors.reachable")["tried"]:
            row.update(changes)

    return plant


def compiling(kind: str, message: str) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.seen["runtime"]["torch.compile"] = {}
        plan.error("torch.compile", kind, message)

    return required("torch.compile", plant)


def compiled(difference: float) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.seen["runtime"]["torch.compile"] = {"difference": difference, "seconds": 9.0}

    return required("torch.compile", plant)


def pip(index: str) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.fact("mirrors.config")["pip"] = {"global.index-url": index}
        plan.spec = replace(plan.spec, mirrors=replace(plan.spec.mirrors, pip="https://mirror.example/simple"))

    return plant


def last(name: str, kind: str, message: str) -> Callable[[Plan], None]:
    """An exception at `name`, and nothing after it in its probe."""

    def plant(plan: Plan) -> None:
        facts = next(facts for facts in plan.seen.values() if name in facts)
        for after in list(facts)[list(facts).index(name) + 1 :]:
            del facts[after]
        plan.error(name, kind, message)

    return plant


# fmt: off
NCCL = "libtorch_cuda.so: undefined symbol: ncclCommRegister"
LIBRARY = "/usr/local/cuda/lib64/libcudnn_cnn_train.so.8"
CC = "Failed to find C compiler. Please specify via CC environment variable."
DATED = "the certificate of hub.example is not valid at this machine's date [tls-date]"
OLD_TOKENIZERS = "data did not match any variant of untagged enum ModelWrapper at line 1251012 column 3"
BROKEN_NVCC = {"code": 127, "out": "", "err": "nvcc: cannot execute: required file not found"}

ISSUES: tuple[Fault, ...] = (
    Fault("another package brought an older NCCL", "pytorch/pytorch#119932", last("torch.import", "ImportError", NCCL),
        ("torch.import",), "torch-broken", 1, "a whole one"),
    Fault("two NCCLs, one of CUDA 12 and one of CUDA 13", "pytorch/pytorch#186591",
        last("torch.import", "ImportError", "undefined symbol: ncclCommResume"),
        ("torch.import",), "torch-broken", 1, "do not fit"),
    Fault("a cuDNN of the system before the wheel's", "pytorch/pytorch#119989",
        tell("torch.import", foreign_libraries=[LIBRARY]), ("torch.import",), "foreign-cuda-libraries", 0,
        "LD_LIBRARY_PATH"),
    Fault("a tokenizer.json that is newer than tokenizers", "allenai/open-instruct#738",
        error("tokenizer.roundtrip", "Exception", OLD_TOKENIZERS), ("tokenizer.roundtrip",), "tokenizer-broken", 1,
        "pip install -U transformers tokenizers"),
    Fault("Triton finds no C compiler", "apple/ml-cross-entropy#5", compiling("RuntimeError", CC),
        ("torch.compile",), "compile-failed", 1, "apt-get install g++"),
    Fault("Triton finds a compiler and no Python.h", "pytorch/pytorch#97146",
        compiling("BackendCompilerFailed", "fatal error: Python.h: No such file or directory"),
        ("torch.compile",), "compile-failed", 1, "python3-dev"),
    Fault("tensor parallel with 2 GiB of shared memory", "vllm-project/vllm#1710",
        parallel(2, tell("engine.shm", bytes=2 * GIB)), ("engine.shm",), "shm-small-for-gpus", 1, "--shm-size",
        TWO_IN_DOCKER),
    Fault("tensor parallel with Docker's 64 MB", "NVIDIA/nccl#290", parallel(2, tell("engine.shm", bytes=64 << 20)),
        ("engine.shm",), "shm-small", 1, "--shm-size", TWO_IN_DOCKER),
    Fault("NCCL finds /dev/shm full", "llm-d/llm-d#352",
        last("multigpu.allreduce", "DistBackendError", "creating shared memory segment /dev/shm/nccl-E: No space left"),
        ("multigpu.allreduce",), "allreduce-failed", 1, "NCCL_P2P_DISABLE", TWO),
    Fault("a model for two GPUs, and one of them", "CHECKS H4", parallel(2), ("host.gpu.visible",), "gpus-too-few", 1,
        "tensor_parallel"),
    Fault("a clock a day behind the hub's", "CHECKS, clock skew", sources(skew=-86_400.0), ("mirrors.clock",),
        "clock-skewed", 0, "set-ntp"),
    Fault("no certificate is valid, as the clock is wrong", "huggingface/transformers#8690",
        sources(bytes=0, why=DATED), ("mirrors.clock", "mirrors.reachable"), "clock-or-certificate", 0, "date"),
)

UNSAID: tuple[Fault, ...] = (
    Fault("few inodes left", "CHECKS H12", disk(inodes_free=9_000), ("host.inodes",), "inodes-low", 0, "df -i"),
    Fault("/proc/meminfo cannot be read", "CHECKS, memory", host(memory_available=None, memory_limit=None),
        ("host.memory",), "memory-unread", 3, "free -h"),
    Fault("the clock cannot be read", "CHECKS, clock skew", host(clock=None), ("host.clock",), "clock-unread", 3, "date"),
    Fault("a python that stumbles over its own environment", "CHECKS R1", error("environment.python", "OSError", "ENOMEM"),
        ("engine.environment",), "environment-odd", 1, "provision run", DOCKER),
    Fault("/dev/shm is not mounted", "CHECKS R6", error("engine.shm", "FileNotFoundError", "/dev/shm"), ("engine.shm",),
        "shm-unread", 0, "df -h /dev/shm", DOCKER),
    Fault("the container's device nodes cannot be listed", "CHECKS R3",
        error("engine.gpu_uuids", "PermissionError", "/dev"), ("engine.gpu_uuids",), "inside-unread", 3, "nvidia-smi -L",
        DOCKER),
    Fault("nvcc is a wrapper around nothing", "CHECKS C1", tell("toolkit.nvcc.version", output=BROKEN_NVCC),
        ("toolkit.nvcc.version",), "nvcc-broken", 1, "type -a nvcc", DOCKER),
    Fault("nvcc says nothing", "CHECKS C1", tell("toolkit.nvcc.version", output={"code": 0, "out": "", "err": ""}),
        ("toolkit.nvcc.version",), "nvcc-broken", 1, "nvcc --version", DOCKER),
    Fault("nvcc prints success and writes no cubin", "CHECKS C2", tell("toolkit.nvcc.compiles", bytes=0, magic=""),
        ("toolkit.nvcc.compiles",), "nvcc-compile-failed", 1, "provision up", DOCKER),
    Fault("nvcc has nowhere to write its pieces", "CHECKS C2", tell("toolkit.nvcc.compiles", bytes=0, magic="",
        told={"code": 1, "out": "", "err": "nvcc fatal   : Could not open output file '/tmp/tmpxft_000028ee_0000000a'"}),
        ("toolkit.nvcc.compiles",), "nvcc-compile-failed", 1, "TMPDIR", DOCKER),
    Fault("nvcc writes something that is no cubin", "CHECKS C2", tell("toolkit.nvcc.compiles", magic="23212f62"),
        ("toolkit.nvcc.compiles",), "cubin-odd", 0, "type -a nvcc", DOCKER),
    Fault("a freshly compiled kernel is wrong", "CHECKS C2", tell("toolkit.nvcc.runs", right=False),
        ("toolkit.nvcc.runs",), "nvcc-kernel-wrong", 1, "ECC", DOCKER),
    Fault("the toolkit's programs cannot be looked for", "CHECKS C3",
        error("toolkit.nvcc.jit", "PermissionError", "/usr/local/cuda"), ("toolkit.nvcc.jit",), "tools-unread", 0, "nvcc",
        DOCKER),
    Fault("libcuda cannot be looked at", "CHECKS C4", error("toolkit.libcuda", "OSError", "cannot map"),
        ("toolkit.libcuda",), "libcuda-unread", 3, "ldconfig"),
    Fault("pip asks another index than the spec's", "CHECKS M1", pip("https://elsewhere.example/simple"),
        ("mirrors.config",), "pip-other-index", 1, "provision up"),
    Fault("pip does not answer", "CHECKS M1", tell("mirrors.config", pip=None), ("mirrors.config",), "pip-unread", 0,
        "pip config list"),
    Fault("there is no source to try", "CHECKS M1", tell("mirrors.reachable", tried=[]), ("mirrors.reachable",),
        "sources-untried", 0, "provision mirrors list"),
    Fault("CUDA does not initialise at all", "CHECKS T2", error("torch.cuda.available", "RuntimeError", "driver error"),
        ("torch.cuda.available",), "cuda-init", 1, "nvidia-smi"),
    Fault("torch does not tell its architectures", "CHECKS T3", error("torch.arch.supported", "AttributeError", "_C"),
        ("torch.arch.supported",), "arch-unreadable", 1, "collect_env"),
    Fault("dtypes cannot be tried", "CHECKS T4", error("torch.dtypes", "RuntimeError", "CUBLAS_STATUS_NOT_INITIALIZED"),
        ("torch.dtypes",), "dtypes-failed", 1, "collect_env"),
    Fault("attention does not run", "CHECKS T5", error("torch.sdpa", "RuntimeError", "no available kernel"),
        ("torch.sdpa",), "sdpa-failed", 1, "eager"),
    Fault("the compiled function gives another answer", "CHECKS T5", compiled(0.5), ("torch.compile",), "compile-wrong", 1,
        "TORCHDYNAMO_DISABLE"),
    Fault("the compiled function gives NaN", "CHECKS T5", compiled(float("nan")), ("torch.compile",), "compile-wrong", 1,
        "TORCHDYNAMO_DISABLE"),
    Fault("the GPUs' memory cannot be read", "CHECKS T6", error("torch.memory", "RuntimeError", "NVML"), ("torch.memory",),
        "memory-unread", 0, "nvidia-smi"),
    Fault("no weights whose size can be read", "CHECKS M6", tell("model.structure", tensor_bytes={}), ("model.memory",),
        "weights-unread", 0, "provision models verify"),
    Fault("a sister model's tokenizer, with tokens that this one has no embedding for", "CHECKS M4",
        tell("tokenizer.roundtrip", highest_id=151_668), ("tokenizer.roundtrip",), "tokenizer-of-another-model", 1,
        "the model's own repository"),
    Fault("an end token in the middle of the thought", "CHECKS G2",
        tell("generation.thinking_split", state="truncated", content=""), ("generation.thinking_split",),
        "thought-unfinished", 1, "eos_token_id"),
    Fault("the split breaks on the answer", "CHECKS G2", error("generation.thinking_split", "ValueError", "no family"),
        ("generation.thinking_split",), "split-failed", 1, "FAMILIES"),
    Fault("generating with thinking off raises", "CHECKS G3", error("generation.thinking_off", "RuntimeError", "shape"),
        ("generation.thinking_off",), "thinking-off-failed", 1, "provision models verify"),
    Fault("there are no tokens to compare", "CHECKS G4", tell("generation.deterministic", compared=0, same=True),
        ("generation.deterministic",), "nothing-compared", 3, "generation.basic"),
    Fault("the known question cannot be asked", "CHECKS G5", error("generation.known_answer", "RuntimeError", "shape"),
        ("generation.known_answer",), "answer-unasked", 0, "provision models verify"),
    Fault("the split breaks in a stream", "CHECKS G1", error("generation.streaming", "ValueError", "finished"),
        ("generation.streaming",), "streaming-failed", 1, "generation.family"),
    Fault("token by token the text is another", "CHECKS G1", tell("generation.streaming", text_same=False),
        ("generation.streaming",), "streamed-text-differs", 0, "TextIteratorStreamer"),
    Fault("transformers' own parser raises", "CHECKS G2", error("generation.thinking_crosscheck", "KeyError", "x"),
        ("generation.thinking_crosscheck",), "crosscheck-failed", 0, "pip install -U transformers"),
    Fault("the generation gave no time", "CHECKS P3", tell("performance.decode", tokens_per_second=0.0),
        ("performance.decode",), "not-measured", 0, "generation.basic"),
    Fault("a large matmul does not run", "CHECKS P1", error("performance.gemm", "RuntimeError", "CUBLAS_STATUS_ALLOC"),
        ("performance.gemm",), "gemm-failed", 1, "ECC"),
    Fault("copying to a GPU and back fails", "CHECKS P2", error("performance.copy", "RuntimeError", "launch failure"),
        ("performance.copy",), "copy-failed", 1, "ECC"),
    Fault("nvidia-smi is silent under load", "CHECKS P4", tell("performance.gemm", load=[]),
        ("performance.clocks", "performance.link"), "load-unseen", 0, "nvidia-smi -q"),
    Fault("nvidia-smi does not tell of NVLink", "CHECKS X4", tell("multigpu.nvlink", code=9), ("multigpu.nvlink",),
        "nvlink-unread", 0, "nvlink -s", TWO),
    Fault("copying between GPUs fails", "CHECKS X1", error("multigpu.peer", "RuntimeError", "peer access is not supported"),
        ("multigpu.peer",), "peer-failed", 1, "NCCL_P2P_DISABLE", TWO),
)
# fmt: on

FIELD = (*ISSUES, *UNSAID)
