"""A grant is narrow: this caller, this function, these arguments."""

from typing import Any

import msgspec
import pytest

from funcgate.approval.canonical import canonical, key_of, schema_of
from funcgate.approval.grants import TooWide, Wish, covers, make_grant
from funcgate.core.approval import Grant
from support.approvals import NOW, SCHEMA, answer, approval, asked, call, principal, terms

NARROW = terms(grant_max_s=3600.0, grant_max_calls=10)
NAME = schema_of(SCHEMA)


def held(args: bytes = b'{"amount":25000,"to":"DE12"}', **changes: Any) -> Any:
    said = asked(args=msgspec.Raw(args), schema=NAME, **changes)
    return approval(terms=(NARROW,), asked=said, answers=(answer("bob"),))


def grant(**wish: Any) -> Grant:
    return make_grant(held(), Wish(**{"calls": 3, "for_s": 600.0, **wish}), NOW)


ARGS = {"amount": 25000, "to": "DE12"}


def test_the_same_call_is_covered() -> None:
    assert covers(grant(), call(args=dict(ARGS)), NAME, NOW)


@pytest.mark.parametrize(
    "args",
    [
        {"amount": 25001, "to": "DE12"},
        {"amount": 25000.0, "to": "DE12"},
        {"amount": "25000", "to": "DE12"},
        {"amount": True, "to": "DE12"},
        {"amount": 25000, "to": "DE13"},
        {"amount": 25000},
        {"amount": 25000, "to": "DE12", "urgent": True},
        {},
    ],
)
def test_other_arguments_are_not(args: dict[str, Any]) -> None:
    assert not covers(grant(), call(args=args), NAME, NOW)


@pytest.mark.parametrize(
    "who",
    [principal("agent-8"), principal("agent-7", acts_for="mallory"), principal("agent-7", acts_for=None)],
)
def test_other_callers_are_not(who: Any) -> None:
    assert not covers(grant(), call(args=dict(ARGS), principal=who), NAME, NOW)


def test_nor_other_header_fields() -> None:
    mine = make_grant(held(fields=("x-dry-run",), fields_digest="f1"), Wish(calls=1, for_s=60.0), NOW)
    assert covers(mine, call(args=dict(ARGS)), NAME, NOW, "f1")
    assert not covers(mine, call(args=dict(ARGS)), NAME, NOW, "f2")
    assert not covers(mine, call(args=dict(ARGS)), NAME, NOW)


def test_nor_another_function_schema_or_time_nor_one_use_too_many() -> None:
    mine = grant()
    same = call(args=dict(ARGS))
    assert not covers(mine, call(args=dict(ARGS), function="payments.refund"), NAME, NOW)
    assert not covers(mine, same, schema_of({}), NOW)
    assert not covers(mine, same, NAME, NOW + 600)
    assert not covers(msgspec.structs.replace(mine, used=3), same, NAME, NOW)
    assert not covers(msgspec.structs.replace(mine, revoked=True), same, NAME, NOW)


def test_a_range_is_of_numbers_and_holds_the_value() -> None:
    mine = grant(ranges={"amount": {"from": 20000, "to": 30000}})
    amounts: list[tuple[Any, bool]] = [
        (20000, True), (30000, True), (19999, False), (30001, False), (25000.5, True), (True, False), ("25000", False),
    ]  # fmt: skip
    for amount, inside in amounts:
        assert covers(mine, call(args={"amount": amount, "to": "DE12"}), NAME, NOW) is inside
    for ranges in (
        {"to": {"to": 3}}, {"amount": {"to": 30000}}, {"amount": {"from": 1, "to": 3}}, {"amount": {}}, {"amount": {"from": 1}},
        {"amount": {"to": 99999, "x": 1}}, {"no": {"to": 1}},
    ):  # fmt: skip
        with pytest.raises(TooWide):
            grant(ranges=ranges)


@pytest.mark.parametrize("wish", [{"calls": 0}, {"calls": 11}, {"for_s": 0.0}, {"for_s": 3601.0}])
def test_it_is_no_wider_than_the_policy_says(wish: dict[str, Any]) -> None:
    with pytest.raises(TooWide, match="at most 10 calls"):
        grant(**wish)


def test_without_leave_of_the_policy_there_is_none() -> None:
    plain = approval(terms=(NARROW, terms()), asked=asked(args=msgspec.Raw(b"{}")))
    with pytest.raises(TooWide):
        make_grant(plain, Wish(calls=1, for_s=1.0), NOW)
    with pytest.raises(TooWide, match="masked"):
        make_grant(held(masked=True), Wish(calls=1, for_s=1.0), NOW)


def test_the_canonical_call() -> None:
    one = call(args={"b": 1, "a": [1.0, None, "é"]})
    assert canonical(one) == canonical(call(args={"a": [1.0, None, "é"], "b": 1}))
    assert b'"args":{"a":[1,null,"\xc3\xa9"],"b":1}' in canonical(one)
    keys = {
        key_of(each)
        for each in (
            one, call(args={"b": 2, "a": [1.0, None, "é"]}), call(args={"a": [1.0, None, "é"]}), call(digest="sha256:00"),
            call(function="payments.refund"), call(target="other"), call(principal=principal("agent-8")),
            call(principal=principal("agent-7", acts_for="mallory")), call(args={"n": 2**60}), call(args={"n": 2**60 + 1}),
            call(args={"n": float("nan")}), call(args={"n": None}),
        )
    }  # fmt: skip
    assert len(keys) == 12
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="canonical"):
        canonical(call(args={"n": deep}))


def test_one_wish_is_one_however_it_is_spelled() -> None:
    one = Wish(calls=2, for_s=60.0, ranges={"a": {"from": 1, "to": 2.5}, "b": {"to": 9.0, "from": 0}})
    assert one.said == Wish(calls=2, for_s=60, ranges={"b": {"from": 0.0, "to": 9}, "a": {"to": 2.5, "from": 1.0}}).said
    assert one.said != Wish(calls=2, for_s=60, ranges={"a": {"from": 1, "to": 2.6}, "b": {"from": 0, "to": 9}}).said
