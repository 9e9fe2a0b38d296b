"""Compiled and pure: a token is recalled while it stands, and nobody who was revoked."""

import gc
import weakref
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from funcgate.core.decision import Allow, Decision, Deny
from funcgate.core.native import half
from funcgate.core.principal import RawToken, make_principal
from funcgate.core.revocation import Revocation, Revoked, marks_of
from funcgate.identity.issuers import Issuers, Remembered
from funcgate.identity.jwt import Verdict
from funcgate.identity.unrevoked import Unrevoked, unrevoked

native: Any = half("funcgate.identity._native")
pytestmark = pytest.mark.skipif(native is None, reason="not built, or FUNCGATE_PURE is set")
ANN = make_principal("corp", "ann", frozenset(), {}, "t" * 16, 0.0)


class Place:
    """One remembered token, and how often the Python code was asked."""

    def __init__(self, until: float = 10.0, good_until: float = 10.0) -> None:
        self.now = 5.0
        self.asked = 0
        self.key = SimpleNamespace(good_until=good_until)
        self.token, self.other = RawToken(b"one"), RawToken(b"two")
        verdict = Verdict(ANN, until, self.key)  # type: ignore[arg-type]
        self.tokens: OrderedDict[bytes, Any] = OrderedDict()
        self.tokens[self.token.digest] = Remembered(verdict, 3, marks_of(ANN))
        self.tokens[self.other.digest] = Remembered(verdict, 3, marks_of(ANN))
        self.revoked = Revoked()
        place = self

        class Recalling(native.Remembering):  # type: ignore[misc]
            def _recall(self, token: Any) -> None:
                place.asked += 1

        self.recall: Callable[[Any], Any] = Recalling(self.tokens, lambda: self.now, self.revoked).recall


def test_one_that_stands_is_recalled_and_used_last() -> None:
    place = Place()
    assert place.recall(place.token) is ANN
    assert list(place.tokens) == [place.other.digest, place.token.digest]
    assert place.recall(RawToken(b"three")) is None
    assert place.asked == 0


def test_one_that_comes_again_and_again_stays_among_the_last() -> None:
    """Attack: tokens without end, so that one in use is forgotten."""
    place = Place()
    assert place.recall(place.token) is ANN
    place.tokens[b"new"] = place.tokens[place.token.digest]
    for _ in range(64):
        assert place.recall(place.token) is ANN
    assert next(reversed(place.tokens)) == place.token.digest
    assert place.recall(place.other) is ANN
    assert next(reversed(place.tokens)) == place.other.digest
    assert place.recall(place.token) is ANN
    assert next(reversed(place.tokens)) == place.token.digest


@pytest.mark.parametrize(
    ("until", "good_until", "now"), [(5.0, 10.0, 5.0), (10.0, 5.0, 5.0), (10.0, 10.0, 10.0), (10.0, 0.0, 5.0)]
)
def test_one_that_ended_is_for_the_python_code(until: float, good_until: float, now: float) -> None:
    place = Place(until, good_until)
    place.now = now
    assert place.recall(place.token) is None
    assert place.asked == 1


def test_a_key_that_is_withdrawn_ends_it_at_once() -> None:
    place = Place()
    assert place.recall(place.token) is ANN
    place.key.good_until = 0.0
    assert place.recall(place.token) is None
    assert place.asked == 1


def test_while_anybody_is_revoked_the_python_code_looks() -> None:
    place = Place()
    place.revoked.replace([Revocation(id="r", at=0.0, by="x", reason="y", token="z" * 16)])
    assert place.recall(place.token) is None
    assert place.asked == 1
    place.revoked.replace([])
    assert place.recall(place.token) is ANN


def test_what_is_no_token_or_no_memory_is_for_the_python_code() -> None:
    place = Place()
    assert place.recall(SimpleNamespace(digest=place.token.digest)) is None
    for odd in (5, (1, 2), (5, 6, 7)):
        place.tokens[place.token.digest] = odd
        assert place.recall(place.token) is None
    assert place.asked == 4


class Allows:
    def decide(self, call: Any) -> Decision:
        return Allow(("p",), "v1")

    def blind(self, call: Any) -> bool:
        return bool(call.session == "blind")


def test_a_revoked_session_is_denied_alike() -> None:
    revoked = Revoked()
    both: list[Any] = [unrevoked(Allows(), revoked, "v1"), Unrevoked(Allows(), revoked, "v1")]
    assert type(both[0]) is not type(both[1])
    for sessions in ([], ["s1"], ["s1", "s2"], []):
        revoked.replace([Revocation(id="r", at=0.0, by="x", reason="y", session=session) for session in sessions])
        for session in ("s1", "s2", "s3", "", "blind"):
            call = SimpleNamespace(session=session)
            told = [policies.decide(call) for policies in both]
            assert told[0] == told[1]
            assert isinstance(told[0], Deny) is (session in sessions)
            assert both[0].blind(call) is both[1].blind(call)


def test_issuers_that_nobody_uses_remember_nobody() -> None:
    """Attack: read from the memory who called before a reload, and with what claims (`gc.freeze`)."""
    issuers = Issuers([], base=Path())
    gone = weakref.ref(issuers)
    gc.disable()
    try:
        del issuers
        assert gone() is None
    finally:
        gc.enable()
