"""How fast the thinking split is, and how often it is right, beside the snippet of the model card.

    python -m benchmarks.thinking [--write]

The peer is the card's own way for Qwen3: find the last id 151668, cut there, and call everything the answer if it is not
there. Both are given the same ids, of a byte tokenizer in which the think tags have the numbers the card knows.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from checks.thinking import FAMILIES, Splitter, split_ids, split_text
from tests.checks.test_thinking_ids import ByteTokenizer
from tests.checks.thinking_cases import CASES, OPENED, Case

CARD_ID = 151668
TOKENIZER = ByteTokenizer(added=["<think>", "</think>"], special=["<|im_end|>"], first=CARD_ID - 1)
QWEN = ("qwen3", "qwen3-thinking", "qwen3.5")
THOUGHT = "Let me see: 2 + 2 is 4, I am sure. 想一想, a < b.\n" * 400
TEXT = f"<think>\n{THOUGHT}</think>\n\n" + "The answer is 4.\n" * 100


def card(ids: Sequence[int], tokenizer: ByteTokenizer) -> tuple[str, str]:
    """The peer: what the Qwen3 card does with the generated ids."""
    backwards = list(reversed(ids))
    cut = len(ids) - backwards.index(CARD_ID) if CARD_ID in backwards else 0
    thought = tokenizer.decode(ids[:cut], skip_special_tokens=True)
    return thought.strip("\n"), tokenizer.decode(ids[cut:], skip_special_tokens=True).strip("\n")


def ours(case: Case) -> tuple[str, str]:
    ids = TOKENIZER.encode(case.text)
    split = split_ids(
        ids, tokenizer=TOKENIZER, family=case.family, prompt_tail=case.tail, thinking_requested=case.asked
    )  # fmt: skip
    return split.reasoning, split.content


def peer(case: Case) -> tuple[str, str]:
    return card(TOKENIZER.encode(case.text), TOKENIZER)


def score(cases: Sequence[Case], split: Callable[[Case], tuple[str, str]]) -> str:
    right = sum(split(case) == (case.reasoning, case.content) for case in cases)
    return f"{right} of {len(cases)}"


def answers_invented(cases: Sequence[Case], split: Callable[[Case], tuple[str, str]]) -> int:
    """Truncated thoughts that are called the answer."""
    return sum(case.state == "truncated" and case.content == "" and split(case)[1] != "" for case in cases)


def seconds(work: Callable[[], object], least: float = 0.5) -> float:
    """The median of the seconds one call takes, over at least `least` seconds of calls."""
    taken: list[float] = []
    while sum(taken) < least or len(taken) < 5:
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def stream(size: int) -> Callable[[], object]:
    chunks = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]

    def run() -> object:
        splitter = Splitter("qwen3", OPENED, True)
        for chunk in chunks:
            splitter.feed(chunk)
        return splitter.finish()

    return run


def speeds() -> list[tuple[str, str]]:
    size = len(TEXT.encode()) / 1e6
    ids = TOKENIZER.encode(TEXT)
    short = seconds(lambda: split_text("<think>\nshort\n</think>\n\nanswer", prompt_tail=OPENED))
    rows = [("split_text, a short text", f"{1 / short:,.0f} splits/s")]
    whole = seconds(lambda: split_text(TEXT))
    rows.append((f"split_text, {size * 1000:.0f} kB", f"{1 / whole:,.0f} splits/s, {size / whole:,.0f} MB/s"))
    for length in (1, 4, 64):
        once = seconds(stream(length))
        each = once / (len(TEXT) / length) * 1e6
        rows.append((f"Splitter, {length} characters a chunk", f"{each:.1f} µs a chunk, {size / once:,.1f} MB/s"))
    by_ids = seconds(lambda: split_ids(ids, tokenizer=TOKENIZER))
    by_card = seconds(lambda: card(ids, TOKENIZER))
    rows.append((f"split_ids, {len(ids):,} ids", f"{by_ids / by_card:.2f} × the card's time, decoding included"))
    double = seconds(lambda: split_text(TEXT + THOUGHT * 9)) / seconds(lambda: split_text(TEXT + THOUGHT * 4))
    rows.append(("split_text, twice the text", f"{double:.2f} × the time"))
    return rows


HEAD = """# The thinking split: speed and score

Written by `python -m benchmarks.thinking --write` (no GPU, no model, no network), in one run on two cores; ratios hold
better than seconds. The peer is the snippet of the Qwen3 model card: the last id 151668 ends the thought, and where it is
missing everything is the answer. Both get the same ids. The cases are those of `tests/checks/thinking_cases.py`: most are
edges (truncated, off, opened in the prompt, a call inside a thought, several closes), so the score says how many edges are
met, not how often an ordinary generation goes wrong. The card strips newlines at both ends of the answer and is not shown
the prompt.

"""


def main(words: Sequence[str]) -> None:
    qwen = [case for case in CASES if case.family in QWEN]
    lines = [
        f"Python {platform.python_version()}, {platform.machine()}\n",
        "| | ours | the card's snippet |",
        "|---|---|---|",
    ]
    for name, cases in (("Qwen3 cases right", qwen), (f"all {len(FAMILIES)} names, cases right", CASES)):
        lines.append(f"| {name} | {score(cases, ours)} | {score(cases, peer)} |")
    invented = answers_invented(qwen, ours), answers_invented(qwen, peer)
    lines.append(f"| truncated Qwen3 thoughts called the answer | {invented[0]} | {invented[1]} |")
    lines += ["\n| speed | |\n|---|---|", *(f"| {name} | {figure} |" for name, figure in speeds())]
    print("\n".join(lines))
    if "--write" in words:
        Path(__file__).with_suffix(".md").write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
