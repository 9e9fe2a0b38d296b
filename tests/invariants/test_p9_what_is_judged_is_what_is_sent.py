"""P9: the path, function and arguments judged are the ones that the target receives."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.gate import Gate, until
from support.raw import connect, read_all, statuses
from support.target import Target, answer

CORPUS = Path(__file__).parents[2] / "../shared/corpora/jsontestsuite/test_parsing"


def send(gate: Gate, token: str, line: bytes, *fields: bytes, host: bytes = b"gate", body: bytes = b"") -> bytes:
    head = [line, b"Host: " + host, b"Authorization: Bearer " + token.encode(), *fields, b"Connection: close"]
    if body:
        head.append(b"Content-Length: %d" % len(body))
    with connect(gate.calls) as sock:
        sock.sendall(b"\r\n".join([*head, b"", b""]) + body)
        return read_all(sock, quiet_s=5)


# Every way to spell a path that two servers might understand differently. None may reach the target, whatever the code is.
ATTACKS = [
    b"/shop/items/../read",
    b"/shop/items/./7",
    b"/shop/items/%2e%2e/read",
    b"/shop/items/%2E%2E/read",
    b"/shop/items/.%2e/read",
    b"/shop/items/..%2fread",
    b"/shop/items/7%2f..%2f..%2fread",
    b"/shop/items/a%2Fb",
    b"/shop/items/a%5cb",
    b"/shop/items/a\\b",
    b"/shop//items/7",
    b"//shop/items/7",
    b"/shop/items//7",
    b"/shop/items/7;admin=1",
    b"/shop;x/items/7",
    b"/shop/items/..;/read",
    b"/shop/items/%252e%252e/read",
    b"/shop/items/%252fetc",
    b"/shop/items/%c0%ae%c0%ae/read",
    b"/shop/items/%ff",
    b"/shop/items/%e0%80%af",
    b"/shop/items/%",
    b"/shop/items/%zz",
    b"/shop/items/%00",
    b"/shop/items/7%0d%0aX-Injected:%201",
    b"/shop/items/7#fragment",
    b"/SHOP/items/7",
    b"/shop/ITEMS/7",
    b"/shop/items/7/",
    b"*",
    b"shop/items/7",
    b"http://other.example/shop/items/7",
    b"http://user:pass@gate/shop/items/7",
    b"gate:80",
    b"/shop/items/7?verbose=true&verbose=false",
    b"/shop/items/7?verbose=true&unknown=1",
    b"/shop/items/7?verbose=%zz",
    b"/shop/items/7?verbose=%ff",
    b"/shop/items/7?verbose=true;verbose=false",
    b"/shop/items/7?verbose=maybe",
]


@pytest.mark.parametrize("path", ATTACKS)
def test_an_ambiguous_path_reaches_no_target(gate: Gate, target: Target, token: str, path: bytes) -> None:
    received = send(gate, token, b"GET " + path + b" HTTP/1.1")
    (status,) = statuses(received)
    assert status in (400, 403, 501), received
    assert target.ledger == []


# What is one path in two harmless spellings is normalised once, and sent as it was judged.
NORMALISED = {
    b"/shop/items/%41b": ("/items/Ab", {"id": "Ab"}),
    b"/shop/items/a%20b": ("/items/a%20b", {"id": "a b"}),
    b"/shop/items/%c3%a9": ("/items/%C3%A9", {"id": "é"}),
    b"/shop/items/7?verbose=true": ("/items/7?verbose=true", {"id": "7", "verbose": True}),
    b"/shop/items/7?verb%6fse=%74rue": ("/items/7?verbose=true", {"id": "7", "verbose": True}),
    b"http://gate/shop/items/7": ("/items/7", {"id": "7"}),
    b"/%73hop/items/7": ("/items/7", {"id": "7"}),
}


@pytest.mark.parametrize("path", NORMALISED)
def test_a_path_is_normalised_once(gate: Gate, target: Target, token: str, path: bytes) -> None:
    received = send(gate, token, b"GET " + path + b" HTTP/1.1")
    assert statuses(received) == [200], received
    (arrived,) = target.ledger
    url, args = NORMALISED[path]
    assert arrived.url == url
    call_id = arrived.header("funcgate-call-id")
    assert call_id is not None
    assert until(lambda: gate.call_entries(call_id))[0]["args"] == args


@pytest.mark.parametrize(
    "host", [b"a b", b"gate/", b"gate@other", b"[::1", b"gate:port", b"ga\xffte", b"gate:99999999"]
)
def test_a_bad_host_is_refused(gate: Gate, target: Target, token: str, host: bytes) -> None:
    (status,) = statuses(send(gate, token, b"GET /shop/read HTTP/1.1", host=host))
    assert status == 400
    assert target.ledger == []


def test_an_unknown_method_is_an_unknown_function(gate: Gate, target: Target, token: str) -> None:
    reply = httpx.delete(f"{gate.url}/shop/read", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["code"]) == (403, "function.unknown")
    assert target.ledger == []


BODIES: dict[str, bytes] = {
    "duplicate keys": b'{"amount":1,"amount":99}',
    "duplicate keys by escape": b'{"amount":1,"\\u0061mount":99}',
    "duplicate keys below": b'{"amount":1,"extra":{"a":1,"a":2}}',
    "keys that differ by case": b'{"amount":1,"AMOUNT":99}',
    "not JSON": b"amount=1",
    "two documents": b'{"amount":1}{"amount":99}',
    "trailing comma": b'{"amount":1,}',
    "NaN": b'{"amount":NaN}',
    "Infinity": b'{"amount":1,"extra":Infinity}',
    "a number beyond a double": b'{"amount":1,"extra":1e999}',
    "more digits than a double holds": b'{"amount":1,"extra":0.10000000000000000000001}',
    "byte order mark": b'\xef\xbb\xbf{"amount":1}',
    "UTF-16": '{"amount":1}'.encode("utf-16"),
    "not UTF-8": b'{"amount":1,"note":"\xff"}',
    "a lone surrogate": b'{"amount":1,"note":"\\ud800"}',
    "a string for an integer": b'{"amount":"1"}',
    "null for an integer": b'{"amount":null}',
    "a fraction for an integer": b'{"amount":1.5}',
    "nothing for a required member": b'{"note":"a"}',
    "an array": b"[1]",
    "too deep": b'{"amount":1,"extra":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "empty": b"",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_cannot_be_judged_reaches_no_target(gate: Gate, target: Target, token: str, name: str) -> None:
    received = send(gate, token, b"POST /shop/orders HTTP/1.1", b"Content-Type: application/json", body=BODIES[name])
    assert statuses(received) == [400], received
    assert b'"code":"request.invalid"' in received
    assert target.ledger == []


@pytest.mark.parametrize(
    "media",
    [b"text/plain", b"application/xml", b"multipart/form-data; boundary=a", b"application/json; charset=utf-16"],
)
def test_a_body_of_another_kind_reaches_no_target(gate: Gate, target: Target, token: str, media: bytes) -> None:
    received = send(gate, token, b"POST /shop/orders HTTP/1.1", b"Content-Type: " + media, body=b'{"amount":1}')
    (status,) = statuses(received)
    assert status in (400, 415)
    assert target.ledger == []


def test_a_compressed_request_body_is_refused(gate: Gate, target: Target, token: str) -> None:
    """Attack: what the gateway judges is not what the target unpacks."""
    fields = (b"Content-Type: application/json", b"Content-Encoding: gzip")
    (status,) = statuses(send(gate, token, b"POST /shop/orders HTTP/1.1", *fields, body=b'{"amount":1}'))
    assert status in (400, 415)
    assert target.ledger == []


def test_the_judged_bytes_are_the_sent_bytes(gate: Gate, target: Target, token: str) -> None:
    body = b'{ "note":"\\u00e9 \\/ x",\n "amount" : 9007199254740993 , "extra":[1.0,1e2,-0.0,{"k":null}] }'
    assert statuses(send(gate, token, b"POST /shop/orders HTTP/1.1", b"Content-Type: application/json", body=body)) == [
        200
    ]
    (received,) = target.ledger
    assert received.body == body
    call_id = received.header("funcgate-call-id")
    assert call_id is not None
    args = until(lambda: gate.call_entries(call_id))[0]["args"]
    assert args == json.loads(body)
    assert args["amount"] == 9007199254740993


def _corpus() -> list[Path]:
    found = sorted(CORPUS.glob("*.json"))
    assert len(found) > 300
    return found


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpora are not beside the repository")
def test_the_json_corpus_as_request_bodies(gate: Gate, target: Target, token: str) -> None:
    """Each file as the body's member `extra`: accepted ones arrive as judged, the others do not arrive at all."""
    with httpx.Client(headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"}) as client:
        for path in _corpus():
            target.ledger.clear()
            body = b'{"amount":1,"extra":' + path.read_bytes() + b"}"
            reply = client.post(f"{gate.url}/shop/orders", content=body)
            assert reply.status_code in (200, 400, 403, 413), path.name
            if path.name.startswith("n_") and not _harmless_inside(path):
                assert reply.status_code != 200, path.name
            if reply.status_code == 200:
                (received,) = target.ledger
                assert received.body == body, path.name
                args: Any = _args(gate, reply.headers["funcgate-call-id"])
                assert args["amount"] == 1, path.name
            else:
                assert target.ledger == [], path.name


def _args(gate: Gate, call_id: str) -> Any:
    return until(lambda: gate.call_entries(call_id))[0]["args"]


def _harmless_inside(path: Path) -> bool:
    """Whether a file that is no JSON document becomes one inside ``{"amount":1,"extra":…}``: then it must be accepted as such."""
    try:
        text = b'{"amount":1,"extra":' + path.read_bytes() + b"}"
        json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpora are not beside the repository")
def test_the_json_corpus_as_answers(gate: Gate, target: Target, token: str) -> None:
    """Each file as a whole answer: valid ones come back, broken ones are refused, nothing hangs."""
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:
        for path in _corpus():
            target.answers["/read"] = answer(path.read_bytes())
            reply = client.get(f"{gate.url}/shop/read")
            if not path.stat().st_size:
                assert (reply.status_code, reply.content) == (200, b"")  # no body: there is nothing to hide in it
            elif path.name.startswith("n_"):
                assert (reply.status_code, reply.json()["code"]) == (502, "masking.refused"), path.name
            elif path.name.startswith("y_") and "duplicated" not in path.name:
                assert reply.status_code == 200, path.name
            else:
                assert reply.status_code in (200, 502), path.name
