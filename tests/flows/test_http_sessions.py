"""Which session a call belongs to: the name of its run, else its trace, else token and target; never somebody else's."""

import httpx
import pytest

from support.authority import Authority
from support.gate import Gate
from support.target import Target

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def _session(gate: Gate, token: str, **headers: str) -> str:
    """The session in each of the call's entries."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"} | named)
    assert reply.status_code == 200
    call = reply.headers["funcgate-call-id"]
    gate.ended(call)
    (session,) = {entry["session"] for entry in gate.call_entries(call)}
    return str(session)


def test_where_a_session_comes_from(gate: Gate, target: Target, token: str) -> None:
    named = _session(gate, token, funcgate_session="nightly:42", traceparent=PARENT)
    traced = _session(gate, token, traceparent=PARENT)
    neither = _session(gate, token)
    assert named.startswith("nightly:42~")
    assert traced.startswith(f"{TRACE}~")
    assert neither.endswith(".shop")
    assert _session(gate, token, funcgate_session="nightly:42") == named


def test_two_principals_never_share_a_session(gate: Gate, target: Target, authority: Authority) -> None:
    alice, again, eve = (
        authority.token(sub=name, jti=name + jti) for name, jti in (("a", "1"), ("a", "2"), ("eve", "1"))
    )
    for headers in ({"funcgate_session": "nightly"}, {"traceparent": PARENT}):
        assert _session(gate, alice, **headers) == _session(gate, again, **headers)
        assert _session(gate, alice, **headers) != _session(gate, eve, **headers)
    assert _session(gate, alice) != _session(gate, eve)


@pytest.mark.parametrize("name", ["", "a b", "nightly~0123456789abcdef", "a" * 129, "ä"])
def test_what_is_no_name_of_a_run_is_refused(gate: Gate, target: Target, token: str, name: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Funcgate-Session": name.encode()}
    reply = httpx.get(f"{gate.url}/shop/read", headers=headers)  # type: ignore[arg-type]
    assert (reply.status_code, reply.json()["code"]) == (400, "request.invalid")
    assert target.ledger == []


@pytest.mark.parametrize(
    ("parent", "known"),
    [
        (f"01-{TRACE}-00f067aa0ba902b7-01", True),
        (f"cc-{TRACE}-00f067aa0ba902b7-01-what-comes-later", True),
        (f"00-{TRACE}-00f067aa0ba902b7-01-what-comes-later", False),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
    ],
)
def test_traceparent_as_the_w3c_reads_it(gate: Gate, target: Target, token: str, parent: str, known: bool) -> None:
    assert (_session(gate, token, traceparent=parent).startswith(TRACE)) == known
    assert target.ledger[-1].header("traceparent") == (PARENT if known else None)
