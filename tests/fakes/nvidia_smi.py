"""A fake `nvidia-smi` to put on PATH: a real program that replays a capture, or misbehaves as the real one does."""

from __future__ import annotations

import sys
from pathlib import Path

CAPTURES = Path(__file__).parent.parent / "captures" / "nvidia-smi"
BEHAVIOURS = (
    "replay",  # the capture for -q -x, the given capability for --query-gpu
    "sleep",  # never answers, dies of SIGTERM
    "ignore-term",  # never answers, ignores SIGTERM
    "half",  # half of the capture, exit 0
    "garbage",  # something else, exit 0
    "not-loaded",  # exit 9
    "permission",  # exit 4
    "mismatch",  # exit 18
)

_PROGRAM = """#!{python} -S
import re, signal, sys, time
behaviour, capability, uuid = {behaviour!r}, {capability!r}, {uuid!r}
content = {content!r}
if behaviour == "ignore-term":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if behaviour in ("sleep", "ignore-term"):
    print("", end="", flush=True)
    time.sleep(600)
ends = {{
    "not-loaded": (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the "
        "latest NVIDIA driver is installed and running."),
    "permission": (4, "Failed to initialize NVML: Insufficient Permissions"),
    "mismatch": (18, "Failed to initialize NVML: Driver/library version mismatch\\nNVML library version: 550.54"),
}}
if behaviour in ends:
    print(ends[behaviour][1])
    sys.exit(ends[behaviour][0])
if behaviour == "garbage":
    print("<html><body>502 Bad Gateway</body></html>")
    sys.exit(0)
if any(word.startswith("--query-gpu=") for word in sys.argv[1:]):
    if not capability:
        print("Field \\"compute_cap\\" is not a valid field to query.")
        sys.exit(2)
    print(uuid + ", " + capability)
    sys.exit(0)
if sys.argv[1:] == ["-L"]:
    told = [re.findall(b"<%s>(.*?)</%s>" % (key, key), content) for key in (b"product_name", b"uuid")]
    for number, (card, its) in enumerate(zip(*told)):
        print("GPU %d: %s (UUID: %s)" % (number, card.decode(), its.decode()))
    sys.exit(0)
if sys.argv[1:] != ["-q", "-x"]:
    sys.exit(2)
sys.stdout.buffer.write(content[: len(content) // 2] if behaviour == "half" else content)
"""


def install(
    folder: Path,
    behaviour: str,
    *,
    capture: str = "tesla-t4.xml",
    capability: str = "",
    uuid: str = "",
    python: str = sys.executable,
) -> Path:
    """Write `folder/nvidia-smi` so that it behaves as one of `BEHAVIOURS`, and return its path.

    `capability` is what it answers to `--query-gpu=uuid,compute_cap` for the GPU `uuid`; empty: it is too old to know.
    `python` runs it.
    """
    if behaviour not in BEHAVIOURS:
        raise ValueError(f"{behaviour!r} is none of {BEHAVIOURS}")
    content = (CAPTURES / capture).read_bytes()
    program = folder / "nvidia-smi"
    program.write_text(
        _PROGRAM.format(python=python, behaviour=behaviour, content=content, capability=capability, uuid=uuid)
    )
    program.chmod(0o755)
    return program
