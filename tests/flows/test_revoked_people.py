"""Revocations of people who answer in a browser: what they had open ends, and they do not get in again."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from support.browser import Browser
from support.gate import Gate, free_port
from support.provider import Provider

POLICY = {
    "name": "orders", "effect": "require_approval", "functions": ["shop.order"], "principals": ["group:agents"],
    "approval": {"approvers": ["group:finance"], "expires": "10m"},
}  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    running = Provider().start()
    yield running
    running.stop()


def test_a_revocation_ends_what_is_open_in_a_browser(make_gate: Callable[..., Gate], provider: Provider) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    gate = make_gate(
        listen={"calls": "127.0.0.1:0", "console": f"127.0.0.1:{port}"}, policies=[POLICY], roles={"admin": ["user:agent-7"]},
        issuers=[{"name": "corp", "issuer": provider.url, "audience": "funcgate"}],
        console={"sign_in": {"issuer": "corp", "client_id": "console", "public_url": url}},
    ).start()  # fmt: skip
    form = {"grant_type": "client_credentials", "client_id": "agent-7", "client_secret": "demo"}
    token = httpx.post(f"{provider.url}/token", data=form, trust_env=False).json()["access_token"]
    bob, again = Browser(), Browser()
    try:
        assert "bob" in bob.sign_in(f"{url}/approvals", "bob").text
        said = {"issuer": "corp", "subject": "bob", "reason": "left"}
        done = httpx.post(f"{url}/api/v1/revocations", json=said, headers={"authorization": f"Bearer {token}"})
        assert done.status_code == 201, done.text
        page = bob.get(f"{url}/approvals")
        assert page.url.startswith(f"{url}/sign-in")
        assert "is not accepted" in again.sign_in(f"{url}/approvals", "bob").text
        assert again.get(f"{url}/approvals").url.startswith(f"{url}/sign-in")
    finally:
        bob.close()
        again.close()
    refused = [each for each in gate.entries() if each["kind"] == "admin" and each.get("outcome") == "refused"]
    assert [entry["change"]["what"] for entry in refused] == ["sign-in"]
    assert done.json()["id"] in refused[0]["detail"]
