"""The sample payments service does what its OpenAPI description says, and only for who holds its key."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from openapi_spec_validator import validate
from ruamel.yaml import YAML

from funcgate.demo.payments import fingerprint, make_payments

KEY = "pay_a-key-for-tests"
DESCRIPTION = Path(__file__).parents[3] / "examples" / "payments.openapi.yaml"
Payments = TestClient[Litestar]


@pytest.fixture
def payments() -> Iterator[Payments]:
    with TestClient(make_payments(KEY)) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        yield client


def description() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(DESCRIPTION))


def test_the_description_is_valid_openapi() -> None:
    validate(description())


def test_every_described_operation_exists_and_is_guarded(payments: Payments) -> None:
    operations = [
        (method, path.replace("{transfer_id}", "t-1001").replace("{customer_id}", "c-1001"))
        for path, item in description()["paths"].items()
        for method in item
        if method != "parameters"
    ]
    assert len(operations) == 8
    for method, path in operations:
        assert payments.request(method, path, headers={"Authorization": ""}).status_code == 401, path
        assert payments.request(method, path, json={} if method == "post" else None).status_code in (200, 204, 400), (
            path
        )


@pytest.mark.parametrize("shown", ["", "Bearer", f"Bearer {KEY}x", f"bearer {KEY}", KEY, "Bearer é"])
def test_another_key_is_refused_and_leaves_no_trace(payments: Payments, shown: str) -> None:
    assert payments.get("/whoami", headers=[(b"Authorization", shown.encode())]).status_code == 401
    assert payments.get("/ledger").json()["received"] == 0


def test_transfers_are_booked_and_refunded(payments: Payments) -> None:
    order = {"to": "c-1001", "amount": 250, "currency": "EUR", "reference": "invoice 1"}
    made = payments.post("/transfers", json=order)
    assert made.status_code == 201
    number = made.json()["id"]
    assert payments.get(f"/transfers/{number}").json() == {
        **order, "id": number, "status": "booked", "refunded": 0, "receipt_to": "c1001@example.com",
    }  # fmt: skip
    assert payments.post(f"/transfers/{number}/refund", json={"amount": 200}).json()["refunded"] == 200
    assert payments.post(f"/transfers/{number}/refund", json={"amount": 51}).status_code == 409
    listed = payments.get("/transfers", params={"status": "booked", "limit": 1}).json()
    assert (len(listed["transfers"]), listed["total"]) == (1, 2)
    assert payments.get("/transfers/t-9999").status_code == 404
    assert payments.post("/transfers", json={**order, "amount": "a lot"}).status_code == 400


def test_customers_are_shown_in_the_clear_and_forgotten(payments: Payments) -> None:
    customer = payments.get("/customers/c-1001").json()
    assert customer["cards"][0]["number"] == "4111 1111 1111 1111"
    assert "@" in customer["email"]
    assert payments.delete("/customers/c-1001").status_code == 204
    assert payments.get("/customers/c-1001").status_code == 404


def test_it_tells_which_credential_it_saw(payments: Payments) -> None:
    assert payments.get("/whoami").json() == {
        "credential": "accepted", "scheme": "Bearer", "fingerprint": fingerprint(KEY),
    }  # fmt: skip
    assert payments.get("/echo").json()["credential"] == KEY


def test_the_ledger_holds_what_got_past_the_key_in_order(payments: Payments) -> None:
    body = b'{"to":"c-1002","amount":7,"currency":"EUR"}'
    payments.post("/transfers", content=body, headers={"Content-Type": "application/json"})
    payments.get("/transfers", params={"limit": "3"})
    payments.get("/ledger")
    lines = payments.get("/ledger").json()["lines"]
    assert [(line["number"], line["method"], line["path"], line["query"]) for line in lines] == [
        (1, "POST", "/transfers", ""), (2, "GET", "/transfers", "limit=3"),
    ]  # fmt: skip
    assert lines[0]["body_sha256"] == hashlib.sha256(body).hexdigest()
    assert [line["number"] for line in payments.get("/ledger", params={"after": 1}).json()["lines"]] == [2]
