"""Faults planted in real things: a fake nvidia-smi on PATH, probes that hang or die, model folders that are broken."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from checks.runner import Seen, run_script
from provision import embedded
from provision.facts import gpu as gpu_facts
from provision.facts.gpu import GpuFacts, GpuState, Hardware
from provision.findings import Report
from provision.looking import SCRIPTS
from provision.machines.local import LocalMachine
from tests.fakes import nvidia_smi
from tests.faults.plan import PROMPT, Fault, Plan, healthy

ROOT = Path(__file__).parent.parent.parent
TORCH_PYTHON = ROOT / ".make" / "home" / "envs" / "smoke" / "bin" / "python"
QUICK = 0.6  # seconds that what never answers is waited for here; the product waits 20 and more


@dataclass(frozen=True)
class LiveFault(Fault):
    """A fault in something real. `needs_torch` says that a real model is loaded."""

    needs_torch: bool = False


def machine(**environ: str) -> LocalMachine:
    """This machine, with nothing in its environment but a PATH."""
    return LocalMachine({"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ})


def with_smi(behaviour: str, plan: Plan) -> None:
    """Probe this very machine with a fake nvidia-smi first on PATH."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(gpu_facts, "SMI_TIMEOUT", QUICK):
        nvidia_smi.install(Path(folder), behaviour, capability="7.5")
        plan.gpu = gpu_facts.probe(machine(PATH=f"{folder}:{os.environ['PATH']}"))
        if plan.gpu.state is GpuState.NONE:  # an image with nvidia-smi and no GPU; here there is to be one
            plan.gpu = gpu_facts.GpuFacts(_state_of(behaviour), plan.gpu.detail)


def _state_of(behaviour: str) -> GpuState:
    return {"not-loaded": GpuState.DRIVER_NOT_LOADED}[behaviour]


def with_probe(how: str, stage: str, probe: str, plan: Plan, *, limit: float = 60.0, timeout: float = QUICK) -> None:
    """Let a real process take the place of `probe` from `stage` on."""
    params = {"how": how, "stage": stage, "limit": limit}
    seen = run_script(machine(), sys.executable, "tests.faults.misbehaving", params, timeout=timeout)
    facts = plan.seen[probe]
    names = list(facts)
    if seen.trouble:  # it ended there; else it went on after the stage that failed
        plan.troubles[probe] = (seen.stage, seen.trouble)
        for name in names[names.index(stage) :]:
            del facts[name]
    for name, fact in seen.facts.items():
        facts[name] = dict(fact.value)
        if fact.error:
            plan.errors[name] = (fact.error["type"], fact.error["message"])


