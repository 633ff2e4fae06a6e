from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.facts import Facts, probe
from provision.facts.gpu import GpuState
from provision.facts.python import TorchWheel, Uv
from provision.facts.smi import Gpu
from provision.matrix import Wheel, load_matrix, version
from provision.resolve import Resolution, Wanted, explain, resolve
from tests.fakes.facts import gpu, interpreter, machine
from tests.fakes.machine import ScriptedMachine, said
from tests.fakes.nvidia_smi import CAPTURES

MATRIX = load_matrix()
T4, V100, P100, A100 = gpu("7.5", "Tesla T4"), gpu("7.0", "Tesla V100"), gpu("6.0", "Tesla P100"), gpu("8.0", "NVIDIA A100")
H100, RTX3080, RTX5090 = gpu("9.0", "NVIDIA H100", 1), gpu("8.6", "RTX 3080"), gpu("12.0", "RTX 5090", 2)
CPU_WHEEL = TorchWheel(
    "/wheels", "torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl", "2.13.0", "cpu", "3.12", "x86_64"
)

EARLIER = ("450.51", "450.80.02", "470.256.02", "515.105.01", "520.61.05", "525.60.12", "525.60.13", "535.54.03")
LATER = ("550.90.07", "560.28.03", "570.86.10", "572.16", "575.51.03", "579.99", "580.65.05", "580.65.06", "595.58.03")
DRIVERS = EARLIER + LATER
OLDER_GPUS = ("3.7", "5.0", "5.2", "6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.7", "8.9")
CAPABILITIES = (*OLDER_GPUS, "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")
PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
RELEASES = sorted({wheel.torch for wheel in MATRIX.wheels}, key=version)


def row_of(resolution: Resolution, arch: str = "x86_64") -> Wheel:
    own = (resolution.torch, resolution.wheel_tag)
    (row,) = [wheel for wheel in MATRIX.wheels if (wheel.torch, wheel.tag) == own and arch in wheel.machines]
    return row


def texts(resolution: Resolution) -> list[str]:
    return [near.text for near in resolution.nearest]


# --- ten machines, by hand ----------------------------------------------------------------------------------------------

LOCAL_AND_DOCKER = {
    "T4, 525": (machine(driver="525.147.05", gpus=[T4]), "torch==2.13.0+cu126", "525.60.13", "3.12", "nvidia/cuda:12.6.3"),
    "A100, 535": (
        machine(driver="535.54.03", gpus=[A100]),
        "torch==2.13.0+cu126",
        "525.60.13",
        "3.12",
        "nvidia/cuda:12.6.3",
    ),
    "H100, 550": (
        machine(driver="550.90.07", gpus=[H100]),
        "torch==2.13.0+cu126",
        "525.60.13",
        "3.12",
        "nvidia/cuda:12.6.3",
    ),
    "3080, 595": (machine(driver="595.58.03", gpus=[RTX3080]), "torch===2.13.0", "580.65.06", "3.11", "debian:bookworm"),
    "5090, 580": (machine(driver="580.65.06", gpus=[RTX5090]), "torch===2.13.0", "580.65.06", "3.11", "debian:bookworm"),
    "V100, 580": (
        machine(driver="580.95.05", gpus=[V100]),
        "torch==2.13.0+cu126",
        "525.60.13",
        "3.12",
        "nvidia/cuda:12.6.3",
    ),
    "P100 and H100": (
        machine(driver="550.90.07", gpus=[P100, H100]),
        "torch==2.13.0+cu126",
        "525.60.13",
        "3.12",
        "nvidia/cuda:12.6.3",
    ),
    "GH200, 580": (
        machine(driver="580.65.06", gpus=[H100], arch="aarch64"),
        "torch===2.13.0",
        "580.65.06",
        "3.11",
        "debian:bookworm",
    ),
    "none": (machine(), "torch==2.13.0+cpu", "", "3.11", "debian:bookworm"),
}


