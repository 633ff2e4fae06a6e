"""The machine itself: its GPUs and their driver, disk and memory. Judged from Facts alone."""

from __future__ import annotations

from datetime import datetime, timezone

from checks.interface import About, Check, Fact, Judgement, always, failed, on_gpu, passed, skipped, unknown, warned
from checks.thresholds import (
    CLOCK_CEILING,
    CLOCK_FLOOR,
    DISK_FAIL,
    DISK_WARN,
    FATAL_XIDS,
    GIB,
    INODES_WARN,
    MEMORY_WARN,
    OPEN_FILES_WARN,
    SLOWED_BY_FAULT,
    SLOWED_BY_HEAT,
    STUCK_FAIL,
    XID_WINDOW,
)
from provision.facts.gpu import GpuState
from provision.facts.host import HostState
from provision.facts.kernel_log import LogState
from provision.facts.smi import Gpu
from provision.findings import Status
from provision.matrix import version

RECOVERY = {  # nvidia-smi's GPU Recovery Action (nvidia-smi manual, driver 565 and newer)
    "reset": "sudo nvidia-smi --gpu-reset   # end what runs on it first",
    "gpu reset": "sudo nvidia-smi --gpu-reset   # end what runs on it first",
    "reboot": "sudo reboot",
    "node reboot": "sudo reboot",
    "drain p2p": "end what uses peer access, then sudo nvidia-smi --gpu-reset",
    "drain and reset": "end what runs on it, then sudo nvidia-smi --gpu-reset",
}
XIDS = {  # the Xids most met, and what NVIDIA's catalogue asks for
    48: "sudo nvidia-smi --gpu-reset   # a double-bit memory error; if it comes again, replace the GPU",
    62: "sudo reboot   # the GPU's own controller halted; if it comes again, replace the GPU",
    64: "replace the GPU: memory rows could not be remapped",
    74: "nvidia-smi nvlink -e   # an NVLink error: reseat the bridge, then replace",
    79: "sudo reboot, or a power cycle   # the GPU fell off the bus: power, riser, PCIe slot",
    92: "nvidia-smi -q -d ECC   # many corrected errors: replace the GPU when it can be spared",
    119: "sudo reboot   # GSP firmware gave no answer; if it comes again: NVreg_EnableGpuFirmware=0",
    120: "sudo reboot   # GSP firmware failed; if it comes again: NVreg_EnableGpuFirmware=0",
}
RELOAD = "sudo modprobe nvidia && nvidia-smi   # after a kernel update: reboot, or rebuild the module (dkms)"
NO_DRIVER = {  # state → code, sentence, hint
    GpuState.NONE: ("gpu-absent", "there is no NVIDIA GPU here, and one is required", "lspci -d 10de:"),
    GpuState.NO_DRIVER: ("driver-missing", "there is a GPU and no driver", "install the NVIDIA driver, then reboot"),
    GpuState.DRIVER_NOT_LOADED: ("driver-not-loaded", "the NVIDIA kernel module is not loaded", RELOAD),
    GpuState.MISMATCH: ("driver-mismatch", "the kernel module and the user library differ in version", "sudo reboot"),
    GpuState.PERMISSION: ("driver-permission", "this user may not use the GPU", "ls -l /dev/nvidia*   # and your groups"),
    GpuState.LOST: ("gpu-lost", "a GPU has fallen off the bus", "dmesg | grep -i xid; then a power cycle"),
}


def judge_loaded(fact: Fact, about: About) -> Judgement:
    """The driver answers, and its two halves are of one version."""
    gpu = about.facts.gpu
    if gpu.state is GpuState.HUNG:
        hint = "dmesg | tail; ps -eo pid,stat,cmd | grep ' D'   # a process stuck in the driver needs a reboot"
        said = "nvidia-smi does not answer"
        return Judgement(Status.HUNG, "driver-hung", said, observed=gpu.detail, evidence=_xids(about), hint=hint)
    if gpu.state is GpuState.UNREADABLE:
        return unknown(
            "driver-unreadable", "nvidia-smi answers what nobody can read", evidence=gpu.detail, hint="nvidia-smi -q"
        )
    if gpu.state in NO_DRIVER and gpu.state is not GpuState.LOST:
        code, sentence, hint = NO_DRIVER[gpu.state]
        return failed(code, sentence, evidence=gpu.detail, hint=hint)
    if gpu.kernel_module and gpu.driver_version and gpu.kernel_module != gpu.driver_version:
        return failed(
            "driver-mismatch",
            NO_DRIVER[GpuState.MISMATCH][1],
            expected=f"kernel module {gpu.driver_version}",
            observed=gpu.kernel_module,
            hint="sudo reboot",
        )
    return passed(f"driver {gpu.driver}", observed=gpu.driver)


