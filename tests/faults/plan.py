"""Machines made of captures: a healthy one, which a fault then spoils in one place, and the bundle that it gives.

GPU facts go through the real probe and its parsers (a scripted machine answers with the capture, edited as text); what
probes saw is what they say on a machine that works.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from checks.interface import About, Fact, Judgement
from checks.runner import Seen
from checks.suite import CHECKS
from provision.bundle import Bundle, mask, replay
from provision.facts import Facts
from provision.facts import gpu as gpu_facts
from provision.facts.engine import EngineFacts, EngineState, unreachable
from provision.facts.host import Disk, HostFacts, HostState
from provision.facts.network import NetworkFacts
from provision.facts.python import Interpreter, PipSettings, PipState, PythonFacts
from provision.findings import Report
from provision.machines.interface import Completed
from provision.matrix import load_matrix
from provision.resolve import Resolution, Wanted, resolve
from provision.spec import Spec, load
from tests.fakes.machine import ScriptedMachine, said
from tests.fakes.nvidia_smi import CAPTURES

GIB = 1024**3
CAPABILITIES = {
    "tesla-t4.xml": "7.5",
    "a100-sxm4-v12.xml": "8.0",
    "rtx-3080-v13.xml": "8.6",
    "rtx-4000-sff-ada-v13.xml": "8.9",
}
PROMPT = "你好，请介绍一下自己"
TEXTS = ("Hello, world!", PROMPT, "👩‍👩‍👧‍👦 🚀 é ﬁ", "def f(x):\n\treturn x\n")
SPLIT = {
    "reasoning": "用户想知道我是谁。",
    "content": "你好！我是自带的小模型。",
    "state": "closed",
    "method": "ids",
    "family": "qwen3",
    "opened_by": "model",
    "close_count": 1,
    "tokens": 74,
}


@dataclass
class Plan:
    """A machine before it is probed. `xml` is nvidia-smi's document, `smi` another answer instead of it; `seen` what the
    probes say, by probe and fact; `troubles` how a probe ended that came to no end, and at which fact."""

    xml: str
    capability: str
    engine: str = "local"
    smi: Completed | None = None
    scan: str = ""
    dmesg: Completed = field(default_factory=lambda: said("[    0.0] Linux\n"))
    module: str = ""
    host: HostFacts = field(default_factory=lambda: HEALTHY_HOST)
    engine_facts: EngineFacts = field(default_factory=lambda: HEALTHY_ENGINE)
    gpu: gpu_facts.GpuFacts | None = None
    spec: Spec = field(default_factory=lambda: load(profile="smoke"))
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: dict[str, tuple[str, str]] = field(default_factory=dict)
    troubles: dict[str, tuple[str, Judgement]] = field(default_factory=dict)
    resolution: Resolution | None = None
    baseline: dict[str, float] = field(default_factory=dict)
    torch: str = "auto"

    def edit(self, old: str, new: str) -> None:
        """Change the capture's text; what is not there cannot be changed."""
        if old not in self.xml:
            raise AssertionError(f"the capture does not hold {old!r}")
        self.xml = self.xml.replace(old, new)

    def fact(self, name: str) -> dict[str, Any]:
        """What the probes say of `name`, to be changed."""
        return next(facts[name] for facts in self.seen.values() if name in facts)  # type: ignore[no-any-return]

    def error(self, name: str, kind: str, message: str) -> None:
        """Let the stage `name` end in an exception, and what comes after it in its probe go unsaid where it needs it."""
        self.errors[name] = (kind, message)

    def cut(self, probe: str, at: str, trouble: Judgement) -> None:
        """Let the probe come to its end at the fact `at`: what comes after is not said."""
        facts = self.seen[probe]
        names = list(facts)
        for name in names[names.index(at) :] if at in names else names:
            del facts[name]
        self.troubles[probe] = (at, trouble)

    def probed_gpu(self) -> gpu_facts.GpuFacts:
        """What the real GPU probe makes of the capture."""
        if self.gpu is not None:
            return self.gpu
        uuids = [line.split(">")[1].split("<")[0] for line in self.xml.splitlines() if "<uuid>" in line]
        commands = {
            ("nvidia-smi",): self.smi or said(self.xml),
            ("nvidia-smi", "--query-gpu=uuid,compute_cap"): self.smi or _capabilities(uuids, self.capability),
            ("nvidia-smi", "--query-gpu=uuid,compute_cap", "--format=csv,noheader"): self.smi
            or _capabilities(uuids, self.capability),
            ("sh",): said(self.scan),
            ("dmesg",): self.dmesg,
        }
        module = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {self.module}  Release\n".encode()
        files = {"/proc/uptime": b"10000.0 1.0\n", **({"/proc/driver/nvidia/version": module} if self.module else {})}
        return gpu_facts.probe(ScriptedMachine(commands, files))

    def bundle(self) -> Bundle:
        """Probe it, and put what there is to judge together."""
        pythons = PythonFacts((_interpreter("3.12"),), PipSettings(PipState.READ))
        facts = Facts(self.host, self.probed_gpu(), pythons, NetworkFacts(), self.engine_facts)
        docker = self.engine == "docker"
        wanted = Wanted(engine="docker" if docker else "local", torch=self.torch, toolkit=docker)
        resolution = self.resolution or resolve(facts, wanted, load_matrix())
        about = About(self.spec, facts, self.engine, resolution, baseline=self.baseline)
        return Bundle(about, tuple(check.id for check in CHECKS), {name: self._seen(name) for name in self.seen})

    def judged(self) -> Report:
        """Record, mask, write, read and replay: the way of every bundle."""
        plain = json.loads(json.dumps(mask(self.bundle().to_dict(), {"gpu-host-7": "host", "alice": "user"})))
        return replay(Bundle.from_dict(plain), CHECKS)

    def _seen(self, probe: str) -> Seen:
        facts = {name: Fact(value, seconds=0.01) for name, value in self.seen[probe].items()}
        for name, (kind, message) in self.errors.items():
            if name in facts and " / " not in probe:
                facts[name] = replace(facts[name], error={"type": kind, "message": message})
        stage, trouble = self.troubles.get(probe, ("", None))
        return Seen(facts, stage, trouble)