@contextmanager
def broken_model(spoil: Callable[[Path], None]) -> Iterator[Path]:
    """A copy of the model that travels inside the package, spoilt."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        shutil.copytree(embedded.path(), model)
        spoil(model)
        yield model


def with_folder(spoil: Callable[[Path], None], plan: Plan) -> None:
    """Let the real environment probe look at a folder that is spoilt."""
    with broken_model(spoil) as model:
        params = {"model": str(model), "architecture": "sm_75", "until": "model.structure"}
        seen = _run("environment", sys.executable, params)
        plan.seen["environment"]["model.structure"] = dict(seen.facts["model.structure"].value)


def with_torch(spoil: Callable[[Path], None], plan: Plan, **changes: Any) -> None:
    """Let the real runtime probe load a model that is spoilt, on a machine without a GPU."""
    plan.gpu = GpuFacts(GpuState.NONE, "no GPU", hardware=Hardware(()))
    with broken_model(spoil) as model:
        params = {**RUNTIME, "model": str(model), **changes}
        seen = _run("runtime", str(TORCH_PYTHON), params)
        again = _run("runtime", str(TORCH_PYTHON), {**params, "dtype": "float32", "until": "generation.basic"})
    plan.seen["runtime"] = _plain(seen, plan)
    if "generation.basic" in seen.facts and "generation.basic" in again.facts:
        plan.seen["runtime / generation.basic / float32"] = {
            "generation.basic": dict(again.facts["generation.basic"].value)
        }


RUNTIME: Mapping[str, Any] = {
    "trust_remote_code": False,
    "allow_pickle": False,
    "prompt": PROMPT,
    "family": "auto",
    "max_new_tokens": 160,
    "gpu": False,
}


def _run(name: str, python: str, params: Mapping[str, Any]) -> Seen:
    script = SCRIPTS[name]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    return run_script(machine(), python, script.module, params, along=script.along, timeout=120, env=offline)


def _plain(seen: Seen, plan: Plan) -> dict[str, Any]:
    for name, fact in seen.facts.items():
        if fact.error:
            plan.errors[name] = (fact.error["type"], fact.error["message"])
    if seen.trouble:
        plan.troubles["runtime"] = (seen.stage, seen.trouble)
    return {name: dict(fact.value) for name, fact in seen.facts.items()}


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        (model / name).write_bytes(content)

    return spoil


def shortened(name: str, by: int) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        data = (model / name).read_bytes()
        (model / name).write_bytes(data[:-by])

    return spoil


def indexed(shards: Mapping[str, str]) -> Callable[[Path], None]:
    """An index that puts tensors into shards."""

    def spoil(model: Path) -> None:
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": dict(shards)}))

    return spoil


def settings(name: str, **changes: Any) -> Callable[[Path], None]:
    """Change keys of a JSON file; None takes a key away."""

    def spoil(model: Path) -> None:
        path = model / name
        kept = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({key: value for key, value in kept.items() if value is not None}))

    return spoil


def weights(change: Callable[[str, int], float | None]) -> Callable[[Path], None]:
    """Overwrite float32 tensors: `change(name, place)` is the new value of every element, or None to leave the tensor."""

    def spoil(model: Path) -> None:
        path = model / "model.safetensors"
        data = bytearray(path.read_bytes())
        length = int.from_bytes(data[:8], "little")
        for name, told in json.loads(data[8 : 8 + length]).items():
            value = change(name, 0) if name != "__metadata__" else None
            if value is not None:
                first, last = (8 + length + offset for offset in told["data_offsets"])
                data[first:last] = struct.pack("<f", value) * ((last - first) // 4)
        path.write_bytes(data)

    return spoil


def normalised(model: Path) -> None:
    """A tokenizer that folds compatibility characters: what goes in does not come out."""
    path = model / "tokenizer.json"
    told = json.loads(path.read_text())
    told["normalizer"] = {"type": "NFKC"}
    path.write_text(json.dumps(told))


def template(change: Callable[[str], str]) -> Callable[[Path], None]:
    def spoil(model: Path) -> None:
        path = model / "tokenizer_config.json"
        told = json.loads(path.read_text())
        told["chat_template"] = change(told["chat_template"])
        path.write_text(json.dumps(told))

    return spoil


def _smi(behaviour: str, code: str, exit_code: int, hint: str) -> LiveFault:
    return LiveFault(
        f"nvidia-smi on PATH: {behaviour}",
        "CHECKS H1",
        partial(with_smi, behaviour),
        ("host.driver.loaded",),
        code,
        exit_code,
        hint,
        how="real program",
    )


def _probe(name: str, how: str, stage: str, probe: str, code: str, exit_code: int, hint: str, **more: Any) -> LiveFault:
    def plant(plan: Plan) -> None:
        with_probe(how, stage, probe, plan, **more)

    return LiveFault(name, "CHECKS, isolation", plant, (stage,), code, exit_code, hint, how="real process")


def _folder(name: str, source: str, spoil: Callable[[Path], None], code: str, hint: str) -> LiveFault:
    plant = partial(with_folder, spoil)
    return LiveFault(name, source, plant, ("model.structure",), code, 1, hint, how="real model folder")


def _torch(
    name: str, source: str, spoil: Callable[[Path], None], cause: str, code: str, exit_code: int, hint: str, **changes: Any
) -> LiveFault:
    def plant(plan: Plan) -> None:
        with_torch(spoil, plan, **changes)

    return LiveFault(name, source, plant, (cause,), code, exit_code, hint, how="real model in torch", needs_torch=True)


PROGRAMS = (
    _smi("sleep", "driver-hung", 3, "reboot"),
    _smi("ignore-term", "driver-hung", 3, "reboot"),
    _smi("half", "driver-unreadable", 3, "nvidia-smi -q"),
    _smi("garbage", "driver-unreadable", 3, "nvidia-smi -q"),
    _smi("not-loaded", "driver-not-loaded", 1, "modprobe"),
    _smi("permission", "driver-permission", 1, "ls -l /dev/nvidia"),
    _smi("mismatch", "driver-mismatch", 1, "reboot"),
)
PROCESSES = (
    _probe("a probe that sleeps", "sleep", "torch.kernel.runs", "runtime", "probe-hung", 3, "dmesg"),
    _probe("a probe that ignores SIGTERM", "ignore-term", "torch.kernel.runs", "runtime", "probe-hung", 3, "dmesg"),
    _probe("a probe whose child ignores SIGTERM", "leave-a-child", "torch.import", "runtime", "probe-hung", 3, "dmesg"),
    _probe(
        "a stage that takes longer than it may",
        "sleep",
        "torch.cuda.available",
        "runtime",
        "probe-hung",
        3,
        "where it sat",
        limit=0.3,
        timeout=20.0,
    ),
    _probe("a segmentation fault", "segfault", "torch.import", "runtime", "probe-crashed", 1, "dmesg", timeout=20.0),
    _probe("an abort", "abort", "model.loads", "runtime", "probe-crashed", 1, "dmesg", timeout=20.0),
    _probe("killed for memory", "kill", "model.loads", "runtime", "probe-crashed", 1, "dmesg", timeout=20.0),
    _probe("a sudden exit", "exit", "generation.basic", "runtime", "probe-crashed", 1, "dmesg", timeout=20.0),
    _probe("a flood on both streams", "flood", "torch.sdpa", "runtime", "probe-crashed", 1, "dmesg", timeout=20.0),
    _probe("memory that is not there", "memory", "torch.kernel.runs", "runtime", "kernel-failed", 1, "pip", timeout=20.0),
)
HTML = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 479144\n"
WEIGHTS = "model.safetensors"
FOLDERS = (
    _folder("an LFS pointer", "microsoft/OmniParser#34", replaced(WEIGHTS, POINTER), "lfs-pointer", "git lfs pull"),
    _folder("a web page as weights", "CHECKS M2", replaced(WEIGHTS, HTML), "html-instead", "another source"),
    _folder("a web page as config", "CHECKS M2", replaced("config.json", HTML), "html-instead", "another source"),
    _folder("an empty shard", "CHECKS M2", replaced(WEIGHTS, b""), "file-empty", "models pull"),
    _folder("a shard cut off", "CHECKS M2", shortened(WEIGHTS, 1000), "shard-truncated", "models pull"),
    _folder("noise as a shard", "deepseek-ai/DeepSeek-V3#557", replaced(WEIGHTS, b"\xff" * 4096), "shard-header", "pull"),
    _folder("a config that is no JSON", "CHECKS M2", shortened("config.json", 20), "json-broken", "models pull"),
    _folder("no config", "CHECKS M2", lambda model: (model / "config.json").unlink(), "file-missing", "models pull"),
    _folder("no weights", "CHECKS M2", lambda model: (model / WEIGHTS).unlink(), "file-missing", "models pull"),
    _folder(
        "an index that names a shard that is not there",
        "CHECKS M2",
        indexed({"lm_head.weight": "model-00002-of-00002.safetensors"}),
        "shard-missing",
        "models pull",
    ),
    _folder(
        "an index of another version", "CHECKS M2", indexed({"model.vision.weight": WEIGHTS}), "index-disagrees", "COMMIT"
    ),
)
MODELS = (
    _torch(
        "a model type that transformers does not know",
        "hiyouga/LlamaFactory#8139",
        settings("config.json", model_type="qwen9"),
        "model.config",
        "config-unknown",
        1,
        "pip install -U transformers",
    ),
    _torch(
        "weights of NaN",
        "CHECKS G1",
        weights(lambda name, _: float("nan") if name.endswith("norm.weight") else None),
        "model.loads",
        "weights-not-finite",
        1,
        "models verify",
    ),
    _torch(
        "an output layer that says one token only",
        "QwenLM/Qwen3#761",
        weights(lambda name, _: 0.0 if "embed" in name or "lm_head" in name else None),
        "generation.basic",
        "generation-degenerate",
        1,
        "float32",
    ),
    _torch(
        "a tokenizer that folds characters",
        "CHECKS M4",
        normalised,
        "tokenizer.roundtrip",
        "tokenizer-lossy",
        1,
        "tokenizer of the model's own",
    ),
    _torch(
        "a tokenizer whose template is gone",
        "CHECKS M5",
        settings("tokenizer_config.json", chat_template=None),
        "tokenizer.chat_template",
        "template-broken",
        1,
        "template",
    ),
    _torch(
        "a chat template that is no Jinja",
        "CHECKS M5",
        template(lambda text: text + "{% if %}"),
        "tokenizer.chat_template",
        "template-broken",
        1,
        "template",
    ),
    _torch(
        "a template that drops what was asked",
        "CHECKS M5",
        template(lambda text: "<|im_start|>assistant\n"),
        "tokenizer.chat_template",
        "template-loses-prompt",
        1,
        "template",
    ),
    _torch(
        "settings in which every token ends the turn",
        "CHECKS G2",
        settings("generation_config.json", eos_token_id=list(range(400))),
        "generation.thinking_split",
        "thought-unfinished",
        1,
        "eos_token_id",
    ),
    _torch(
        "twelve tokens for a thought",
        "sipeed/picoclaw#966",
        lambda model: None,
        "generation.thinking_split",
        "thinking-truncated",
        0,
        "max_new_tokens",
        max_new_tokens=12,
    ),
)
LIVE: tuple[LiveFault, ...] = (*PROGRAMS, *PROCESSES, *FOLDERS, *MODELS)


def healthy_in_torch() -> Report:
    """The model as it travels, in a real torch: nothing but pass and skip."""
    plan = healthy()
    with_torch(lambda model: None, plan)
    return plan.judged()
