"""P5: an approval runs once, for the very bytes that the approver saw, for that caller, before it expires.

All through a real gateway: callers are HTTP clients, approvers use the admin API, the target keeps a ledger.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support.authority import Authority
from support.gate import Gate, until
from support.target import Target

POLICIES = [
    {
        "name": "orders", "effect": "require_approval", "functions": ["*.order"], "principals": ["group:agents"],
        "approval": {"approvers": ["group:finance"], "expires": "10m", "max_pending": 0},
    },
    {"name": "rest", "effect": "allow", "functions": ["shop.read"], "principals": ["group:agents"]},
]  # fmt: skip
FUNCTIONS: list[dict[str, Any]] = [
    {"name": "read", "http": "GET /read"},
    {
        "name": "order", "http": "POST /orders/{account}",
        "args": {
            "account": "string", "amount": {"type": "number", "required": True}, "note": "string", "extra": {},
            "x-region": {"type": "string", "in": "header"}, "dry": {"type": "string", "in": "query"},
        },
    },
]  # fmt: skip
BODY = b'{"amount":25000,"note":"rent"}'
PATH = "/shop/orders/DE12"


class Room:
    """A gateway with approvals, and the people around it."""

    def __init__(self, gate: Gate, authority: Authority, target: Target) -> None:
        self.gate, self.target = gate, target
        self.client = httpx.Client(verify=False, timeout=30, limits=httpx.Limits(max_connections=80))
        self.agent = authority.token("agent-7")
        self.other = authority.token("agent-8")
        self.bob = authority.token("bob", ("finance",))

    def call(
        self, *, body: bytes = BODY, wait: float = 0, path: str = PATH, method: str = "POST", **changes: Any
    ) -> httpx.Response:
        headers = {
            "authorization": f"Bearer {changes.pop('token', self.agent)}", "content-type": "application/json",
            "prefer": f"wait={wait:g}", **changes.pop("headers", {}),
        }  # fmt: skip
        target = {"target": path.encode()}  # as it is spelled: the client would tidy it up
        return self.client.request(method, self.gate.url, content=body, headers=headers, extensions=target, **changes)

    def api(self, method: str, path: str, token: str = "", json: Any = None) -> httpx.Response:
        url = f"http://127.0.0.1:{self.gate.console}/api/v1/{path}"
        return self.client.request(method, url, headers={"authorization": f"Bearer {token or self.bob}"}, json=json)

    def approved(self, **call: Any) -> str:
        """Have one call held, and approve it; its approval."""
        answer = self.call(**call)
        assert answer.status_code == 403, answer.text
        name = str(answer.json()["approval"]["id"])
        assert self.api("POST", f"approvals/{name}/approve").json()["state"] == "approved"
        return name

    @property
    def orders(self) -> int:
        return sum(request.path.startswith("/orders") for request in self.target.ledger)


@pytest.fixture(scope="module")
def gate(authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    from support.gate import settings

    changes: dict[str, Any] = {
        "policies": POLICIES,
        "masking": [{"functions": ["*"], "detect": "all"}],
        "target": {"limits": {"max_wait": "20s"}, "forward_headers": ["X-Forwarded-Thing"]},
    }
    configuration = settings(authority, shared_target.url, FUNCTIONS, **changes)
    configuration["targets"].append({**configuration["targets"][0], "name": "mall"})  # the same place by another name
    running = Gate(tmp_path_factory.mktemp("held"), configuration).start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def room(gate: Gate, authority: Authority, target: Target) -> Room:
    return Room(gate, authority, target)


def test_a_call_is_held_until_it_is_approved_over_plain_http(room: Room) -> None:
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(room.call, wait=20)
        held = until(lambda: room.api("GET", "approvals?state=pending").json()["approvals"])
        assert room.orders == 0
        (one,) = [each for each in held if each["principal"]["subject"] == "agent-7"]
        assert one["args"] == {"account": "DE12", "amount": 25000, "note": "rent"}
        assert room.api("POST", f"approvals/{one['id']}/approve", json={"reason": "fine"}).status_code == 200
        answer = waiting.result()
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert [request.body for request in room.target.ledger] == [BODY]
    kept = room.api("GET", f"approvals/{one['id']}").json()
    assert (kept["state"], kept["used_by"]) == ("used", answer.headers["funcgate-call-id"])


def test_what_a_held_caller_is_told(room: Room) -> None:
    answer = room.call(body=b'{"amount":26000}')
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (403, "approval.pending")
    assert answer.headers["content-type"] == "application/problem+json"
    assert 0 < int(answer.headers["retry-after"]) <= 30
    assert problem["approval"]["approvers"] == ["group:finance"]
    assert "Prefer: wait" in problem["detail"]
    assert "orders" not in str(
        {**problem, "detail": ""}
    )  # neither the policy's name nor anything else of the configuration

    accepted = room.call(body=b'{"amount":26000}', headers={"prefer": "respond-async"})
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    assert accepted.json()["approval"]["id"] == problem["approval"]["id"]
    assert room.orders == 0


def test_an_approved_call_runs_once_when_it_is_sent_again(room: Room) -> None:
    name = room.approved(body=b'{"amount":27000}')
    assert room.call(body=b'{"amount":27000}').status_code == 200
    again = room.call(body=b'{"amount":27000}', headers={"funcgate-approval": name})
    assert (again.status_code, again.json()["code"]) == (403, "approval.used")
    assert room.call(body=b'{"amount":27000}').json()["code"] == "approval.pending"
    assert room.orders == 1


def test_approvers_see_the_header_fields_that_go_along(room: Room) -> None:
    sent = {"x-region": "eu", "x-dry-run": "false", "x-api-key": "k-1234567", "x-mail": "jane.roe@example.com"}
    answer = room.call(body=b'{"amount":27500}', headers=sent)
    shown = room.api("GET", f"approvals/{answer.json()['approval']['id']}").json()["fields"]
    assert {"x-dry-run: false", "x-region: eu", "x-api-key: (not shown)"} <= set(shown)
    assert "k-1234567" not in str(shown)
    assert "jane.roe" not in str(shown)


def test_a_rejected_call_does_not_run(room: Room) -> None:
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(room.call, wait=20, body=b'{"amount":28000}')
        held = until(lambda: [one for one in _pending(room) if one["args"]["amount"] == 28000])
        room.api("POST", f"approvals/{held[0]['id']}/reject", json={"reason": "too much"})
        answer = waiting.result()
    assert (answer.status_code, answer.json()["code"]) == (403, "approval.rejected")
    assert "too much" not in answer.text
    assert room.orders == 0


def test_64_copies_sent_at_once_run_once(room: Room) -> None:
    with ThreadPoolExecutor(64) as callers:
        waiting = [callers.submit(room.call, wait=20, body=b'{"amount":29000}') for _ in range(64)]
        held = until(lambda: [one for one in _pending(room) if one["args"]["amount"] == 29000])
        time.sleep(0.5)
        assert len(held) == 1
        room.api("POST", f"approvals/{held[0]['id']}/approve")
        answers = [each.result() for each in waiting]
    ran = [answer for answer in answers if answer.status_code == 200]
    assert len(ran) == 1
    assert room.orders == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code != 200} <= {
        "approval.used",
        "approval.pending",
    }


def _pending(room: Room) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = room.api("GET", "approvals?state=pending").json()["approvals"]
    return found


def _other_digit(position: int) -> bytes:
    digits = list(b"31415926")
    digits[position] = b"0"[0] if digits[position] != b"0"[0] else b"9"[0]
    return b'{"amount":%b,"note":"rent"}' % bytes(digits)


APPROVED = b'{"amount":31415926,"note":"rent"}'
MUTATIONS: list[tuple[str, dict[str, Any]]] = [
    *[(f"digit {position}", {"body": _other_digit(position)}) for position in range(8)],
    *[
        (f"byte {at}", {"body": APPROVED[:at] + bytes([APPROVED[at] ^ flip]) + APPROVED[at + 1 :]})
        for at in range(len(APPROVED))
        for flip in (1, 2, 4)
    ],
    *[(f"blank at {at}", {"body": APPROVED[:at] + b" " + APPROVED[at:]}) for at in (0, 1, 9, 10, 18, 19, 26, 32, 33)],
    ("key order", {"body": b'{"note":"rent","amount":31415926}'}),
    ("number 1", {"body": b'{"amount":31415926.0,"note":"rent"}'}),
    ("number 2", {"body": b'{"amount":3.1415926e7,"note":"rent"}'}),
    ("number 3", {"body": b'{"amount":31415926e0,"note":"rent"}'}),
    ("escape", {"body": b'{"amount":31415926,"note":"\\u0072ent"}'}),
    ("case", {"body": b'{"amount":31415926,"note":"Rent"}'}),
    ("one more", {"body": b'{"amount":31415926,"note":"rent","extra":1}'}),
    ("null more", {"body": b'{"amount":31415926,"note":"rent","extra":null}'}),
    ("one less", {"body": b'{"amount":31415926}'}),
    ("twice", {"body": b'{"amount":31415926,"note":"rent","note":"rent"}'}),
    ("nothing", {"body": b""}),
    ("array", {"body": b"[" + APPROVED + b"]"}),
    ("two", {"body": APPROVED + APPROVED}),
    ("BOM", {"body": b"\xef\xbb\xbf" + APPROVED}),
    *[(f"method {method}", {"method": method}) for method in ("PUT", "PATCH", "GET", "DELETE", "OPTIONS")],
    *[
        (f"path {path}", {"path": path})
        for path in (
            "/shop/orders/DE13", "/shop/orders/de12", "/shop/orders/DE12/", "/shop//orders/DE12",
            "/shop/orders/%44E12", "/shop/orders/DE12?",
            "/shop/orders/DE12?dry=1", "/shop/orders/DE12;a=1", "/shop/orders/./DE12", "/shop/x/../orders/DE12",
            "/shop/orders/DE12%20",
            "/shop/orders/DE12#x", "/shop/ORDERS/DE12", "/Shop/orders/DE12", "/shop/orders/DE12%00",
            "/shop/orders/DE12/..", "/shop/orders/DE1%32",
        )
    ],
    *[
        (f"header {name}", {"headers": {name: value}})
        for name, value in (
            ("content-type", "application/json; charset=utf-8"), ("content-type", "application/merge-patch+json"),
            ("content-type", "text/plain"),
            ("x-region", "eu"), ("x-region", ""), ("idempotency-key", "k2"), ("x-amount", "1"),
            ("x-forwarded-thing", "1"), ("if-match", "*"),
            ("content-language", "de"), ("x-tenant", "2"), ("content-encoding", "identity"), ("x-account", "DE13"),
            ("origin", "https://evil.test"),
            ("x-dry-run", "false"), ("content-md5", "AAAA"), ("digest", "sha-256=AAAA"),
            ("content-disposition", "attachment"), ("slug", "x"),
            ("x-csrf-token", "1"), ("x-api-version", "2"), ("x-user-id", "bob"), ("link", "<x>"), ("warning", "1"),
            ("via", "1.1 x"), ("from", "a@b.test"),
            ("referer", "https://x.test/"), ("max-forwards", "1"), ("x-debug", "1"), ("x-trace", "1"),
            ("accept-charset", "latin1"),
        )
    ],
    *[(f"target {path}", {"path": path}) for path in ("/mall/orders/DE12", "/mall/orders/DE12?dry=1", "/mal/orders/DE12")],
    *[
        (f"note {more}", {"body": b'{"amount":31415926,"note":"rent%b"}' % more})
        for more in (b" ", b".", b"s", b"\\n", b"\\u200b", b"\\u0000")
    ],
    *[
        (f"amount {text}", {"body": b'{"amount":%b,"note":"rent"}' % text})
        for text in (
            b"-31415926", b"031415926", b"314159260", b"3141592", b"31415926.5", b'"31415926"', b"true", b"null",
            b"[31415926]", b"31415926e1", b"+31415926",
        )
    ],
    ("caller", {"token": "other"}),
    ("nobody", {"token": "bad"}),
]  # fmt: skip


def test_no_mutation_of_an_approved_call_runs(room: Room) -> None:
    """Each is sent on its own, and once more naming the approval; then the very call itself runs, so it was usable all along."""
    name = room.approved(body=APPROVED)
    ran: list[str] = []
    tokens = {"other": room.other, "bad": "a.b.c", "": room.agent}
    for label, mutation in MUTATIONS:
        change = {"body": APPROVED, **mutation, "token": tokens[mutation.get("token", "")]}
        for named in ({}, {"funcgate-approval": name}):
            before = room.orders
            answer = room.call(**{**change, "headers": {**change.get("headers", {}), **named}})
            if answer.status_code < 400 or room.orders != before:
                ran.append(f"{label} {named}: {answer.status_code}")
    assert ran == []
    assert room.call(body=APPROVED, headers={"user-agent": "another/2.0", "x-request-id": "7"}).status_code == 200
    assert room.orders == 1


def test_there_are_200_mutations() -> None:
    assert len({str(mutation) for _, mutation in MUTATIONS}) >= 200


def test_time_passes_and_nothing_runs(make_gate: Callable[..., Gate], authority: Authority, target: Target) -> None:
    policies = [{**POLICIES[0], "approval": {"approvers": ["group:finance"], "expires": "4s"}}]
    room = Room(
        make_gate(FUNCTIONS, policies=policies, target={"limits": {"max_wait": "20s"}}).start(), authority, target
    )
    name = room.approved()
    time.sleep(4.1)
    answer = room.call(headers={"funcgate-approval": name})
    assert (answer.status_code, answer.json()["code"]) == (403, "approval.expired")
    assert room.api("POST", f"approvals/{name}/approve").status_code == 409
    until(lambda: room.api("GET", f"approvals/{name}").json()["state"] == "expired")
    assert room.orders == 0


def test_what_was_approved_for_one_schema_does_not_run_by_the_next(
    make_gate: Callable[..., Gate], authority: Authority, target: Target
) -> None:
    """The function means something else by the time the same call is sent again: it asks anew."""
    gate = make_gate(FUNCTIONS, policies=POLICIES, target={"limits": {"max_wait": "20s"}}).start()
    name = Room(gate, authority, target).approved()
    assert gate.stop() == 0
    text = gate.file.read_text()
    assert "note: string" in text
    gate.file.write_text(text.replace("note: string", "note: {type: string, maxLength: 40}"))
    gate.start()
    room = Room(gate, authority, target)
    again = room.call(headers={"funcgate-approval": name})
    assert (again.status_code, again.json()["code"]) == (403, "approval.expired")
    anew = room.call().json()
    assert (anew["code"], anew["approval"]["id"] != name) == ("approval.pending", True)
    assert room.orders == 0
    assert room.api("GET", f"approvals/{name}").json()["why"] == "the function changed"
