"""The image without what nobody runs still does what people do in it: compile, extend, import."""

from __future__ import annotations

import pytest

from provision.machines.engine import ContainerSettings, Engine

COMPILED = """
import torch
print("compiled", torch.compile(lambda x: x.sin() + 1)(torch.ones(8)).sum().item())
"""
EXTENDED = r"""
import os, subprocess, sys, sysconfig
from torch.utils import cpp_extension
source = r'''
#include <torch/extension.h>
torch::Tensor twice(torch::Tensor x) { return x * 2; }
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("twice", &twice); }
'''
open("/tmp/twice.cpp", "w").write(source)
folders = [*cpp_extension.include_paths(), sysconfig.get_paths()["include"]]
words = ["g++", "-O0", "-shared", "-fPIC", "-std=c++20", "-DTORCH_EXTENSION_NAME=twice", "-o", "/tmp/twice.so"]
words += ["/tmp/twice.cpp", *(f"-I{folder}" for folder in folders)]
words += [f"-L{folder}" for folder in cpp_extension.library_paths()]
subprocess.run([*words, "-ltorch", "-ltorch_cpu", "-lc10", "-ltorch_python"], check=True)
sys.path.insert(0, "/tmp")
import torch, twice
print("extended", twice.twice(torch.ones(2)).tolist())
"""
TREE = """
import importlib.metadata, os, sys
site = next(path for path in sys.path if path.endswith("site-packages"))
print("tests", sum("tests" in names for at, names, _ in os.walk(site) if at.split("/")[-1] in ("numpy", "sympy", "mpmath")))
packages = ("torch", "transformers/models/auto", "sympy", "numpy", "huggingface_hub", "tokenizers")
print("bytecode", all(os.path.isdir(f"{site}/{name}/__pycache__") for name in packages))
for name in ("torch._inductor", "torch.distributed", "transformers", "accelerate", "modelscope", "numpy.testing", "sympy"):
    __import__(name)
print("imported")
"""


TOLD = "tests 0\nbytecode True\nimported"


@pytest.mark.slow
def test_what_was_trimmed_is_missed_by_nobody(engine: Engine, image: str) -> None:
    with engine.container(ContainerSettings(image)) as machine:
        for script, words in ((COMPILED, "compiled 14.7"), (EXTENDED, "extended [2.0, 2.0]"), (TREE, TOLD)):
            done = machine.run(["python", "-c", script], timeout=300, env={"OMP_NUM_THREADS": "2"})
            assert words in done.text, done.error_text[-3000:]
