"""What the environment is that torch is to run in: its python, shared memory, nvcc, mirror settings, network.

Runs through `loader`; standard library only, so that it also tells of broken places.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import struct
import sys
import tempfile
from typing import Any

from checks.probes import folder
from checks.probes.loader import Stage, hear

MEMORY = 8 << 30  # bytes of address space for this probe and for what it starts: nvcc takes well under 1 GiB
TOOLS = ("nvcc", "ptxas", "fatbinary", "nvlink", "cuobjdump")  # what compilers at run time call (CHECKS, C3)

KERNEL = """
#include <cuda_fp16.h>
extern "C" __global__ void scale(__half *data, __half factor, int count) {
    int place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place < count) data[place] = __hmul(data[place], factor);
}
"""
SETTINGS = (
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "MODELSCOPE_CACHE",
    "MODELSCOPE_ENDPOINT",
    "MODELSCOPE_DOMAIN",
    "VLLM_USE_MODELSCOPE",
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_INJECTION64_PATH",
    "NVTX_INJECTION64_PATH",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_DEBUGGER_SOFTWARE_PREEMPTION",
    "CUDA_DEVICE_WAITS_ON_EXCEPTION",
    "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES",
)


def main(params: dict[str, Any]) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, unlimited[1]))
    with Stage("environment.python") as fact:
        fact.update(version=sys.version.split()[0], executable=sys.executable, uid=os.getuid())
        fact["settings"] = {name: os.environ[name] for name in SETTINGS if name in os.environ}
        fact["interfaces"] = interfaces()
    with Stage("engine.shm") as fact:
        stats = os.statvfs("/dev/shm")
        fact["bytes"] = stats.f_frsize * stats.f_blocks
    with Stage("engine.gpu_uuids") as fact:
        gpus_inside(fact)
    if params.get("model"):
        with Stage("model.structure") as fact:
            folder.look(params["model"], fact)
    with Stage("mirrors.config") as fact:
        fact["pip"] = pip_settings()
    probe_toolkit(params, unlimited)


def probe_toolkit(params: dict[str, Any], unlimited: tuple[int, int]) -> None:
    with Stage("toolkit.libcuda") as fact:
        mapped_libcuda(fact)
    nvcc = find_nvcc()
    with Stage("toolkit.nvcc.version") as fact:
        fact["path"] = nvcc
        if nvcc:
            fact["output"] = output([nvcc, "--version"])
    if not nvcc:
        return
    with Stage("toolkit.nvcc.jit") as fact:
        beside = os.path.dirname(os.path.realpath(nvcc))
        found = {tool: os.path.join(beside, tool) for tool in TOOLS}
        fact["tools"] = {tool: path if os.access(path, os.X_OK) else shutil.which(tool) for tool, path in found.items()}
    with tempfile.TemporaryDirectory() as place:
        with Stage("toolkit.nvcc.compiles") as fact:
            compile_kernel(nvcc, params["architecture"], place, fact)
        cubin = os.path.join(place, "scale.cubin")
        if params.get("gpu") and os.path.exists(cubin):
            resource.setrlimit(resource.RLIMIT_AS, unlimited)  # CUDA reserves more addresses than there is memory
            with Stage("toolkit.nvcc.runs") as fact:
                run_cubin(cubin, params["architecture"], fact)


def gpus_inside(fact: dict[str, Any]) -> None:
    """The GPUs that nvidia-smi lists here, or its words; and the device nodes that are here."""
    fact["nodes"] = sorted(name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name))
    fact["smi"] = shutil.which("nvidia-smi")
    if fact["smi"]:
        told = output(["nvidia-smi", "-L"], 20)
        fact.update(code=told["code"], words=(told["out"] + told["err"])[:2000] if told["code"] else "")
        fact["uuids"] = re.findall(r"^GPU \d+:.*\(UUID: (GPU-[0-9a-f-]+)\)", told["out"], re.MULTILINE)


def mapped_libcuda(fact: dict[str, Any]) -> None:
    """Which libcuda the dynamic linker gives, and the CUDA version it speaks; touches no GPU."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        fact.update(path=None, why=str(error))
        return
    with open("/proc/self/maps") as maps:
        fact["path"] = next((line.split()[-1] for line in maps if "libcuda.so" in line), "libcuda.so.1")
    version = ctypes.c_int()
    fact["code"] = library.cuDriverGetVersion(ctypes.byref(version))
    fact["cuda"] = "%d.%d" % (version.value // 1000, version.value % 1000 // 10)


def run_cubin(cubin: str, architecture: str, fact: dict[str, Any], count: int = 32) -> None:
    """Load the cubin through the driver API on the first GPU of its architecture, run it, and hold the answer against
    ours: no runtime library is needed (CUDA Driver API, cuModuleLoad and cuLaunchKernel)."""
    driver = ctypes.CDLL("libcuda.so.1")

    def ask(name: str, *words: Any) -> None:
        code = getattr(driver, name)(*words)
        if code:
            raise RuntimeError("%s: error %d" % (name, code))

    device, context, module, function = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    memory, factor, number = ctypes.c_uint64(), ctypes.c_uint16(0x4000), ctypes.c_int(count)  # 0x4000 is 2.0 in half
    ask("cuInit", 0)
    ask("cuDeviceGet", ctypes.byref(device), device_of(ask, architecture))
    ask("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    ask("cuCtxSetCurrent", context)
    ask("cuModuleLoad", ctypes.byref(module), cubin.encode())
    ask("cuModuleGetFunction", ctypes.byref(function), module, b"scale")
    data = ctypes.create_string_buffer(struct.pack("<%de" % count, *range(count)), 2 * count)
    ask("cuMemAlloc_v2", ctypes.byref(memory), ctypes.c_size_t(2 * count))
    ask("cuMemcpyHtoD_v2", memory, data, ctypes.c_size_t(2 * count))
    words = (ctypes.c_void_p * 3)(*(ctypes.addressof(word) for word in (memory, factor, number)))
    ask("cuLaunchKernel", function, 1, 1, 1, count, 1, 1, 0, None, words, None)
    ask("cuCtxSynchronize")
    ask("cuMemcpyDtoH_v2", data, memory, ctypes.c_size_t(2 * count))
    fact["right"] = list(struct.unpack("<%de" % count, data.raw[: 2 * count])) == [2.0 * place for place in range(count)]
    fact["device"] = device.value


def device_of(ask: Any, architecture: str) -> int:
    """The first device whose compute capability is `architecture`, else the first."""
    count, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    ask("cuDeviceGetCount", ctypes.byref(count))
    for place in range(count.value):
        ask("cuDeviceGetAttribute", ctypes.byref(major), 75, place)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
        ask("cuDeviceGetAttribute", ctypes.byref(minor), 76, place)
        if "sm_%d%d" % (major.value, minor.value) == architecture:
            return place
    return 0


def interfaces() -> list[str] | None:
    """Network interfaces besides loopback, or None where they cannot be listed."""
    try:
        return sorted(set(os.listdir("/sys/class/net")) - {"lo"})
    except OSError:
        return None


def output(argv: list[str], timeout: float = 60) -> dict[str, Any]:
    """Both streams and the exit code of a command. Raises TimeoutError where it does not end within `timeout` seconds."""
    told = hear(argv, timeout)
    if told.pop("late"):
        raise TimeoutError("%s gave no answer in %g s" % (argv[0], timeout))
    return told


def pip_settings() -> dict[str, str] | None:
    """What pip itself says is in force, or None where it cannot be asked. A pip that lists each file by itself (26.3) says
    some twice, and is asked for those."""
    config = [sys.executable, "-m", "pip", "config"]
    try:
        told = output([*config, "list"])
        if told["code"]:
            return None
        lines = sorted({line for line in told["out"].splitlines() if "=" in line})
        pairs = [line.partition("=") for line in lines]
        found = {key.strip(): value.strip().strip("'\"") for key, _, value in pairs}
        for key in {key for key, _, _ in pairs if sum(other == key for other, _, _ in pairs) > 1}:
            found[key] = output([*config, "get", key])["out"].strip()
    except OSError:
        return None
    return found


def find_nvcc() -> str | None:
    """CUDA_HOME, PATH, the usual place, then the package beside torch."""
    places = [os.environ.get("CUDA_HOME", ""), "/usr/local/cuda"]
    places += [os.path.join(base, "nvidia", kit) for base in sys.path for kit in ("cu13", "cuda_nvcc")]
    found = [os.path.join(place, "bin", "nvcc") for place in places if place]
    on_path = shutil.which("nvcc")
    return next((path for path in (found[0], on_path, *found[1:]) if path and os.access(path, os.X_OK)), None)


def compile_kernel(nvcc: str, architecture: str, place: str, fact: dict[str, Any]) -> None:
    """To `place`/scale.cubin for `architecture`: needs a host compiler and the headers, no GPU."""
    source, cubin = os.path.join(place, "scale.cu"), os.path.join(place, "scale.cubin")
    with open(source, "w") as file:
        file.write(KERNEL)
    fact["architecture"] = architecture
    fact["host_compiler"] = shutil.which("g++") or shutil.which("c++")
    fact["told"] = output([nvcc, "-cubin", "-arch", architecture, "-o", cubin, source])
    fact["bytes"] = os.path.getsize(cubin) if os.path.exists(cubin) else 0
    if fact["bytes"]:
        with open(cubin, "rb") as file:
            fact["magic"] = file.read(4).hex()
