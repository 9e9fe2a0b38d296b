"""The script: who tries what, and what has to come of it. It holds no explanation of any decision.

Why a call was allowed or refused is read from funcgate's own journal (record.py); the script only knows the outcome
that it expects, so that a demo in which something goes wrong says so instead of telling a story.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import httpx
from msgspec import Struct

from .approver import Approver
from .payments import fingerprint
from .provider import DEMO_PEOPLE


class Step(Struct, frozen=True, kw_only=True):
    """One call of the scenario and its expected outcome.

    `function` is what the journal must call it, "" for a call that never became one. `show` picks members of the answer
    for the table; `hides` and `shows` are texts that the answer must not and must hold. `answer` is what a human says while
    the caller waits, as long as `prefer` asks for (RFC 7240).
    """

    name: str
    caller: str
    method: str
    path: str
    status: int
    function: str = ""
    code: str = ""
    token: Literal["fresh", "expired", "none"] = "fresh"  # noqa: S105
    body: Mapping[str, Any] | None = None
    show: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    prefer: str = ""
    answer: Literal["", "approve", "reject"] = ""


class Tried(Struct, frozen=True, kw_only=True):
    """What came of a step. `call_id` is the gateway's name for it; `spent_ms` the time in the gateway by its own account."""

    step: Step
    status: int
    code: str
    call_id: str
    text: str
    answer: Any
    spent_ms: str


def _transfer(amount: int, currency: str = "EUR") -> dict[str, Any]:
    return {"to": "c-1001", "amount": amount, "currency": currency}


STEPS: tuple[Step, ...] = (
    Step(
        name="allowed", caller="payments-agent", method="POST", path="/payments/transfers", body=_transfer(250),
        status=201, function="payments.createTransfer", show=("id", "amount", "status"),
    ),
    Step(
        name="masked answer", caller="payments-agent", method="GET", path="/payments/customers/c-1001",
        status=200, function="payments.getCustomer", show=("email", "ssn"),
        hides=("4111 1111 1111 1111", "5555555555554444", "3782 822463 10005", "524-71-3906", "c1001@example.com",
               "books@c1001.example.net", "correct horse"),
        shows=("[REDACTED:credit_card]", "[REDACTED:us_ssn]", "[REDACTED:email]", "gold"),
    ),
    Step(
        name="whose credential", caller="payments-agent", method="GET", path="/payments/whoami",
        status=200, function="payments.whoami", show=("scheme", "fingerprint"),
    ),
    Step(
        name="credential echoed", caller="payments-agent", method="GET", path="/payments/echo",
        status=200, function="payments.echoHeaders", show=("credential",), shows=("[CREDENTIAL]",),
    ),
    Step(
        name="denied by group", caller="support-agent", method="POST", path="/payments/transfers", body=_transfer(250),
        status=403, function="payments.createTransfer", code="policy.denied",
    ),
    Step(
        name="denied by argument", caller="payments-agent", method="POST", path="/payments/transfers",
        body=_transfer(250, "USD"), status=403, function="payments.createTransfer", code="policy.denied",
    ),
    Step(
        name="deny wins", caller="nightly-job", method="POST", path="/payments/transfers", body=_transfer(250),
        status=403, function="payments.createTransfer", code="policy.denied",
    ),
    Step(
        name="held, approved", caller="payments-agent", method="POST", path="/payments/transfers",
        body=_transfer(25_000), status=201, function="payments.createTransfer", show=("id", "amount", "status"),
        prefer="wait=30", answer="approve",
    ),
    Step(
        name="held, rejected", caller="payments-agent", method="POST", path="/payments/transfers",
        body=_transfer(90_000), status=403, function="payments.createTransfer", code="approval.rejected",
        prefer="wait=30", answer="reject",
    ),
    Step(
        name="held, nobody there", caller="payments-agent", method="POST", path="/payments/transfers",
        body=_transfer(50_000), status=403, function="payments.createTransfer", code="approval.pending", prefer="wait=0",
    ),
    Step(
        name="unknown function", caller="payments-agent", method="GET", path="/payments/ledger",
        status=403, code="function.unknown",
    ),
    Step(
        name="wrong argument", caller="payments-agent", method="POST", path="/payments/transfers",
        body={**_transfer(250), "amount": "a lot"}, status=400, code="request.invalid",
    ),
    Step(
        name="expired token", caller="payments-agent", method="GET", path="/payments/whoami", token="expired",  # noqa: S106
        status=401, code="identity.expired",
    ),
    Step(
        name="no token", caller="nobody", method="GET", path="/payments/whoami", token="none",  # noqa: S106
        status=401, code="identity.missing",
    ),
)  # fmt: skip


