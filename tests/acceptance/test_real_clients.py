"""Clients that know nothing of funcgate, unchanged but for the address: they all get the same answers."""

import asyncio
import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import aiohttp
import httpx
import pytest

Answer = tuple[int, dict[str, Any]]
Client = Callable[[str, str, str, dict[str, Any] | None], Answer]


@pytest.fixture(scope="session")
def token(addresses: dict[str, str]) -> str:
    form = {"grant_type": "client_credentials", "client_id": "payments-agent", "client_secret": "demo"}
    answer = httpx.post(f"{addresses['provider']}/token", data=form, trust_env=False)
    return str(answer.raise_for_status().json()["access_token"])


def by_curl(method: str, url: str, token: str, body: dict[str, Any] | None) -> Answer:
    command = [
        "curl",
        "--silent",
        "--noproxy",
        "*",
        "--max-time",
        "60",
        "--write-out",
        "\n%{http_code}",
        "-X",
        method,
        url,
    ]
    command += ["-H", f"Authorization: Bearer {token}", "-H", "Prefer: wait=1"]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


def by_httpx(method: str, url: str, token: str, body: dict[str, Any] | None) -> Answer:
    headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=1"}
    answer = httpx.request(method, url, headers=headers, json=body, trust_env=False, timeout=60)
    return answer.status_code, answer.json()


def by_aiohttp(method: str, url: str, token: str, body: dict[str, Any] | None) -> Answer:
    async def ask() -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=1"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body) as answer,
        ):
            return answer.status, await answer.json(content_type=None)

    return asyncio.run(ask())


def by_urllib(method: str, url: str, token: str, body: dict[str, Any] | None) -> Answer:
    headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=1"} | (
        {} if body is None else {"Content-Type": "application/json"}
    )
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


CLIENTS: dict[str, Client] = {"curl": by_curl, "httpx": by_httpx, "aiohttp": by_aiohttp, "urllib": by_urllib}


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> Client:
    if request.param == "curl" and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    return CLIENTS[request.param]


def test_an_allowed_call_is_carried_out(client: Client, addresses: dict[str, str], token: str) -> None:
    body = {"to": "c-1001", "amount": 12, "currency": "EUR", "reference": "Überweisung №1"}
    status, answer = client("POST", f"{addresses['calls']}/payments/transfers", token, body)
    assert status == 201
    assert {name: answer[name] for name in body} == body
    assert answer["receipt_to"] == "[REDACTED:email]"
    status, again = client("GET", f"{addresses['calls']}/payments/transfers/{answer['id']}", token, None)
    assert (status, again) == (200, answer)


def test_a_query_reaches_the_target(client: Client, addresses: dict[str, str], token: str) -> None:
    query = urllib.parse.urlencode({"status": "pending", "limit": 1})
    status, answer = client("GET", f"{addresses['calls']}/payments/transfers?{query}", token, None)
    assert status == 200
    assert [transfer["status"] for transfer in answer["transfers"]] == ["pending"]


def test_an_answer_is_masked(client: Client, addresses: dict[str, str], token: str) -> None:
    status, answer = client("GET", f"{addresses['calls']}/payments/customers/c-1001", token, None)
    assert status == 200
    assert [card["number"] for card in answer["cards"]] == ["[REDACTED:credit_card]"] * 2
    assert (answer["ssn"], answer["email"], answer["tier"]) == ("[REDACTED:us_ssn]", "[REDACTED:email]", "gold")


def test_the_target_sees_its_own_credential_only(client: Client, addresses: dict[str, str], token: str) -> None:
    status, answer = client("GET", f"{addresses['calls']}/payments/echo", token, None)
    assert (status, answer["credential"]) == (200, "[CREDENTIAL]")
    assert token not in json.dumps(answer)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/payments/transfers", {"to": "c-1001", "amount": 1, "currency": "USD"}, 403, "policy.denied"),
        ("POST", "/payments/transfers", {"to": "c-1001", "amount": 99999, "currency": "EUR"}, 403, "approval.pending"),
        ("POST", "/payments/transfers", {"to": "c-1001", "currency": "EUR"}, 400, "request.invalid"),
        ("DELETE", "/payments/customers/c-1001", None, 403, "policy.denied"),
        ("GET", "/payments/ledger", None, 403, "function.unknown"),
        ("GET", "/elsewhere/transfers", None, 403, "function.unknown"),
    ],
)
def test_a_refused_call_tells_its_code(
    client: Client,
    addresses: dict[str, str],
    token: str,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    status: int,
    code: str,
) -> None:
    seen, answer = client(method, addresses["calls"] + path, token, body)
    assert (seen, answer["code"], answer["status"]) == (status, code, status)
    assert answer["call_id"]


def test_a_bad_token_is_refused(client: Client, addresses: dict[str, str], token: str) -> None:
    status, answer = client("GET", f"{addresses['calls']}/payments/whoami", token[:-8] + "AAAAAAAA", None)
    assert (status, answer["code"]) == (401, "identity.invalid")


def test_many_calls_at_once_on_few_connections(addresses: dict[str, str], token: str) -> None:
    async def ask(session: aiohttp.ClientSession, amount: int) -> tuple[int, int]:
        body = {"to": "c-1002", "amount": amount, "currency": "EUR"}
        async with session.post(f"{addresses['calls']}/payments/transfers", json=body) as answer:
            return answer.status, (await answer.json()).get("amount", 0)

    async def ask_all() -> list[tuple[int, int]]:
        few = aiohttp.TCPConnector(limit=8)
        headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=1"}
        async with aiohttp.ClientSession(connector=few, headers=headers) as session:
            return await asyncio.gather(*(ask(session, amount) for amount in range(1, 101)))

    assert asyncio.run(ask_all()) == [(201, amount) for amount in range(1, 101)]