def _capabilities(uuids: list[str], capability: str) -> Completed:
    return said("".join(f"{uuid}, {capability}\n" for uuid in uuids if uuid.startswith("GPU-")))


def _interpreter(minor: str) -> Interpreter:
    return Interpreter(
        f"python{minor}", f"{minor}.4", f"/usr/bin/python{minor}", machine="x86_64", libc="glibc 2.39", venv=True, pip=True
    )


HEALTHY_HOST = HostFacts(
    HostState.READ,
    system="Linux",
    distribution="ubuntu",
    distribution_version="24.04",
    kernel="6.8.0-60-generic",
    machine="x86_64",
    cpus=16,
    memory_total=64 * GIB,
    memory_available=56 * GIB,
    open_files=1_048_576,
    uid=1000,
    user="alice",
    home="/home/alice",
    clock=1_790_000_000.0,
    disks=(Disk("/home/alice/.local/share/provision", "/home/alice", "/dev/nvme0n1p2", "/", 900 * GIB, 500 * GIB, 10**7),),
)
HEALTHY_ENGINE = EngineFacts(
    "docker",
    EngineState.REACHABLE,
    version="28.3.0",
    api_version="1.51",
    runtimes=("nvidia", "runc"),
    nvidia_runtime=True,
    storage_driver="overlay2",
    machine="x86_64",
)


def healthy(capture: str = "rtx-3080-v13.xml", engine: str = "local", gpus: int = 1) -> Plan:
    """A machine on which everything is well. The A100's capture is of a container that was given one of four GPUs; here
    it is the only one. More `gpus` are the same card again, with another UUID and address."""
    xml = (CAPTURES / capture).read_text().replace("<attached_gpus>4<", "<attached_gpus>1<")
    for number in range(1, gpus):
        xml = _with_another(xml, number)
    driver = xml.split("<driver_version>")[1].split("<")[0]
    plan = Plan(xml=xml, capability=CAPABILITIES[capture], engine=engine, module=driver)
    plan.scan = "bus pci\n" + "".join(
        f"pci 0000:{number + 1:02x}:00.0\nnode /dev/nvidia{number}\n" for number in range(gpus)
    )
    plan.torch = "2.7.1" if driver.startswith("515") else "auto"  # newer releases have no build for it: one must ask
    bundle = plan.bundle()
    resolution = bundle.about.resolution
    assert resolution and resolution.ok, [reason.because for reason in resolution.reasons] if resolution else ""
    plan.seen = seen(bundle.about.facts, resolution, driver)
    return plan