class Wallet:
    """The callers' tokens, as the provider gave them."""

    def __init__(self, provider: str, client: httpx.Client) -> None:
        self._tokens: dict[tuple[str, str], str] = {}
        self._provider = provider
        self._client = client

    def token(self, caller: str, kind: str = "fresh", lifetime_s: int = 600) -> str:
        """The caller's token, asked for once. `kind` is ``fresh`` or ``expired``."""
        if (caller, kind) not in self._tokens:
            form = {
                "grant_type": "client_credentials",
                "client_id": caller,
                "client_secret": DEMO_PEOPLE[caller].secret,
            }
            form["lifetime"] = str(-600 if kind == "expired" else lifetime_s)
            answer = self._client.post(f"{self._provider}/token", data=form).raise_for_status()
            self._tokens[caller, kind] = answer.json()["access_token"]
        return self._tokens[caller, kind]


def attempt(step: Step, calls_url: str, client: httpx.Client, wallet: Wallet, approver: Approver) -> Tried:
    """Make the step's call; if a human has to answer, another thread waits with it meanwhile."""
    if not step.answer:
        return _called(step, calls_url, client, wallet)
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(_called, step, calls_url, client, wallet)
        approver.answer(step.answer, _REASONS[step.answer])
        return waiting.result()


_REASONS = {"approve": "invoice 2026-118 is due", "reject": "ask me in person"}


def _called(step: Step, calls_url: str, client: httpx.Client, wallet: Wallet) -> Tried:
    headers = {"Prefer": step.prefer} if step.prefer else {}
    headers |= {} if step.token == "none" else {"Authorization": f"Bearer {wallet.token(step.caller, step.token)}"}  # noqa: S105
    answer = client.request(step.method, calls_url + step.path, json=step.body, headers=headers)
    try:
        parsed = answer.json()
    except ValueError:
        parsed = None
    is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    return Tried(
        step=step,
        status=answer.status_code,
        code=parsed.get("code", "") if is_problem and isinstance(parsed, dict) else "",
        call_id=answer.headers.get("funcgate-call-id", ""),
        text=answer.text,
        answer=parsed,
        spent_ms=answer.headers.get("server-timing", "").rpartition("dur=")[2],
    )


def complaints(tried: Tried, api_key: str, token: str) -> list[str]:
    """What is not as the step expects. The values of secrets are never part of it."""
    step, found = tried.step, []
    if (tried.status, tried.code) != (step.status, step.code):
        found.append(f"expected {step.status} {step.code or 'ok'}, got {tried.status} {tried.code or 'ok'}")
    if not tried.call_id:
        found.append("the reply names no call (Funcgate-Call-Id)")
    found += [f"the answer shows {text!r}" for text in step.hides if text in tried.text]
    found += [f"the answer does not show {text!r}" for text in step.shows if text not in tried.text]
    if api_key in tried.text or (token and token in tried.text):
        found.append("the answer shows a credential")
    if step.name == "whose credential" and tried.answer.get("fingerprint") != fingerprint(api_key):
        found.append("the target saw another credential than the configured one")
    return found
