"""A function bound to HTTP: the parts of a message to typed arguments. On the data path of every call.

It changes nothing of the message: what it reads is what is forwarded. What it cannot read in one way only, it refuses.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from funcgate.core.function import Function
from funcgate.core.refusal import Code, Refused

from .convert import Convert, ReadJson
from .facts import Shape
from .operation import Reader
from .validate import Check

ReadForm = Any
Quick = Callable[[bytes], dict[str, Any] | None]
Fits = Callable[[dict[str, Any]], bool]
_UTF_8 = frozenset({"", "utf-8", "utf8"})
_OVERRIDES = frozenset({"_method"})


class Slot:
    """One parameter: how its text becomes a value. `separator` splits a list that is written as one text."""

    __slots__ = ("convert", "is_list", "name", "separator")

    def __init__(self, name: str, convert: Convert | None, is_list: bool, separator: str) -> None:
        self.name = name
        self.convert = convert
        self.is_list = is_list
        self.separator = separator

    def value(self, text: str) -> Any:
        """Raises `Refused` that names the argument, not the value."""
        try:
            if self.separator:
                parts = text.split(self.separator)
                return parts if self.convert is None else [self.convert(part) for part in parts]
            one = text if self.convert is None else self.convert(text)
        except ValueError:
            one = _WRONG
        if one is _WRONG:  # raised here, because an exception keeps the one that it was raised in
            raise refused(f"{self.name}: fails the rule 'type'.")
        return [one] if self.is_list else one


_WRONG = object()


class BodyPlan:
    """How one kind of body is read. `slots` are a form's members; `merges` means that an object's members are arguments. `quick`
    reads and checks flat ones, or says None."""

    __slots__ = ("check", "declared", "folded", "merges", "quick", "reader", "shape", "slots")

    def __init__(
        self, reader: Reader, merges: bool, check: Check | None, declared: frozenset[str], folded: frozenset[str],
        shape: Shape | None, slots: Mapping[str, Slot], quick: Quick | None = None,
    ) -> None:  # fmt: skip
        self.reader = reader
        self.merges = merges
        self.check = check
        self.declared = declared
        self.folded = folded
        self.shape = shape
        self.slots = slots
        self.quick = quick


class Binding:
    """One function at its method and path. Made when the configuration is loaded; then only read."""

    __slots__ = (
        "_bodies", "_body_required", "_check", "_fits", "_headers", "_names", "_pass_unknown", "_path", "_query", "_read_form",
        "_read_json", "_wild", "function", "method", "path", "takes_body",
    )  # fmt: skip

    def __init__(
        self,
        function: Function,
        method: str,
        path: str,
        slots: Mapping[str, Sequence[Slot]],
        check: Check | None,
        bodies: Mapping[str, BodyPlan],
        body_required: bool,
        pass_unknown: bool,
        names: frozenset[str],
        read_json: ReadJson,
        read_form: ReadForm,
        fits: Fits | None = None,
    ) -> None:
        self.function = function
        self.method = method
        self.path = path
        self.takes_body = bool(bodies)
        self._path = tuple(slots["path"])
        self._query = {slot.name: slot for slot in slots["query"]}
        self._headers = {slot.name.lower().encode(): slot for slot in slots["header"]}
        self._check = check
        self._fits = fits
        self._bodies = {media: plan for media, plan in bodies.items() if "*" not in media}
        self._wild = {media: plan for media, plan in bodies.items() if "*" in media}
        self._body_required = body_required
        self._pass_unknown = pass_unknown
        self._names = names
        self._read_json = read_json
        self._read_form = read_form

    def __repr__(self) -> str:
        return f"Binding({self.function.full_name} {self.method} {self.path})"

    def read(
        self,
        path_args: Sequence[str],
        params: Sequence[tuple[str, str]],
        headers: Sequence[tuple[bytes, bytes]],
        media: str,
        charset: str,
        body: bytes,
    ) -> dict[str, Any]:
        """The typed arguments: absent stays absent, null stays null, integers are exact.

        `path_args` are `Found.path_args`; `params` the decoded query; `headers` have lower-case names; `media` and
        `charset` come from Content-Type, in lower case, "" when absent. Raises `Refused(request.invalid)`.
        """
        args: dict[str, Any] = {}
        for slot, text in zip(self._path, path_args, strict=True):
            args[slot.name] = text if slot.convert is None and not slot.is_list else slot.value(text)
        if params:
            self._take_query(args, params)
        if self._headers:
            self._take_headers(args, headers)
        check = self._check
        if check is not None and not (self._fits is not None and self._fits(args)) and not check.is_valid(args):
            raise check.explain(args)
        if not body:
            if self._body_required:
                raise refused("The body is missing.")
            return args
        plan = self._bodies.get(media) or self._plan(media)
        if plan.reader == "opaque":
            return args
        if charset not in _UTF_8:
            # Attack: a charset that the target decodes with, and that turns harmless ASCII into other text.
            raise refused("The body is not in UTF-8.")
        members = None if plan.quick is None else plan.quick(body)
        if members is None:
            members = self._members(plan, body)
        if not args:
            return members
        args.update(members)  # no name is in both: a declared one is a clash when loading, another was refused
        return args

    def _take_query(self, args: dict[str, Any], params: Sequence[tuple[str, str]]) -> None:
        slots = self._query
        for name, text in params:
            slot = slots.get(name)
            if slot is None:
                self._unknown(name)
            elif name not in args:
                args[name] = slot.value(text)
            elif slot.is_list and not slot.separator:
                args[name] += slot.value(text)
            else:
                # Attack: ?amount=1&amount=9999: one reader takes the first, another the last (parameter pollution).
                raise refused(f"{name}: occurs twice.")

    def _unknown(self, name: str) -> None:
        # Attack: a parameter that nobody judged, or that a target which ignores case, merges query and body, or takes
        # the method from "_method" reads as another.
        if not self._pass_unknown:
            raise refused("The query has a parameter that the function does not have.")
        if name.casefold() in self._names or name in _OVERRIDES:
            raise refused("The query has a parameter that looks like an argument of the function.")

    def _take_headers(self, args: dict[str, Any], headers: Sequence[tuple[bytes, bytes]]) -> None:
        for name, value in headers:
            slot = self._headers.get(name)
            if slot is None:
                continue
            if slot.name in args:
                raise refused(f"{slot.name}: occurs twice.")
            # Attack: octets beyond ASCII in a field are Latin-1 here and UTF-8 there (RFC 9110, section 5.5).
            if not value.isascii():
                raise refused(f"{slot.name}: holds an octet beyond ASCII.")
            text = value.decode("ascii").strip(" \t")
            if slot.separator:
                text = slot.separator.join(part.strip(" \t") for part in text.split(slot.separator))
            args[slot.name] = slot.value(text)

    def _plan(self, media: str) -> BodyPlan:
        if not self.takes_body:
            # Attack: a body on a GET is ignored by one server, and the next request for another (RFC 9110, 9.3.1).
            raise refused("The function takes no body.")
        kind = media.partition("/")[0]
        plan = (self._wild.get(f"{kind}/*") or self._wild.get("*/*")) if kind else None
        if plan is None:
            # Attack: a body that is judged by no schema, because it is declared as something else.
            raise refused("The function does not take a body of this media type.")
        return plan

    def _members(self, plan: BodyPlan, body: bytes) -> dict[str, Any]:
        value = self._json(body) if plan.reader == "json" else self._form(plan, body)
        if not plan.merges:
            if plan.shape is not None and plan.shape.lookalike(value):
                raise _lookalike()
            if plan.check is not None and not plan.check.is_valid(value):
                raise plan.check.explain(value)
            return {"body": value}
        if type(value) is not dict:
            raise refused("The body is not an object.")
        unknown = value.keys() - plan.declared
        if unknown:
            # Attack: "Amount" is the member "amount" for a reader that ignores case, as Go's does; and a member named
            # as a parameter of the path or query would stand for it among the arguments.
            for name in unknown:
                if name.casefold() in plan.folded:
                    raise _lookalike()
        if plan.shape is not None and plan.shape.lookalike(value):
            raise _lookalike()
        if plan.check is not None and not plan.check.is_valid(value):
            raise plan.check.explain(value)
        return value

    def _json(self, body: bytes) -> Any:
        try:
            return self._read_json(body)
        except ValueError as error:
            reason = str(error)
        raise refused(f"The body is not acceptable as JSON: {reason}.")

    def _form(self, plan: BodyPlan, body: bytes) -> dict[str, Any]:
        pairs: Sequence[tuple[str, str]] | None = None
        reason = ""
        try:
            pairs = self._read_form(body)
        except ValueError as error:
            reason = str(error)
        if pairs is None:
            raise refused(f"The body is not acceptable as a form: {reason}.")
        members: dict[str, Any] = {}
        for name, text in pairs:
            slot = plan.slots.get(name)
            if slot is None and name in _OVERRIDES:
                raise _lookalike()
            if name not in members:
                members[name] = text if slot is None else slot.value(text)
            elif slot is not None and slot.is_list and not slot.separator:
                members[name] += slot.value(text)
            else:
                raise refused("A member of the form occurs twice.")
        return members


def refused(detail: str) -> Refused:
    return Refused(Code.REQUEST_INVALID, detail)


def _lookalike() -> Refused:
    return refused("The body has a member that looks like an argument of the function, and is none.")
