"""Legal holds as a fold: what stands after any sequence of orders, and what each covers."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.entry import Entry, Kind, Who
from funcgate.recording.calls import CallRecord
from funcgate.recording.retention.holds import (
    Hold,
    checked,
    covering,
    held_now,
    hold_of,
    order_to_hold,
    order_to_release,
)

_orders = st.lists(st.tuples(st.sampled_from(["hold", "release", "expired", "configuration"]), st.integers(1, 4)))


def _entry(seq: int, change: dict[str, Any]) -> Entry:
    return Entry(seq=seq, at="2026-01-01T00:00:00.000000Z", kind=Kind.ADMIN, call="", change=change)


@settings(deadline=None)
@given(_orders)
def test_a_hold_stands_until_its_own_release(orders: list[tuple[str, int]]) -> None:
    entries, standing = [], set()
    for seq, (what, number) in enumerate(orders, 1):
        named = {"order": f"H{number}"} if what == "hold" else {"hold": f"H{number}"}
        entries.append(_entry(seq, {"what": what, "session": "s", **named}))
        standing = (
            standing | {f"H{number}"} if what == "hold" else standing - ({f"H{number}"} if what == "release" else set())
        )
    assert {hold.id for hold in held_now(entries)} == standing


_names = st.sampled_from(["session", "principal", "query", "order", "reason", "by"])
_flat = st.none() | st.text() | st.integers()


@settings(deadline=None)
@given(
    st.dictionaries(
        _names, _flat | st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(), max_size=2)
    )
)
def test_whatever_an_entry_says_it_holds_something(change: dict[str, Any]) -> None:
    hold = hold_of(_entry(7, {"what": "hold", **change}))
    covers = covering(hold)
    if not (hold.session or hold.principal or hold.query):
        assert covers(CallRecord(id="c", at="2026"))
    assert hold.seq == 7


def test_what_is_ordered_is_what_stands() -> None:
    for given_ in ({"session": "s"}, {"principal": "group:x"}, {"query": {"function": "pay.*", "since": "2026"}}):
        change = order_to_hold(Hold(id="", reason=" a dispute ", **given_))  # type: ignore[arg-type]
        (hold,) = held_now([_entry(3, {**change, "order": "ID", "by": {"via": "inbox", "user": "root"}})])
        assert hold == Hold(id="ID", seq=3, at=hold.at, who="root", reason="a dispute", **given_)  # type: ignore[arg-type]
        assert held_now([_entry(3, {**change, "order": "ID"}), _entry(4, order_to_release("ID", "over"))]) == ()


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ({}, "one session"),
        ({"session": "s", "principal": "p"}, "one session"),
        ({"query": {"weather": "bad"}}, "knows no 'weather'"),
        ({"query": {"function": ""}}, "would hold everything"),
        ({"query": {"decision": "perhaps"}}, "no decision"),
        ({"query": {"kind": "perhaps"}}, "perhaps"),
    ],
)
def test_holds_that_mean_nothing(on: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked(Hold(id="", **on))


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
def test_a_hold_has_a_reason(reason: str) -> None:
    with pytest.raises(ValueError, match="say why"):
        order_to_hold(Hold(id="", session="s", reason=reason))


def test_what_a_hold_covers() -> None:
    session = "run~0011223344556677"
    record = CallRecord(
        id="c", at="2026-05-01", session=session, principal=Who("corp", "ada", ("eu",)), function="pay.out"
    )
    queries = ({"function": "pay.*", "session": "run"}, {"since": "2026-04", "until": "2026-06"})
    for on in (
        *({"session": name} for name in ("run", session)),
        *({"principal": name} for name in ("user:ada", "group:eu", "corp/ada")),
        *({"query": query} for query in queries),
    ):
        assert covering(Hold(id="", **on))(record)  # type: ignore[arg-type]
    for other in ({"session": "ru"}, {"principal": "bob"}, {"query": {"function": "pay.*", "session": "other"}}):
        assert not covering(Hold(id="", **other))(record)  # type: ignore[arg-type]
