"""SCRAM-SHA-256: the example of RFC 7677, section 3, and servers that do not know the password."""

import pytest

from funcgate.wire.postgres.frames import Malformed
from funcgate.wire.postgres.scram import Scram

NONCE = "rOprNGfwEbeRWgbNEkqO"
CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


class _Example(Scram):
    """The RFC's client names its user; PostgreSQL takes it from the startup message."""

    def __init__(self) -> None:
        super().__init__(NONCE)
        self._bare = f"n=user,r={NONCE}"


def test_the_example_of_the_rfc() -> None:
    login = _Example()
    assert login.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert login.final(CHALLENGE, "pencil") == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    login.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize(
    "last", [b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl96G4=", b"e=invalid-proof", b"", b"v=", b"v=!!"]
)
def test_a_server_that_does_not_know_the_password(last: bytes) -> None:
    login = _Example()
    login.final(CHALLENGE, "pencil")
    with pytest.raises(Malformed):
        login.check(last)


@pytest.mark.parametrize(
    "challenge",
    [
        b"", b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        CHALLENGE.replace(b"4096", b"0"), CHALLENGE.replace(b"4096", b"1000000000"), CHALLENGE.replace(b"W22", b"!!!"), b"\xff",
    ],
)  # fmt: skip
def test_challenges_that_are_refused(challenge: bytes) -> None:
    with pytest.raises(Malformed):
        _Example().final(challenge, "pencil")


def test_no_proof_is_taken_before_there_was_a_challenge() -> None:
    with pytest.raises(Malformed):
        Scram().check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