def _with_another(xml: str, number: int) -> str:
    first, end = xml.index("<gpu id="), xml.index("</gpu>") + len("</gpu>")
    card = xml[first:end]
    uuid = card.split("<uuid>")[1].split("<")[0]
    again = card.replace(uuid, f"GPU-{number:08d}-0000-4000-8000-000000000000")
    count = int(xml.split("<attached_gpus>")[1].split("<")[0])
    more = xml[:end] + "\n" + again + xml[end:]
    return more.replace(f"<attached_gpus>{count}<", f"<attached_gpus>{count + 1}<")


def seen(facts: Facts, resolution: Resolution, driver: str) -> dict[str, dict[str, Any]]:
    """What every probe says where all is well."""
    cards = facts.gpu.gpus
    names = [f"cuda:{place}" for place in range(len(cards))]
    pairs = [(one, two) for one in names for two in names if one != two]
    right = [{"device": name, "relative_error": 3e-7, "finite": True} for name in names]
    cuda = f"{resolution.wheel_tag[2:-1]}.{resolution.wheel_tag[-1]}"
    environment = {
        "environment.python": {"version": "3.12.4", "executable": "/opt/venv/bin/python", "uid": 1000, "settings": {}},
        "engine.shm": {"bytes": 16 * GIB},
        "engine.gpu_uuids": {
            "nodes": [f"nvidia{place}" for place in range(len(cards))],
            "smi": "/usr/bin/nvidia-smi",
            "code": 0,
            "words": "",
            "uuids": [card.uuid for card in cards],
        },
        "model.structure": {"files": 6, "troubles": [], "tensor_bytes": {"F32": 476672}, "pickled": [], "config": {}},
        "mirrors.config": {"pip": {}},
        "toolkit.libcuda": {"path": f"/usr/lib/x86_64-linux-gnu/libcuda.so.{driver}", "code": 0, "cuda": cuda},
        "toolkit.nvcc.version": _nvcc(resolution.cuda_toolkit or cuda),
        "toolkit.nvcc.jit": {"tools": {name: f"/usr/local/cuda/bin/{name}" for name in TOOLS}},
        "toolkit.nvcc.compiles": {
            "architecture": "sm_86",
            "host_compiler": "/usr/bin/g++",
            "told": {"code": 0, "out": "", "err": ""},
            "bytes": 3112,
            "magic": "7f454c46",
        },
        "toolkit.nvcc.runs": {"right": True, "device": 0},
    }
    torch = {
        "torch.import": {
            "python": "3.12.4",
            "version": f"{resolution.torch}+{resolution.wheel_tag}",
            "cuda": cuda,
            "foreign_libraries": [],
        },
        "torch.cuda.available": {"available": True, "count": len(cards), "devices": [card.name for card in cards]},
        "torch.arch.supported": {
            "flags": list(resolution.architectures),
            "capabilities": [[int(part) for part in card.compute_capability.split(".")] for card in cards],
        },
        "torch.kernel.runs": {"devices": right},
        "torch.dtypes": {"float32": True, "float16": True, "bfloat16": True, "float8": None},
        "torch.sdpa": {"devices": copy.deepcopy(right)},
        "torch.memory": {"devices": [[9 * GIB, 10 * GIB] for _ in cards]},
        "runtime.libraries": {"transformers": "5.23.0"},
    }
    return {
        "store": {"model.files": {"missing": [], "damaged": [], "files": 6, "bytes": 515447}},
        "sources": {"mirrors.reachable": {"tried": [_tried("hf=builtin"), _tried("modelscope=builtin")], "needed": False}},
        "environment": environment,
        "runtime": {**torch, **_model(), **_speed(cards)},
        "multigpu": {
            "multigpu.nvlink": {"code": 0, "out": ""},
            "multigpu.allreduce": {"right": True, "count": len(cards), "sums": [3.0] * len(cards)},
            "multigpu.peer": {"pairs": [{"from": one, "to": two, "intact": True, "direct": True} for one, two in pairs]},
        },
    }


TOOLS = ("nvcc", "ptxas", "fatbinary", "nvlink", "cuobjdump")


def _nvcc(toolkit: str) -> dict[str, Any]:
    release = ".".join(toolkit.split(".")[:2])
    out = f"nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release {release}, V{release}.88\n"
    return {"path": "/usr/local/cuda/bin/nvcc", "output": {"code": 0, "out": out, "err": ""}}