@pytest.mark.parametrize("name", LOCAL_AND_DOCKER)
def test_machines_that_have_an_answer(name: str) -> None:
    facts, requirement, floor, python_in_image, base = LOCAL_AND_DOCKER[name]
    local = resolve(facts, Wanted(engine="local"), MATRIX)
    assert local.ok and not local.nearest
    assert (local.torch_requirement, local.driver_floor, local.python) == (requirement, floor, "3.11")
    assert local.base == "" and local.interpreter == "/usr/bin/python3.11"
    image = resolve(facts, Wanted(engine="docker"), MATRIX)
    assert (image.torch_requirement, image.driver_floor, image.python) == (requirement, floor, python_in_image)
    assert image.base.startswith(base) and image.interpreter == ""


@pytest.mark.parametrize(
    ("facts", "nearest"),
    [
        (
            machine(driver="572.16", gpus=[RTX5090]),
            ["torch 2.7–2.11 cu128: ", "driver >= 580.65.06: torch 2.13.0+cu130", "variant cpu"],
        ),
        (
            machine(driver="470.256.02", gpus=[T4]),
            ["torch 2.4–2.7 cu118: ", "driver >= 525.60.13: torch 2.13.0+cu126", "driver >= 580.65.06: ", "variant cpu"],
        ),
        (machine(driver="580.65.06", gpus=[P100, RTX5090]), ["without Tesla P100", "without RTX 5090", "variant cpu"]),
        (machine(driver="580.65.06", gpus=[gpu("3.7", "Tesla K80")]), ["variant cpu"]),
        (machine(driver="580.65.06", gpus=[gpu("", "NVIDIA X1")]), ["variant cpu"]),
        (machine(driver="580.65.06", gpus=[T4], arch="aarch64"), ["variant cpu"]),
        (machine(pythons=["3.9"]), ["torch 2.4–2.8 cpu: ", "a Python of 3.10 to 3.14: torch 2.13.0+cpu"]),
        (machine(pythons=[]), ["a Python of 3.10 to 3.14: torch 2.13.0+cpu"]),
        (machine(arch="arm64", system="Darwin"), []),
        (machine(arch=""), []),
    ],
)
def test_machines_that_have_none_are_told_what_is_nearest(facts: Facts, nearest: Sequence[str]) -> None:
    found = resolve(facts, Wanted(), MATRIX)
    assert not found.ok and found.torch == "" and found.torch_requirement == ""
    told = sorted(texts(found))
    assert len(told) == len(nearest)
    assert all(any(text.startswith(start) for text in told) for start in nearest)
    assert len(found.reasons) >= 2


def test_the_blackwell_case_says_which_wheel_fails_by_what() -> None:
    found = resolve(machine(driver="572.16", gpus=[RTX5090]), Wanted(), MATRIX)
    refused = {reason.chose: reason.because for reason in found.reasons if reason.rule == "refused"}
    assert refused["2.13.0+cu130"] == "driver 572.16 < 580.65.06"
    assert refused["2.13.0+cu126"] == "nothing in it for RTX 5090 (sm_120)"
    pinned = resolve(machine(driver="572.16", gpus=[RTX5090]), Wanted(torch="2.11"), MATRIX)
    assert (pinned.ok, pinned.torch_requirement) == (True, "torch==2.11.0+cu128")


# --- rules, one by one --------------------------------------------------------------------------------------------------


def test_each_reason_names_its_rule_and_the_rows_source() -> None:
    found = resolve(machine(driver="535.54.03", gpus=[A100]), Wanted(), MATRIX)
    reasons = {reason.rule: reason for reason in found.reasons}
    assert {"variant", "torch", "wheel_tag", "driver", "gpus", "python", "toolkit"} <= reasons.keys()
    assert "error 222" in reasons["driver"].because and reasons["driver"].mark == "S"
    assert reasons["wheel_tag"].source == row_of(found).source
    assert any("535.54.03" in line for line in explain(found))


def test_minor_version_compatibility_is_not_said_where_the_driver_is_new_enough() -> None:
    found = resolve(machine(driver="580.65.06", gpus=[A100]), Wanted(), MATRIX)
    assert not any("minor-version" in reason.because for reason in found.reasons)


def test_no_gpu_never_brings_cuda_torch() -> None:
    for state in (GpuState.NONE, GpuState.NO_DRIVER):
        found = resolve(machine(state=state), Wanted(), MATRIX)
        assert (found.ok, found.wheel_tag, found.architectures, found.driver_floor) == (True, "cpu", (), "")


