"""What is wanted: `provision.yaml`, environment and flags, merged, frozen and validated. Every value knows its origin."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from provision.errors import SpecError, UnknownName, nearest

EngineChoice = Literal["auto", "docker", "local"]
GpuChoice = Literal["auto", "required", "none"]
Region = Literal["auto", "cn", "global"]

DEFAULT_FILE = "provision.yaml"
ABOUT = ("origins", "file")  # what is known of a spec and is no key of it
SOURCE_KINDS = ("hf", "modelscope", "dir")
ENVIRONMENT = {  # variable → key
    "PROVISION_ENGINE": "engine",
    "PROVISION_PYTHON": "python",
    "PROVISION_GPU": "gpu",
    "PROVISION_REGION": "region",
    "PROVISION_STORE": "store",
    "PROVISION_BASE": "image.base",
}


@dataclass(frozen=True)
class ModelSpec:
    """A model to bring here. `sources` are tried in order, each `KIND=URL`; a URL may be `upstream` or `builtin`.

    Where none is given, both hubs are asked where `mirrors` says.
    `trust_remote_code` and `allow_pickle` are opt-ins, and the former needs a pinned commit as `revision`.
    """

    repo: str
    revision: str = "main"
    sources: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    trust_remote_code: bool = False
    allow_pickle: bool = False


@dataclass(frozen=True)
class ImageSpec:
    """The image, and what a local environment holds too.

    `name` is what the image is called, by default after the profile; `toolkit` asks for nvcc; `packages` are added
    requirements.
    """

    name: str = ""
    base: str = "auto"
    variant: Literal["auto", "cpu", "cuda"] = "auto"
    torch: str = "auto"
    toolkit: bool = True
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class MirrorsSpec:
    """Where tools fetch from: `inherit` keeps what the machine has set, else an address.

    `settings` says whether `up` writes these addresses into the tools' own settings here too, and whose. `catalogue` names
    files of further mirrors to measure.
    """

    pip: str = "inherit"
    uv: str = "inherit"
    torch: str = "inherit"
    conda: str = "inherit"
    apt: str = "inherit"
    docker: str = "inherit"
    buildkit: str = "inherit"
    podman: str = "inherit"
    containerd: str = "inherit"
    huggingface: str = "inherit"
    modelscope: str = "inherit"
    npm: str = "inherit"
    settings: Literal["none", "user", "system"] = "none"
    catalogue: tuple[str, ...] = ()


@dataclass(frozen=True)
class GenerationSpec:
    """The short generation that proves the model. `model` is one of the models' repos, by default the first;
    `tensor_parallel` is how many GPUs it will be spread over when it is served."""

    model: str = ""
    prompt: str = "你好，请介绍一下自己"
    max_new_tokens: int = 512
    family: str = "auto"
    tensor_parallel: int = 1


@dataclass(frozen=True)
class ChecksSpec:
    """Ids that must come to an answer beyond those that the profile and the machine make so, and ids left out.

    `custom` are checks of the user's own, as `checks.custom` reads them.
    """

    required: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    custom: tuple[Located, ...] = ()


@dataclass(frozen=True)
class Spec:
    """The whole of it. `origins` names where each key that is not a default came from: `provision.yaml:7`, `--engine`.

    `file` is the one that was read, or empty: the lock stands beside it.
    """

    profile: str = "bare"
    engine: EngineChoice = "auto"
    python: str = "auto"
    gpu: GpuChoice = "auto"
    region: Region = "auto"
    store: str = "auto"
    image: ImageSpec = field(default_factory=ImageSpec)
    mirrors: MirrorsSpec = field(default_factory=MirrorsSpec)
    models: tuple[ModelSpec, ...] = ()
    generation: GenerationSpec = field(default_factory=GenerationSpec)
    checks: ChecksSpec = field(default_factory=ChecksSpec)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    file: str = field(default="", compare=False)

    def values(self) -> list[tuple[str, Any, str]]:
        """Return every (key, value, origin), in the order of the file; what nobody set has the origin `default`."""
        return [(key, value, _origin(self.origins, key)) for key, value in _flatten(self) if key not in ABOUT]


@dataclass(frozen=True)
class Located:
    """A YAML value that knows where it stands. `value` is a scalar, a list of Located, or a mapping to Located."""

    value: Any
    origin: str

    @property
    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.value, dict):
            return {key: inner.plain for key, inner in self.value.items()}
        return [inner.plain for inner in self.value] if isinstance(self.value, list) else self.value


def load(
    *,
    file: Path | None = None,
    profile: str | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
    default_profile: str = "bare",
) -> Spec:
    """Merge default < profile < file < environment < flags and return the valid whole.

    `flags` are dotted keys to values; None is "not given". Raises SpecError, or UnknownName for a profile.
    """
    written = read_file(file) if file else Located({}, "")
    named = profile or _scalar(written.value.get("profile")) or default_profile
    layers = [
        read_profile(named),
        written,
        _layer({key: value for name, key in ENVIRONMENT.items() if (value := (environ or {}).get(name))}, _variable),
        _layer({key: value for key, value in (flags or {}).items() if value is not None}, _flag),
    ]
    merged: Located = Located({}, "default")
    for layer in layers:
        merged = _merge(merged, layer)
    merged.value["profile"] = Located(named, f"{file}" if file and not profile else "--profile" if profile else "default")
    origins: dict[str, str] = {}
    spec: Spec = _decode(Spec, merged, "", origins)
    usual = default_sources(spec.mirrors, environ or {})
    models = tuple(model if model.sources else dataclasses.replace(model, sources=usual) for model in spec.models)
    spec = dataclasses.replace(spec, models=models, origins=origins, file=str(file.absolute()) if file else "")
    _cross_check(spec)
    return spec


def default_sources(mirrors: MirrorsSpec, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return where a model comes from that names no source: the mirrors' addresses, else those that the hubs' own clients
    are set to (`HF_ENDPOINT`, `MODELSCOPE_ENDPOINT`), else their upstream."""
    hubs = (("hf", mirrors.huggingface, "HF_ENDPOINT"), ("modelscope", mirrors.modelscope, "MODELSCOPE_ENDPOINT"))
    return tuple(
        f"{kind}={address if address != 'inherit' else environ.get(variable) or 'upstream'}"
        for kind, address, variable in hubs
    )


