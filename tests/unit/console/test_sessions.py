"""Sessions and sign-ins under way: when they end, whose they are, and that neither fills the memory."""

from funcgate.console import sessions
from funcgate.console.sessions import Attempts, Sessions
from funcgate.core.principal import Principal, make_principal
from funcgate.identity.code_flow import Attempt, Place


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def somebody(subject: str = "bob") -> Principal:
    return make_principal("corp", subject, frozenset(), {}, "f00d", 0.0)


def attempt(state: str = "s") -> Attempt:
    return Attempt(state=state, nonce="n", verifier="v3rifier", url="https://idp.test", place=Place("a", "t"))


def test_a_session_ends_when_nobody_uses_it() -> None:
    clock = Clock()
    kept = Sessions(60, 1000, clock)
    name = kept.begin(somebody())
    for clock.now in (59.0, 118.0):
        assert kept.find(name) is not None
    clock.now = 178.0
    assert kept.find(name) is None


def test_a_session_ends_however_it_is_used() -> None:
    clock = Clock()
    kept = Sessions(60, 100, clock)
    name = kept.begin(somebody())
    for clock.now in (50.0, 99.0):
        assert kept.find(name) is not None
    clock.now = 100.0
    assert kept.find(name) is None


def test_each_is_its_own() -> None:
    kept = Sessions(60, 100)
    one, other = kept.begin(somebody()), kept.begin(somebody("eve"))
    assert one != other
    first, second = kept.find(one), kept.find(other)
    assert first is not None
    assert second is not None
    assert first.fits(first.csrf)
    assert not first.fits(second.csrf)
    assert not first.fits("\u20ac")
    kept.end(one)
    assert (kept.find(one), kept.find(""), kept.find("x" * 5000)) == (None, None, None)
    assert kept.find(other) is second


def test_one_person_pushes_out_only_their_own() -> None:
    kept = Sessions(60, 100)
    others = kept.begin(somebody("eve"))
    mine = [kept.begin(somebody()) for _ in range(3 * sessions.MOST_OF_ONE)]
    assert sum(kept.find(name) is not None for name in mine) == sessions.MOST_OF_ONE
    assert kept.find(mine[-1]) is not None
    assert kept.find(others) is not None


def test_there_are_not_too_many() -> None:
    kept = Sessions(60, 100)
    names = [kept.begin(somebody(f"p{number}")) for number in range(sessions.MOST + 5)]
    assert [kept.find(name) is not None for name in names[:6]] == [False] * 5 + [True]
    begun = Attempts()
    browser = begun.add(attempt("first"), "/approvals")
    for number in range(sessions.MOST_ATTEMPTS):
        begun.add(attempt(str(number)), "/approvals")
    assert begun.take("first", browser) is None


def test_a_sign_in_is_ended_once_in_time_and_by_whoever_began_it() -> None:
    clock = Clock()
    begun = Attempts(clock)
    browser = begun.add(attempt(), "/grants")
    assert begun.take("s", "another browser") is None
    assert begun.take("another", browser) is None
    found = begun.take("s", browser)
    assert found is not None
    assert found.back == "/grants"
    assert "v3rifier" not in repr(found.attempt)
    assert begun.take("s", browser) is None
    browser = begun.add(attempt(), "/grants")
    clock.now = sessions.ATTEMPT_S
    assert begun.take("s", browser) is None
