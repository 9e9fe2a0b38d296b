"""What is wrong with policies is said when they are loaded: all of it, with the place, the column and the spelling."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from funcgate.core.call import Call
from funcgate.core.decision import Allow, Deny
from funcgate.core.function import Function
from funcgate.core.problem import Problem, Unusable
from funcgate.policy import ApprovalSpec, PolicySpec, compile_policies
from funcgate.policy.language.types import DOUBLE, DYN, INT, STRING, Type, from_schema, list_of, map_of, nullable

MakeFunction = Callable[..., Function]
MakeCall = Callable[..., Call]
FUNCTION = "payments.createTransfer"


@pytest.fixture
def problems(make_function: MakeFunction) -> Callable[..., list[Problem]]:
    functions = {name: make_function(name) for name in (FUNCTION, "payments.getAccount")}

    def found(*specs: PolicySpec) -> list[Problem]:
        try:
            return list(compile_policies(specs, functions, "v1").warnings)
        except Unusable as unusable:
            return unusable.problems

    return found


def policy(when: str | None = None, **changes: Any) -> PolicySpec:
    settings: dict[str, Any] = {"name": "p", "effect": "allow", "functions": [FUNCTION], "principals": ["*"]}
    return PolicySpec(when=when, **(settings | changes))


@pytest.mark.parametrize(
    ("when", "column", "text"),
    [
        ("args.amout <= 1", 5, "there is no argument 'amout'; did you mean 'amount'?"),
        ("1 < 2 && args.zzz == 1", 14, "there is no argument 'zzz'"),
        ("args['amout'] == 1", 5, "there is no argument 'amout'; did you mean 'amount'?"),
        ("has(args.amout)", 9, "there is no argument 'amout'; did you mean 'amount'?"),
        ("'amout' in args", 0, "there is no argument 'amout'; did you mean 'amount'?"),
        ("args.to.ibam == 'x'", 8, "args.to has no member 'ibam'; did you mean 'iban'?"),
        ("args.lines.all(l, l.prize > 1)", 20, "l has no member 'prize'; did you mean 'price'?"),
        ("args.lines[0].prize > 1", 14, "args.lines[…] has no member 'prize'; did you mean 'price'?"),
        ("principal.group == 'x'", 10, "principal has no member 'group'; did you mean 'groups'?"),
        ("call.tarjet == 'x'", 5, "call has no member 'tarjet'; did you mean 'target'?"),
        ("arg.amount > 1", 0, "there is no variable 'arg'; did you mean 'args'?"),
        ("args.amount == '5'", 12, "args.amount (a double) is never equal to a string"),
        ("args.currency != 5", 14, "args.currency (a string) is never equal to 5 (an int)"),
        ("args.currency == null", 14, "args.currency (a string) is never equal to null"),
        ("args.currency < 5", 14, "args.currency (a string) cannot be compared with 5 (an int)"),
        ("args.tags < args.tags", 10, "args.tags (a list(string)) cannot be compared with args.tags (a list(string))"),
        ("args.count in ['1']", 11, "args.count (an int) is never in a list(string)"),
        ("args.count in 'a'", 11, "'in' looks into a list or a map, not a string"),
        (
            "args.amount * 2 > 1",
            12,
            "'*' does not take (double, int); convert with double(), int() or uint(), or write 1.0 for 1",
        ),
        ("args.currency + 1 == ''", 14, "'+' does not take (string, int)"),
        ("args.currency && true", 5, "&& takes a bool, not a string"),
        ("!args.currency", 0, "'!' does not take (string)"),
        ("args.currency ? true : false", 5, "?: takes a bool, not a string"),
        ("args.currency", 5, "a condition must be a bool, this is a string"),
        ("args.currency.length() > 1", 14, "there is no function length()"),
        ("args.currency.contain('a')", 14, "there is no function contain(); did you mean 'contains'?"),
        ("args.currency.contains(1)", 14, "contains() takes (string, string), not (string, int)"),
        ("contains(args.currency, 'a')", 0, "contains is a method, not a function"),
        ("args.count.int() > 1", 11, "int is a function, not a method"),
        ("args.count.all(x, true)", 11, "all() goes over a list or a map, not an int"),
        ("args.tags.all(x, x)", 17, "all() takes a bool, not a string"),
        ("args.tags.all(args, true)", 10, "the variable 'args' would hide args"),
        ("args.count.x == 1", 11, "an int has no members"),
        ("args.count[0] == 1", 10, "an int cannot be indexed"),
        ("args.tags['a'] == 'b'", 10, "a list is indexed by an int, not a string"),
        ("args.labels[1] == 'b'", 12, "the keys of this map are string, not int"),
        ("{1.5: 2} == {}", 1, "a double cannot be a key"),
        ("size(principal) > 1", 5, "principal is read by its members (subject, issuer, groups, claims, acts_for)"),
        ("args.currency.matches('(')", 22, "the pattern is no RE2 expression, or too large a one"),
        ("args.currency.matches('((a{90}){90}){90}')", 22, "the pattern is no RE2 expression, or too large a one"),
        ("args.anything.matches('(')", 22, "the pattern is no RE2 expression, or too large a one"),
        ("call.at.getHours('Mars/Base') > 1", 17, "the time zone is unknown"),
        ("call.at.getHours('../../etc/passwd') > 1", 17, "the time zone is unknown"),
        ("1 / 0 == 1", 6, "the condition always fails: division by zero"),
    ],
)
def test_a_condition(problems: Callable[..., list[Problem]], when: str, column: int, text: str) -> None:
    (problem,) = problems(policy(when))
    assert problem == Problem(("policies", 0, "when"), f"{text} ({FUNCTION})", column)


def test_syntax_and_several_mistakes_in_one_condition(problems: Callable[..., list[Problem]]) -> None:
    assert problems(policy("args.amount <")) == [
        Problem(("policies", 0, "when"), "a value is wanted here, not the end", 13)
    ]
    found = problems(policy("args.amout > 1 || args.cuont > 2"))
    assert [(problem.column, problem.text) for problem in found] == [
        (5, f"there is no argument 'amout'; did you mean 'amount'? ({FUNCTION})"),
        (23, f"there is no argument 'cuont'; did you mean 'count'? ({FUNCTION})"),
    ]


@pytest.mark.parametrize(
    ("changes", "where", "text"),
    [
        ({"name": " "}, ("name",), "a policy needs a name"),
        ({"functions": []}, ("functions",), "this policy can never match: it names no functions"),
        (
            {"functions": [FUNCTION, "payments.createTransfr"]},
            ("functions", 1),
            "'payments.createTransfr' matches no function; did you mean 'payments.createTransfer'?",
        ),
        ({"functions": ["nothing.*"]}, ("functions", 0), "'nothing.*' matches no function"),
        ({"principals": []}, ("principals",), "this policy can never match: it names nobody"),
        (
            {"principals": ["group:a", "agents"]},
            ("principals", 1),
            "'agents' is not a principal: write 'group:NAME', 'user:SUBJECT' or '*'",
        ),
        (
            {"principals": ["group:"]},
            ("principals", 0),
            "'group:' is not a principal: write 'group:NAME', 'user:SUBJECT' or '*'",
        ),
        ({"effect": "require_approval"}, ("approval",), "require_approval needs `approval` with its `approvers`"),
        (
            {"approval": ApprovalSpec(approvers=["*"])},
            ("approval",),
            "a policy with the effect 'allow' has no approval",
        ),
        (
            {"effect": "require_approval", "approval": ApprovalSpec(approvers=[])},
            ("approval", "approvers"),
            "nobody could approve: it names nobody",
        ),
        (
            {"effect": "require_approval", "approval": ApprovalSpec(approvers=["bob"])},
            ("approval", "approvers", 0),
            "'bob' is not a principal: write 'group:NAME', 'user:SUBJECT' or '*'",
        ),
        (
            {"effect": "require_approval", "approval": ApprovalSpec(approvers=["*"], count=0)},
            ("approval", "count"),
            "at least one approver is needed",
        ),
        (
            {"effect": "require_approval", "approval": ApprovalSpec(approvers=["user:a", "user:a"], count=2)},
            ("approval", "count"),
            "2 approvers are wanted, but only 1 named",
        ),
        (
            {"effect": "require_approval", "approval": ApprovalSpec(approvers=["*"], expires="0s")},
            ("approval", "expires"),
            "an approval must last longer than no time, and not forever",
        ),
        (
            {"effect": "require_approval", "approval": ApprovalSpec(approvers=["*"], expires="soon")},
            ("approval", "expires"),
            "'soon' is not a time such as 5ms, 30s or 15m (units: ms, s, m, h, d, y)",
        ),
    ],
)
def test_a_policy(
    problems: Callable[..., list[Problem]], changes: dict[str, Any], where: tuple[str | int, ...], text: str
) -> None:
    assert problems(policy(**changes)) == [Problem(("policies", 0, *where), text)]


def test_a_name_twice(problems: Callable[..., list[Problem]]) -> None:
    found = problems(policy(), policy(name="q"), policy())
    assert found == [Problem(("policies", 2, "name"), "policy 1 has the name 'p' already")]


def test_all_problems_are_reported_together(problems: Callable[..., list[Problem]]) -> None:
    found = problems(
        policy("args.amout > 1", principals=["x"]), policy("1 +", name="q", functions=["no.*"]), policy(name="r")
    )
    assert [problem.where for problem in found] == [
        ("policies", 0, "principals", 0),
        ("policies", 0, "when"),
        ("policies", 1, "functions", 0),
    ]


@pytest.mark.parametrize("when", ["false", "1 > 2", "true && false", "false && args.count == 1", "'a' in ['b']"])
def test_never(problems: Callable[..., list[Problem]], when: str) -> None:
    (problem,) = problems(policy(when))
    assert "always false: this policy can never match" in problem.text
    assert not problem.warning


@pytest.mark.parametrize("when", ["true", "1 < 2", "true || args.count == 1", "!false"])
def test_always_is_a_warning(problems: Callable[..., list[Problem]], when: str) -> None:
    (problem,) = problems(policy(when))
    assert problem.warning
    assert "always true" in problem.text


def test_where_can_be_elsewhere(make_function: MakeFunction) -> None:
    with pytest.raises(Unusable) as caught:
        compile_policies([policy("args.amout > 1")], {FUNCTION: make_function()}, "v1", where=("a", 3))
    assert caught.value.problems[0].where == ("a", 3, 0, "when")


AMOUNT = {"type": "object", "properties": {"amount": {"type": "number"}}}
ACCOUNT = {"type": "object", "properties": {"account": {"type": "string"}}}
TEXT_AMOUNT = {"type": "object", "properties": {"amount": {"type": "string"}}}


@pytest.fixture
def catalogue(make_function: MakeFunction) -> Mapping[str, Function]:
    schemas = {
        "t.pay": AMOUNT,
        "t.refund": AMOUNT,
        "t.get": ACCOUNT,
        "t.list": ACCOUNT,
        "t.close": ACCOUNT,
        "t.end": ACCOUNT,
    }
    return {name: make_function(name, schema) for name, schema in schemas.items()}


def test_a_wildcard_names_the_functions_that_lack_an_argument(catalogue: Mapping[str, Function]) -> None:
    with pytest.raises(Unusable) as caught:
        compile_policies([policy("args.amount > 1", functions=["t.*"])], catalogue, "v1")
    (problem,) = caught.value.problems
    assert problem.text == (
        "there is no argument 'amount' here; ask has(args.amount) first (t.get, t.list, t.close and 1 more)"
    )


@pytest.mark.parametrize(
    ("when", "with_it", "without_it"),
    [
        ("has(args.amount) && args.amount > 1", Allow, Deny),
        ("args.amount > 1 && has(args.amount)", Allow, Deny),
        ("!has(args.amount) || args.amount > 1", Allow, Allow),
        ("has(args.amount) ? args.amount > 1 : true", Allow, Allow),
        ("'amount' in args && args.amount > 1", Allow, Deny),
        ("!(has(args.amount) && args.amount <= 1)", Allow, Allow),
    ],
)
def test_has_opens_an_argument_that_some_functions_lack(
    catalogue: Mapping[str, Function], make_call: MakeCall, when: str, with_it: type, without_it: type
) -> None:
    policies = compile_policies([policy(when, functions=["t.*"])], catalogue, "v1")
    assert type(policies.decide(make_call({"amount": 5}, function="t.pay"))) is with_it
    assert type(policies.decide(make_call({"account": "a"}, function="t.get"))) is without_it


def test_every_function_is_checked_against_its_own_schema(make_function: MakeFunction) -> None:
    functions = {"t.a": make_function("t.a", AMOUNT), "t.b": make_function("t.b", TEXT_AMOUNT)}
    with pytest.raises(Unusable) as caught:
        compile_policies([policy("args.amount > 1", functions=["*"])], functions, "v1")
    (problem,) = caught.value.problems
    assert problem.text == "args.amount (a string) cannot be compared with 1 (an int) (t.b)"


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer"}, INT),
        ({"type": "number"}, DOUBLE),
        ({"type": "string", "format": "date-time"}, STRING),
        ({"type": ["string", "null"]}, nullable(STRING)),
        ({"type": ["integer", "number"]}, DYN),
        ({"type": "string", "nullable": True}, nullable(STRING)),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, nullable(INT)),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, DYN),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, STRING),
        ({"enum": ["a", "b"]}, STRING),
        ({"enum": ["a", 1]}, DYN),
        ({"const": "a"}, STRING),
        ({}, DYN),
        (True, DYN),
        ({"type": "array"}, list_of(DYN)),
        ({"type": "array", "items": {"type": "integer"}}, list_of(INT)),
        ({"type": "object"}, map_of(STRING, DYN)),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, map_of(STRING, INT)),
        (
            {"type": "object", "properties": {"a": {"type": "integer"}}},
            Type("map", (STRING, DYN), (("a", INT),), False),
        ),
        (
            {"properties": {"a": {"type": "integer"}}, "additionalProperties": True},
            Type("map", (STRING, DYN), (("a", INT),), True),
        ),
        (
            {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {"type": "string"}}}]},
            Type("map", (STRING, DYN), (("a", INT), ("b", STRING)), False),
        ),
        ({"allOf": [{"type": "integer"}]}, INT),
        ({"$ref": "#/$defs/x~1y", "$defs": {"x/y": {"type": "integer"}}}, INT),
        ({"$ref": "#/$defs/none"}, DYN),
        ({"$ref": "https://example/other.json"}, DYN),
        ({"$ref": "#"}, DYN),
    ],
)
def test_schemas_become_types(schema: Any, kind: Type) -> None:
    assert from_schema(schema) == kind


def test_a_schema_that_names_itself_ends(make_function: MakeFunction, make_call: MakeCall) -> None:
    tree = {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "left": {"$ref": "#"}, "right": {"$ref": "#"}},
    }
    policies = compile_policies(
        [policy("args.left.value == 2 && args.left.right.left.value == 1")],
        {FUNCTION: make_function(FUNCTION, tree)},
        "v1",
    )
    call = make_call({"left": {"value": 2, "right": {"left": {"value": 1}}}})
    assert isinstance(policies.decide(call), Allow)


def test_schemas_that_name_each_other_in_many_ways_end() -> None:
    names = [f"d{i}" for i in range(40)]
    everyone = {name: {"$ref": f"#/$defs/{name}"} for name in names}
    schema = {**everyone["d0"], "$defs": {name: {"type": "object", "properties": everyone} for name in names}}
    kind = from_schema(schema)
    assert len(dict(kind.fields or ())) == 40
    assert hash(kind) == hash(from_schema(schema))


def test_the_spec_is_read_strictly() -> None:
    good = {"name": "p", "effect": "deny", "functions": ["*"], "principals": ["*"]}
    assert msgspec.convert(good, PolicySpec).when is None
    bad: Sequence[dict[str, Any]] = (
        {"effect": "permit"},
        {"wen": "true"},
        {"functions": "*"},
        {"approval": {"counts": 1}},
    )
    for change in bad:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(good | change, PolicySpec)
