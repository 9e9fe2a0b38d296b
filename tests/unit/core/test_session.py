"""Sessions: one principal each, whatever names the callers choose."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from funcgate.core.principal import Principal, make_principal
from funcgate.core.session import answers_to, session_of, session_of_token

_names = st.from_regex(r"[A-Za-z0-9._:/+=-]{1,128}", fullmatch=True)
_whos = st.tuples(
    st.text(max_size=4), st.text(max_size=4), st.none() | st.text(max_size=2), st.none() | st.text(max_size=2)
)


def _principal(issuer: str, subject: str, acts_for: str | None = None, actor: str | None = None) -> Principal:
    return make_principal(issuer, subject, frozenset(), {}, "05e4f8e1028df8c3", 0.0, acts_for, actor)


@settings(deadline=None)
@given(_whos, _whos, _names, _names)
def test_a_session_belongs_to_one_principal_and_one_run(one: Any, other: Any, run: str, another: str) -> None:
    session, elsewhere = session_of(_principal(*one), run), session_of(_principal(*other), another)
    assert (session == elsewhere) == ((one, run) == (other, another))


def test_parts_do_not_run_together() -> None:
    whos = [("ab", "c"), ("a", "bc"), ("a", "b", "c"), ("a", "b", None, "c"), ("a", "b", "c", "d"), ('a","b', "c")]
    assert len({session_of(_principal(*who), "run") for who in whos}) == len(whos)


def test_the_token_and_the_groups_do_not_matter_to_a_named_run() -> None:
    later = make_principal("corp", "alice", frozenset({"agents"}), {"jti": "2"}, "another-token", 9.0)
    assert session_of(_principal("corp", "alice"), "run") == session_of(later, "run")


def test_nobody_can_name_a_run_as_another_session_is_named() -> None:
    victim, attacker = _principal("corp", "alice"), _principal("corp", "eve")
    for session in (session_of(victim, "run"), session_of_token(victim, "shop")):
        assert session_of(attacker, session.replace("~", "-")) != session
    assert session_of_token(victim, "shop") == "05e4f8e1028df8c3.shop"


def test_a_session_answers_to_its_run() -> None:
    session = session_of(_principal("corp", "alice"), "run")
    assert answers_to(session, session)
    assert answers_to(session, "run")
    assert not answers_to(session, "ru")
    assert not answers_to(session, "")
    assert not answers_to("05e4f8e1028df8c3.shop", "")
    assert answers_to("05e4f8e1028df8c3.shop", "05e4f8e1028df8c3.shop")
