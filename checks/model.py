"""The model: every file verified, a type that transformers knows, a tokenizer that loses nothing, weights that load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks.interface import (
    About,
    Check,
    Fact,
    Judge,
    Judgement,
    always,
    failed,
    never,
    passed,
    skipped,
    unknown,
    warned,
    with_model,
)
from checks.thresholds import FILL_WARN, GIB, ROOM_FACTOR

LIBRARIES = "pip install -U transformers tokenizers numpy"
VERIFY = "provision models verify"
PAD = "tokenizer.pad_token = tokenizer.eos_token"
TEMPLATE = "take the chat template of the model's own repository: provision models pull"


def judge_files(fact: Fact, about: About) -> Judgement:
    """Every file of every model, hashed again."""
    if fact.error:
        return failed("files-unreadable", "the models' files cannot be read", observed=fact.error["message"], hint=VERIFY)
    if fact["missing"]:
        return failed(
            "model-missing",
            f"not in the store: {', '.join(fact['missing'])}",
            expected="a complete model",
            hint="provision up",
        )
    if fact["damaged"]:
        return failed(
            "files-damaged",
            f"{len(fact['damaged'])} of {fact['files']} files are damaged",
            evidence="\n".join(fact["damaged"]),
            hint="provision models verify",
        )
    return passed(f"{fact['files']} files, {fact['bytes']:,} bytes, sha256 right")


def judge_config(fact: Fact, about: About) -> Judgement:
    """transformers must know the model's type (Qwen3: from 4.51 on)."""
    if fact.error:
        missing = fact.error["type"] in ("ModuleNotFoundError", "ImportError")
        version = fact.value.get("transformers")
        return failed(
            "transformers-missing" if missing else "config-unknown",
            "transformers is not installed" if missing else f"transformers {version} does not read the model's config",
            observed=fact.error["message"],
            hint="provision up" if missing else "pip install -U transformers   # Qwen3 needs 4.51 or newer",
        )
    return passed(f"{fact['model_type']}, transformers {fact['transformers']}", observed=str(fact["architectures"]))


def judge_roundtrip(fact: Fact, about: About) -> Judgement:
    """Text → ids → text, as a list, `pt` and `np` tensors, alone and in a padded batch."""
    if fact.error:
        hint = "provision models verify; pip install -U transformers tokenizers"
        return failed("tokenizer-broken", "the tokenizer does not load", observed=fact.error["message"], hint=hint)
    for made in fact["texts"]:
        if made["back"] != made["text"]:
            return failed(
                "tokenizer-lossy",
                "decoding gives back another text",
                expected=repr(made["text"]),
                observed=repr(made["back"]),
                hint="provision models verify   # then use the tokenizer of the model's own repository, and that alone",
            )
        if not (made["list"] and made["pt"] and made["np"]):
            return failed("tensors-differ", "list, pt and np do not agree", observed=repr(made["text"]), hint=LIBRARIES)
    highest, embeddings = fact.value.get("highest_id", -1), fact.value.get("embeddings")
    if embeddings is not None and highest >= embeddings:
        return failed(
            "tokenizer-of-another-model",
            "the tokenizer has tokens that the model knows nothing of: on a GPU they end as a device-side assert",
            expected=f"ids below {embeddings}",
            observed=f"ids up to {highest}",
            hint="provision models verify   # then use the tokenizer of the model's own repository, and that alone",
        )
    batch = fact.value.get("batch")
    if batch is None:
        return warned("no-padding", "the tokenizer has no padding token: batches will not work", hint=PAD)
    if not 0 < min(batch["mask"]) <= max(batch["mask"]) == batch["shape"][1]:
        return failed("padding-wrong", "a padded batch has a wrong mask", observed=str(batch), hint=LIBRARIES)
    tokens = sum(made["tokens"] for made in fact["texts"])
    return passed(f"{len(fact['texts'])} texts, {tokens} tokens: list, pt, np and padded batch agree")