def judge_visible(fact: Fact, about: About) -> Judgement:
    """As many GPUs as the PCI bus and the driver count, each with its UUID."""
    gpu = about.facts.gpu
    if gpu.state is GpuState.LOST:
        code, sentence, hint = NO_DRIVER[GpuState.LOST]
        return failed(code, sentence, evidence="\n".join(filter(None, (gpu.detail, _xids(about)))), hint=hint)
    seen = "\n".join(f"{card.uuid} {card.name}" for card in gpu.gpus)
    # In a container the bus shows the whole host, and the driver counts what this place was given.
    inside = bool(about.facts.host.container) or "NVIDIA_VISIBLE_DEVICES" in about.facts.host.environment
    counted = (gpu.attached or 0, 0 if inside else len(gpu.hardware.pci_gpus or ()))
    there = max(len(gpu.gpus), *counted)
    if len(gpu.gpus) < there:
        return failed(
            "gpu-count",
            f"nvidia-smi lists {len(gpu.gpus)} GPUs, and there are {there}",
            expected=str(there),
            observed=str(len(gpu.gpus)),
            evidence=seen,
            hint="dmesg | grep -i -e xid -e nvrm   # a GPU that does not start says why",
        )
    wanted = about.spec.generation.tensor_parallel
    if len(gpu.gpus) < wanted:
        return failed(
            "gpus-too-few",
            f"the model is to be spread over {wanted} GPUs, and there are {len(gpu.gpus)}",
            expected=str(wanted),
            observed=str(len(gpu.gpus)),
            evidence=seen,
            hint="generation: {tensor_parallel: 1}   # or make more of them visible: CUDA_VISIBLE_DEVICES, --gpus",
        )
    names = ", ".join(sorted({card.name for card in gpu.gpus}))
    return passed(f"{len(gpu.gpus)} × {names}", observed=str(len(gpu.gpus)), evidence=seen)


def judge_supports(fact: Fact, about: About) -> Judgement:
    """The driver carries what the resolution chose; where nothing fits, the nearest that would."""
    resolution = about.resolution
    if resolution is None:
        return unknown("not-resolved", "nothing was resolved for this machine", hint="provision image resolve")
    driver = about.facts.gpu.driver
    if not resolution.ok:
        return failed(
            "nothing-fits",
            "no torch build fits this driver and these GPUs together",
            observed=f"driver {driver}",
            evidence="\n".join(f"{reason.rule}: {reason.because}" for reason in resolution.reasons),
            hint="; or ".join(near.text for near in resolution.nearest),
        )
    if resolution.driver_floor and version(driver) < version(resolution.driver_floor):
        return failed(
            "driver-too-old",
            f"torch {resolution.torch} ({resolution.wheel_tag}) needs a newer driver",
            expected=f"driver ≥ {resolution.driver_floor}",
            observed=driver,
            hint="upgrade the driver, or take the torch that `provision image resolve` names",
        )
    return passed(f"driver {driver} carries {resolution.wheel_tag}", observed=driver)


def judge_recovery(fact: Fact, about: About) -> Judgement:
    """What the driver itself asks for: a reset, a reboot, a drain."""
    for card in about.facts.gpu.gpus:
        if card.recovery_action not in ("", "None"):
            remedy = RECOVERY.get(card.recovery_action.lower(), "nvidia-smi -q | grep -i recovery")
            return failed("recovery-needed", f"{_named(card)} asks for: {card.recovery_action}", hint=remedy)
    return passed("no GPU asks for anything")


def tells_ecc(about: About) -> Judgement | None:
    """Applies where a GPU counts memory errors or remaps rows."""
    tells = any(
        card.ecc_volatile_uncorrected is not None or card.remap_failure is not None or card.retirement_pending is not None
        for card in about.facts.gpu.gpus
    )
    if tells or not about.facts.gpu.gpus:
        return on_gpu(about)
    return on_gpu(about) or skipped("no-ecc", "these GPUs count no memory errors")


