"""The split against transformers' own parser, with real tokenizers; and the judges of both on plain facts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from checks.crosscheck import judge_crosscheck, judge_streaming
from checks.interface import Fact
from checks.runner import run_script
from provision.machines.interface import Completed
from provision.machines.local import LocalMachine
from tests.fakes.site import about

PROMPT = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
TEMPLATE = {  # in transformers' declarative form, for models that mark a thought with <think> and </think>
    "defaults": {"role": "assistant"},
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "reasoning_content": {"open": "<think>", "close": "</think>", "content": "text"},
        "content": {"close_pattern": r"\s*<\|im_end\|>", "content": "text"},
    },
}
TEXTS = [
    "<think>\n先想一想 👩‍👩‍👧‍👦.\n</think>\n\n你好！ é<|im_end|>",
    "Only an answer.<|im_end|>",
    "<think>\n\n</think>\n\nHi<|im_end|>",
    "<think>\nstill at it",
]


def probed(ready_home: Path, template: Any, texts: list[str]) -> list[dict[str, Fact]]:
    """The facts of each text, through the piped probe and the environment's own transformers."""
    python = str(ready_home / "envs" / "smoke" / "bin" / "python")
    model = str(ready_home / "store" / "provision" / "tiny-think")
    params = {"model": model, "template": template, "texts": texts, "prompt": PROMPT, "family": "qwen3"}
    along = ("checks.thinking", "checks.probes.crosscheck")
    heard: list[str] = []
    machine = LocalMachine({"PATH": os.environ["PATH"]})
    real = machine.run

    def listening(*args: Any, **more: Any) -> Completed:
        done = real(*args, **more)
        heard.append(done.text)
        return done

    machine.run = listening  # type: ignore[method-assign]
    seen = run_script(machine, python, "tests.fakes.crosscheck_probe", params, along=along, timeout=120)
    assert seen.trouble is None, seen.trouble
    found: list[dict[str, Fact]] = [{}]
    for line in map(json.loads, filter(None, heard[-1].splitlines())):
        if line.get("begin") == "next":
            found.append({})
        elif "fact" in line:
            found[-1][line["fact"]] = Fact(line["value"], line["error"], line["seconds"])
    return found[:-1]


def test_ours_and_transformers_agree_and_the_stream_equals_the_whole(ready_home: Path) -> None:
    for text, facts in zip(TEXTS, probed(ready_home, TEMPLATE, TEXTS), strict=True):
        streaming = judge_streaming(facts["generation.streaming"], about())
        crossed = judge_crosscheck(facts["generation.thinking_crosscheck"], about())
        assert (streaming.status, crossed.status) == ("pass", "pass"), (text, streaming, crossed)
        assert facts["generation.streaming"]["pieces"] > 1


def test_a_disagreement_is_a_finding_with_both_sides(ready_home: Path) -> None:
    fields = {**TEMPLATE["fields"], "reasoning_content": {"open": "<think>", "close": "</thought>", "content": "text"}}
    (facts,) = probed(ready_home, {**TEMPLATE, "fields": fields}, TEXTS[:1])
    made = judge_crosscheck(facts["generation.thinking_crosscheck"], about())
    assert (made.status, made.code) == ("warn", "parsers-disagree")
    assert "ours: '先想一想" in made.evidence and "transformers:" in made.evidence and made.hint


def test_a_template_that_transformers_cannot_read_is_told_as_its_failure(ready_home: Path) -> None:
    (facts,) = probed(ready_home, {"fields": {}}, TEXTS[:1])
    made = judge_crosscheck(facts["generation.thinking_crosscheck"], about())
    assert (made.status, made.code) == ("unknown", "crosscheck-failed") and made.observed


def test_no_template_is_a_skip(ready_home: Path) -> None:
    (facts,) = probed(ready_home, None, TEXTS[:1])
    assert judge_crosscheck(facts["generation.thinking_crosscheck"], about()).code == "no-response-template"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({}, "pass", "ok"),
        ({"text_same": False}, "warn", "streamed-text-differs"),
        ({"same": False}, "fail", "stream-differs"),
        ({"begins": False}, "fail", "stream-differs"),
    ],
)
def test_judging_a_stream(change: dict[str, Any], status: str, code: str) -> None:
    good = {"pieces": 3, "text_same": True, "same": True, "begins": True, "held_back": 0}
    made = judge_streaming(Fact({**good, **change}), about())
    assert (made.status, made.code) == (status, code)


def test_failures_are_never_a_pass() -> None:
    broken = Fact(error={"type": "ValueError", "message": "boom"})
    assert judge_streaming(broken, about()).status == "fail" and judge_crosscheck(broken, about()).status == "unknown"
    assert judge_crosscheck(Fact({"shipped": True}), about()).code == "transformers-too-old"
