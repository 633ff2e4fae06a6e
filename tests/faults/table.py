"""The faults, planted one at a time. A row names where the fault was met, and what the report must say of it: the exact
root causes, the code, the exit code, and words that the hint must hold.

Rows of `tests/faults/live.py` are planted in real processes and real model folders; these here in captures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from checks.differential import VARIATIONS
from checks.interface import Judgement, failed
from provision.facts.gpu import GpuFacts, GpuState, Hardware
from provision.facts.host import Disk, Stuck
from provision.findings import Status
from provision.machines.interface import Outcome
from provision.matrix import load_matrix
from provision.resolve import Wanted, resolve
from provision.spec import ChecksSpec
from tests.fakes.machine import ended, said
from tests.faults.plan import GIB, Fault, Plan, healthy, no_engine

DOCKER = partial(healthy, engine="docker")
TWO = partial(healthy, gpus=2)
T4 = partial(healthy, "tesla-t4.xml")
A100 = partial(healthy, "a100-sxm4-v12.xml")
ADA = partial(healthy, "rtx-4000-sff-ada-v13.xml")
TWO_IN_DOCKER = partial(healthy, engine="docker", gpus=2)
HUNG = Judgement(Status.HUNG, "probe-hung", "no answer in 120 s; the probe was ended", hint="dmesg | tail")


def crashed(name: str, words: str = "") -> Judgement:
    return failed("probe-crashed", f"the probe died of {name}", evidence=words, hint="dmesg | tail")


def smi_says(code: int, words: str) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.smi = said(words, rc=code)

    return plant


def smi_ends(outcome: Outcome, words: str = "") -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.smi = ended(outcome, seconds=20.0, stderr=words)
        plan.seen["runtime"] = {"torch.import": plan.seen["runtime"]["torch.import"]}

    return plant


def edit(*pairs: tuple[str, str]) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        for old, new in pairs:
            plan.edit(old, new)

    return plant


def xid(code: int, words: str, age: float = 60.0) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.dmesg = said(f"[ {10000.0 - age:.6f}] NVRM: Xid (PCI:0000:0c:00): {code}, pid=812, {words}\n")

    return plant


def tell(name: str, **changes: Any) -> Callable[[Plan], None]:
    """Change what a probe says of `name`."""

    def plant(plan: Plan) -> None:
        plan.fact(name).update(changes)

    return plant


def error(name: str, kind: str, message: str) -> Callable[[Plan], None]:
    return lambda plan: plan.error(name, kind, message)


def cut(probe: str, at: str, trouble: Judgement) -> Callable[[Plan], None]:
    return lambda plan: plan.cut(probe, at, trouble)


def host(**changes: Any) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.host = replace(plan.host, **changes)

    return plant


def disk(**changes: Any) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.host = replace(plan.host, disks=(replace(plan.host.disks[0], **changes),))

    return plant


def engine(**changes: Any) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.engine_facts = replace(plan.engine_facts, **changes)

    return plant


def unreachable(words: str) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.engine_facts = no_engine(words)
        refused(f"no container engine answers: {words}")(plan)

    return plant


def refused(words: str) -> Callable[[Plan], None]:
    """The container does not start: nobody can look inside."""

    def plant(plan: Plan) -> None:
        trouble = failed("environment-unusable", "the container could not be started", evidence=words, hint="provision up")
        for probe in ("environment", "runtime"):
            plan.cut(probe, "", trouble)

    return plant


def healed_by(name: str, check: str, plant: Callable[[Plan], None], fact: dict[str, Any]) -> Callable[[Plan], None]:
    """The fault `plant`, and a second run with one thing changed in which `check` says `fact`."""
    key = next(one.key for one in VARIATIONS if one.check == check and one.name.startswith(name))

    def both(plan: Plan) -> None:
        plant(plan)
        plan.seen[key] = {check: fact}

    return both


def blackwell_with_old_wheel(plan: Plan) -> None:
    plan.edit("NVIDIA GeForce RTX 3080", "NVIDIA GeForce RTX 5090")
    plan.capability = "12.0"
    plan.fact("torch.arch.supported").update(
        flags=["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"], capabilities=[[12, 0]]
    )


def hidden_gpus(plan: Plan) -> None:
    plan.fact("torch.cuda.available").update(available=False, count=0, devices=[], why="No CUDA GPUs are available")


def cuda_error(number: int, words: str) -> Callable[[Plan], None]:
    why = f"Unexpected error from cudaGetDeviceCount(). Error {number}: {words}"
    return tell("torch.cuda.available", available=False, count=0, devices=[], why=why)


def pinned(**changes: Any) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        resolution = plan.bundle().about.resolution
        assert resolution
        plan.resolution = replace(resolution, **changes)

    return plant


def nothing_fits(plan: Plan) -> None:
    facts = plan.bundle().about.facts
    plan.resolution = resolve(facts, Wanted(engine="local"), load_matrix())


def no_gpu_at_all(plan: Plan) -> None:
    plan.gpu = GpuFacts(GpuState.NONE, "no nvidia-smi, and no NVIDIA GPU on the PCI bus", hardware=Hardware(()))
    plan.spec = replace(plan.spec, gpu="required")


def lossy(plan: Plan) -> None:
    plan.fact("tokenizer.roundtrip")["texts"][2]["back"] = "�‍�‍�‍� � é fi"


def shard(code: str, detail: str, file: str = "model-00002-of-00003.safetensors") -> Callable[[Plan], None]:
    return tell("model.structure", troubles=[{"file": file, "code": code, "detail": detail}])


def load(**changes: str) -> Callable[[Plan], None]:
    def plant(plan: Plan) -> None:
        plan.fact("performance.gemm")["load"][0].update({name.replace("__", "."): value for name, value in changes.items()})

    return plant


def slower(plan: Plan) -> None:
    plan.baseline = {"performance.decode": 200.0}


def required(check: str, plant: Callable[[Plan], None]) -> Callable[[Plan], None]:
    def both(plan: Plan) -> None:
        plant(plan)
        plan.spec = replace(plan.spec, checks=ChecksSpec(required=(check,)))

    return both


def _remapped(pending: str, failure: str) -> str:
    return (
        "<remapped_rows><remapped_row_corr>0</remapped_row_corr><remapped_row_unc>1</remapped_row_unc>"
        f"<remapped_row_pending>{pending}</remapped_row_pending>"
        f"<remapped_row_failure>{failure}</remapped_row_failure></remapped_rows>"
    )


def no_python(plan: Plan) -> None:
    for probe in ("environment", "runtime"):
        plan.cut(probe, "", failed("python-missing", "python cannot be run here", hint="give one: --python PATH"))


KIT, TORCH = "NVIDIA/nvidia-container-toolkit", "pytorch/pytorch"
DRIVER: tuple[Fault, ...] = (
    Fault(
        "driver and library of two versions, as nvidia-smi says it",
        f"{KIT}#394",
        smi_says(18, "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.54"),
        ("host.driver.loaded",),
        "driver-mismatch",
        1,
        "reboot",
    ),
    Fault(
        "driver and library of two versions, and nvidia-smi still answers",
        "NVIDIA/nvidia-docker#1168",
        lambda plan: setattr(plan, "module", "570.124.06"),
        ("host.driver.loaded",),
        "driver-mismatch",
        1,
        "reboot",
    ),
    Fault(
        "kernel module not loaded after a kernel update",
        "CHECKS H1",
        smi_says(9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."),
        ("host.driver.loaded",),
        "driver-not-loaded",
        1,
        "modprobe nvidia",
    ),
    Fault(
        "device nodes closed to this user",
        "CHECKS H1",
        smi_says(4, "Failed to initialize NVML: Insufficient Permissions"),
        ("host.driver.loaded",),
        "driver-permission",
        1,
        "ls -l /dev/nvidia",
    ),
    Fault(
        "nvidia-smi never answers",
        "NVIDIA/open-gpu-kernel-modules#446",
        smi_ends(Outcome.TIMED_OUT),
        ("host.driver.loaded",),
        "driver-hung",
        3,
        "reboot",
    ),
    Fault(
        "nvidia-smi cannot be killed: it sits in the kernel",
        "CHECKS H1",
        smi_ends(Outcome.HUNG),
        ("host.driver.loaded",),
        "driver-hung",
        3,
        "stuck in the driver",
    ),
    Fault(
        "nvidia-smi may not be run",
        "CHECKS H1",
        smi_ends(Outcome.DENIED, "Permission denied"),
        ("host.driver.loaded",),
        "driver-permission",
        1,
        "groups",
    ),
    Fault(
        "a GPU on the bus and no driver",
        "CHECKS H1",
        smi_ends(Outcome.NOT_FOUND),
        ("host.driver.loaded",),
        "driver-missing",
        1,
        "install the NVIDIA driver",
    ),
    Fault(
        "half an XML document",
        "CHECKS H1",
        lambda plan: setattr(plan, "smi", said(plan.xml[: len(plan.xml) // 2])),
        ("host.driver.loaded",),
        "driver-unreadable",
        3,
        "nvidia-smi -q",
    ),
    Fault(
        "a web page for an answer",
        "CHECKS H1",
        smi_says(0, "<html><body>502 Bad Gateway</body></html>"),
        ("host.driver.loaded",),
        "driver-unreadable",
        3,
        "nvidia-smi -q",
    ),
    Fault(
        "a GPU is required and there is none",
        "CHECKS H4",
        no_gpu_at_all,
        ("host.driver.loaded",),
        "gpu-absent",
        1,
        "lspci",
    ),
    Fault(
        "a GPU fell off the bus",
        "CHECKS H4, H7 (Xid 79)",
        smi_says(15, "Unable to determine the device handle for GPU 0000:0C:00.0: GPU is lost. Reboot the system"),
        ("host.gpu.visible",),
        "gpu-lost",
        1,
        "power cycle",
    ),
    Fault(
        "the driver counts two GPUs and lists one",
        "CHECKS H4",
        edit(("<attached_gpus>1<", "<attached_gpus>2<")),
        ("host.gpu.visible",),
        "gpu-count",
        1,
        "dmesg",
    ),
    Fault(
        "the bus shows two GPUs and the driver one",
        "CHECKS H4",
        lambda plan: setattr(plan, "scan", plan.scan + "pci 0000:02:00.0\n"),
        ("host.gpu.visible",),
        "gpu-count",
        1,
        "does not start",
    ),
    Fault(
        "a driver older than any wheel of the releases asked for",
        "CHECKS H3",
        nothing_fits,
        ("host.driver.supports_cuda",),
        "nothing-fits",
        1,
        "driver >= 525.60.13",
        T4,
    ),
    Fault(
        "a driver below the floor of the pinned torch",
        "theroyallab/tabbyAPI#324",
        pinned(ok=True, torch="2.13.0", wheel_tag="cu130", driver_floor="580.65.06"),
        ("host.driver.supports_cuda",),
        "driver-too-old",
        1,
        "upgrade the driver",
        A100,
    ),
    Fault(
        "a process hangs in the driver in D state",
        "CHECKS H11",
        host(stuck=(Stuck(812, "python", 3600.0, "nvidia_ioctl"),)),
        ("host.processes.stuck",),
        "process-stuck",
        1,
        "reboot",
    ),
)
HEALTH: tuple[Fault, ...] = (
    Fault(
        "the driver asks for a reset",
        "CHECKS H5",
        edit(("<gpu_recovery_action>None<", "<gpu_recovery_action>Reset<")),
        ("host.driver.recovery",),
        "recovery-needed",
        1,
        "--gpu-reset",
    ),
    Fault(
        "an older driver says that a reset is required",
        "CHECKS H5",
        edit(
            ("<gpu_reset_status>\n            <reset_required>No<", "<gpu_reset_status>\n            <reset_required>Yes<")
        ),
        ("host.driver.recovery",),
        "recovery-needed",
        1,
        "--gpu-reset",
        A100,
    ),
    Fault(
        "uncorrected memory errors since boot",
        "CHECKS H6",
        lambda plan: _ecc(plan, 3),
        ("host.gpu.health",),
        "ecc-uncorrected",
        1,
        "reboot",
        T4,
    ),
    Fault(
        "a page waits for retirement",
        "CHECKS H6",
        edit(("<pending_retirement>No<", "<pending_retirement>Yes<")),
        ("host.gpu.health",),
        "row-remap",
        1,
        "--gpu-reset",
        T4,
    ),
    Fault(
        "memory rows wait for remapping",
        "CHECKS H6",
        edit(("<remapped_rows>N/A</remapped_rows>", _remapped("Yes", "No"))),
        ("host.gpu.health",),
        "row-remap",
        1,
        "--gpu-reset",
        A100,
    ),
    Fault(
        "memory rows cannot be remapped any more",
        "CHECKS H6",
        edit(("<remapped_rows>N/A</remapped_rows>", _remapped("No", "Yes"))),
        ("host.gpu.health",),
        "row-remap-failed",
        1,
        "replace the GPU",
        A100,
    ),
    *(
        Fault(
            f"Xid {code} a minute ago",
            source,
            xid(code, words),
            ("host.gpu.xid",),
            "xid",
            1,
            hint,
        )
        for code, words, source, hint in (
            (79, "GPU has fallen off the bus.", "CHECKS H7", "power cycle"),
            (119, "Timeout waiting for RPC from GSP!", "NVIDIA/open-gpu-kernel-modules#446", "GSP"),
            (48, "An uncorrectable double bit error (DBE)", "CHECKS H7", "--gpu-reset"),
            (74, "NVLink: fatal error detected", "CHECKS H7", "nvlink -e"),
            (64, "Row Remapper Error", "CHECKS H7", "replace the GPU"),
            (62, "Internal micro-controller halt", "CHECKS H7", "reboot"),
        )
    ),
    Fault(
        "a kernel log that nobody may read, where it is required",
        "CHECKS H7",
        required("host.gpu.xid", lambda plan: setattr(plan, "dmesg", said("", stderr="Operation not permitted", rc=1))),
        ("host.gpu.xid",),
        "kernel-log-unread",
        3,
        "sudo dmesg",
    ),
    Fault(
        "thermal slowdown by the hardware",
        "CHECKS H8",
        lambda plan: _slow(plan, "hw_thermal_slowdown"),
        ("host.gpu.throttle",),
        "gpu-slowed",
        1,
        "TEMPERATURE",
    ),
    Fault(
        "power brake",
        "CHECKS H8",
        lambda plan: _slow(plan, "hw_power_brake_slowdown"),
        ("host.gpu.throttle",),
        "gpu-slowed",
        1,
        "power cables",
    ),
    Fault(
        "slowed by heat",
        "CHECKS H8",
        lambda plan: _slow(plan, "sw_thermal_slowdown"),
        ("host.gpu.throttle",),
        "gpu-warm",
        0,
        "TEMPERATURE",
    ),
    Fault(
        "the fabric manager is not there",
        "huggingface/huggingface_hub#4134",
        lambda plan: _fabric(plan, "In Progress", "N/A"),
        ("host.gpu.fabric",),
        "fabric-not-ready",
        1,
        "nvidia-fabricmanager",
    ),
    Fault(
        "the fabric manager failed",
        "CHECKS H10",
        lambda plan: _fabric(plan, "Completed", "Insufficient Resources"),
        ("host.gpu.fabric",),
        "fabric-not-ready",
        1,
        "of the very version",
    ),
)
HOST: tuple[Fault, ...] = (
    Fault("a full disk", "CHECKS H12", disk(free=GIB // 2), ("host.disk",), "disk-full", 1, "models gc"),
    Fault("a disk that is nearly full", "CHECKS H12", disk(free=5 * GIB), ("host.disk",), "disk-low", 0, "models gc"),
    Fault("no inode left", "CHECKS, host", disk(inodes_free=0), ("host.inodes",), "inodes-full", 1, "df -i"),
    Fault(
        "free space that cannot be read",
        "CHECKS H12",
        host(disks=(Disk("/x"),)),
        ("host.disk",),
        "disk-unread",
        3,
        "df -h",
    ),
    Fault("1 GiB of memory left", "CHECKS, host", host(memory_available=GIB), ("host.memory",), "memory-low", 0, "rss"),
    Fault("a control group of 1 GiB", "CHECKS, host", host(memory_limit=GIB), ("host.memory",), "memory-low", 0, "rss"),
    Fault("a clock in 1970", "CHECKS, host", host(clock=86400.0), ("host.clock",), "clock-wrong", 1, "set-ntp"),
    Fault("256 open files", "CHECKS, host", host(open_files=256), ("host.limits",), "open-files-low", 0, "ulimit -n"),
    Fault(
        "a model larger than the disk",
        "CHECKS H12",
        lambda plan: (
            plan.fact("mirrors.reachable").update(needed=True, bytes_to_come=600 * GIB),
            plan.fact("model.files").update(missing=["provision/tiny-think"]),
        )[0],
        ("model.room", "model.files"),
        "no-room",
        1,
        "PROVISION_STORE",
    ),
)
ENGINE: tuple[Fault, ...] = (
    Fault(
        "no engine installed",
        "CHECKS R1",
        unreachable("[Errno 2] No such file or directory: '/var/run/docker.sock'"),
        ("engine.reachable",),
        "engine-unreachable",
        1,
        "install Docker",
        DOCKER,
    ),
    Fault(
        "not in the docker group",
        "CHECKS R1",
        unreachable("[Errno 13] Permission denied: '/var/run/docker.sock'"),
        ("engine.reachable",),
        "engine-unreachable",
        1,
        "usermod -aG docker",
        DOCKER,
    ),
    Fault(
        "a socket and nobody who listens",
        "CHECKS R1",
        unreachable("[Errno 111] Connection refused"),
        ("engine.reachable",),
        "engine-unreachable",
        1,
        "systemctl start docker",
        DOCKER,
    ),
    Fault(
        "an engine without the nvidia runtime",
        "NVIDIA/nvidia-docker#1034",
        lambda plan: (
            engine(runtimes=("runc",), nvidia_runtime=False)(plan),
            refused('could not select device driver "" with capabilities: [[gpu]]')(plan),
        )[0],
        ("engine.gpu_runtime",),
        "gpu-runtime-missing",
        1,
        "nvidia-container-toolkit",
        DOCKER,
    ),
    Fault(
        "a runtime that the daemon has forgotten since",
        "hiyouga/LlamaFactory#5268",
        refused('could not select device driver "" with capabilities: [[gpu]]'),
        ("engine.environment",),
        "gpu-runtime-missing",
        1,
        "nvidia-ctk runtime configure",
        DOCKER,
    ),
    Fault(
        "CDI devices that are not there",
        "GROUND: the engine's own words",
        refused("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all"),
        ("engine.environment",),
        "gpu-runtime-missing",
        1,
        "nvidia-ctk",
        DOCKER,
    ),
    Fault(
        "an image that wants a newer driver",
        "ggml-org/llama.cpp#9665",
        refused("nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.6, please update your driver"),
        ("engine.environment",),
        "image-needs-newer-driver",
        1,
        "image resolve",
        DOCKER,
    ),
    Fault(
        "the toolkit's hook fails",
        f"{KIT}#171",
        refused("nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown"),
        ("engine.environment",),
        "gpu-hook-failed",
        1,
        "nvidia-container-cli",
        DOCKER,
    ),
    Fault(
        "no image yet",
        "CHECKS, image",
        refused("there is no image provision/smoke:latest here"),
        ("engine.environment",),
        "image-missing",
        1,
        "provision up",
        DOCKER,
    ),
    Fault(
        "an image of another architecture",
        "CHECKS, image",
        refused("exec /usr/bin/sleep: exec format error"),
        ("engine.environment",),
        "other-architecture",
        1,
        "--platform",
        DOCKER,
    ),
    Fault(
        "the engine's own disk is full",
        "CHECKS H12",
        refused("write /var/lib/docker/overlay2/x: no space left on device"),
        ("engine.environment",),
        "disk-full",
        1,
        "docker system prune",
        DOCKER,
    ),
    Fault(
        "Podman ignores the request for a GPU",
        "CHECKS, engine (Podman)",
        lambda plan: (
            engine(kind="podman", cdi_devices=("nvidia.com/gpu=0",))(plan),
            tell("engine.gpu_uuids", smi=None, nodes=[])(plan),
        )[0],
        ("engine.gpu_uuids",),
        "gpu-not-passed",
        1,
        "podman",
        DOCKER,
    ),
    Fault(
        "a container that lost its GPUs to a daemon-reload",
        f"{KIT}#48",
        tell("engine.gpu_uuids", code=255, words="Failed to initialize NVML: Unknown Error", uuids=[]),
        ("engine.gpu_uuids",),
        "gpu-detached",
        1,
        "CDI",
        DOCKER,
    ),
    Fault(
        "one GPU inside of two outside",
        "CHECKS R3",
        lambda plan: plan.fact("engine.gpu_uuids").update(uuids=plan.fact("engine.gpu_uuids")["uuids"][:1]),
        ("engine.gpu_uuids",),
        "uuids-differ",
        1,
        "NVIDIA_VISIBLE_DEVICES",
        TWO_IN_DOCKER,
    ),
    Fault(
        "64 MB of shared memory",
        "pytorch/pytorch#5040",
        tell("engine.shm", bytes=64 << 20),
        ("engine.shm",),
        "shm-small",
        0,
        "--shm-size",
        DOCKER,
    ),
    Fault(
        "64 MB of shared memory for two GPUs",
        "CHECKS R6",
        tell("engine.shm", bytes=64 << 20),
        ("engine.shm",),
        "shm-small",
        1,
        "--shm-size",
        TWO_IN_DOCKER,
    ),
    Fault(
        "2 GiB of shared memory for two GPUs",
        "CHECKS R6",
        tell("engine.shm", bytes=2 * GIB),
        ("engine.shm",),
        "shm-small-for-gpus",
        0,
        "--ipc host",
        TWO_IN_DOCKER,
    ),
    Fault(
        "an injected library in every CUDA process",
        "CHECKS R7",
        tell("environment.python", settings={"CUDA_INJECTION64_PATH": "/opt/x.so"}),
        ("engine.variables",),
        "hostile-variables",
        0,
        "unset CUDA_INJECTION64_PATH",
    ),
    Fault(
        "MIG, and a slice named by number",
        f"{TORCH}#130181",
        tell("environment.python", settings={"CUDA_VISIBLE_DEVICES": "0"}),
        ("engine.variables",),
        "hostile-variables",
        0,
        "unset CUDA_VISIBLE_DEVICES",
        A100,
    ),
    Fault(
        "no python in the environment",
        "CHECKS, isolation",
        no_python,
        ("engine.environment",),
        "python-missing",
        1,
        "--python",
    ),
)
TOOLKIT: tuple[Fault, ...] = (
    Fault(
        "nvcc of another version than was pinned",
        "CHECKS C1",
        lambda plan: _nvcc(plan, "11.8"),
        ("toolkit.nvcc.version",),
        "nvcc-other-version",
        1,
        "provision up",
        DOCKER,
    ),
    Fault(
        "an image without nvcc, where it is wanted",
        "CHECKS C1",
        tell("toolkit.nvcc.version", path=None),
        ("toolkit.nvcc.version",),
        "nvcc-missing",
        1,
        "provision up",
        DOCKER,
    ),
    Fault(
        "nvcc of another major version than torch's",
        "CHECKS C1",
        lambda plan: _nvcc(plan, "11.8"),
        ("torch.toolkit",),
        "toolkit-other-major",
        0,
        "CUDA_HOME",
    ),
    Fault(
        "nvcc without a host compiler",
        "CHECKS C2",
        tell(
            "toolkit.nvcc.compiles",
            told={"code": 1, "out": "", "err": "nvcc fatal: Failed to preprocess host compiler properties."},
            bytes=0,
            host_compiler=None,
        ),
        ("toolkit.nvcc.compiles",),
        "nvcc-compile-failed",
        1,
        "apt-get install g++",
    ),
    Fault(
        "nvcc led astray by CPATH",
        "CHECKS, differential",
        healed_by(
            "compiler variables",
            "toolkit.nvcc.compiles",
            tell("toolkit.nvcc.compiles", told={"code": 2, "out": "", "err": "cuda_fp16.h: unknown"}, bytes=0),
            {
                "architecture": "sm_86",
                "host_compiler": "/usr/bin/g++",
                "told": {"code": 0, "out": "", "err": ""},
                "bytes": 3112,
                "magic": "7f454c46",
            },
        ),
        ("toolkit.nvcc.compiles",),
        "nvcc-compile-failed",
        1,
        "unset NVCC_PREPEND_FLAGS",
    ),
    Fault(
        "a toolkit without ptxas",
        "CHECKS C3",
        lambda plan: plan.fact("toolkit.nvcc.jit")["tools"].update(ptxas=None),
        ("toolkit.nvcc.jit",),
        "jit-tools-missing",
        0,
        "cuda-toolkit[nvcc]",
    ),
    Fault(
        "a fresh kernel that does not run",
        "CHECKS C2",
        error("toolkit.nvcc.runs", "RuntimeError", "cuModuleLoad: error 222"),
        ("toolkit.nvcc.runs",),
        "nvcc-kernel-failed",
        1,
        "newer than the driver",
    ),
    Fault(
        "a compat library on a GeForce",
        "mistralai/mistral-inference#144",
        tell("toolkit.libcuda", path="/usr/local/cuda/compat/libcuda.so.550.54"),
        ("toolkit.libcuda",),
        "compat-on-geforce",
        1,
        "/usr/local/cuda/compat",
    ),
    Fault(
        "the linker's stub before the driver",
        "CHECKS C4",
        tell("toolkit.libcuda", path="/usr/local/cuda/lib64/stubs/libcuda.so"),
        ("toolkit.libcuda",),
        "cuda-stub",
        1,
        "unset LD_LIBRARY_PATH",
    ),
    Fault(
        "a container without the compute capability",
        "CHECKS C4",
        tell("toolkit.libcuda", path=None, why="libcuda.so.1: cannot open shared object file"),
        ("toolkit.libcuda",),
        "libcuda-missing",
        1,
        "NVIDIA_DRIVER_CAPABILITIES",
        DOCKER,
    ),
)
PYTORCH: tuple[Fault, ...] = (
    Fault(
        "no torch",
        "CHECKS T1",
        lambda plan: (
            plan.cut("runtime", "torch.cuda.available", crashed("x")),
            plan.troubles.pop("runtime"),
            plan.error("torch.import", "ModuleNotFoundError", "No module named 'torch'"),
        )[0],
        ("torch.import",),
        "torch-missing",
        1,
        "provision up",
    ),
    Fault(
        "a symbol from two toolkits",
        f"{TORCH}#140797",
        healed_by(
            "LD_LIBRARY_PATH",
            "torch.import",
            error("torch.import", "ImportError", "undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12"),
            {"version": "2.13.0+cu130", "python": "3.12.4", "cuda": "13.0", "foreign_libraries": []},
        ),
        ("torch.import",),
        "torch-broken",
        1,
        "unset LD_LIBRARY_PATH",
    ),
    Fault(
        "a broken wheel",
        "CHECKS T1",
        error("torch.import", "ImportError", "libtorch_cuda.so: file too short"),
        ("torch.import",),
        "torch-broken",
        1,
        "provision up --engine local",
    ),
    Fault(
        "torch that crashes at import",
        "CHECKS T1",
        cut("runtime", "torch.import", crashed("SIGILL", "Fatal Python error: Illegal instruction")),
        ("torch.import",),
        "probe-crashed",
        1,
        "dmesg",
    ),
    Fault(
        "CUDA libraries from outside the wheel",
        f"{TORCH}#140797",
        tell("torch.import", foreign_libraries=["/usr/local/cuda-11.8/lib64/libcublas.so.11"]),
        ("torch.import",),
        "foreign-cuda-libraries",
        0,
        "unset LD_LIBRARY_PATH",
    ),
    Fault(
        "a +cpu wheel on a GPU machine",
        "CHECKS T6",
        lambda plan: (
            tell("torch.import", version="2.13.0+cpu", cuda=None)(plan),
            tell("torch.cuda.available", available=False, count=0, devices=[])(plan),
            tell("torch.arch.supported", flags=[], capabilities=[])(plan),
        )[0],
        ("torch.cuda.available",),
        "cpu-wheel",
        1,
        "pip install 'torch==",
    ),
    Fault(
        "error 802: the system is not yet initialised",
        "gpustack/gpustack#4154",
        cuda_error(802, "system not yet initialized"),
        ("torch.cuda.available",),
        "fabric-manager",
        1,
        "nvidia-fabricmanager",
    ),
    Fault(
        "error 803: compat library older than the driver",
        "CHECKS T2",
        cuda_error(803, "system has unsupported display driver / cuda driver combination"),
        ("torch.cuda.available",),
        "compat-mismatch",
        1,
        "cuda-compat",
    ),
    Fault(
        "error 804: forward compatibility on a card that has none",
        "oobabooga/textgen#4407",
        cuda_error(804, "forward compatibility was attempted on non supported HW"),
        ("torch.cuda.available",),
        "compat-unsupported",
        1,
        "cuda-compat",
    ),
    Fault(
        "error 804, healed without LD_LIBRARY_PATH",
        "gpustack/gpustack#1540",
        healed_by(
            "LD_LIBRARY_PATH",
            "torch.cuda.available",
            cuda_error(804, "forward compatibility was attempted on non supported HW"),
            {"available": True, "count": 1, "devices": ["NVIDIA GeForce RTX 3080"]},
        ),
        ("torch.cuda.available",),
        "compat-unsupported",
        1,
        "unset LD_LIBRARY_PATH",
    ),
    Fault(
        "error 999",
        "CHECKS T2",
        cuda_error(999, "unknown error"),
        ("torch.cuda.available",),
        "cuda-unknown",
        1,
        "nvidia_uvm",
    ),
    Fault(
        "CUDA_VISIBLE_DEVICES names a GPU that is not there",
        f"{TORCH}#131650",
        healed_by(
            "CUDA_VISIBLE_DEVICES",
            "torch.cuda.available",
            hidden_gpus,
            {"available": True, "count": 1, "devices": ["NVIDIA GeForce RTX 3080"]},
        ),
        ("torch.cuda.available",),
        "cuda-unavailable",
        1,
        "unset CUDA_VISIBLE_DEVICES",
    ),
    Fault(
        "CUDA initialisation never returns",
        "CHECKS, isolation",
        cut("runtime", "torch.cuda.available", HUNG),
        ("torch.cuda.available",),
        "probe-hung",
        3,
        "dmesg",
    ),
    Fault(
        "a Blackwell card and a wheel without sm_120",
        f"{TORCH}#167244",
        blackwell_with_old_wheel,
        ("torch.arch.supported",),
        "arch-missing",
        1,
        "pip install 'torch==",
    ),
    Fault(
        "no kernel image for the device, found by running one",
        f"{TORCH}#167244",
        error("torch.kernel.runs", "RuntimeError", "CUDA error: no kernel image is available for execution on the device"),
        ("torch.kernel.runs",),
        "kernel-failed",
        1,
        "pip install 'torch==",
    ),
    Fault(
        "a matmul that is wrong",
        "CHECKS T3",
        tell("torch.kernel.runs", devices=[{"device": "cuda:0", "relative_error": 0.4, "finite": True}]),
        ("torch.kernel.runs",),
        "kernel-wrong",
        1,
        "ECC",
    ),
    Fault(
        "a matmul of NaN",
        "CHECKS T3",
        tell("torch.kernel.runs", devices=[{"device": "cuda:0", "relative_error": 0.0, "finite": False}]),
        ("torch.kernel.runs",),
        "kernel-wrong",
        1,
        "ROW_REMAPPER",
    ),
    Fault(
        "bfloat16 that does not work",
        "CHECKS T4",
        tell("torch.dtypes", bfloat16="not implemented for 'BFloat16'"),
        ("torch.dtypes",),
        "dtype-unsupported",
        0,
        "float32",
    ),
    Fault(
        "attention that is wrong",
        "CHECKS T5",
        tell("torch.sdpa", devices=[{"device": "cuda:0", "relative_error": 0.2, "finite": True}]),
        ("torch.sdpa",),
        "sdpa-wrong",
        1,
        "eager",
    ),
    Fault(
        "somebody else holds the GPU",
        "CHECKS T6",
        tell("torch.memory", devices=[[GIB, 10 * GIB]]),
        ("torch.memory",),
        "gpu-busy",
        0,
        "nvidia-smi",
    ),
)
MODEL: tuple[Fault, ...] = (
    Fault(
        "no source sends a byte, and the model is not here",
        "CHECKS M1",
        lambda plan: (
            plan.fact("mirrors.reachable").update(needed=True, tried=[_dead("403 Forbidden"), _dead("timed out")]),
            plan.fact("model.files").update(missing=["provision/tiny-think"]),
        )[0],
        ("mirrors.reachable", "model.files"),
        "no-source-serves",
        1,
        "sources:",
    ),
    Fault(
        "one of two sources is dead",
        "CHECKS M1",
        lambda plan: plan.fact("mirrors.reachable")["tried"].__setitem__(1, _dead("connection reset")),
        ("mirrors.reachable",),
        "source-dead",
        0,
        "take hf=x out",
    ),
    Fault(
        "a flipped bit in a shard",
        "CHECKS M2",
        tell("model.files", damaged=["provision/tiny-think model.safetensors: sha256"]),
        ("model.files",),
        "files-damaged",
        1,
        "models verify",
    ),
    Fault(
        "a client that said it had downloaded everything",
        "gpustack/gpustack#6150",
        tell("model.files", missing=["provision/tiny-think"], files=0, bytes=0),
        ("model.files",),
        "model-missing",
        1,
        "provision up",
    ),
    Fault(
        "LFS pointers instead of weights",
        "huggingface/transformers#27923",
        shard("lfs-pointer", "a Git LFS pointer of 135 bytes where the file should be"),
        ("model.structure",),
        "lfs-pointer",
        1,
        "git lfs pull",
    ),
    Fault(
        "a web page instead of a shard",
        "CHECKS M2",
        shard("html-instead", "<!doctype html><title>Sign in</title>"),
        ("model.structure",),
        "html-instead",
        1,
        "another source",
    ),
    Fault(
        "a shard that the index names is missing",
        "CHECKS M2",
        shard("shard-missing", "model.safetensors.index.json names it"),
        ("model.structure",),
        "shard-missing",
        1,
        "models pull",
    ),
    Fault(
        "a model larger than the GPU",
        "CHECKS M6",
        tell("model.structure", tensor_bytes={"BF16": 140 * GIB}),
        ("model.memory",),
        "model-too-large",
        1,
        "quantised",
    ),
    Fault(
        "a model that just fits",
        "CHECKS M6",
        tell("model.structure", tensor_bytes={"BF16": int(9.5 * GIB)}),
        ("model.memory",),
        "model-tight",
        0,
        "max_new_tokens",
    ),
    Fault(
        "transformers older than the model",
        "hiyouga/LlamaFactory#8139",
        lambda plan: _after(plan, "model.config", "KeyError", "'qwen3'"),
        ("model.config",),
        "config-unknown",
        1,
        "pip install -U transformers",
    ),
    Fault(
        "no transformers",
        "CHECKS M3",
        lambda plan: _after(plan, "model.config", "ModuleNotFoundError", "No module named 'transformers'"),
        ("model.config",),
        "transformers-missing",
        1,
        "provision up",
    ),
    Fault(
        "a tokenizer that loses emoji", "CHECKS M4", lossy, ("tokenizer.roundtrip",), "tokenizer-lossy", 1, "tokenizer of"
    ),
    Fault(
        "a tokenizer file that is broken",
        "turboderp/exllama#242",
        error("tokenizer.roundtrip", "OSError", "Can't load tokenizer"),
        ("tokenizer.roundtrip",),
        "tokenizer-broken",
        1,
        "models verify",
    ),
    Fault(
        "numpy tensors that differ",
        "CHECKS M4",
        lambda plan: plan.fact("tokenizer.roundtrip")["texts"][0].update(np=False),
        ("tokenizer.roundtrip",),
        "tensors-differ",
        1,
        "numpy",
    ),
    Fault(
        "no padding token",
        "CHECKS M4",
        lambda plan: plan.fact("tokenizer.roundtrip").pop("batch"),
        ("tokenizer.roundtrip",),
        "no-padding",
        0,
        "pad_token",
    ),
    Fault(
        "a padded batch without a mask",
        "CHECKS M4",
        tell("tokenizer.roundtrip", batch={"shape": [2, 9], "mask": [0, 9]}),
        ("tokenizer.roundtrip",),
        "padding-wrong",
        1,
        "transformers",
    ),
    Fault(
        "no chat template",
        "CHECKS M5",
        error("tokenizer.chat_template", "ValueError", "tokenizer.chat_template is not set"),
        ("tokenizer.chat_template",),
        "template-broken",
        1,
        "template",
    ),
    Fault(
        "a template that forgets the question",
        "CHECKS M5",
        tell("tokenizer.chat_template", on="<|im_start|>assistant\n"),
        ("tokenizer.chat_template",),
        "template-loses-prompt",
        1,
        "template",
    ),
    Fault(
        "a template that forgets the conversation",
        "CHECKS M5",
        lambda plan: plan.fact("tokenizer.chat_template")["history"].update(lost=["Remember the word QUARTZ."]),
        ("tokenizer.history",),
        "history-lost",
        1,
        "template",
    ),
    Fault(
        "not enough GPU memory",
        "CHECKS M6",
        lambda plan: _after(plan, "model.loads", "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB"),
        ("model.loads",),
        "out-of-memory",
        1,
        "nvidia-smi",
    ),
    Fault(
        "the probe is killed while it loads",
        "CHECKS, isolation",
        cut("runtime", "model.loads", crashed("SIGKILL")),
        ("model.loads",),
        "probe-crashed",
        1,
        "dmesg",
    ),
    Fault(
        "the model lands on the CPU",
        "CHECKS T6",
        tell("model.loads", device="cpu"),
        ("model.loads",),
        "model-on-cpu",
        1,
        "accelerate",
    ),
    Fault(
        "weights with NaN",
        "CHECKS G1",
        tell("model.loads", finite=False),
        ("model.loads",),
        "weights-not-finite",
        1,
        "models verify",
    ),
)
SPEAKING: tuple[Fault, ...] = (
    Fault(
        "NaN logits",
        "CHECKS G1",
        tell("generation.basic", finite=False),
        ("generation.basic",),
        "logits-not-finite",
        1,
        "float32",
    ),
    Fault(
        "!!!! over and over",
        "QwenLM/Qwen3#761",
        tell("generation.basic", text="!" * 74),
        ("generation.basic",),
        "generation-degenerate",
        1,
        "bfloat16",
    ),
    Fault(
        "!!!! over and over, healed by float32",
        "QwenLM/Qwen3#761",
        healed_by(
            "float32",
            "generation.basic",
            tell("generation.basic", text="!" * 74),
            {"tokens": 20, "tokens_per_second": 9.0, "ttft_seconds": 0.1, "finite": True, "text": "Hello, all is well"},
        ),
        ("generation.basic",),
        "generation-degenerate",
        1,
        'dtype="float32"',
    ),
    Fault(
        "nothing said",
        "CHECKS G1",
        tell("generation.basic", text=" ", tokens=1),
        ("generation.basic",),
        "generation-empty",
        1,
        "models verify",
    ),
    Fault(
        "generate() raises",
        "CHECKS G1",
        error("generation.basic", "RuntimeError", "CUDA error: device-side assert triggered"),
        ("generation.basic",),
        "generation-failed",
        1,
        "--only generation.basic",
    ),
    Fault(
        "still thinking when the budget is spent",
        "sipeed/picoclaw#966",
        lambda plan: (
            plan.fact("generation.thinking_split").update(state="truncated", content=""),
            plan.fact("generation.basic").update(ended=False),
        )[0],
        ("generation.thinking_split",),
        "thinking-truncated",
        0,
        "max_new_tokens: 640",
    ),
    Fault(
        "a closed thought and no answer",
        "QwenLM/Qwen3#1297",
        tell("generation.thinking_split", content=" "),
        ("generation.thinking_split",),
        "answer-lost",
        1,
        "generation.family",
    ),
    Fault(
        "no thought though asked",
        "CHECKS G2",
        tell("generation.thinking_split", state="absent", reasoning=""),
        ("generation.thinking_split",),
        "thinking-absent",
        0,
        "FAMILIES",
    ),
    Fault(
        "an empty thought though asked",
        "CHECKS G2",
        tell("generation.thinking_split", reasoning=" "),
        ("generation.thinking_split",),
        "thinking-empty",
        0,
        "FAMILIES",
    ),
    Fault(
        "thinks though told not to",
        "lmstudio-ai/lmstudio-bug-tracker#1990",
        tell("generation.thinking_off", reasoning="Thinking Process: 1. Analyse"),
        ("generation.thinking_off",),
        "thinks-when-off",
        1,
        "enable_thinking=False",
    ),
    Fault(
        "the answer goes into the thought with thinking off",
        "vllm-project/vllm#19839",
        tell("generation.thinking_off", content=""),
        ("generation.thinking_off",),
        "answer-empty",
        1,
        "generation.family",
    ),
    Fault(
        "a split that is another in a stream",
        "CHECKS G2",
        tell("generation.streaming", same=False),
        ("generation.streaming",),
        "stream-differs",
        1,
        "generation.family",
    ),
    Fault(
        "transformers' own parser disagrees",
        "CHECKS G2",
        tell("generation.thinking_crosscheck", shipped=True, ours=["a", "b"], theirs=["", "a b"]),
        ("generation.thinking_crosscheck",),
        "parsers-disagree",
        0,
        "generation.family",
    ),
    Fault(
        "greedy decoding that changes",
        "CHECKS G4",
        tell("generation.deterministic", same=False),
        ("generation.deterministic",),
        "not-deterministic",
        1,
        "ECC",
    ),
    Fault(
        "a wrong answer of a model that should know",
        "CHECKS G5",
        lambda plan: (tell("model.loads", parameters=6 * 10**8)(plan), tell("generation.known_answer", content="7")(plan))[
            0
        ],
        ("generation.known_answer",),
        "answer-absent",
        0,
        "larger model",
    ),
)
SPEED: tuple[Fault, ...] = (
    Fault(
        "a GPU that computes nothing",
        "CHECKS P1",
        tell("performance.gemm", tflops=[0.0]),
        ("performance.gemm",),
        "gemm-zero",
        1,
        "ECC",
    ),
    Fault(
        "one GPU far behind its like",
        "CHECKS P1",
        tell("performance.gemm", tflops=[59.0, 31.0]),
        ("performance.gemm",),
        "gemm-uneven",
        1,
        "nvidia-smi -i 1",
        TWO,
    ),
    Fault(
        "bytes that change on the way to the GPU",
        "CHECKS P2",
        tell("performance.copy", intact=[False]),
        ("performance.copy",),
        "copy-wrong",
        1,
        "ECC",
    ),
    Fault(
        "less than 70 % of its former speed",
        "CHECKS P3",
        slower,
        ("performance.decode",),
        "slower-than-baseline",
        0,
        "nvidia-smi",
    ),
    Fault(
        "power brake under load",
        "CHECKS P4",
        load(clocks_throttle_reasons__active="0x0000000000000080"),
        ("performance.clocks",),
        "slowed-under-load",
        1,
        "power",
    ),
    Fault(
        "heat under load",
        "CHECKS P4",
        load(clocks_throttle_reasons__active="0x0000000000000020"),
        ("performance.clocks",),
        "warm-under-load",
        0,
        "fan",
    ),
    Fault(
        "an x4 link under load",
        "CHECKS H9",
        lambda plan: plan.fact("performance.gemm")["load"][0].update({"pcie.link.width.current": "4"}),
        ("performance.link",),
        "link-below-max",
        0,
        "reseat",
    ),
    Fault(
        "an all-reduce that hangs",
        "NVIDIA/nccl#257",
        cut("multigpu", "multigpu.allreduce", HUNG),
        ("multigpu.allreduce",),
        "probe-hung",
        3,
        "dmesg",
        TWO,
    ),
    Fault(
        "an all-reduce that hangs, healed without peer access",
        "NVIDIA/nccl#2079",
        healed_by(
            "NCCL_P2P_DISABLE",
            "multigpu.allreduce",
            cut("multigpu", "multigpu.allreduce", HUNG),
            {"right": True, "count": 2, "sums": [3.0, 3.0]},
        ),
        ("multigpu.allreduce",),
        "probe-hung",
        1,
        "NCCL_P2P_DISABLE=1",
        TWO,
    ),
    Fault(
        "a wrong sum over two GPUs",
        "CHECKS X2",
        tell("multigpu.allreduce", right=False, sums=[3.0, 1.0]),
        ("multigpu.allreduce",),
        "allreduce-wrong",
        1,
        "ACS",
        TWO,
    ),
    Fault(
        "a peer copy that changes bytes",
        "NVIDIA/nccl-tests#117",
        lambda plan: plan.fact("multigpu.peer")["pairs"][0].update(intact=False),
        ("multigpu.peer",),
        "peer-wrong",
        1,
        "IOMMU",
        TWO,
    ),
    Fault(
        "an inactive NVLink",
        "CHECKS X4",
        tell("multigpu.nvlink", out="GPU 0: x\n\t Link 0: 25 GB/s\n\t Link 1: <inactive>\n"),
        ("multigpu.nvlink",),
        "nvlink-inactive",
        0,
        "nvlink -e",
        TWO,
    ),
)


def _ecc(plan: Plan, count: int) -> None:
    head, tail = plan.xml.split("<volatile>", 1)
    volatile, rest = tail.split("</volatile>", 1)
    name = "dram_uncorrectable"
    assert f"<{name}>0<" in volatile, volatile
    plan.xml = f"{head}<volatile>{volatile.replace(f'<{name}>0<', f'<{name}>{count}<')}</volatile>{rest}"


def _slow(plan: Plan, reason: str) -> None:
    tag = f"clocks_event_reason_{reason}"
    plan.edit(f"<{tag}>Not Active<", f"<{tag}>Active<")


def _fabric(plan: Plan, state: str, status: str) -> None:
    head, tail = plan.xml.split("<fabric>", 1)
    inner, rest = tail.split("</fabric>", 1)
    inner = inner.replace("<state>N/A<", f"<state>{state}<").replace("<status>N/A<", f"<status>{status}<")
    plan.xml = f"{head}<fabric>{inner}</fabric>{rest}"


def _nvcc(plan: Plan, release: str) -> None:
    out = f"nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release {release}, V{release}.89\n"
    plan.fact("toolkit.nvcc.version")["output"]["out"] = out


def _dead(why: str) -> dict[str, Any]:
    return {"model": "provision/tiny-think", "source": "hf=x", "bytes": 0, "size": 0, "file": "", "host": "", "why": why}


def _after(plan: Plan, name: str, kind: str, message: str) -> None:
    """An exception at `name`, and nothing more of the model."""
    facts = plan.seen["runtime"]
    kept = [*list(facts)[: list(facts).index(name) + 1], "performance.gemm", "performance.copy"]
    plan.seen["runtime"] = {key: facts[key] for key in kept}
    plan.error(name, kind, message)


FAULTS = (*DRIVER, *HEALTH, *HOST, *ENGINE, *TOOLKIT, *PYTORCH, *MODEL, *SPEAKING, *SPEED)
