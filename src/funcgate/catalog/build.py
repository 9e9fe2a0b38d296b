"""Operations to functions and their bindings: schemas compiled, names compared, everything that can be known known.

All work is done here, when the configuration is loaded, so that a call only looks things up.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from funcgate.core.function import Function
from funcgate.core.problem import Problem

from .binding import Binding, BodyPlan, Fits, ReadForm, Slot
from .convert import ReadJson, for_schema, json_with
from .facts import Members, Schema, Shapes, members, says_object
from .flat import quick
from .operation import Body, Operation, Parameter
from .routes import Template, parse_template
from .validate import Check, Checks

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./:~+-]{0,199}")
_SAYS_NOTHING = frozenset({"description", "title", "default", "format"})
_NO_MEMBERS = Members({}, frozenset(), False)


class Readers(Struct, frozen=True):
    """The codecs that read bodies: bytes to a value, and bytes to pairs. Both raise `ValueError`, holding no content."""

    json: ReadJson
    form: ReadForm


class Builder:
    """Builds one operation. What it complains of is in `problems`; if there is a problem, `build` gives None."""

    def __init__(self, target: str, operation: Operation, readers: Readers, shapes: Shapes, checks: Checks) -> None:
        self.problems: list[Problem] = []
        self._target = target
        self._operation = operation
        self._readers = readers
        self._shapes = shapes
        self._checks = checks

    def build(self) -> tuple[Template, Binding] | None:
        operation = self._operation
        template = self._template()
        self._check_name()
        self._check_clashes()
        slots = self._slots(template)
        check = self._params_check()
        plans = {body.media: plan for body in operation.bodies if (plan := self._plan(body)) is not None}
        if any(not problem.warning for problem in self.problems) or template is None:
            return None
        function = self._function()
        names = frozenset(name.casefold() for name in function.args_schema["properties"])
        binding = Binding(
            function, operation.method, operation.path, slots, check, plans, operation.body_required,
            operation.unknown_params == "pass", names, self._readers.json, self._readers.form, self._fits(check),
        )  # fmt: skip
        return template, binding

    def _complain(self, text: str, *more: str | int) -> None:
        self.problems.append(self._operation.problem(text, *more))

    def _check_name(self) -> None:
        if _NAME.fullmatch(self._operation.name) is None:
            key = "operationId" if self._operation.file else "name"
            self._complain("a name is letters, digits and _ . / : ~ + -, at most 200 of them", key)

    def _template(self) -> Template | None:
        declared = {param.name for param in self._operation.params if param.place == "path"}
        try:
            template = parse_template(self._operation.path)
        except ValueError as error:
            self._complain(str(error))
            return None
        for name in sorted(set(template.names) - declared):
            self._complain(f"the path has a parameter {{{name}}} that is not declared")
        for name in sorted(declared - set(template.names)):
            self._complain(f"the parameter {name!r} is not in the path {self._operation.path}")
        return template

    def _check_clashes(self) -> None:
        """An argument has one name and one place: policies would not know which one they judge."""
        places: dict[str, str] = {}
        for param in self._operation.params:
            if param.name in places:
                self._complain(
                    f"the argument {param.name!r} is both in the {places[param.name]} and in the {param.place}"
                )
            places[param.name] = param.place

    def _slots(self, template: Template | None) -> dict[str, list[Slot]]:
        slots: dict[str, list[Slot]] = {"path": [], "query": [], "header": []}
        for param in self._operation.params:
            try:
                slots[param.place].append(self._slot(param))
            except ValueError as error:
                text = f"the parameter {param.name!r}: {error}"
                self.problems.append(Problem(where=param.where, text=text, file=self._operation.file))
        order = template.names if template is not None else ()
        slots["path"].sort(key=lambda slot: order.index(slot.name) if slot.name in order else -1)
        return slots

    def _slot(self, param: Parameter) -> Slot:
        self._compile(param.schema)  # first of all: what follows trusts the schema's form
        if param.as_json:
            return Slot(param.name, json_with(self._readers.json), False, "")
        convert, is_list = for_schema(param.schema, self._operation.defs, self._readers.json)
        return Slot(param.name, convert, is_list, "," if is_list and not param.explode else "")

    def _compile(self, schema: Schema, *where: str | int) -> Check:
        check = self._checks.compile(schema)
        if not check.is_linear:
            text = "a pattern with look-around or back-references runs on a slower engine, within a limit"
            problem = self._operation.problem(text, *where)
            self.problems.append(Problem(where=problem.where, text=text, file=problem.file, warning=True))
        return check

    def _params_check(self) -> Check | None:
        params = self._operation.params
        if all(_is_plain_text(param) for param in params):
            return None
        try:
            return self._checks.compile(self._params_schema())
        except ValueError:
            return None  # each schema was compiled by itself, and that is where the problem is told

    def _params_schema(self) -> Schema:
        params = self._operation.params
        required = [param.name for param in params if param.required]
        return {"type": "object", "properties": {param.name: param.schema for param in params}, "required": required}

    def _plan(self, body: Body) -> BodyPlan | None:
        if body.reader == "opaque":
            return BodyPlan("opaque", False, None, frozenset(), frozenset(), None, {})
        defs = self._operation.defs
        where: tuple[str | int, ...] = ("requestBody", "content", body.media) if self._operation.file else ("args",)
        try:
            check = None if body.schema is True else self._compile(body.schema, *where)
        except ValueError as error:
            self._complain(f"the schema of the body: {error}", *where)
            return None
        merges = body.reader == "form" or says_object(body.schema, defs)
        found = members(body.schema, defs) if merges else _NO_MEMBERS
        self._check_members(found if merges else Members({"body": True}, frozenset(), True), where)
        slots: dict[str, Slot] = {}
        if body.reader == "form":
            slots = dict(self._form_slots(found, where))
        params = frozenset(param.name.casefold() for param in self._operation.params)
        folded = params | frozenset(name.casefold() for name in found.schemas)
        names = self._shapes.of(body.schema)
        deep = names if names is not None and (names.is_deep or not merges) else None
        flat = quick(body.schema, defs) if body.reader == "json" and merges else None
        declared = frozenset(found.schemas)
        return BodyPlan(body.reader, merges, check, declared, folded, deep, slots, flat and flat.read)

    def _fits(self, check: Check | None) -> Fits | None:
        """The quick way of the parameters' check, where there is one."""
        flat = None if check is None else quick(self._params_schema(), self._operation.defs)
        return flat and flat.fits

    def _check_members(self, found: Members, where: tuple[str | int, ...]) -> None:
        for param in self._operation.params:
            if param.name in found.schemas:
                text = f"the argument {param.name!r} is both in the {param.place} and in the body; rename one of them"
                self._complain(text, *where)

    def _form_slots(self, found: Members, where: tuple[str | int, ...]) -> Iterator[tuple[str, Slot]]:
        for name, schema in found.schemas.items():
            try:
                convert, is_list = for_schema(schema, self._operation.defs, self._readers.json)
                yield name, Slot(name, convert, is_list, "")
            except ValueError as error:
                self._complain(f"the member {name!r} of the form: {error}", *where)

    def _function(self) -> Function:
        operation = self._operation
        return Function(
            target=self._target, name=operation.name, full_name=f"{self._target}.{operation.name}",
            args_schema=self._args_schema(), summary=operation.summary, risk=operation.risk, owner=operation.owner,
        )  # fmt: skip

    def _args_schema(self) -> dict[str, Any]:
        """What policies are checked against: the members of all readable bodies beside the parameters."""
        operation = self._operation
        properties: dict[str, Any] = {param.name: param.schema for param in operation.params}
        required = [param.name for param in operation.params if param.required]
        readable = [body for body in operation.bodies if body.reader != "opaque"]
        alternatives: dict[str, list[Schema]] = {}
        always: list[frozenset[str]] = []
        closed = True
        for body in readable:
            merges = body.reader == "form" or says_object(body.schema, operation.defs)
            found = members(body.schema, operation.defs)
            if not merges:
                found = Members({"body": body.schema}, frozenset({"body"}), True)
            for name, member in found.schemas.items():
                if member not in alternatives.setdefault(name, []):
                    alternatives[name].append(member)
            always.append(found.required)
            closed = closed and found.closed
        for name, schemas in alternatives.items():
            properties[name] = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        if operation.body_required and len(readable) == len(operation.bodies) and always:
            required += sorted(frozenset.intersection(*always))
        schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
        if closed:
            schema["additionalProperties"] = False
        defs = operation.defs.reached_from(schema)
        return {**schema, "$defs": defs} if defs else schema


def _is_plain_text(param: Parameter) -> bool:
    """Whether any text will do, so that nothing is left to validate."""
    schema = param.schema
    if param.required and param.place != "path":
        return False
    return schema is True or (
        isinstance(schema, Mapping) and schema.get("type") == "string" and schema.keys() <= {"type", *_SAYS_NOTHING}
    )
