"""From `import torch` to `</think>` in one process: each stage says its fact as soon as it has one.

Runs on any machine's python (3.8 or newer) through `loader`; `checks.thinking` is piped along.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
import time
from typing import Any

from checks import thinking
from checks.probes.crosscheck import cross_check
from checks.probes.devices import bandwidth, copies, devices, gemm
from checks.probes.loader import Stage

ASKED = {
    "tokenizer": [
        "Hello, world!",
        "你好，请介绍一下自己",
        "👩‍👩‍👧‍👦 🚀 é ﬁ",
        "def f(x):\n\treturn {'a': [x ** 2, \"b\"]}  # 注释\n",
        "<|im_start|>user\nhi<|im_end|>\n",
    ]
}
KNOWN_ANSWER = ("What is 2 + 3?", "5")


LOADING = 1500.0  # seconds for the weights: a large model on a slow disk
SPEAKING = 900.0  # seconds for one generation
HISTORY = (
    ("user", "Remember the word QUARTZ."),
    ("assistant", "Noted."),
    ("user", "Now remember the word BASALT."),
    ("assistant", "Noted as well."),
    ("user", "Which words?"),
)


def main(params: dict[str, Any]) -> None:
    torch = probe_torch(params)
    if torch is None:
        return
    with Stage("runtime.libraries") as fact:
        versions(fact)
    if params.get("model"):
        probe_model(torch, params)
    if torch.cuda.is_available():
        with Stage("performance.gemm") as fact:
            gemm(torch, fact)
        with Stage("performance.copy") as fact:
            copies(torch, fact)


def versions(fact: dict[str, Any]) -> None:
    import importlib.metadata as metadata

    for name in ("transformers", "accelerate", "tokenizers", "safetensors", "huggingface_hub", "modelscope", "numpy"):
        try:
            fact[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            fact[name] = None


def probe_torch(params: dict[str, Any]) -> Any:
    torch: Any = None
    with Stage("torch.import", 300) as fact:
        fact["python"] = sys.version.split()[0]
        fact["executable"] = sys.executable
        torch = importlib.import_module("torch")
        fact.update(version=torch.__version__, cuda=torch.version.cuda, hip=getattr(torch.version, "hip", None))
        fact["foreign_libraries"] = foreign_cuda_libraries(os.path.dirname(torch.__file__))
    if torch is None:
        return None
    with Stage("torch.cuda.available") as fact:
        probe_cuda(torch, fact)
    with Stage("torch.arch.supported") as fact:
        fact["flags"] = list(torch.cuda.get_arch_list()) or compiled_for(torch)
        fact["capabilities"] = capabilities(torch)
    with Stage("torch.kernel.runs") as fact:
        fact["devices"] = [run_kernel(torch, name) for name in devices(torch) or ["cpu"]]
    with Stage("torch.dtypes") as fact:
        for name in ("float32", "float16", "bfloat16"):
            fact[name] = dtype_works(torch, getattr(torch, name))
        fact["float8"] = float8_works(torch)
    with Stage("torch.sdpa") as fact:
        fact["devices"] = [attend(torch, name) for name in devices(torch) or ["cpu"]]
    with Stage("torch.memory") as fact:
        fact["devices"] = [list(torch.cuda.mem_get_info(name)) for name in devices(torch)]
    if params.get("compile"):
        with Stage("torch.compile", 300) as fact:
            compiled(torch, fact)
    return torch


def capabilities(torch: Any) -> list[list[int]]:
    return [list(torch.cuda.get_device_capability(name)) for name in devices(torch)]


def float8_works(torch: Any) -> bool | str | None:
    """A float8 matmul where every GPU is 8.9 or newer; None where none is to be expected (CUDA, compute capabilities)."""
    if not devices(torch) or min(capabilities(torch)) < [8, 9] or not hasattr(torch, "_scaled_mm"):
        return None
    one = torch.ones((), device="cuda")
    ones = torch.ones(16, 16, device="cuda").to(torch.float8_e4m3fn)
    try:
        made = torch._scaled_mm(ones, ones.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
        return bool((made.float() == 16.0).all())
    except RuntimeError as error:
        return str(error)[:300]


def attend(torch: Any, device: str) -> dict[str, Any]:
    """scaled_dot_product_attention, causal, against the formula in double precision on the CPU."""
    generator = torch.Generator().manual_seed(11)
    query, key, value = (torch.randn(1, 2, 16, 32, generator=generator) for _ in range(3))
    scores = query.double() @ key.double().transpose(-1, -2) / 32**0.5
    hidden = torch.triu(torch.ones(16, 16, dtype=torch.bool), diagonal=1)
    expected = scores.masked_fill(hidden, float("-inf")).softmax(-1) @ value.double()
    there = [part.to(device) for part in (query, key, value)]
    got = torch.nn.functional.scaled_dot_product_attention(*there, is_causal=True).cpu().double()
    error = ((got - expected).abs().max() / expected.abs().max()).item()
    return {"device": device, "relative_error": error, "finite": bool(torch.isfinite(got).all())}


def compiled(torch: Any, fact: dict[str, Any]) -> None:
    """A small function through torch.compile, against itself uncompiled."""

    def small(left: Any, right: Any) -> Any:
        return torch.nn.functional.gelu(left @ right) * 2.0

    generator = torch.Generator().manual_seed(3)
    device = (devices(torch) or ["cpu"])[0]
    pair = [torch.randn(32, 32, generator=generator).to(device) for _ in range(2)]
    began = time.perf_counter()
    made = torch.compile(small)(*pair)
    fact.update(seconds=time.perf_counter() - began, difference=(made - small(*pair)).abs().max().item())


def foreign_cuda_libraries(torch_folder: str) -> list[str] | None:
    """CUDA libraries mapped from outside the wheel and its sibling packages: a clash waiting to happen."""
    site = os.path.dirname(torch_folder)
    names = ("libcudart", "libcublas", "libcudnn", "libnvJitLink", "libcusparse", "libnccl")
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split()[-1] for line in maps if "/" in line}
    except OSError:
        return None
    return sorted(p for p in paths if os.path.basename(p).startswith(names) and not p.startswith(site))


def probe_cuda(torch: Any, fact: dict[str, Any]) -> None:
    fact["available"] = torch.cuda.is_available()
    fact["count"] = torch.cuda.device_count() if fact["available"] else 0
    fact["devices"] = [torch.cuda.get_device_name(i) for i in range(fact["count"])]
    if torch.version.cuda and not fact["available"]:
        try:
            torch.cuda.init()
        except Exception as error:
            fact["why"] = str(error)[:2000]


def compiled_for(torch: Any) -> list[str]:
    flags = getattr(torch._C, "_cuda_getArchFlags", lambda: None)()
    return flags.split() if flags else []


def run_kernel(torch: Any, device: str) -> dict[str, Any]:
    """A real add and matmul on `device` against the CPU in double precision: the largest relative error, and NaNs."""
    generator = torch.Generator().manual_seed(7)
    left = torch.randn(64, 96, generator=generator)
    right = torch.randn(96, 32, generator=generator)
    expected = left.double() @ right.double() + 1.0
    got = (left.to(device) @ right.to(device) + 1.0).cpu().double()
    error = ((got - expected).abs().max() / expected.abs().max()).item()
    return {"device": device, "relative_error": error, "finite": bool(torch.isfinite(got).all())}


def dtype_works(torch: Any, dtype: Any) -> bool | str:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        ones = torch.ones(8, 8, dtype=dtype, device=device)
        return bool((ones @ ones).float().sum().item() == 512.0)
    except RuntimeError as error:
        return str(error)[:300]


def probe_model(torch: Any, params: dict[str, Any]) -> None:
    config: Any = None
    tokenizer: Any = None
    model: Any = None
    with Stage("model.config") as fact:
        import transformers
        from transformers import AutoConfig

        fact["transformers"] = transformers.__version__
        config = AutoConfig.from_pretrained(params["model"], trust_remote_code=params["trust_remote_code"])
        fact.update(model_type=config.model_type, architectures=config.architectures)
    with Stage("tokenizer.roundtrip") as fact:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(params["model"], trust_remote_code=params["trust_remote_code"])
        roundtrip(tokenizer, fact)
        fact["highest_id"] = max(tokenizer.get_vocab().values(), default=-1)
        fact["embeddings"] = getattr(config.get_text_config(), "vocab_size", None) if config else None
    if tokenizer is None:
        return
    with Stage("tokenizer.chat_template") as fact:
        fact["on"] = render(tokenizer, params["prompt"], True)
        fact["off"] = render(tokenizer, params["prompt"], False)
        fact["history"] = history(tokenizer)
        fact["template"] = tokenizer.chat_template
        fact["vocabulary"] = interesting(tokenizer)
    if config is None:
        return
    with Stage("model.loads", LOADING) as fact:
        model = load_model(torch, params, fact)
    if model is not None:
        probe_generation(torch, tokenizer, model, params)


def history(tokenizer: Any) -> dict[str, Any]:
    """A conversation of several turns, rendered; and which of its words came through."""
    turns = [{"role": role, "content": text} for role, text in HISTORY]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return {"text": text, "lost": [turn["content"] for turn in turns if turn["content"] not in text]}


def interesting(tokenizer: Any) -> list[str]:
    """Tokens that look like markers: enough to tell the family by."""
    return sorted(token for token in tokenizer.get_vocab() if token[:1] in "<[◁" and len(token) > 3)[:400]


def roundtrip(tokenizer: Any, fact: dict[str, Any]) -> None:
    import numpy  # type: ignore[import-not-found]

    fact["texts"] = []
    for text in ASKED["tokenizer"]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        back = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        pt = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        np = tokenizer(text, return_tensors="np", add_special_tokens=False)["input_ids"]
        fact["texts"].append(
            {
                "text": text,
                "back": back,
                "tokens": len(ids),
                "list": isinstance(ids, list),
                "pt": pt.tolist() == [ids],
                "np": isinstance(np, numpy.ndarray) and np.tolist() == [ids],
            }
        )
    if tokenizer.pad_token is not None:
        texts = ASKED["tokenizer"][:2]
        batch = tokenizer(texts, padding=True, padding_side="left", return_tensors="pt", add_special_tokens=False)
        fact["batch"] = {"shape": list(batch["input_ids"].shape), "mask": batch["attention_mask"].sum(dim=1).tolist()}


def render(tokenizer: Any, prompt: str, thinking_on: bool) -> str:
    return tokenizer.apply_chat_template(  # type: ignore[no-any-return]
        [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=thinking_on
    )


def dtype_keyword() -> str:
    """`dtype` came with transformers 4.56; before, it was refused."""
    import transformers

    release = tuple(int(part) for part in transformers.__version__.split(".")[:2])
    return "dtype" if release >= (4, 56) else "torch_dtype"


def load_model(torch: Any, params: dict[str, Any], fact: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM

    began = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(
        params["model"],
        **{dtype_keyword(): getattr(torch, params["dtype"]) if "dtype" in params else "auto"},
        device_map="auto",
        trust_remote_code=params["trust_remote_code"],
        use_safetensors=None if params["allow_pickle"] else True,
    )
    model.eval()
    weights = list(model.parameters())
    fact.update(
        load_seconds=time.perf_counter() - began,
        dtype=str(model.dtype),
        device=str(model.device),
        parameters=sum(w.numel() for w in weights),
        bytes=sum(w.numel() * w.element_size() for w in weights),
        finite=all(bool(torch.isfinite(w).all()) for w in weights),
        class_name=type(model).__name__,
    )
    return model


def probe_generation(torch: Any, tokenizer: Any, model: Any, params: dict[str, Any]) -> None:
    family = params["family"]
    if family == "auto":
        family = thinking.detect_family(tokenizer.chat_template or "", tokenizer.get_vocab())[0]
    budget = params["max_new_tokens"]
    first: Any = None
    with Stage("generation.basic", SPEAKING) as fact:
        first = generate(torch, tokenizer, model, params["prompt"], True, budget)
        fact.update({key: first[key] for key in ("tokens", "seconds", "ttft_seconds", "finite", "text", "ended")})
        fact["peak_memory"] = peak_memory(torch)
        fact["tokens_per_second"] = first["tokens"] / first["seconds"] if first["seconds"] else None
    if first is None:
        return
    with Stage("generation.thinking_split") as fact:
        fact.update(split(tokenizer, first, family, True), family=family)
    cross_check(tokenizer, first, family)
    with Stage("performance.decode") as fact:
        decoding(torch, model, first, fact)
    with Stage("generation.deterministic", SPEAKING) as fact:
        again = generate(torch, tokenizer, model, params["prompt"], True, min(budget, 64))
        fact.update(same=again["ids"] == first["ids"][: len(again["ids"])], compared=len(again["ids"]))
    with Stage("generation.thinking_off", SPEAKING) as fact:
        plain = generate(torch, tokenizer, model, params["prompt"], False, budget)
        fact.update(split(tokenizer, plain, family, False), honoured=plain["prompt"] != first["prompt"])
    with Stage("generation.known_answer", SPEAKING) as fact:
        known = generate(torch, tokenizer, model, KNOWN_ANSWER[0], True, budget)
        fact.update(split(tokenizer, known, family, True), asked=KNOWN_ANSWER[0], wanted=KNOWN_ANSWER[1])


def peak_memory(torch: Any) -> int:
    """Bytes: the most that torch held of all GPUs, or that this process held of the machine."""
    if torch.cuda.is_available():
        return sum(torch.cuda.max_memory_allocated(name) for name in devices(torch))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def decoding(torch: Any, model: Any, made: dict[str, Any], fact: dict[str, Any]) -> None:
    """Tokens a second after the first, and what share of the memory's copy bandwidth that is: every weight is read once
    for each token, but of an embedding table that is not also the output layer only a row."""
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is not None and table is not None and head.weight is not table.weight:
        size -= table.weight.numel() * table.weight.element_size()
    later = made["seconds"] - (made["ttft_seconds"] or 0.0)
    fact["tokens_per_second"] = (made["tokens"] - 1) / later if made["tokens"] > 1 and later > 0 else None
    fact["ttft_seconds"] = made["ttft_seconds"]
    fact["bytes_per_token"] = size
    fact["bandwidth"] = bandwidth(torch, str(model.device))
    if fact["tokens_per_second"]:
        fact["share"] = fact["tokens_per_second"] * size / fact["bandwidth"]


def generate(torch: Any, tokenizer: Any, model: Any, prompt: str, thinking_on: bool, budget: int) -> dict[str, Any]:
    """Greedy, seeded; the prompt is cut off by length. Times in seconds; `finite` is of the first step's logits."""
    from transformers import set_seed

    set_seed(0)
    text = render(tokenizer, prompt, thinking_on)
    inputs = tokenizer([text], return_tensors="pt").to(model.device)
    seen: dict[str, Any] = {"finite": True, "first": None}
    began = time.perf_counter()

    def watch(_: Any, __: Any, output: Any) -> None:
        hook.remove()  # the first step alone: what is watched any longer becomes slower
        scores = output.logits[:, -1]
        seen["finite"] = bool(torch.isfinite(scores).any()) and not bool(torch.isnan(scores).any())
        seen["first"] = time.perf_counter() - began

    hook = model.register_forward_hook(watch)
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            max_new_tokens=budget,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
        )
    ids = output[0][inputs["input_ids"].shape[1] :].tolist()
    return {
        "prompt": text,
        "prompt_ids": inputs["input_ids"][0].tolist(),
        "ids": ids,
        "tokens": len(ids),
        "seconds": time.perf_counter() - began,
        "ttft_seconds": seen["first"],
        "finite": seen["finite"],
        "text": tokenizer.decode(ids, skip_special_tokens=False),
        "ended": len(ids) < budget,
    }


def split(tokenizer: Any, made: dict[str, Any], family: str, requested: bool) -> dict[str, Any]:
    found = thinking.split_ids(
        made["ids"],
        tokenizer=tokenizer,
        prompt_ids=made["prompt_ids"],
        prompt_tail=made["prompt"],
        family=family,
        thinking_requested=requested,
    )
    return {
        "reasoning": found.reasoning,
        "content": found.content,
        "state": str(found.state),
        "method": found.method,
        "opened_by": found.opened_by,
        "close_count": found.close_count,
        "tokens": made["tokens"],
        "prompt": made["prompt"],
    }
