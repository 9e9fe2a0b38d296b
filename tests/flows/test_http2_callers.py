"""HTTP/2 on the callers' side."""

import httpx
from support.gate import Gate
from support.target import Target


def test_a_call_goes_through_and_comes_back(gate: Gate, target: Target, token: str) -> None:
    with httpx.Client(http1=False, http2=True) as client:
        reply = client.post(f"{gate.url}/shop/orders", json={"amount": 5}, headers={"Authorization": f"Bearer {token}"})
    assert (reply.http_version, reply.status_code, reply.json()) == ("HTTP/2", 200, {"ok": True})
    assert len(reply.headers["funcgate-call-id"]) == 26
    (received,) = target.ledger
    assert received.body == b'{"amount":5}'