def judge_health(fact: Fact, about: About) -> Judgement:
    """Memory: uncorrected errors, and rows that wait for repair or cannot be repaired."""
    for card in about.facts.gpu.gpus:
        if card.remap_failure:
            hint = "replace the GPU: it has no spare rows left (NVIDIA, row remapping)"
            return failed("row-remap-failed", f"{_named(card)} has memory rows that cannot be remapped", hint=hint)
        if card.ecc_volatile_uncorrected:
            observed = str(card.ecc_volatile_uncorrected)
            return failed(
                "ecc-uncorrected", f"{_named(card)} has uncorrected memory errors", observed=observed, hint="sudo reboot"
            )
        if card.remap_pending or card.retirement_pending:
            hint = "sudo nvidia-smi --gpu-reset   # end what runs on it first; the repair happens at the reset"
            return failed("row-remap", f"{_named(card)} has memory rows that wait for repair", hint=hint)
    return passed("no uncorrected error, no row to repair")


def judge_throttle(fact: Fact, about: About) -> Judgement:
    """Slowed to protect itself fails, slowed by heat warns; idle and the power cap are ordinary."""
    for card in about.facts.gpu.gpus:
        if SLOWED_BY_FAULT & set(card.clock_reasons):
            return failed(
                "gpu-slowed",
                f"{_named(card)} slows down to protect itself",
                observed=" ".join(card.clock_reasons),
                hint="nvidia-smi -q -d TEMPERATURE,POWER,PERFORMANCE   # then cooling, and the power cables",
            )
    warm = [card.name for card in about.facts.gpu.gpus if SLOWED_BY_HEAT & set(card.clock_reasons)]
    if warm:
        return warned("gpu-warm", f"slowed by heat: {', '.join(warm)}", hint="nvidia-smi -q -d TEMPERATURE,PERFORMANCE")
    return passed("nothing slows them")


def judge_xid(fact: Fact, about: About) -> Judgement:
    """The kernel's Xids of the last two hours. A log that nobody may read is unknown, never a pass."""
    log = about.facts.gpu.kernel_log
    recent = [xid for xid in log.xids if xid.code in FATAL_XIDS and (xid.age is None or xid.age < XID_WINDOW.value)]
    if recent:
        codes = sorted({xid.code for xid in recent})
        return failed(
            "xid",
            f"the kernel reports Xid {', '.join(map(str, codes))}",
            observed=" ".join(map(str, codes)),
            evidence="\n".join(xid.text for xid in recent),
            hint=next((XIDS[code] for code in codes if code in XIDS), "look it up in NVIDIA's Xid catalogue"),
        )
    if log.state is not LogState.READ:
        return unknown("kernel-log-unread", "the kernel's log cannot be read", observed=log.detail, hint="sudo dmesg")
    return passed("no Xid in the last two hours")


def has_fabric(about: About) -> Judgement | None:
    """Applies where a GPU hangs on NVSwitches."""
    told = any(card.fabric_state for card in about.facts.gpu.gpus)
    return on_gpu(about) or (None if told or not about.facts.gpu.gpus else skipped("no-fabric", "no NVSwitch fabric here"))


def judge_fabric(fact: Fact, about: About) -> Judgement:
    """The fabric manager has trained the links: without it CUDA ends with error 802."""
    for card in about.facts.gpu.gpus:
        if card.fabric_state and (card.fabric_state != "Completed" or card.fabric_status not in ("", "Success")):
            return failed(
                "fabric-not-ready",
                f"{_named(card)}: fabric {card.fabric_state}",
                expected="Completed, Success",
                observed=f"{card.fabric_state}, {card.fabric_status or 'no status'}",
                hint=f"sudo systemctl restart nvidia-fabricmanager   # of the very version {about.facts.gpu.driver}",
            )
    return passed("the fabric is up")


def judge_stuck(fact: Fact, about: About) -> Judgement:
    """Processes that have sat in the nvidia driver, uninterruptible, for minutes."""
    stuck = [process for process in about.facts.host.stuck if process.seconds > STUCK_FAIL.value]
    if stuck:
        return failed(
            "process-stuck",
            f"{len(stuck)} processes hang in the kernel's nvidia driver",
            evidence="\n".join(f"pid {one.pid} {one.name}, {one.seconds:.0f} s, at {one.where}" for one in stuck),
            hint="sudo reboot   # nothing else ends a process in D state",
        )
    return passed("no process hangs in the driver")


def _xids(about: About) -> str:
    return "\n".join(xid.text for xid in about.facts.gpu.kernel_log.xids[-5:])


def _named(card: Gpu) -> str:
    return f"{card.name} {card.uuid}"