def profiles() -> dict[str, str]:
    """Return the built-in profiles: name → its first comment line."""
    found = {}
    for entry in (resources.files("provision") / "profiles").iterdir():
        if entry.name.endswith(".yaml"):
            found[entry.name[:-5]] = entry.read_text("utf-8").splitlines()[0].lstrip("# ")
    return dict(sorted(found.items()))


def read_profile(name: str) -> Located:
    """Return a built-in profile. Raises UnknownName with the list."""
    known = profiles()
    if name not in known:
        raise UnknownName("profile", name, known)
    text = (resources.files("provision") / "profiles" / f"{name}.yaml").read_text("utf-8")
    return parse(text, f"profile {name}")


def read_file(path: Path) -> Located:
    """Return a spec file. Raises SpecError where it cannot be read or is not YAML."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        hint = "write one with `provision init`, or name a built-in one: --profile smoke"
        raise SpecError(f"{path}: cannot be read", context=str(error), hint=hint) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Located:
    """Return the YAML mapping in `text`, every value with `name:line`. Raises SpecError."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise SpecError(f"{name}{line}: this is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{name}: this is not YAML", context=str(error)) from error
    if node is None:
        return Located({}, name)
    if not isinstance(node, yaml.MappingNode):
        raise SpecError(f"{name}:1: expected keys and values (`engine: auto`), found {_kind(node)}")
    return _locate(node, name)


def _locate(node: yaml.Node, name: str) -> Located:
    origin = f"{name}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Located] = {}
        for key, value in node.value:
            where = f"{name}:{key.start_mark.line + 1}"
            if not isinstance(key, yaml.ScalarNode):
                raise SpecError(f"{where}: a key must be a word, found {_kind(key)}")
            if key.value in found:
                raise SpecError(f"{where}: the key {key.value!r} stands twice", hint=f"first at {found[key.value].origin}")
            found[key.value] = dataclasses.replace(_locate(value, name), origin=where)
        return Located(found, origin)
    if isinstance(node, yaml.SequenceNode):
        return Located([_locate(item, name) for item in node.value], origin)
    return Located(yaml.SafeLoader("").construct_object(node), origin)


def _kind(node: yaml.Node) -> str:
    kinds = {yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list"}
    return next((name for kind, name in kinds.items() if isinstance(node, kind)), "a single value")


def _scalar(found: Located | None) -> str | None:
    return found.value if found and isinstance(found.value, str) else None


def _variable(key: str) -> str:
    return next(name for name, known in ENVIRONMENT.items() if known == key)


def _flag(key: str) -> str:
    return f"--{key.rsplit('.', 1)[-1]}"


def _layer(values: Mapping[str, Any], origin: typing.Callable[[str], str]) -> Located:
    tree: dict[str, Located] = {}
    for key, value in values.items():
        *parents, leaf = key.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, Located({}, origin(key))).value
        items = [Located(item, origin(key)) for item in value] if isinstance(value, (list, tuple)) else value
        branch[leaf] = Located(items, origin(key))
    return Located(tree, "")


def _merge(below: Located, above: Located) -> Located:
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    merged = dict(below.value)
    for key, value in above.value.items():
        merged[key] = _merge(merged[key], value) if key in merged else value
    return Located(merged, above.origin)