@pytest.mark.parametrize(
    "state",
    [GpuState.HUNG, GpuState.PERMISSION, GpuState.DRIVER_NOT_LOADED, GpuState.MISMATCH, GpuState.LOST, GpuState.UNREADABLE],
)
def test_a_gpu_that_cannot_be_used_is_not_a_machine_without(state: GpuState) -> None:
    facts = machine(state=state, detail="its own words")
    found = resolve(facts, Wanted(), MATRIX)
    assert not found.ok and any("its own words" in reason.because for reason in found.reasons)
    assert [near.change for near in found.nearest] == ["driver", "variant"]
    assert resolve(facts, Wanted(variant="cpu"), MATRIX).ok


def test_cuda_asked_for_without_a_gpu_is_built_for_elsewhere() -> None:
    found = resolve(machine(), Wanted(variant="cuda", engine="docker"), MATRIX)
    assert (found.ok, found.torch_requirement, found.driver_floor) == (True, "torch===2.13.0", "580.65.06")
    assert "sm_120" in found.architectures and found.gpus == ()


def test_a_minor_architecture_runs_the_cubin_of_an_older_one_and_never_of_another_major() -> None:
    found = resolve(
        machine(driver="580.65.06", gpus=[gpu("8.9"), gpu("10.3", number=1), gpu("12.1", number=2)]), Wanted(), MATRIX
    )
    assert [each.served_by for each in found.gpus] == ["sm_86", "sm_100", "sm_120"]
    assert not resolve(machine(driver="580.65.06", gpus=[gpu("11.0")]), Wanted(), MATRIX).ok


def test_ptx_serves_a_newer_gpu_only_under_the_toolkits_own_driver() -> None:
    newer = [gpu("13.0", "a GPU of the future")]
    wanted = Wanted(torch="2.7.1", wheel_tag="cu128")
    native = resolve(machine(driver="570.86.10", gpus=newer), wanted, MATRIX)
    assert [each.served_by for each in native.gpus] == ["compute_120"]
    assert not resolve(machine(driver="560.28.03", gpus=newer), wanted, MATRIX).ok


def test_the_packages_own_wheel_is_preferred_and_needs_no_index() -> None:
    found = resolve(machine(driver="580.65.06", gpus=[A100]), Wanted(), MATRIX)
    assert (found.torch_requirement, found.index, found.mirrors) == ("torch===2.13.0", "", ())
    tagged = resolve(machine(driver="550.90.07", gpus=[A100]), Wanted(), MATRIX)
    assert tagged.index == "https://download.pytorch.org/whl/cu126"
    assert tagged.mirrors[0] == tagged.index and len(tagged.mirrors) == 4


def test_a_mirror_that_was_chosen_is_the_index() -> None:
    found = resolve(machine(), Wanted(torch_index="https://mirror.nju.edu.cn/pytorch/whl/"), MATRIX)
    assert found.index == "https://mirror.nju.edu.cn/pytorch/whl/cpu"


def test_a_mirror_that_served_this_very_wheel_is_the_index() -> None:
    facts = machine(driver="550.90.07", gpus=[A100])
    python = resolve(facts, Wanted(), MATRIX).python.replace(".", "")
    wheel = f"torch-2.13.0+cu126-cp{python}-cp{python}-manylinux_2_28_x86_64.whl"
    other = ("https://mirror.sjtu.edu.cn/pytorch-wheels", wheel.replace("2.13.0", "2.12.0"))
    holder = ("https://mirrors.aliyun.com/pytorch-wheels", wheel)
    found = resolve(facts, Wanted(measured=(other, holder)), MATRIX)
    assert found.index == "https://mirrors.aliyun.com/pytorch-wheels/cu126"
    assert any("aliyun.com/pytorch-wheels served this very wheel" in reason.because for reason in found.reasons)
    given = resolve(facts, Wanted(measured=(other, holder), torch_index="https://own.example/whl"), MATRIX)
    assert given.index == "https://own.example/whl/cu126"
    assert resolve(facts, Wanted(measured=(other,)), MATRIX).index == "https://download.pytorch.org/whl/cu126"