def judge_template(fact: Fact, about: About) -> Judgement:
    """There is a template, it holds the prompt, and the thinking switch is heard."""
    if fact.error:
        return failed("template-broken", "the chat template does not render", observed=fact.error["message"], hint=TEMPLATE)
    if about.spec.generation.prompt not in fact["on"]:
        return failed(
            "template-loses-prompt",
            "the rendered prompt does not hold what was asked",
            observed=fact["on"][-400:],
            hint=TEMPLATE,
        )
    if fact["on"] == fact["off"]:
        return passed("renders; no switch for thinking", evidence=fact["on"], code="no-switch")
    return passed("renders with thinking on and off", evidence=fact["on"])


def judge_load(fact: Fact, about: About) -> Judgement:
    """`dtype="auto"`, `device_map="auto"`, every weight finite, on the GPU where there is to be one."""
    if fact.error:
        memory = "OutOfMemory" in fact.error["type"] or "out of memory" in fact.error["message"]
        return failed(
            "out-of-memory" if memory else "model-load-failed",
            "the model does not fit" if memory else "the model does not load",
            observed=f"{fact.error['type']}: {fact.error['message']}",
            hint="nvidia-smi   # who holds the memory? else a smaller model" if memory else "provision models verify",
        )
    if not fact["finite"]:
        return failed("weights-not-finite", "the weights hold NaN or infinity", hint="provision models verify")
    told = f"{fact['class_name']}, {fact['parameters']:,} parameters, {fact['dtype']} on {fact['device']}"
    if about.wants_gpu and not str(fact["device"]).startswith("cuda"):
        hint = "pip install -U accelerate   # and look at torch.memory: what does not fit is put on the CPU"
        return failed("model-on-cpu", "the model landed on the CPU of a GPU machine", observed=told, hint=hint)
    return passed(told, observed=f"{fact['load_seconds']:.2f} s")


STRUCTURE = {  # code → what a file is instead, and what to do
    "lfs-pointer": ("a Git LFS pointer lies where the file should be", "git lfs pull   # or: provision models pull"),
    "html-instead": ("a web page lies where the file should be", "provision mirrors list   # another source; pull again"),
    "file-empty": ("an empty file", "provision models pull"),
    "file-missing": ("a file is missing", "provision models pull"),
    "shard-missing": ("the index names a shard that is not there", "provision models pull"),
    "shard-truncated": ("a shard is cut off", "provision models pull"),
    "shard-header": ("a shard's header is no safetensors header", "provision models pull"),
    "index-disagrees": ("index and shards are of different versions", "provision models pull REPO@COMMIT"),
    "json-broken": ("a settings file is no JSON", "provision models pull"),
}


def judge_structure(fact: Fact, about: About) -> Judgement:
    """What each file is by its own bytes: sources without digests can serve anything and be believed."""
    if fact.error and "Permission" in fact.error["type"]:
        folder = about.spec.store if about.spec.store != "auto" else "${PROVISION_HOME:-~/.local/share/provision}/store"
        return failed(
            "model-closed",
            "the user inside may not read the model's folder: it was made under a umask that closes it to others",
            observed=fact.error["message"],
            hint=f"chmod -R go+rX {folder}",
        )
    if fact.error:
        missing = "FileNotFound" in fact.error["type"]
        code = "model-missing" if missing else "folder-unreadable"
        return failed(code, "the model's folder cannot be read", observed=fact.error["message"], hint="provision up")
    troubles = fact["troubles"]
    if not troubles:
        return passed(f"{fact['files']} files: index, headers and shards agree")
    worst = min(troubles, key=lambda trouble: list(STRUCTURE).index(trouble["code"]))
    sentence, hint = STRUCTURE[worst["code"]]
    return failed(
        worst["code"],
        f"{worst['file']}: {sentence}",
        observed=worst["detail"],
        evidence="\n".join(f"{trouble['file']}: {trouble['code']}: {trouble['detail']}" for trouble in troubles),
        hint=hint,
    )


def judge_room(fact: Fact, about: About) -> Judgement:
    """Room for what is still to come, and a fifth more: files lie twice while they are put in place."""
    if fact.error:
        return unknown("sources-untried", "how much is to come is not known", observed=fact.error["message"], hint=VERIFY)
    coming = fact.value.get("bytes_to_come", 0)
    if not coming:
        why = "no source told a size" if fact["needed"] else "every model is here"
        return skipped("nothing-to-come", why)
    free = min((disk.free for disk in about.facts.host.disks if disk.free is not None), default=None)
    if free is None:
        return unknown("disk-unread", "free disk space cannot be read", hint="df -h")
    needed = coming * ROOM_FACTOR.value / 100
    told = f"{coming / GIB:.1f} GiB to come, {free / GIB:.1f} GiB free"
    if free < needed:
        expected = f"≥ {needed / GIB:.1f} GiB"
        return failed("no-room", told, expected=expected, hint="PROVISION_STORE=/bigger/disk provision up")
    return passed(told)


