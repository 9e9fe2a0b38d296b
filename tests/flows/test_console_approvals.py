"""Held calls answered on the console's pages: what is shown, what may be said, and what pages from elsewhere cannot do."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support.browser import Browser, Page
from support.gate import Gate, free_port, until
from support.provider import Provider
from support.target import Target

POLICY = {
    "name": "orders", "effect": "require_approval", "functions": ["shop.order"], "principals": ["group:agents"],
    "approval": {"approvers": ["group:finance"], "expires": "10m", "grants": {"calls": 3, "expires": "1h"}},
}  # fmt: skip
EVIL = "<script>alert(1)</script>\"'><b>"


class House:
    """A gateway with a console at which people sign in, and their browsers."""

    def __init__(self, gate: Gate, provider: Provider, url: str) -> None:
        self.gate, self.provider, self.url = gate, provider, url
        self._browsers: dict[str, Browser] = {}

    def browser(self, subject: str) -> Browser:
        """Signed in as somebody."""
        if subject not in self._browsers:
            self._browsers[subject] = Browser()
            assert subject in self._browsers[subject].sign_in(f"{self.url}/approvals", subject).text
        return self._browsers[subject]

    def order(self, body: dict[str, Any], wait: int = 0) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_id": "agent-7", "client_secret": "demo"}
        token = httpx.post(f"{self.provider.url}/token", data=form, trust_env=False).json()["access_token"]
        headers = {"authorization": f"Bearer {token}", "prefer": f"wait={wait}", "funcgate-reason": "invoice 7"}
        return httpx.post(f"{self.gate.url}/shop/orders", json=body, headers=headers, timeout=30, trust_env=False)

    def held(self, body: dict[str, Any]) -> str:
        """The address of the approval's page, as the caller was told it."""
        return str(self.order(body).json()["approval_url"])

    def answered(self) -> list[dict[str, Any]]:
        return [entry for entry in self.gate.entries() if entry["kind"] == "answered"]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    running = Provider().start()
    yield running
    running.stop()


@pytest.fixture
def house(make_gate: Callable[..., Gate], provider: Provider) -> Iterator[House]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    issuers = [{"name": "corp", "issuer": provider.url, "audience": "funcgate"}]
    sign_in = {"issuer": "corp", "client_id": "console", "public_url": url}
    gate = make_gate(
        listen={"calls": "127.0.0.1:0", "console": f"127.0.0.1:{port}"}, issuers=issuers, policies=[POLICY],
        console={"sign_in": sign_in}, roles={"admin": ["group:platform"]}, target={"limits": {"max_wait": "20s"}},
    ).start()  # fmt: skip
    made = House(gate, provider, url)
    yield made
    for browser in made._browsers.values():
        browser.close()


def test_a_waiting_call_is_approved_in_the_browser(house: House, target: Target) -> None:
    bob = house.browser("bob")
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(house.order, {"amount": 250, "note": "pay \u202e00052\u202c now", "extra": EVIL}, 20)
        (link,) = until(lambda: links(bob.get(f"{house.url}/approvals")))
        shown = bob.get(f"{house.url}{link}")
        for text in ("agent-7", "shop.order", "invoice 7", "250", "⟨U+202E⟩00052⟨U+202C⟩", "1 of group:finance"):
            assert text in shown.text
        assert "<script>alert" not in shown.text
        assert "&lt;script&gt;alert" in shown.text
        assert target.ledger == []
        after = bob.press(shown, "approve", reason="fine <b>")
        assert waiting.result().status_code == 200
    assert "approved by bob" in after.text
    assert "(fine &lt;b&gt;)" in after.text
    (answer,) = house.answered()
    assert (answer["outcome"], answer["change"]["channel"], answer["principal"]["subject"]) == ("yes", "console", "bob")
    assert len(target.ledger) == 1
    assert "Nothing waits" in bob.get(f"{house.url}/approvals").text
    assert "ran as" in bob.get(f"{house.url}/approvals?state=all").text


def links(page: Page) -> list[str]:
    return [link for link in page.links if link.startswith("/approvals/")]


def test_who_may_not_answer_sees_why_or_nothing(house: House) -> None:
    url = house.held({"amount": 1})
    eve, agent, root = house.browser("eve"), house.browser("agent-7"), house.browser("root")
    assert (eve.get(url).status, "no such approval" in eve.get(url).text) == (404, True)
    assert links(eve.get(f"{house.url}/approvals")) == []
    # Attack: somebody who may not see it sends the form of somebody who may.
    stolen = house.browser("bob").get(url)
    csrf = eve.get(f"{house.url}/approvals").form("/sign-out")["fields"]["csrf"]
    assert eve.press(stolen, "approve", csrf=csrf).status == 404
    own = agent.get(url)
    assert "own call" in own.text
    assert own.has("cancel")
    assert not own.has("approve")
    seen = root.get(url)  # an administrator sees all, and is no approver
    assert seen.status == 200
    assert not seen.has("approve")
    assert "not among the approvers" in seen.text
    csrf = seen.form("/sign-out")["fields"]["csrf"]
    refused = root.press(stolen, "approve", csrf=csrf)
    assert refused.status == 409
    assert "not among the approvers" in refused.text
    assert "cancelled" in agent.press(own, "cancel").text