def test_nvcc_comes_from_packages_for_cuda_13_and_of_the_release_the_wheel_pins() -> None:
    facts = machine(driver="595.58.03", gpus=[A100])
    assert resolve(facts, Wanted(), MATRIX).toolkit_requirement == "cuda-toolkit[nvcc,cccl]==13.0.3"
    assert resolve(facts, Wanted(torch="2.11"), MATRIX).toolkit_requirement == "cuda-toolkit[nvcc,cccl]==13.0.2"
    assert resolve(facts, Wanted(wheel_tag="cu132"), MATRIX).toolkit_requirement == "cuda-toolkit[nvcc,cccl]==13.2.*"
    assert resolve(facts, Wanted(toolkit=False), MATRIX).toolkit_requirement == ""
    assert resolve(machine(), Wanted(), MATRIX).toolkit_requirement == "cuda-toolkit[nvcc,cccl]==13.0.3"
    assert resolve(machine(), Wanted(toolkit=False), MATRIX).cuda_toolkit == ""


def test_nvcc_of_cuda_12_comes_with_the_base_or_not_at_all() -> None:
    facts = machine(driver="550.90.07", gpus=[A100])
    assert resolve(facts, Wanted(engine="docker"), MATRIX).base == "nvidia/cuda:12.6.3-devel-ubuntu24.04"
    assert resolve(facts, Wanted(engine="docker", toolkit=False), MATRIX).base == "debian:bookworm-slim"
    stuck = resolve(facts, Wanted(engine="docker", python="3.11"), MATRIX)
    assert not stuck.ok
    assert {"without nvcc: torch 2.13.0+cu126", "Python 3.12: torch 2.13.0+cu126"} <= set(texts(stuck))


def test_of_nvidias_own_images_the_tag_follows_the_wheel_and_whether_nvcc_is_wanted() -> None:
    facts = machine(driver="580.95.05", gpus=[A100])
    family = Wanted(engine="docker", base="nvidia/cuda")
    devel = resolve(facts, family, MATRIX)
    assert (devel.base, devel.wheel_tag) == ("nvidia/cuda:13.0.1-devel-ubuntu24.04", "cu130")
    assert devel.toolkit_requirement == "" and devel.cuda_toolkit == "13.0"  # nvcc is the base's
    runtime = resolve(facts, replace(family, toolkit=False), MATRIX)
    assert runtime.base == "nvidia/cuda:13.0.1-runtime-ubuntu24.04"
    assert any("without nvcc, which is not wanted" in reason.because for reason in runtime.reasons)
    older = resolve(machine(driver="550.90.07", gpus=[A100]), replace(family, toolkit=False), MATRIX)
    assert older.base == "nvidia/cuda:12.6.3-runtime-ubuntu24.04"
    assert not resolve(machine(), family, MATRIX).ok  # there is no CUDA in a CPU wheel to go by


def test_a_base_that_was_given_is_kept_and_known_by_its_name() -> None:
    prefixed = Wanted(engine="docker", base="m.daocloud.io/docker.io/debian:trixie-slim")
    found = resolve(machine(), prefixed, MATRIX)
    assert (found.base, found.python, found.bootstrap) == (prefixed.base, "3.13", "trixie")
    foreign = resolve(machine(), Wanted(engine="docker", base="company/base:7"), MATRIX)
    assert (foreign.ok, foreign.base, foreign.python) == (True, "company/base:7", "")


def test_a_wheel_in_a_folder_of_ours_wins_over_an_index_and_over_the_default_python() -> None:
    facts = machine(pythons=["3.11", "3.12"], torch_wheels=[CPU_WHEEL])
    found = resolve(facts, Wanted(), MATRIX)
    assert (found.python, found.find_links, found.wheel_file, found.index) == ("3.12", "/wheels", CPU_WHEEL.filename, "")
    assert found.torch_requirement == "torch==2.13.0+cpu"
    assert resolve(machine(torch_wheels=[CPU_WHEEL]), Wanted(), MATRIX).find_links == ""
    assert resolve(facts, Wanted(python="3.11"), MATRIX).find_links == ""


