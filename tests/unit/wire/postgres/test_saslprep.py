"""Passwords as SCRAM hashes them: RFC 4013's examples, and what PostgreSQL does with those that may not be prepared."""

import pytest

from funcgate.wire.postgres.saslprep import saslprep


@pytest.mark.parametrize(
    ("given", "prepared"),
    [
        ("user", "user"),
        ("USER", "USER"),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("p\u00a0w", "p w"),
        ("ﬁx\u0301", "fix\u0301"),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_prepared(given: str, prepared: str) -> None:
    assert saslprep(given) == prepared


@pytest.mark.parametrize("given", ["ü\u0007", "\u06271", "a\u0627", "\u00ad", "x\u0221", "x\ue000", "x\ufffd"])
def test_what_may_not_be_prepared_is_used_as_it_is(given: str) -> None:
    assert saslprep(given) == given
