"""What the tests of policy/ share: a way to run an expression, and calls to judge."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from funcgate.core.call import Call
from funcgate.core.function import Function
from funcgate.core.principal import Principal, make_principal
from funcgate.policy.language.check import check
from funcgate.policy.language.compile import compile_tree
from funcgate.policy.language.parse import parse
from funcgate.policy.language.values import Frame
from funcgate.policy.variables import MEMBERS, WHOLE, variable_types

SCHEMA = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "count": {"type": "integer"},
        "currency": {"type": "string"},
        "urgent": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"price": {"type": "number"}, "quantity": {"type": "integer"}},
            },
        },
        "to": {"type": "object", "properties": {"iban": {"type": "string"}, "name": {"type": "string"}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "anything": {},
    },
}


def _principal(subject: str = "alice", groups: tuple[str, ...] = ("agents",), **claims: Any) -> Principal:
    return make_principal("corp", subject, frozenset(groups), claims, "0123456789abcdef", 4e9)


def _call(
    args: Mapping[str, Any] | None = None, function: str = "payments.createTransfer", who: Principal | None = None
) -> Call:
    return Call(
        id="01J0000000000000000000TEST",
        target=function.partition(".")[0],
        function=function,
        args=dict(args or {}),
        principal=who or _principal(),
        session="a-session",
        digest="sha256:00",
        received_at=1_700_000_000.25,
        client="192.0.2.7",
        reason="a reason",
    )


def _function(full_name: str = "payments.createTransfer", schema: Mapping[str, Any] = SCHEMA) -> Function:
    target, _, name = full_name.partition(".")
    return Function(target=target, name=name, full_name=full_name, args_schema=schema)


def _run(
    text: str,
    args: Mapping[str, Any] | None = None,
    schema: Mapping[str, Any] | None = None,
    call: Call | None = None,
    budget: int = 20_000,
) -> Any:
    """The value of an expression. Without a schema, all arguments are dyn. Raises what parsing, checking or running does."""
    checked = check(parse(text), variable_types(schema or {"type": "object"}), WHOLE, frozenset())
    if checked.mistakes:
        raise checked.mistakes[0]
    program = compile_tree(checked, MEMBERS)
    judged = call or _call(args)
    frame = Frame(judged, judged.args, budget)
    frame.charge(program.cost)
    frame.cells = [None] * program.cells
    return program.run(frame)


@pytest.fixture(scope="session")
def run() -> Callable[..., Any]:
    return _run


@pytest.fixture(scope="session")
def make_call() -> Callable[..., Call]:
    return _call


@pytest.fixture(scope="session")
def principal() -> Callable[..., Principal]:
    return _principal


@pytest.fixture(scope="session")
def make_function() -> Callable[..., Function]:
    return _function


@pytest.fixture(scope="session")
def schema() -> Mapping[str, Any]:
    return SCHEMA