def test_a_cpu_wheel_in_a_folder_does_not_tempt_a_machine_with_a_gpu() -> None:
    facts = machine(driver="595.58.03", gpus=[A100], pythons=["3.12"], torch_wheels=[CPU_WHEEL])
    assert resolve(facts, Wanted(), MATRIX).torch_requirement == "torch===2.13.0"


def test_which_python_is_taken() -> None:
    facts = machine(pythons=["3.9", "3.12", "3.11"])
    assert resolve(facts, Wanted(), MATRIX).python == "3.12"
    assert resolve(facts, Wanted(python="3.11"), MATRIX).python == "3.11"
    assert resolve(facts, Wanted(python="/usr/bin/python3.11"), MATRIX).python == "3.11"
    refused = resolve(facts, Wanted(python="3.9"), MATRIX)
    assert not refused.ok and "Python 3.12: torch 2.13.0+cpu" in texts(refused)


def test_a_python_that_cannot_make_an_environment_needs_uv_or_its_package() -> None:
    facts = machine()
    bare = dataclasses.replace(
        facts, python=dataclasses.replace(facts.python, interpreters=(interpreter("3.11", venv=False),))
    )
    refused = resolve(bare, Wanted(), MATRIX)
    assert not refused.ok and any("python3.11-venv" in text for text in texts(refused))
    with_uv = dataclasses.replace(bare, python=dataclasses.replace(bare.python, uv=Uv("uv", "0.9.0")))
    assert resolve(with_uv, Wanted(), MATRIX).ok


@pytest.mark.parametrize(
    ("platform", "told"),
    [
        ({"abi": "cpython-312-x86_64-linux-musl"}, "built for musl"),
        ({"libc": "musl 1.2.5"}, "built for musl"),
        ({"libc": "glibc 2.17"}, "older than the 2.28"),
        ({"abi": "cpython-311-i386-linux-gnu"}, "of 32 bits"),
    ],
)
def test_a_system_without_wheels_is_told_apart_and_an_image_proposed(platform: dict[str, str], told: str) -> None:
    facts = machine(pythons=["3.12"])
    own = dataclasses.replace(facts.python.interpreters[0], **platform)
    refused = resolve(dataclasses.replace(facts, python=replace(facts.python, interpreters=(own,))), Wanted(), MATRIX)
    assert not refused.ok and texts(refused) == ["an image: --engine docker: torch 2.13.0+cpu"]
    assert any(told in reason.because for reason in refused.reasons)
    known = dataclasses.replace(own, abi="cpython-312-x86_64-linux-gnu", libc="glibc 2.28")
    assert resolve(dataclasses.replace(facts, python=replace(facts.python, interpreters=(known,))), Wanted(), MATRIX).ok


def test_a_free_threaded_python_is_no_python_that_a_wheel_is_for() -> None:
    facts = machine(pythons=["3.14"])
    own = dataclasses.replace(facts.python.interpreters[0], abi="cpython-314t-x86_64-linux-gnu")
    refused = resolve(dataclasses.replace(facts, python=replace(facts.python, interpreters=(own,))), Wanted(), MATRIX)
    assert not refused.ok and texts(refused) == ["a Python of 3.10 to 3.14: torch 2.13.0+cpu"]


def test_what_the_table_does_not_know_is_said() -> None:
    found = resolve(machine(), Wanted(torch="9.9"), MATRIX)
    assert not found.ok and any("torch 9.9" in reason.because for reason in found.reasons)
    assert any("torch 2.6–2.15 cpu" in text or "2.4–2.15 cpu" in text for text in texts(found))
    tag = resolve(machine(driver="595.58.03", gpus=[A100]), Wanted(wheel_tag="cu999"), MATRIX)
    assert not tag.ok and "wheel tag cu130: torch 2.13.0+cu130" in texts(tag)


def test_macs_are_not_guessed_at_but_their_linux_engine_is_served() -> None:
    mac = machine(arch="arm64", system="Darwin")
    local = resolve(mac, Wanted(), MATRIX)
    assert not local.ok and any("Darwin is not supported" in reason.because for reason in local.reasons)
    image = resolve(mac, Wanted(engine="docker"), MATRIX)
    assert image.ok and image.wheel_tag == "cpu"


