"""What the configuration says of gRPC: where a target's methods are described, and what targets said of themselves.

What a target said is kept beside the journal: it is part of the version, and stands in when the target cannot be asked.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from funcgate.catalog.proto import ProtoCatalog
from funcgate.core.problem import Problem, Unusable
from funcgate.masking import RuleSpec

from .shape import Config
from .shape.targets import GrpcTargetSpec

Where = tuple[str | int, ...]
Ask = Callable[[GrpcTargetSpec, Path], bytes]  # the target's FileDescriptorSet; raises `Unusable`

FOLDER = "reflected"
MOST_DEPTH = 100  # what protobuf itself reads
MOST_VALUES = 10_000_000
_METADATA = re.compile(r"([a-z0-9_.-]*(?<!-bin))")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*/[A-Za-z_][A-Za-z0-9_]*")


class Reflected(Struct, frozen=True):
    """What targets said of themselves, by name; and what went wrong."""

    found: Mapping[str, bytes] = {}
    problems: tuple[Problem, ...] = ()


NOTHING_REFLECTED = Reflected()


class Reflect(Protocol):
    """Asks every target whose functions it says itself. `sound` False: the file has problems, so nobody is asked."""

    def __call__(self, config: Config, base: Path, *, sound: bool) -> Reflected: ...


def reflecting(ask: Ask, *, keep: bool) -> Reflect:
    """`keep` writes what was found into the data folder."""

    def reflect(config: Config, base: Path, *, sound: bool) -> Reflected:
        found: dict[str, bytes] = {}
        problems: list[Problem] = []
        for index, spec in enumerate(config.targets):
            if not isinstance(spec, GrpcTargetSpec) or not spec.functions.reflection:
                continue
            where = ("targets", index, "functions", "reflection")
            file = kept_file(spec.name, base / config.data_dir)
            data, why = _asked(ask, spec, base) if sound else (None, ())
            if data is not None:
                found[spec.name] = data
                if keep:
                    _keep(file, data)
            elif (before := _read(file)) is not None:
                found[spec.name] = before
                told = f"{'; '.join(why)}; the functions that it had before are used"
                problems += [Problem(where=where, text=told, warning=True)] if why else []
            else:
                problems += [Problem(where=where, text=text) for text in why]
        return Reflected(found, tuple(problems))

    return reflect


def kept_file(target: str, data_dir: Path) -> Path:
    """Where what a target said of itself is kept."""
    # Attack: a name that leads out of the folder. Such a name is refused later; nothing is read or written for it.
    return data_dir / FOLDER / (re.sub(r"[^A-Za-z0-9_-]", "", target)[:63] + ".binpb")


def described_files(spec: GrpcTargetSpec, base: Path, data_dir: Path) -> list[Path]:
    """The files that say what the target's functions are."""
    functions = spec.functions
    if functions.reflection:
        return [kept_file(spec.name, data_dir)]
    return [base / name for name in ([functions.descriptors] if functions.descriptors else functions.proto)]


def check_grpc(spec: GrpcTargetSpec, where: Where) -> Iterator[Problem]:
    """What is wrong with the target, beside what is wrong with any target on the web."""
    functions, at = spec.functions, (*where, "functions")
    named = [name for name in ("reflection", "descriptors", "proto") if getattr(functions, name)]
    if len(named) > 1:
        yield Problem(where=(*at, named[1]), text=f"'{named[0]}' says already what the functions are; take one of them")
    elif not named and not functions.methods:
        yield Problem(where=at, text="say where the functions are described: reflection, descriptors or proto")
    yield from _idle(spec, at, described=bool(named))
    for index, method in enumerate(functions.methods):
        if not _METHOD.fullmatch(method):
            close = method.strip("/").replace(".", "/").rpartition("/")
            right = f"{close[0].replace('/', '.')}/{close[2]}" if close[0] else ""
            hint = _nearest(method, right)
            yield Problem(where=(*at, "methods", index), text=f"'{method}' is not package.Service/Method{hint}")
    if spec.url.count("/") > 2 and spec.url.rstrip("/").count("/") > 2:
        yield Problem(where=(*where, "url"), text="'url': a gRPC target has no path")
    if spec.credential is not None and spec.credential.type == "query":
        yield Problem(where=(*where, "credential", "type"), text="gRPC has no query; send the credential in a header")


def _idle(spec: GrpcTargetSpec, at: Where, *, described: bool) -> Iterator[Problem]:
    """What would do nothing, or more than it may."""
    functions = spec.functions
    most = {"max_depth": MOST_DEPTH, "max_values": MOST_VALUES}
    for name, limit in most.items():
        value = getattr(functions, name)
        if value is not None and not 1 <= value <= limit:
            yield Problem(where=(*at, name), text=f"'{name}': expected 1 to {limit}")
    said = [name for name in most if getattr(functions, name) is not None]
    for name in [*said, *["unknown_fields"] * (functions.unknown_fields == "pass")]:
        if functions.methods and not described:
            text = f"'{name}': the messages are described nowhere, and pass as they are; it would do nothing"
            yield Problem(where=(*at, name), text=text)
    if functions.credential and not functions.reflection:
        yield Problem(where=(*at, "credential"), text="'credential' is for 'reflection'; it would do nothing")
    elif functions.credential and spec.credential is None:
        yield Problem(where=(*at, "credential"), text="the target has no 'credential' that could go with the question")
    elif functions.credential and spec.credential and not _METADATA.fullmatch(spec.credential.name.lower()):
        text = "'credential': metadata have letters, digits, '-', '_' and '.' in their names, and no -bin at the end"
        yield Problem(where=(*at, "credential"), text=text)


def redacting_rules(catalogues: Iterable[object]) -> Iterator[RuleSpec]:
    """What descriptions mark ``debug_redact`` stays out of the record and out of approvers' sight: a rule for each method."""
    for catalogue in catalogues:
        if isinstance(catalogue, ProtoCatalog):
            for name, method in catalogue.methods.items():
                if method.redacted:
                    yield RuleSpec(functions=[name], fields=list(method.redacted))


def _nearest(said: str, right: str) -> str:
    return f"; did you mean '{right}'?" if right and right != said and _METHOD.fullmatch(right) else ""


def _asked(ask: Ask, spec: GrpcTargetSpec, base: Path) -> tuple[bytes | None, tuple[str, ...]]:
    try:
        return ask(spec, base), ()
    except Unusable as unusable:
        return None, tuple(problem.text for problem in unusable.problems)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _keep(file: Path, data: bytes) -> None:
    """Whole or not at all. A convenience: without it, the next start has to be able to ask."""
    if _read(file) == data:
        return
    with contextlib.suppress(OSError):
        for folder in (file.parent.parent, file.parent):  # only the last one gets the mode
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        beside.write_bytes(data)
        beside.replace(file)
