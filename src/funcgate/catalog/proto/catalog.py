"""The catalogue of a gRPC target: every method of its descriptors, and those that the configuration lists without any."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from msgspec import structs

from funcgate.core.function import Function
from funcgate.core.problem import Problem, Unusable

from .method import Answers, Args, Method
from .pool import BadSet, Pool
from .protoc import NotCompiled, compile_files
from .reading import Readers
from .redacted import Known, redacted_paths
from .schema import args_schema
from .specs import ProtoSpec
from .upb import IS_UPB, Descriptor, Field
from .walk import MessageLimits, limits_of

Where = tuple[str | int, ...]
_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
MOST_FIELDS = 1_000_000
_LONGEST_TEXT = 500
_IDEMPOTENT = frozenset({1, 2})  # MethodOptions.IdempotencyLevel: NO_SIDE_EFFECTS, IDEMPOTENT
_BUNDLED = ("google/protobuf/", "google/rpc/", "google/api/", "google/type/", "google/logging/", "google/longrunning/")


class ProtoCatalog:
    """All functions of one target, by full name (``ledger.bank.v1.Ledger/Transfer``). `status` reads google.rpc.Status, what
    ``grpc-status-details-bin`` holds; None where there are no descriptors at all."""

    def __init__(self, methods: list[Method], status: Answers | None, warnings: list[Problem]) -> None:
        self.functions: Mapping[str, Function] = {method.function.full_name: method.function for method in methods}
        self.methods: Mapping[str, Method] = {method.function.full_name: method for method in methods}
        self.status = status
        self.warnings = tuple(warnings)
        by_path = {method.path: method for method in methods}
        # The method of a ``:path``, to the last letter. None when there is none.
        self.find: Callable[[bytes], Method | None] = by_path.get


def load_proto(
    target: str,
    spec: ProtoSpec,
    base: Path,
    where: Where,
    reflected: bytes | None = None,
) -> ProtoCatalog:
    """The catalogue. `reflected` is what the target said of itself, for a spec with `reflection`. Runs protoc for a spec with
    `proto`, and waits for it. Raises `Unusable` with every problem."""
    problems: list[Problem] = []
    if not IS_UPB:
        text = "the installed protobuf package runs without its native part, which gRPC targets need"
        raise Unusable([Problem(where=where, text=text)])
    data, place = _descriptors(spec, base, where, reflected, problems)
    methods: list[Method] = []
    status = None
    if data is not None:
        try:
            built = _Build(target, spec, Pool(data), limits_of(spec.max_depth, spec.max_values))
            methods += built.methods()
            status = built.status()
        except BadSet as why:
            problems.append(Problem(where=place, text=f"the descriptors: {_printable(str(why))}"))
        except RecursionError:
            problems.append(Problem(where=place, text="the descriptors: types within types, nested too deeply"))
        else:
            problems += _unlisted(spec, built.names, place)
    described = {method.function.name for method in methods}
    for at, name in enumerate(spec.methods):
        if name in described:
            text = f"{name} is described already; take it off this list, or its arguments would not be judged"
            problems.append(Problem(where=(*where, "methods", at), text=text))
        else:
            methods.append(Method(_function(target, name, _NOTHING, "")))
    if not methods and not problems:
        problems.append(Problem(where=where, text="there is no method in it, so every call would be refused"))
    problems += _tell(spec, methods, where)
    if any(not problem.warning for problem in problems):
        raise Unusable(problems)
    return ProtoCatalog(methods, status, problems)


def _tell(spec: ProtoSpec, methods: list[Method], where: Where) -> Iterator[Problem]:
    """Give the methods what the configuration says of them. What names none of them is a problem."""
    for at, about in enumerate(spec.about):
        for number, pattern in enumerate(about.methods):
            found = [method for method in methods if _names(pattern, method.function.name)]
            for method in found:
                method.function = structs.replace(method.function, risk=about.risk, owner=about.owner)
            if methods and not found:
                yield Problem(where=(*where, "about", at, "methods", number), text=f"'{pattern}' names no method")


def _names(pattern: str, name: str) -> bool:
    return pattern in ("*", name) or (pattern.endswith("/*") and name.startswith(pattern[:-1]))


def _function(target: str, name: str, schema: Mapping[str, Any], summary: str) -> Function:
    return Function(target=target, name=name, full_name=f"{target}.{name}", args_schema=schema, summary=summary)


def _descriptors(
    spec: ProtoSpec, base: Path, where: Where, reflected: bytes | None, problems: list[Problem]
) -> tuple[bytes | None, Where]:
    """The bytes of the set, None when there is none; and what in the configuration names it."""
    if spec.reflection:
        if reflected is None:
            text = "the target has not said what its functions are"
            problems.append(Problem(where=(*where, "reflection"), text=text))
        return reflected, (*where, "reflection")
    if spec.descriptors is not None:
        place = (*where, "descriptors")
        try:
            return (base / spec.descriptors).read_bytes(), place
        except OSError as error:
            problems.append(Problem(where=place, text=f"{spec.descriptors}: {error.strerror or 'it cannot be read'}"))
            return None, place
    place = (*where, "proto")
    if not spec.proto:
        return None, where
    missing = [
        Problem(where=(*place, at), text=f"{name}: there is no such file")
        for at, name in enumerate(spec.proto)
        if not (base / name).is_file()
    ]
    problems += missing
    if missing:
        return None, place
    try:
        return compile_files([base / name for name in spec.proto]), place
    except NotCompiled as why:
        problems.append(Problem(where=place, text=f"protoc: {why}"))
        return None, place


def _unlisted(spec: ProtoSpec, names: list[str], place: Where) -> Iterator[Problem]:
    """Files that decide, and whose change nobody would notice: the version of the configuration is taken over those listed."""
    if spec.descriptors is not None or not spec.proto or spec.reflection:
        return
    for name in names:
        if not name.startswith(_BUNDLED) and not any(Path(listed).as_posix().endswith(name) for listed in spec.proto):
            yield Problem(
                where=place, text=f"{_printable(name)} is imported; list it too, so that a change of it is noticed"
            )


class _Reach:
    """The fields of types, for what is worked out for each method: so many, and no more."""

    def __init__(self, fields: Callable[[Descriptor], list[Field]], most: int) -> None:
        self._all = fields
        self._most = self._left = most

    def of(self, descriptor: Descriptor) -> list[Field]:
        found = self._all(descriptor)
        # Attack: a target whose reflection names a thousand methods, each of which reaches a thousand types: 60 KB of
        # description and gigabytes of what is worked out of it.
        self._left -= 1 + len(found)
        if self._left < 0:
            raise BadSet(f"its methods reach more than {self._most} fields, each counted for each of them")
        return found


class _Build:
    """Methods from one set of descriptors."""

    def __init__(self, target: str, spec: ProtoSpec, pool: Pool, limits: MessageLimits) -> None:
        self._target = target
        self._pool = pool
        self._limits = limits
        passes = spec.unknown_fields == "pass"
        self._args = Readers(pool, judges=True, pass_unknown=passes)
        self._strict = Readers(pool, judges=False, pass_unknown=False)
        self._open = Readers(pool, judges=False, pass_unknown=True) if passes else self._strict
        self._summaries = _comments(pool)
        self._for_schemas = _Reach(self._args.fields, MOST_FIELDS).of
        self._for_hiding = _Reach(self._args.fields, 5 * MOST_FIELDS).of
        self._types: dict[str, dict[str, Any]] = {}
        self._hidden = Known()
        self._schemas: dict[str, Mapping[str, Any]] = {}
        self._redacted: dict[str, tuple[str, ...]] = {}
        self.names = pool.names

    def methods(self) -> list[Method]:
        """Raises `BadSet` for two of one name."""
        return [self._method(descriptor) for descriptor in self._pool.methods()]

    def status(self) -> Answers | None:
        found = self._pool.type_named("google.rpc.Status")
        return None if found is None else self._answers(found)

    def _method(self, descriptor: Any) -> Method:
        name = f"{descriptor.containing_service.full_name}/{descriptor.name}"
        takes = descriptor.input_type
        if takes.full_name not in self._schemas:
            self._schemas[takes.full_name] = args_schema(takes, self._for_schemas, self._types)
            self._redacted[takes.full_name] = redacted_paths(takes, self._for_hiding, self._pool.types, self._hidden)
        return Method(
            _function(self._target, name, self._schemas[takes.full_name], self._summaries.get(name, "")),
            streams=(descriptor.client_streaming, descriptor.server_streaming),
            idempotent=descriptor.GetOptions().idempotency_level in _IDEMPOTENT,
            takes=Args(self._args.of(takes), self._limits),
            gives=self._answers(descriptor.output_type),
            redacted=self._redacted[takes.full_name],
        )

    def _answers(self, descriptor: Descriptor) -> Answers:
        return Answers(self._strict.of(descriptor), self._open.of(descriptor), self._limits)


def _printable(text: str) -> str:
    # Attack: a target whose descriptions hold what clears a terminal, or begins a line of a log.
    return "".join(one if one.isprintable() else "?" for one in text[:_LONGEST_TEXT])


def _comments(pool: Pool) -> dict[str, str]:
    """The first line of the comment before each method, where the descriptors kept comments."""
    found: dict[str, str] = {}
    for name in pool.names:
        file = descriptor_pb2.FileDescriptorProto.FromString(pool.raw[name])
        for location in file.source_code_info.location:
            path = location.path
            if len(path) == 4 and path[0] == 6 and path[2] == 2 and location.leading_comments.strip():
                service = file.service[path[1]]
                full = f"{file.package}.{service.name}" if file.package else service.name
                line = _printable(location.leading_comments.strip().splitlines()[0].strip())
                found[f"{full}/{service.method[path[3]].name}"] = line
    return found