def test_the_answer_is_plain_data_with_the_contracts_keys() -> None:
    for facts in (machine(), machine(driver="572.16", gpus=[RTX5090])):
        data = json.loads(json.dumps(resolve(facts, Wanted(), MATRIX).to_dict()))
        keys = "torch wheel_tag cuda_toolkit python base index driver_floor architectures gpus reasons ok nearest"
        assert set(keys.split()) <= data.keys()


@pytest.mark.parametrize(
    ("capture", "ok", "tag"),
    [
        ("tesla-t4.xml", False, ""),
        ("a100-sxm4-v12.xml", True, "cu126"),
        ("rtx-3080-v13.xml", True, "cu130"),
        ("rtx-4000-sff-ada-v13.xml", True, "cu130"),
    ],
)
def test_captures_resolve_from_the_document_to_the_wheel(capture: str, ok: bool, tag: str) -> None:
    scripted = ScriptedMachine({("nvidia-smi",): said((CAPTURES / capture).read_bytes()), ("sh",): said("system Linux\n")})
    facts = dataclasses.replace(machine(), gpu=probe(scripted).gpu)
    found = resolve(facts, Wanted(), MATRIX)
    assert (found.ok, found.wheel_tag) == (ok, tag)
    if not ok:
        assert "driver >= 525.60.13: torch 2.13.0+cu126" in texts(found)


# --- what holds for every machine ---------------------------------------------------------------------------------------

gpus = st.lists(st.sampled_from(CAPABILITIES), min_size=1, max_size=3).map(
    lambda all_of: [gpu(capability, number=number) for number, capability in enumerate(all_of)]
)
pythons = st.lists(st.sampled_from(PYTHONS), min_size=1, max_size=3, unique=True)
wanted = st.builds(
    Wanted,
    engine=st.sampled_from(["local", "docker"]),
    torch=st.sampled_from(["auto", "auto", *RELEASES]),
    toolkit=st.booleans(),
)


def runs_on(row: Wheel, card: Gpu) -> bool:
    """Said again in other words: machine code of the same major and no newer minor, or PTX that is no newer."""
    major, minor = version(card.compute_capability)
    cubin = any(version(each)[0] == major and version(each)[1] <= minor for each in row.architectures)
    return cubin or any(version(each) <= (major, minor) for each in row.ptx)


@given(st.sampled_from(DRIVERS), gpus, pythons, wanted, st.sampled_from(["x86_64", "aarch64"]))
def test_an_answer_always_runs(driver: str, cards: list[Gpu], names: list[str], asked: Wanted, arch: str) -> None:
    found = resolve(machine(driver=driver, gpus=cards, pythons=names, arch=arch), asked, MATRIX)
    if not found.ok:
        assert found.nearest and found.reasons
        return
    assert version(driver) >= version(found.driver_floor)
    row = row_of(found, arch)
    assert all(runs_on(row, card) for card in cards) and all(each.served_by for each in found.gpus)
    assert found.python in row.pythons
    assert asked.engine == "docker" or found.python in names
    assert asked.torch in ("auto", found.torch)


@given(st.sampled_from(DRIVERS), st.sampled_from(DRIVERS), gpus, pythons, wanted)
def test_a_newer_driver_never_takes_away(one: str, other: str, cards: list[Gpu], names: list[str], asked: Wanted) -> None:
    older, newer = sorted((one, other), key=version)
    before = resolve(machine(driver=older, gpus=cards, pythons=names), asked, MATRIX)
    after = resolve(machine(driver=newer, gpus=cards, pythons=names), asked, MATRIX)
    if before.ok:
        assert after.ok and version(after.torch) >= version(before.torch)


@given(st.sampled_from(DRIVERS), gpus, pythons)
def test_one_gpu_fewer_never_takes_away(driver: str, cards: list[Gpu], names: list[str]) -> None:
    whole = resolve(machine(driver=driver, gpus=cards, pythons=names), Wanted(), MATRIX)
    if whole.ok and len(cards) > 1:
        part = resolve(machine(driver=driver, gpus=cards[1:], pythons=names), Wanted(), MATRIX)
        assert part.ok and version(part.torch) >= version(whole.torch)


