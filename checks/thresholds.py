"""Numbers that judges compare with, each with the source it can be argued with."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True)
class Threshold:
    """A number, and where it comes from. Bytes unless the source begins with another unit."""

    value: int
    source: str


DISK_FAIL = Threshold(1 * GIB, "proposal: below this no package, image or model can be added")
DISK_WARN = Threshold(10 * GIB, "proposal: a CUDA environment is 5.3 to 6.7 GB (measured, GROUND)")
MEMORY_WARN = Threshold(2 * GIB, "proposal: importing torch and transformers takes about 0.6 GB")
SHM_WARN = Threshold(1 * GIB, "Docker's default is 64 MB, too little for a data loader's workers (CHECKS, R6)")
SHM_GPUS_WARN = Threshold(10 * GIB, "tensor parallel engines exchange through it (CHECKS, R6)")
GPU_FREE_WARN = Threshold(50, "percent; proposal: with less, somebody else is at work there")
OPEN_FILES_WARN = Threshold(1024, "files; a data loader's workers and a sharded model need a few hundred (proposal)")
INODES_WARN = Threshold(50_000, "inodes; a Python environment with torch has about 30,000 files (measured)")
CLOCK_FLOOR = Threshold(1_760_000_000, "seconds since 1970, October 2025: no certificate of a hub in use is that old")
CLOCK_CEILING = Threshold(2_500_000_000, "seconds since 1970, the year 2049: roots of trust in use end before (proposal)")
CLOCK_SKEW_WARN = Threshold(
    300, "seconds; hubs' signed addresses are refused from 900 on (S3: RequestTimeTooSkewed); a proposal"
)
STUCK_FAIL = Threshold(300, "seconds in D state (CHECKS, H11)")
ROOM_FACTOR = Threshold(120, "percent of what is still to come (CHECKS, H12)")
FILL_WARN = Threshold(90, "percent of the memory that weights and cache may take; activations need the rest (proposal)")
GEMM_SPREAD = Threshold(90, "percent of the best GPU of the machine (CHECKS, P1)")
SLOWER_WARN = Threshold(70, "percent of the machine's own recorded figure (CHECKS, P3)")
XID_WINDOW = Threshold(2 * 3600, "seconds; NVIDIA's XID catalogue names them, CHECKS H7 the window")
FATAL_XIDS = frozenset({48, 56, 57, 58, 62, 63, 64, 65, 68, 69, 73, 74, 79, 80, 81, 92, 119, 120})  # CHECKS, H7
SLOWED_BY_FAULT = frozenset({"hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown"})  # bits 0x8 0x40 0x80, H8
SLOWED_BITS = 0x8 | 0x40 | 0x80  # the same as nvidia-smi's bit mask (nvml.h, nvmlClocksEventReason*)
HEAT_BITS = 0x20
SLOWED_BY_HEAT = frozenset({"sw_thermal_slowdown"})  # bit 0x20, H8
