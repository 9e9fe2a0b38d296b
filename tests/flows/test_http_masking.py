"""Masking through the whole gateway: what the caller gets, what the journal keeps, what is refused."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support.gate import Gate, until
from support.target import Target, answer, chunked

CARD, MAIL, SSN = "4111 1111 1111 1111", "ann@example.com", "219-09-9999"


def get(gate: Gate, token: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"} | headers, timeout=60)


def test_an_answer_is_masked_and_recorded_as_masked(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = answer(json.dumps({"card": CARD, "mail": MAIL, "ssn": SSN, "kept": "plain"}).encode())
    reply = get(gate, token)
    shown = reply.json()
    assert shown["kept"] == "plain"
    assert not {CARD, MAIL, SSN} & set(shown.values())
    call = reply.headers["funcgate-call-id"]
    masked = {"credit_card": 1, "email": 1, "us_ssn": 1}
    ended = gate.ended(call)
    assert ("body" not in ended, ended["masked"], ended["body_bytes"]) == (True, masked, len(reply.content))
    (chunk,) = [entry for entry in gate.call_entries(call) if entry["kind"] == "chunk"]
    assert (chunk["body"], chunk["masked"], chunk["status"]) == (shown, masked, 200)
    assert (chunk["body_bytes"], chunk["function"]) == (len(reply.content), "shop.read")


@pytest.mark.parametrize(
    "body",
    [
        rb'{"a":"ann\u0040example.com"}',
        rb'{"a":"\u0061nn@example.com"}',
        b'{"ann@example.com":1}',
        b'["x",{"a":["ann@example.com"]}]',
        b'"ann@example.com"',
        b'{\n  "a" : "ann@example.com"\n}',
    ],
)
def test_json_is_masked_by_structure(gate: Gate, target: Target, token: str, body: bytes) -> None:
    target.answers["/read"] = answer(body)
    reply = get(gate, token)
    assert reply.status_code == 200
    assert MAIL not in json.dumps(reply.json())
    gate.ended(reply.headers["funcgate-call-id"])
    assert MAIL not in json.dumps(gate.call_entries(reply.headers["funcgate-call-id"]))


@pytest.mark.parametrize("number", ["4111111111111111", "4.111111111111111e15", "4111111111111111.0"])
def test_a_card_as_a_number_is_masked(gate: Gate, target: Target, token: str, number: str) -> None:
    target.answers["/read"] = answer(f'{{"a":{number}}}'.encode())
    shown = get(gate, token).json()
    assert isinstance(shown["a"], str)
    assert "1111111" not in shown["a"]


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_packed_answer_is_unpacked_to_be_masked(
    gate: Gate, target: Target, token: str, coding: str, pack: Callable[[bytes], bytes]
) -> None:
    target.answers["/read"] = answer(
        pack(json.dumps({"a": MAIL}).encode()), extra=f"Content-Encoding: {coding}\r\n".encode()
    )
    reply = get(gate, token)
    assert reply.status_code == 200
    assert "content-encoding" not in reply.headers
    assert MAIL not in reply.text


def test_pieces_are_masked_as_a_whole(gate: Gate, target: Target, token: str) -> None:
    text = f"mail {MAIL} card {CARD}".encode()
    for at in range(1, len(text)):
        target.answers["/read"] = chunked([text[:at], text[at:]], media="text/plain")
        shown = get(gate, token).text
        assert MAIL not in shown, at
        assert CARD not in shown, at


def test_header_values_are_masked(gate: Gate, target: Target, token: str) -> None:
    target.answers["/read"] = answer(extra=f"X-User: {MAIL}\r\n".encode())
    assert MAIL not in get(gate, token).headers["x-user"]


UNREADABLE: dict[str, bytes] = {
    "an unknown coding": answer(b"abc", extra=b"Content-Encoding: br\r\n"),
    "two codings": answer(gzip.compress(gzip.compress(b"{}")), extra=b"Content-Encoding: gzip, gzip\r\n"),
    "no gzip": answer(b"abc", extra=b"Content-Encoding: gzip\r\n"),
    "a cut gzip": answer(gzip.compress(b'{"a":1}' * 100)[:-12], extra=b"Content-Encoding: gzip\r\n"),
    "a bomb": answer(gzip.compress(b" " * (80 << 20)), extra=b"Content-Encoding: gzip\r\n"),
    "broken JSON": answer(b'{"a":'),
    "JSON that is no UTF-8": answer(b'{"a":"\xff"}'),
    "JSON in UTF-16": answer('{"a":1}'.encode("utf-16"), media="application/json; charset=utf-16"),
    "two documents": answer(b"{}{}"),
    "a binary type": answer(b"\x00\x01", media="application/octet-stream"),
    "no type": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "an unknown charset": answer(b"abc", media="text/plain; charset=utf-7"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused(gate: Gate, target: Target, token: str, name: str) -> None:
    target.answers["/read"] = UNREADABLE[name]
    reply = get(gate, token)
    assert (reply.status_code, reply.json()["code"]) == (502, "masking.refused")
    ended = gate.ended(reply.headers["funcgate-call-id"])
    assert (ended["code"], ended["outcome"]) == ("masking.refused", "refused")


def test_what_cannot_be_read_passes_where_it_is_said_so(
    make_gate: Callable[..., Gate], target: Target, token: str
) -> None:
    gate = make_gate(masking=[{"functions": ["shop.*"], "detect": "all"}], target={"unmaskable": "pass"}).start()
    target.answers["/read"] = answer(b"\x00\x01", media="application/octet-stream")
    assert get(gate, token).content == b"\x00\x01"
    target.answers["/read"] = answer(b'{"a":', media="application/json")
    assert get(gate, token).content == b'{"a":'


def test_fields_by_path(make_gate: Callable[..., Gate], target: Target, token: str) -> None:
    rules = [{"functions": ["shop.*"], "fields": ["**.password", "user.name"]}]
    gate = make_gate(masking=rules).start()
    body = {"password": "a", "list": [{"password": {"deep": 1}}], "user": {"name": "Ann", "age": 3}, "name": "kept"}
    target.answers["/read"] = answer(json.dumps(body).encode())
    shown: dict[str, Any] = get(gate, token).json()
    assert (shown["name"], shown["user"]["age"]) == ("kept", 3)
    assert "Ann" not in json.dumps(shown)
    assert "deep" not in json.dumps(shown)
    assert shown["password"] != "a"


def test_arguments_are_masked_in_the_journal_and_not_on_their_way(gate: Gate, target: Target, token: str) -> None:
    reply = httpx.post(
        f"{gate.url}/shop/orders",
        json={"amount": 1, "note": f"for {MAIL}"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert MAIL in target.ledger[0].body.decode()
    entries = until(lambda: gate.call_entries(reply.headers["funcgate-call-id"]))
    assert MAIL not in json.dumps(entries)
    assert entries[0]["args"]["amount"] == 1