particular = st.builds(
    Wanted,
    engine=st.sampled_from(["local", "docker"]),
    python=st.sampled_from(["auto", "auto", "3.11", "3.12", "3.14"]),
    torch=st.sampled_from(["auto", "auto", "auto", "2.4", "2.11", "9.9", *RELEASES]),
    toolkit=st.booleans(),
    base=st.sampled_from(["auto", "auto", "nvidia/cuda", "ubuntu:22.04", "company/base:7"]),
)


@given(st.sampled_from(DRIVERS), gpus, pythons, particular, st.sampled_from(["x86_64", "aarch64"]))
def test_what_is_nearest_is_true(driver: str, cards: list[Gpu], names: list[str], asked: Wanted, arch: str) -> None:
    """Each proposal, followed by its words, gives exactly the wheel that it promises; and there is always one."""
    asked = asked if asked.engine == "docker" else replace(asked, base="auto")
    found = resolve(machine(driver=driver, gpus=cards, pythons=names, arch=arch), asked, MATRIX)
    assert found.ok or found.nearest
    for near in found.nearest:
        wish, new_driver, rest, there = asked, driver, cards, names
        if near.change == "torch":
            wish = replace(wish, torch=near.torch)
        if "driver" in near.change:
            new_driver = near.value.split(", ")[0]
        if "variant" in near.change:
            wish = replace(wish, variant="cpu")
        if "wishes" in near.change:
            wish = Wanted(engine=asked.engine, toolkit=asked.toolkit, variant=near.value.split(", ")[0])  # type: ignore[arg-type]
        if near.change == "toolkit":
            wish = replace(wish, toolkit=False)
        if near.change == "gpus":
            rest = [card for card in cards if card.uuid in near.value.split(",")]
        if "python" in near.change:
            newest = near.value.split(", ")[-1].split(" to ")[-1]
            there = [newest]
            wish = wish if wish.python == "auto" and wish.engine == "local" else replace(wish, python=newest)
        followed = resolve(machine(driver=new_driver, gpus=rest, pythons=there, arch=arch), wish, MATRIX)
        assert followed.ok and (followed.torch, followed.wheel_tag) == (near.torch, near.wheel_tag), near


@given(pythons, st.sampled_from(["local", "docker"]))
def test_without_a_gpu_it_is_always_the_cpu_build_that_is_proven(names: list[str], engine: str) -> None:
    found = resolve(machine(pythons=names), Wanted(engine=engine), MATRIX)  # type: ignore[arg-type]
    assert found.wheel_tag in ("cpu", "") and found.torch in ("2.13.0", "")


@pytest.mark.parametrize("row", MATRIX.wheels, ids=lambda wheel: f"{wheel.label} {wheel.machines[0]}")
def test_every_row_is_somebodys_answer(row: Wheel) -> None:
    cards = [gpu(each, number=number) for number, each in enumerate(row.architectures)]
    driver = MATRIX.floor(row).driver if cards else ""
    for minor in row.pythons:
        facts = machine(driver=driver, gpus=cards, pythons=[minor], arch=row.machines[0])
        found = resolve(facts, Wanted(torch=row.torch, wheel_tag=row.tag), MATRIX)
        assert found.ok and row_of(found, row.machines[0]) == row
        assert [each.served_by for each in found.gpus] == list(found.architectures)


def test_the_whole_grid_is_held_to_the_table() -> None:
    """Every driver × capability: an answer for `auto` exactly where a row of the proven releases has floor and code."""
    default = MATRIX.default("cuda")
    rows = [
        row
        for row in MATRIX.wheels
        if row.tag != "cpu"
        and "x86_64" in row.machines
        and version(default.at_least) <= version(row.torch) <= version(default.at_most)
    ]
    for driver in DRIVERS:
        for capability in CAPABILITIES:
            found = resolve(machine(driver=driver, gpus=[gpu(capability)]), Wanted(), MATRIX)
            major, minor = version(capability)
            fits = [
                row
                for row in rows
                if version(driver) >= version(MATRIX.floor(row).driver)
                and any(version(each)[0] == major and version(each)[1] <= minor for each in row.architectures)
            ]
            assert found.ok == bool(fits), (driver, capability)
            if fits:
                assert version(found.torch) == max(version(row.torch) for row in fits)