def _tried(source: str) -> dict[str, Any]:
    return {
        "model": "provision/tiny-think",
        "source": source,
        "bytes": 7825,
        "size": 515447,
        "file": "model.safetensors",
        "host": "127.0.0.1:9",
        "why": "",
    }


def _model() -> dict[str, Any]:
    rendered = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    off = rendered + "<think>\n\n</think>\n\n"
    text = {"tokens": 8, "list": True, "pt": True, "np": True}
    return {
        "model.config": {"transformers": "5.23.0", "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]},
        "tokenizer.roundtrip": {
            "texts": [{"text": words, "back": words, **text} for words in TEXTS],
            "batch": {"shape": [2, 9], "mask": [8, 9]},
            "highest_id": 409,
            "embeddings": 410,
        },
        "tokenizer.chat_template": {"on": rendered, "off": off, "history": {"text": rendered, "lost": []}},
        "model.loads": {
            "load_seconds": 1.7,
            "dtype": "torch.bfloat16",
            "device": "cuda:0",
            "parameters": 119168,
            "bytes": 238336,
            "finite": True,
            "class_name": "Qwen3ForCausalLM",
        },
        "generation.basic": {
            "tokens": 74,
            "seconds": 0.9,
            "ttft_seconds": 0.02,
            "finite": True,
            "text": "<think>\n用户想知道我是谁。\n</think>\n\n你好！我是自带的小模型。<|im_end|>",
            "ended": True,
            "tokens_per_second": 82.0,
            "peak_memory": GIB,
        },
        "generation.thinking_split": dict(SPLIT),
        "generation.streaming": {"pieces": 74, "text_same": True, "same": True, "begins": True, "held_back": 0},
        "generation.thinking_crosscheck": {"shipped": False},
        "performance.decode": {
            "tokens_per_second": 83.0,
            "ttft_seconds": 0.02,
            "bytes_per_token": 238336,
            "bandwidth": 7e11,
            "share": 3e-5,
        },
        "generation.deterministic": {"same": True, "compared": 64},
        "generation.thinking_off": {**SPLIT, "reasoning": "", "state": "off", "honoured": True},
        "generation.known_answer": {**SPLIT, "content": "2 + 3 = 5.", "asked": "What is 2 + 3?", "wanted": "5"},
    }


def _speed(cards: tuple[Any, ...]) -> dict[str, Any]:
    row = {
        "pcie.link.gen.current": "4",
        "pcie.link.gen.max": "4",
        "pcie.link.width.current": "16",
        "pcie.link.width.max": "16",
        "clocks_throttle_reasons.active": "0x0000000000000004",
        "clocks.sm": "1900",
        "clocks.max.sm": "2100",
        "temperature.gpu": "61",
        "power.draw": "318.1",
        "utilization.gpu": "100",
    }
    return {
        "performance.gemm": {"tflops": [59.0 for _ in cards], "load": [{"uuid": card.uuid, **row} for card in cards]},
        "performance.copy": {
            "to_device": [24.0 for _ in cards],
            "from_device": [25.0 for _ in cards],
            "intact": [True for _ in cards],
        },
    }


@dataclass(frozen=True)
class Fault:
    """One planted fault: what it is and where it was met, how it is planted, and what the report must say of it.

    `hint` is a part of the root cause's hint; `how` says what it is planted in.
    """

    name: str
    source: str
    plant: Callable[[Plan], None]
    causes: tuple[str, ...]
    code: str
    exit_code: int
    hint: str
    make: Callable[[], Plan] = healthy
    how: str = "recorded machine, edited"

    def judged(self) -> Report:
        """The report of the machine with this fault, and no other."""
        plan = self.make()
        self.plant(plan)
        return plan.judged()


def outcome(report: Report) -> Mapping[str, Any]:
    """What the table compares: root cause, the code and hint of its first, and the exit code."""
    by_id = {found.id: found for found in report.checks}
    first = by_id[report.root_cause[0]] if report.root_cause else None
    warned = [found for found in report.checks if found.status.value in ("warn", "unknown")]
    shown = first or (warned[0] if warned else None)
    return {
        "causes": report.root_cause or tuple(found.id for found in warned),
        "code": shown.code if shown else "",
        "hint": shown.hint if shown else "",
        "exit_code": int(report.exit_code),
    }


def no_engine(words: str) -> EngineFacts:
    """An engine that does not answer, with these words."""
    return unreachable(words)