def _decode(wanted: Any, found: Located, key: str, origins: dict[str, str]) -> Any:
    """Return `found` as the type `wanted`, noting origins; raise SpecError naming place, key and what was expected."""
    if wanted is Located:
        origins[key] = found.origin
        return found
    if dataclasses.is_dataclass(wanted):
        return _decode_dataclass(typing.cast("type[Any]", wanted), found, key, origins)
    origin = typing.get_origin(wanted)
    if origin is tuple:
        if not isinstance(found.value, list):
            raise _mistake(found, key, "a list", f"`{key.rsplit('.', 1)[-1]}: [ … ]`")
        origins[key] = found.origin
        (item, _) = typing.get_args(wanted)
        return tuple(_decode(item, value, f"{key}[{place}]", origins) for place, value in enumerate(found.value))
    origins[key] = found.origin
    if origin is Literal:
        choices = typing.get_args(wanted)
        if found.value not in choices:
            near = nearest(str(found.value), choices)
            raise _mistake(found, key, f"one of {', '.join(choices)}", f"did you mean {near!r}?" if near else "")
        return found.value
    if not isinstance(found.value, wanted) or (wanted is int and isinstance(found.value, bool)):
        raise _mistake(found, key, {str: "a text", int: "a whole number", bool: "true or false"}[wanted])
    return found.value


def _decode_dataclass(wanted: type[Any], found: Located, key: str, origins: dict[str, str]) -> Any:
    if not isinstance(found.value, dict):
        raise _mistake(found, key, "keys and values")
    hints = typing.get_type_hints(wanted)
    known = [entry.name for entry in dataclasses.fields(wanted) if entry.name not in ABOUT]
    values = {}
    for name, value in found.value.items():
        full = f"{key}.{name}" if key else name
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"known here: {', '.join(known)}"
            raise SpecError(f"{value.origin}: there is no key {full!r}", hint=hint, reference="spec-unknown-key")
        values[name] = _decode(hints[name], value, full, origins)
    missing = [entry.name for entry in dataclasses.fields(wanted) if _is_missing(entry, values)]
    if missing:
        raise SpecError(f"{found.origin}: {key} lacks {' and '.join(missing)}")
    return wanted(**values)


def _is_missing(entry: dataclasses.Field[Any], values: Mapping[str, Any]) -> bool:
    absent = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
    return absent and entry.name not in values


def _mistake(found: Located, key: str, expected: str, hint: str = "") -> SpecError:
    kind = {dict: "keys and values", list: "a list", types.NoneType: "nothing"}.get(type(found.value), repr(found.value))
    return SpecError(f"{found.origin}: {key} must be {expected}, found {kind}", hint=hint, reference="spec-wrong-type")


def _cross_check(spec: Spec) -> None:
    repos = [model.repo for model in spec.models]
    if spec.generation.model and spec.generation.model not in repos:
        raise UnknownName("model", spec.generation.model, repos)
    if spec.generation.tensor_parallel < 1:
        where = _origin(spec.origins, "generation.tensor_parallel")
        raise SpecError(
            f"{where}: tensor_parallel is {spec.generation.tensor_parallel}", hint="a number of GPUs: 1, 2, 4 …"
        )
    for place, model in enumerate(spec.models):
        for source in model.sources:
            kind, _, url = source.partition("=")
            if kind not in SOURCE_KINDS or not url:
                where = _origin(spec.origins, f"models[{place}].sources")
                hint = f"KIND is one of {', '.join(SOURCE_KINDS)}: hf=https://hf-mirror.com, modelscope=upstream"
                raise SpecError(f"{where}: the source {source!r} is not KIND=URL", hint=hint)
        if model.trust_remote_code and not is_commit(model.revision):
            raise SpecError(
                f"models[{place}]: {model.repo} asks for trust_remote_code at the revision {model.revision!r}",
                hint="code from a hub runs as you: pin the commit that you have read (`revision:` and 40 hex digits)",
            )


def is_commit(revision: str) -> bool:
    """Whether `revision` is a full commit id, which cannot move."""
    return len(revision) == 40 and all(letter in "0123456789abcdef" for letter in revision)


def _flatten(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Located):
        return [(key, value.plain)]
    if dataclasses.is_dataclass(value):
        pairs = [
            (f"{key}.{entry.name}" if key else entry.name, getattr(value, entry.name))
            for entry in dataclasses.fields(value)
        ]
        return [found for name, inner in pairs for found in _flatten(inner, name)]
    if isinstance(value, Sequence) and value and dataclasses.is_dataclass(value[0]):
        return [found for place, inner in enumerate(value) for found in _flatten(inner, f"{key}[{place}]")]
    return [(key, list(value) if isinstance(value, tuple) else value)]


def _origin(origins: Mapping[str, str], key: str) -> str:
    return origins.get(key, "default")
