"""Credentials leave an address for a secret, and stand in nothing that an image keeps."""

from __future__ import annotations

from provision.mirrors.veil import without_user
from provision.steps.inputs import Inputs

INPUTS = Inputs(
    pip_index="https://some%40body:pa%3Ass@index.example/simple",
    torch_index="https://index.example/torch/",
    proxy={"https": "http://me:hidden@proxy.example:3128", "http": "http://proxy.example:3128"},
    no_proxy="localhost,.example",
)


def test_arguments_hold_no_credentials() -> None:
    kept = str(INPUTS.arguments()) + str(INPUTS.proxies())
    assert "https://index.example/simple" in kept
    for hidden in ("pa%3Ass", "pa:ss", "hidden", "some"):
        assert hidden not in kept
    assert INPUTS.proxies() == {"http_proxy": "http://proxy.example:3128", "no_proxy": "localhost,.example"}


def test_secrets_hold_them_as_their_tools_read_them() -> None:
    secrets = INPUTS.secrets()
    assert secrets["netrc"] == b"machine index.example login some@body password pa:ss\n"
    assert b"export https_proxy=http://me:hidden@proxy.example:3128\n" in secrets["proxy"]
    assert "hidden" not in repr(INPUTS).replace(INPUTS.pip_index, "")


def test_without_credentials_there_is_no_secret() -> None:
    assert Inputs(pip_index="https://index.example/simple", proxy={"http": "http://p:1"}).secrets() == {}
    assert without_user("https://index.example:8443/simple?x=1") == "https://index.example:8443/simple?x=1"