def judge_memory(fact: Fact, about: About) -> Judgement:
    """Weights as they lie on disk, and the keys and values of one generation, against the memory they are to live in."""
    if fact.error:
        return unknown("weights-unread", "the weights' size is not known", observed=fact.error["message"], hint=VERIFY)
    weights = sum(fact["tensor_bytes"].values())
    if not weights:
        return unknown("weights-unread", "no weights whose size can be read without loading them", hint=VERIFY)
    cards = [card.memory_total for card in about.facts.gpu.gpus if card.memory_total] if about.wants_gpu else []
    there = sum(cards) or _host_memory(about)
    if not there:
        return unknown("memory-unread", "the memory's size is not known", hint="free -h")
    cache = cache_bytes(fact["config"], about.spec.generation.max_new_tokens)
    where = "GPU memory" if cards else "memory"
    told = f"weights {weights / GIB:.2f} GiB, cache {cache / GIB:.3f} GiB, {where} {there / GIB:.1f} GiB"
    if weights + cache > there:
        hint = "a smaller or quantised model, or more GPUs; what does not fit is offloaded and slow"
        return failed("model-too-large", told, expected=f"≤ {there / GIB:.1f} GiB", hint=hint)
    if weights + cache > there * FILL_WARN.value / 100:
        hint = "close what else uses the memory, or lower generation.max_new_tokens"
        return warned("model-tight", told, expected=f"≤ {FILL_WARN.value} %", hint=hint)
    return passed(told)


def _host_memory(about: About) -> int | None:
    amounts = [amount for amount in (about.facts.host.memory_total, about.facts.host.memory_limit) if amount]
    return min(amounts) if amounts else None


def cache_bytes(config: Mapping[str, Any], tokens: int) -> int:
    """Bytes of keys and values of `tokens` tokens in half precision: 2 × layers × kv heads × head size × 2 (attention)."""
    if not all(isinstance(config.get(name), int) for name in ("num_hidden_layers", "num_attention_heads", "hidden_size")):
        return 0
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    return int(2 * config["num_hidden_layers"] * (config.get("num_key_value_heads") or heads) * size * 2 * tokens)


def judge_history(fact: Fact, about: About) -> Judgement:
    """A conversation keeps what was said before; thoughts of former turns may go, answers may not."""
    if fact.error:
        return failed("template-broken", "the chat template does not render", observed=fact.error["message"], hint=TEMPLATE)
    lost = fact["history"]["lost"]
    if lost:
        return failed(
            "history-lost",
            "the template drops what was said before",
            expected="every turn",
            observed=f"without {', '.join(map(repr, lost))}",
            evidence=fact["history"]["text"][-600:],
            hint="take the template of the model's own repository: provision models pull",
        )
    return passed("five turns, all of them in the prompt")


def _model(check_id: str, judge: Judge, probe: str, *needs: str, fact: str = "", required: bool = True) -> Check:
    return Check(check_id, judge, probe, fact, needs, with_model, always if required else never)


CHECKS = (
    _model("model.room", judge_room, "sources", "mirrors.reachable", fact="mirrors.reachable", required=False),
    _model("model.files", judge_files, "store"),
    _model("model.structure", judge_structure, "environment", "model.files", "engine.environment"),
    _model("model.memory", judge_memory, "environment", "model.structure", fact="model.structure", required=False),
    _model("model.config", judge_config, "runtime", "torch.import", "model.structure"),
    _model("tokenizer.roundtrip", judge_roundtrip, "runtime", "model.config"),
    _model("tokenizer.chat_template", judge_template, "runtime", "tokenizer.roundtrip"),
    _model("tokenizer.history", judge_history, "runtime", "tokenizer.chat_template", fact="tokenizer.chat_template"),
    _model("model.loads", judge_load, "runtime", "model.config", "torch.kernel.runs"),
)