def judge_disk(fact: Fact, about: About) -> Judgement:
    """Room where things go."""
    known = [disk for disk in about.facts.host.disks if disk.free is not None]
    if not known:
        return unknown("disk-unread", "free disk space cannot be read", hint="df -h")
    least = min(known, key=lambda disk: disk.free or 0)
    free = least.free or 0
    told = f"{free / GIB:.1f} GiB free at {least.path}"
    if free < DISK_FAIL.value:
        return failed("disk-full", told, expected=f"≥ {DISK_FAIL.value / GIB:g} GiB", hint="provision models gc")
    if free < DISK_WARN.value:
        return warned("disk-low", told, expected=f"≥ {DISK_WARN.value / GIB:g} GiB", hint="provision models gc")
    return passed(told)


def judge_memory(fact: Fact, about: About) -> Judgement:
    """Memory that can be had, the control group's limit included."""
    host = about.facts.host
    amounts = [amount for amount in (host.memory_available, host.memory_limit) if amount is not None]
    if host.state is not HostState.READ or not amounts:
        return unknown("memory-unread", "available memory cannot be read", observed=host.detail, hint="free -h")
    told = f"{min(amounts) / GIB:.1f} GiB available"
    if min(amounts) < MEMORY_WARN.value:
        return warned("memory-low", told, expected=f"≥ {MEMORY_WARN.value / GIB:g} GiB", hint="ps aux --sort -rss | head")
    return passed(told)


def judge_inodes(fact: Fact, about: About) -> Judgement:
    """Room for names, not bytes: "no space left" on a disk that is half empty."""
    known = [disk for disk in about.facts.host.disks if disk.inodes_free is not None]
    if not known:
        return skipped("no-inode-count", "these file systems have no fixed number of inodes")
    least = min(known, key=lambda disk: disk.inodes_free or 0)
    told = f"{least.inodes_free:,} inodes free at {least.path}"
    hint = "df -i   # then find the folder of a million small files"
    if not least.inodes_free:
        return failed("inodes-full", told, expected=f"≥ {INODES_WARN.value:,}", hint=hint)
    if least.inodes_free < INODES_WARN.value:
        return warned("inodes-low", told, expected=f"≥ {INODES_WARN.value:,}", hint=hint)
    return passed(told)


def judge_clock(fact: Fact, about: About) -> Judgement:
    """A clock that is years behind makes every certificate invalid: each download then fails as a TLS error."""
    clock = about.facts.host.clock
    if clock is None:
        return unknown("clock-unread", "the machine's clock cannot be read", hint="date")
    told = datetime.fromtimestamp(clock, timezone.utc).isoformat(timespec="seconds")
    if not CLOCK_FLOOR.value < clock < CLOCK_CEILING.value:
        return failed(
            "clock-wrong",
            f"the clock says {told}: no certificate will be valid",
            expected=f"later than {datetime.fromtimestamp(CLOCK_FLOOR.value, timezone.utc).date()}",
            observed=told,
            hint="sudo timedatectl set-ntp true   # or: sudo date -s …",
        )
    return passed(told)


def judge_limits(fact: Fact, about: About) -> Judgement:
    """`ulimit -n`."""
    files = about.facts.host.open_files
    if files is not None and files < OPEN_FILES_WARN.value:
        return warned(
            "open-files-low",
            f"at most {files} files open at once",
            expected=f"≥ {OPEN_FILES_WARN.value}",
            hint="ulimit -n 65536   # for good: LimitNOFILE= or /etc/security/limits.conf",
        )
    return passed(f"{files or 'unlimited'} files open at once")


GPU_CHECKS = (
    Check("host.processes.stuck", judge_stuck, applies=on_gpu),
    Check("host.driver.loaded", judge_loaded, needs=("host.processes.stuck",), applies=on_gpu, required=always),
    Check("host.gpu.visible", judge_visible, needs=("host.driver.loaded",), applies=on_gpu, required=always),
    Check("host.driver.supports_cuda", judge_supports, needs=("host.gpu.visible",), applies=on_gpu, required=always),
    Check("host.gpu.xid", judge_xid, needs=("host.gpu.visible",), applies=on_gpu),
    Check("host.driver.recovery", judge_recovery, needs=("host.gpu.visible",), applies=on_gpu, required=always),
    Check("host.gpu.health", judge_health, needs=("host.gpu.visible",), applies=tells_ecc, required=always),
    Check("host.gpu.throttle", judge_throttle, needs=("host.gpu.visible",), applies=on_gpu, required=always),
    Check("host.gpu.fabric", judge_fabric, needs=("host.gpu.visible",), applies=has_fabric, required=always),
)
CHECKS = (
    *GPU_CHECKS,
    Check("host.disk", judge_disk, required=always),
    Check("host.inodes", judge_inodes),
    Check("host.memory", judge_memory, required=always),
    Check("host.clock", judge_clock, required=always),
    Check("host.limits", judge_limits),
)
