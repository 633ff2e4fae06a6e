"""What a site is made of: the machine, and what was found out about it before."""

from __future__ import annotations

import os

from provision.mirrors.measuring import Measurement, save
from provision.site import Home, survey
from provision.spec import load

MIRROR = "https://mirrors.aliyun.com/pytorch-wheels"


def test_torch_comes_from_the_mirror_that_served_it_when_mirrors_were_measured() -> None:
    spec = load(profile="smoke", flags={"engine": "local", "gpu": "none", "image.torch": "2.12.0"})
    before = survey(spec, os.environ, want_engine=False).resolution
    python = before.python.replace(".", "")
    assert before.torch == "2.12.0" and before.index and not before.index.startswith(MIRROR)
    served = f"cpu/torch-2.12.0%2Bcpu-cp{python}-cp{python}-manylinux_2_28_x86_64.whl"
    refused = Measurement("torch", "https://mirror.nju.edu.cn/pytorch/whl", refusal="missing", artefact=served)
    save(Home.of(os.environ).measured, [refused, Measurement("torch", MIRROR, artefact=served)])
    assert survey(spec, os.environ, want_engine=False).resolution.index == f"{MIRROR}/cpu"
