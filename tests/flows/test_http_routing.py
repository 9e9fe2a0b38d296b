"""Which target is meant, what crosses when it is configured to, and refusals that come in floods."""

import json
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from support.gate import Gate, until
from support.raw import exchange, statuses
from support.target import Target, answer
from support.workers import WORKERS


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} | more


def test_a_target_can_be_called_by_host_name(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    gate = make_gate(target={"hosts": ["shop.internal"]}).start()
    for host in ("shop.internal", "SHOP.internal", f"shop.internal:{gate.calls}"):
        reply = httpx.get(f"{gate.url}/items/7", headers=bearer(token, Host=host))
        assert reply.status_code == 200, host
    assert [received.url for received in target.ledger] == ["/items/7"] * 3
    assert httpx.get(f"{gate.url}/items/7", headers=bearer(token, Host="other.internal")).status_code == 403


def test_the_targets_own_path_comes_first(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    gate = make_gate(target={"url": f"{target.url}/v1/"}).start()
    target.default = answer(extra=f"Location: {target.url}/v1/items/9\r\n".encode(), status=201)
    reply = httpx.get(f"{gate.url}/shop/items/7", headers=bearer(token))
    assert target.ledger[0].url == "/v1/items/7"
    assert reply.headers["location"] == "/shop/items/9"


def test_forward_headers_lets_named_fields_cross(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    gate = make_gate(target={"forward_headers": ["cookie", "authorization"], "credential": None}).start()
    sent = {"Funcgate-Token": token, "Authorization": "Basic YTpi", "Cookie": "a=b"}
    assert httpx.get(f"{gate.url}/shop/read", headers=sent).status_code == 200
    assert target.ledger[0].header("cookie") == "a=b"
    assert target.ledger[0].header("authorization") == "Basic YTpi"


def test_the_token_itself_is_never_forwarded(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    gate = make_gate(target={"forward_headers": ["authorization"], "credential": None}).start()
    assert httpx.get(f"{gate.url}/shop/read", headers=bearer(token)).status_code == 200
    assert target.ledger[0].header("authorization") is None


CREDENTIALS = [
    ({"type": "header", "name": "X-Api-Key", "secret": "env:SHOP_KEY"}, "x-api-key"),
    ({"type": "basic", "user": "gate", "secret": "env:SHOP_KEY"}, "authorization"),
]


@pytest.mark.parametrize(("credential", "field"), CREDENTIALS)
def test_every_kind_of_header_credential_replaces_the_callers(
    make_gate: Callable[..., Gate], target: Target, token: str, credential: dict[str, str], field: str
) -> None:
    gate = make_gate(target={"credential": credential}).start()
    sent = {"Funcgate-Token": token, "X-Api-Key": "mine", "Authorization": "Basic mine"}
    assert httpx.get(f"{gate.url}/shop/read", headers=sent).status_code == 200
    values = [value for name, value in target.ledger[0].headers if name.lower() == field]
    assert len(values) == 1
    assert "mine" not in values[0]


def test_underscores_cannot_imitate_the_credentials_field(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    gate = make_gate(target={"credential": {"type": "header", "name": "X-Api-Key", "secret": "env:SHOP_KEY"}}).start()
    request = f"GET /shop/read HTTP/1.1\r\nHost: g\r\nFuncgate-Token: {token}\r\nX_Api_Key: mine\r\n\r\n".encode()
    assert statuses(exchange(gate.calls, request)) == [200]
    assert "mine" not in json.dumps(target.ledger[0].headers)


def test_a_query_credential_replaces_the_callers(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    functions = [{"name": "read", "http": "GET /read", "args": {"a": "string", "api_key": "string"}}]
    gate = make_gate(
        functions, target={"credential": {"type": "query", "name": "api_key", "secret": "env:SHOP_KEY"}}
    ).start()
    reply = httpx.get(f"{gate.url}/shop/read?a=1&api_key=mine", headers=bearer(token))
    assert reply.status_code == 200
    _, _, query = target.ledger[0].url.partition("?")
    assert query.startswith("a=1&api_key=canary-")
    assert "mine" not in query


def test_a_flood_of_unknown_callers_is_counted_not_written(make_gate: Callable[..., Gate]) -> None:
    """Refusals of nobody in particular must not be a way to fill the disk."""
    gate = make_gate().start()

    def flood() -> None:
        with httpx.Client() as client:
            for _ in range(100):
                assert client.get(f"{gate.url}/shop/read").status_code == 401

    began = time.monotonic()
    threads = [threading.Thread(target=flood) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = int(time.monotonic() - began) + 2  # that it may have touched

    def refused() -> list[dict[str, object]]:
        return [entry for entry in gate.entries() if entry.get("code") == "identity.missing"]

    def total() -> int:
        return sum(int(str(entry.get("count", 1) or 1)) for entry in refused())

    until(lambda: total() == 500)
    assert len(refused()) <= (10 + WORKERS) * seconds  # ten of their own, and a count of each process
    until(lambda: 'code="identity.missing"' in gate.get_console("/metrics")[1])


def test_a_large_answer_is_masked_without_holding_up_the_others(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    rows = [{"mail": f"user{n}@example.com", "card": "4111 1111 1111 1111"} for n in range(180_000)]
    target.answers["/read"] = answer(json.dumps(rows).encode())
    gate = make_gate(
        masking=[{"functions": ["shop.*"], "detect": "all"}], target={"limits": {"timeout": "60s"}}
    ).start()
    shown: list[str] = []
    large = threading.Thread(
        target=lambda: shown.append(httpx.get(f"{gate.url}/shop/read", headers=bearer(token), timeout=60).text)
    )
    with httpx.Client(headers=bearer(token), timeout=60) as client:
        assert client.get(f"{gate.url}/shop/items/1").status_code == 200
        large.start()
        until(lambda: target.seen("/read"))
        done = 0
        while large.is_alive():
            assert client.get(f"{gate.url}/shop/items/1").status_code == 200
            done += 1
    large.join()
    assert "example.com" not in shown[0]
    assert "4111" not in shown[0]
    assert done > 3, "the other calls waited for the large one"