def test_a_rejected_call_stays_rejected(house: House) -> None:
    url, bob = house.held({"amount": 1}), house.browser("bob")
    shown = bob.get(url)
    assert "rejected by bob" in bob.press(shown, "reject", reason="no").text
    late = bob.press(shown, "approve")
    assert late.status == 409
    assert "already" in late.text
    assert house.order({"amount": 1}).json()["code"] == "approval.rejected"
    assert [entry["outcome"] for entry in house.answered()] == ["no", "refused"]


def test_a_grant_in_the_browser(house: House, target: Target) -> None:
    bob = house.browser("bob")
    shown = bob.get(house.held({"amount": 5}))
    assert bob.press(shown, "grant", calls="2", **{"for": "10m"}).status == 400  # without being sure
    assert bob.press(shown, "grant", calls="two", sure="yes", **{"for": "10m"}).status == 400
    wide = bob.press(shown, "grant", calls="9", sure="yes", **{"for": "10m"})
    assert wide.status == 409
    assert "At most 3 calls" in wide.text
    bob.press(shown, "grant", calls="3", sure="yes", **{"for": "10m", "from.0": "1", "to.0": "10"})
    assert [house.order({"amount": amount}).status_code for amount in (5, 7, 11)] == [200, 200, 403]
    granted = bob.get(f"{house.url}/grants")
    assert "amount from 1 to 10" in granted.text
    assert "1 of 3" in granted.text
    eve = house.browser("eve")
    (form,) = [each for each in granted.forms if each["action"].endswith("/revoke")]
    assert "No standing approval" in eve.get(f"{house.url}/grants").text
    csrf = eve.get(f"{house.url}/grants").form("/sign-out")["fields"]["csrf"]
    assert eve.press(granted, form["action"], csrf=csrf).status == 404
    assert "No standing approval" in bob.press(granted, form["action"]).text
    assert house.order({"amount": 7}).status_code == 403
    assert len(target.ledger) == 2


def test_a_form_from_elsewhere_does_nothing(house: House) -> None:
    url, bob = house.held({"amount": 1}), house.browser("bob")
    shown = bob.get(url)
    theirs = house.browser("eve").get(f"{house.url}/approvals").form("/sign-out")["fields"]["csrf"]
    for origin in ("https://evil.example", "null", "", f"{house.url}.evil.example", f"{house.url}/"):
        refused = bob.press(shown, "approve", origin=origin)
        assert refused.status == 403
        assert "nothing was done" in refused.text
    for csrf in ("", "x", theirs):
        refused = bob.press(shown, "approve", csrf=csrf)
        assert refused.status == 403
        assert "nothing was done" in refused.text
    form = shown.form("approve")
    headers = {"origin": house.url, "content-type": "text/plain"}
    assert (
        bob.client.post(url, content=f"csrf={form['fields']['csrf']}&verb=approve", headers=headers).status_code == 415
    )
    headers["content-type"] = "application/x-www-form-urlencoded"
    twice = f"csrf={form['fields']['csrf']}&verb=reject&verb=approve"
    assert bob.client.post(url, content=twice, headers=headers).status_code == 400
    assert house.answered() == []
    assert "waiting" in bob.get(url).text


def test_what_a_browser_is_told(house: House) -> None:
    url, bob = house.held({"amount": 1}), house.browser("bob")
    for address in (url, f"{house.url}/approvals", f"{house.url}/grants", f"{house.url}/approvals/none"):
        headers = bob.get(address).answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    assert bob.get(f"{house.url}/console.css").answer.headers["content-type"].startswith("text/css")
    # Attack: a GET that answers, for scanners, prefetching and images.
    assert bob.get(f"{url}/approve").status in (404, 405)
    assert bob.client.get(f"{url}?verb=approve").status_code == 200
    assert house.answered() == []


def test_a_cookie_opens_no_api(house: House) -> None:
    url, bob = house.held({"amount": 1}), house.browser("bob")
    name = url.rpartition("/")[2]
    assert bob.client.post(f"{house.url}/api/v1/approvals/{name}/approve").status_code == 401
    assert bob.client.get(f"{house.url}/api/v1/approvals").status_code == 401
