"""How often the engines' own parsers tell thought and answer apart as our cases say, beside ours.

    python -m benchmarks.thinking_peers vllm=PYTHON sglang=PYTHON transformers=PYTHON llama.cpp=PROGRAM ollama=PROGRAM

With `--write` the table is kept. Each PYTHON is one in which that engine's parser can be imported (a throwaway
environment will do). A PROGRAM is linked with the engine's own parser; nothing of it is kept here. It reads a JSON
list of cases and prints, last, `{"version": …, "answers": [[reasoning, content, tool calls taken out], …]}`. A case is
    name       what the engine calls the parser (llama.cpp: the chat template of its own collection), or null
    text       what the model generated, and partial: whether it was cut off
    tail       the end of the prompt, told: what it left (open, closed or null), asked: what the user wished, or null
    markers    the family's markers, which its tokenizer has as one token each
    tools      names of the tools that the text calls
The peer is given what its own server would give it; whitespace at the edges does not count, and where it takes tool
calls out of the content itself, the content before them is what counts.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from checks.thinking import FAMILIES, split_text
from tests.checks.thinking_cases import CASES, Case

SCRIPT = Path(__file__).parent / "ask_parser.py"
END = re.compile(r"(<\|return\|>|<\|call\|>|<\|END_OF_TURN_TOKEN\|>)$")
"""Where a server stops. It keeps that token for itself; only SGLang's parsers want it."""
IN_PYTHON = ("sglang", "transformers", "vllm")
# fmt: off
SAME = {"qwen3": "qwen3", "qwen3.5": "qwen3", "gemma4": "gemma4", "inkling": "inkling", "step3": "step3"}
PARSERS: Mapping[str, Mapping[str, str]] = {
    "sglang": {**SAME, "qwen3-thinking": "qwen3-thinking", "deepseek-r1": "deepseek-r1", "deepseek-v3": "deepseek-v3",
        "deepseek-v3.1": "deepseek-v3", "glm45": "glm45", "glm47": "glm45", "kimi-k2": "kimi_k2", "kimi-vl": "kimi",
        "minimax-m2": "minimax", "minimax-m3": "minimax-m3", "mistral": "mistral", "magistral": "mistral",
        "ministral": "mistral", "gpt-oss": "gpt-oss", "granite-4.2": "granite_thinking_parser",
        "hunyuan-a13b": "hunyuan", "cohere": "cohere_command4", "nemotron3": "nemotron_3", "apertus": "apertus2509"},
    "transformers": {"qwen3": "qwen3", "qwen3-thinking": "qwen3", "qwen3.5": "qwen3_5", "gemma4": "gemma4"},
    "vllm": {**SAME, "qwen3-thinking": "qwen3", "deepseek-r1": "deepseek_r1", "deepseek-v3": "deepseek_v3",
        "deepseek-v3.1": "deepseek_v3", "glm45": "glm45", "glm47": "glm47", "kimi-k2": "kimi_k2",
        "minimax-m2": "minimax_m2", "minimax-m3": "minimax_m3", "seed-oss": "seed_oss", "mistral": "mistral",
        "magistral": "mistral", "ministral": "mistral", "granite-3.2": "granite", "cohere": "cohere_command4",
        "granite-4.2": "granite_thinking_parser", "hunyuan-a13b": "hunyuan_a13b", "ernie45": "ernie45",
        "olmo3": "olmo3", "nemotron3": "nemotron_v3"},
    "llama.cpp": {"qwen3": "Qwen-Qwen3-0.6B", "qwen3-thinking": "Qwen-QwQ-32B", "qwen3.5": "Qwen3.5-4B",
        "deepseek-r1": "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-v3": "deepseek-ai-DeepSeek-V3.1",
        "glm45": "GLM-4.6", "glm47": "GLM-4.7-Flash", "kimi-k2": "Kimi-K2-Thinking", "minimax-m2": "MiniMax-M2",
        "minimax-m3": "MiniMax-M3", "seed-oss": "ByteDance-Seed-OSS", "gpt-oss": "openai-gpt-oss-120b",
        "ministral": "mistralai-Ministral-3-14B-Reasoning-2512", "gemma4": "google-gemma-4-31B-it",
        "mistral": "mistralai-Ministral-3-14B-Reasoning-2512", "magistral": "mistralai-Ministral-3-14B-Reasoning-2512",
        "cohere": "Cohere2MoE", "nemotron3": "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "apertus": "Apertus-8B-Instruct"},
    "ollama": {"qwen3": "<think> </think>", "deepseek-r1": "<think> </think>", "qwen3-thinking": "qwen3-thinking",
        "qwen3.5": "qwen3.5", "deepseek-v3": "deepseek3", "glm47": "glm-4.7", "ministral": "ministral",
        "gpt-oss": "harmony", "olmo3": "olmo3-think", "gemma4": "gemma4", "cohere": "cohere",
        "nemotron3": "nemotron-3-nano", "cogito": "cogito"},
}
# fmt: on


class Answer(NamedTuple):
    reasoning: str
    content: str
    calls: int = 0


def ask(peer: str, program: str) -> tuple[str, list[Answer | None]]:
    """Return the peer's version, and its answer to each case: None where it has no parser for the family."""
    cases = [told(case, PARSERS[peer].get(case.family)) for case in CASES]
    if peer != "sglang":
        cases = [{**case, "text": END.sub("", case["text"])} for case in cases]
    argv = [program, str(SCRIPT), peer] if peer in IN_PYTHON else [program]
    done = subprocess.run(argv, input=json.dumps(cases), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{peer}: {done.stderr[-2000:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    return said["version"], [Answer(*answer) if answer else None for answer in said["answers"]]


def told(case: Case, name: str | None) -> dict[str, Any]:
    family = FAMILIES[case.family]
    markers = [*family.open, *family.close, *family.tool, *family.answer, *family.answer_end, *family.blocks]
    return {
        **{"name": name, "text": case.text, "partial": case.state == "truncated", "tail": case.tail},
        **{"told": _left_by_the_prompt(case), "asked": case.asked, "markers": markers},
        "tools": sorted(set(re.findall(r"get_weather|bash|\bf\b", case.text))) if _call(case) else [],
    }


def _left_by_the_prompt(case: Case) -> str | None:
    """What the end of the prompt says; where none is shown, what the family's template would have said."""
    if not case.tail:
        return "open" if FAMILIES[case.family].starts_open and case.asked is not False else None
    left = split_text("x", family=case.family, prompt_tail=case.tail)
    return "open" if left.reasoning == "x" else "closed" if left.state == "off" else None


def _call(case: Case) -> int:
    """Where in the expected content the first tool call begins, counted from 1; 0 is "there is none"."""
    if re.search(r"\bto=|<\|content_invoke", case.text):
        return 1
    found = [case.content.find(marker) for marker in FAMILIES[case.family].tool]
    return next((at + 1 for at in sorted(found) if at >= 0), 0)


def ours() -> list[Answer | None]:
    split = [split_text(c.text, family=c.family, prompt_tail=c.tail, thinking_requested=c.asked) for c in CASES]
    return [Answer(found.reasoning, found.content) for found in split]


def right(case: Case, answer: Answer | None) -> bool:
    if answer is None:
        return False
    content = case.content[: _call(case) - 1] if answer.calls and _call(case) else case.content
    return (answer.reasoning.strip(), answer.content.strip()) == (case.reasoning.strip(), content.strip())


def score(answers: Sequence[Answer | None], where: Sequence[bool]) -> str:
    covered = [right(case, answer) for case, answer, here in zip(CASES, answers, where, strict=True) if here]
    return f"{sum(covered)} of {len(covered)}" if covered else "–"


def table(answered: Mapping[str, tuple[str, list[Answer | None]]]) -> str:
    mine = ours()
    heads = ["family", "ours", *(f"{peer} {version}" for peer, (version, _) in answered.items())]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for family in [*FAMILIES, "all it has a parser for"]:
        here = [family not in FAMILIES or case.family == family for case in CASES]
        if any(here):
            cells = [score(answers, _covered(answers, here)) for _, answers in answered.values()]
            lines.append(f"| {family} | {score(mine, here)} | {' | '.join(cells)} |")
    same = [score(mine, _covered(answers, [True] * len(CASES))) for _, answers in answered.values()]
    return "\n".join([*lines, f"| ours on the same | | {' | '.join(same)} |"])


def _covered(answers: Sequence[Answer | None], here: Sequence[bool]) -> list[bool]:
    return [inside and answer is not None for answer, inside in zip(answers, here, strict=True)]


def missed(answered: Mapping[str, tuple[str, list[Answer | None]]]) -> str:
    """Every miss of a peer, for whoever wants to see that it was given its chance."""
    lines = [
        f"{peer} {case.family} {case.text!r} tail {case.tail!r}: {answer[:2]}, ours {case.reasoning!r}, {case.content!r}"
        for peer, (_, answers) in answered.items()
        for case, answer in zip(CASES, answers, strict=True)
        if answer is not None and not right(case, answer)
    ]
    return "\n".join(lines)


HEAD = """# The thinking split beside the engines' own parsers

Written by `python -m benchmarks.thinking_peers … --write`; its docstring says what each peer is given. No GPU, no model:
the parsers alone. The cases are those of `tests/checks/thinking_cases.py`; each names the fact or the rule that decides
it. Many are edges on which the engines differ among themselves, so a peer's miss is a difference from our rules, which
its authors may have decided otherwise on purpose. `–`: it has no parser for the family. vLLM reads gpt-oss with a
vocabulary that must be downloaded, so that row is not its.

"""


def main(words: Sequence[str]) -> None:
    named = [word.partition("=") for word in words if not word.startswith("--")]
    answered = {peer: ask(peer, program) for peer, _, program in named}
    print(missed(answered), file=sys.stderr)
    print(table(answered))
    if "--write" in words:
        Path(__file__).with_suffix(".md").write_text(f"{HEAD}{table(answered)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
