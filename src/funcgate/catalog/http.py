"""The catalogue of a target that speaks HTTP: what functions it has, and which one a message calls.

What is not in it does not exist: there is no rule for "all other paths".
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from funcgate.core.function import Function
from funcgate.core.problem import Problem, Unusable

from .binding import Binding
from .build import Builder, Readers
from .document import Unreadable, read_document
from .facts import Shapes
from .listed import read_listed
from .openapi import read_openapi
from .operation import Operation, Where
from .routes import Routes, Template, ambiguous
from .schemas import Definitions
from .specs import FunctionSpec, OpenApiSpec
from .validate import Checks


class Found(Struct, frozen=True):
    """The function that a method and a path mean. `path_args` go to `binding.read` as they are."""

    binding: Binding
    path_args: tuple[str, ...]


class HttpCatalog:
    """All functions of one target. `functions` and `bindings` go by full name; `warnings` are problems that do not stop it."""

    def __init__(self, bindings: list[tuple[Template, Binding]], warnings: list[Problem]) -> None:
        self.functions: Mapping[str, Function] = {
            binding.function.full_name: binding.function for _, binding in bindings
        }
        self.bindings: Mapping[str, Binding] = {binding.function.full_name: binding for _, binding in bindings}
        self.warnings = tuple(warnings)
        self._routes: Routes[Binding] = Routes()
        for template, binding in bindings:
            self._routes.add(template, binding.method, binding)

    def find(self, method: str, segments: tuple[str, ...], path: str | None = None) -> Found | None:
        """The function, or None if there is none. Methods are as they are written, in upper case (RFC 9110, 9.1).

        `segments` and `path` are those of one request target. Without the path, literals with reserved characters
        (``items:search``) are not found. HEAD is judged as GET where it is not declared itself.
        """
        found = self._routes.find(segments, path)
        if found is None:
            return None
        ends, path_args = found
        binding = ends.get(method)
        if binding is None:
            binding = ends.get("GET") if method == "HEAD" else None
            if binding is None:
                return None
        return Found(binding, path_args)


def load_http(
    target: str, spec: OpenApiSpec | list[FunctionSpec], base: Path, where: Where, *, readers: Readers
) -> HttpCatalog:
    """The catalogue. `base` is the folder that a file's name is relative to; `where` is the place of `spec`.

    Raises `Unusable` with every problem; those in an OpenAPI file have `file` set and `where` in that file.
    """
    try:
        return _load(target, spec, base, where, readers)
    except RecursionError:
        text = "a schema in it is nested too deeply"
        raise Unusable([Problem(where=where, text=text)]) from None


def _load(
    target: str, spec: OpenApiSpec | list[FunctionSpec], base: Path, where: Where, readers: Readers
) -> HttpCatalog:
    operations, problems = _operations(spec, base, where)
    _stop(problems)
    defs = operations[0].defs if operations else Definitions()
    shapes, checks = Shapes(defs), Checks(defs)
    built: list[tuple[Template, Binding, Operation]] = []
    for operation in operations:
        builder = Builder(target, operation, readers, shapes, checks)
        done = builder.build()
        problems += builder.problems
        if done is not None:
            built.append((*done, operation))
    problems += _twice(operations) + _ambiguous(built)
    if not operations:
        problems.append(Problem(where=where, text="there is no function in it, so every call would be refused"))
    _stop(problems)
    return HttpCatalog([(template, binding) for template, binding, _ in built], [_placed(found) for found in problems])


def _stop(problems: list[Problem]) -> None:
    if any(not problem.warning for problem in problems):
        raise Unusable([_placed(problem) for problem in problems])


def _placed(problem: Problem) -> Problem:
    """With its place in the text, where that is another file than the configuration."""
    if not problem.file or not problem.where:
        return problem
    text = f"{' > '.join(map(str, problem.where))}: {problem.text}"
    return Problem(where=problem.where, text=text, file=problem.file, warning=problem.warning)


def _operations(
    spec: OpenApiSpec | list[FunctionSpec], base: Path, where: Where
) -> tuple[list[Operation], list[Problem]]:
    if isinstance(spec, list):
        return read_listed(spec, where)
    try:
        document = read_document(base / spec.openapi)
    except Unreadable as error:
        raise Unusable([Problem(where=(*where, "openapi"), text=f"{spec.openapi}: {error}")]) from None
    return read_openapi(document, spec)


def _twice(operations: list[Operation]) -> list[Problem]:
    """Attack: two functions of one name, of which a policy allows one and means the other."""
    seen: dict[str, Operation] = {}
    problems = []
    for operation in operations:
        first = seen.setdefault(operation.name, operation)
        if first is not operation:
            text = f"the name {operation.name!r} is taken by {first.method} {first.path}"
            problems.append(operation.problem(text))
    return problems


def _ambiguous(built: list[tuple[Template, Binding, Operation]]) -> list[Problem]:
    problems = []
    routes: Routes[Operation] = Routes()
    by_template: dict[str, list[Operation]] = {}
    for template, _, operation in built:
        first = routes.add(template, operation.method, operation)
        if first is not None:
            problems.append(operation.problem(f"{operation.method} {operation.path} is {first.name!r} already"))
        by_template.setdefault(template.text, []).append(operation)
    for one, other in ambiguous({template.text: template for template, _, _ in built}.values()):
        methods = {operation.method for operation in by_template[one.text]}
        for operation in by_template[other.text]:
            if operation.method in methods:
                text = f"some paths match both {one.text} and {other.text}, and neither is the more exact"
                problems.append(operation.problem(text))
    return problems
