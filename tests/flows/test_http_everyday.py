"""One call as everyday clients send it and everyday servers answer it: always the same call, and the same answer."""

import asyncio
import json
import time
from typing import Any

import pytest
from bench.forms import FORMS, Form

from support.gate import Gate, until
from support.raw import connect
from support.target import Received, Target

BODY = json.dumps({"amount": 7, "note": "second instalment for a.b@mail.example.com", "extra": ["x" * 300]}).encode()
ANSWER = json.dumps({"items": [{"mail": "a.b@mail.example.com", "n": n} for n in range(20)]}).encode()
PAUSE_S = 0.03  # so that pieces are packets; nothing depends on it


def answering(form: Form) -> Any:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)

    async def behave(_: Received, writer: asyncio.StreamWriter) -> None:
        first, *others = form.answer(head, ANSWER)
        writer.write(first)
        for piece in others:  # none after the last: the next call may come as soon as that has left
            await asyncio.sleep(PAUSE_S)
            writer.write(piece)
        if b"Connection: close" in form.answer(head, ANSWER)[0]:
            writer.close()

    return behave


def call(gate: Gate, token: str, form: Form) -> tuple[bytes, bytes, bool]:
    """Head and body of the answer, and whether the connection stays."""
    fields = f"Host: gate\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    head = f"POST /shop/orders HTTP/1.1\r\n{fields}Content-Length: {len(BODY)}\r\n\r\n".encode()
    came = b""
    with connect(gate.calls) as sock:
        for piece in form.request(head, BODY):
            sock.sendall(piece)
            time.sleep(PAUSE_S)
        while not came.endswith(b"]}"):
            data = sock.recv(1 << 16)
            assert data, came
            came += data
        sock.settimeout(0.2 if not form.last else 10)
        try:
            stays = sock.recv(1) != b""
        except TimeoutError:
            stays = True
    answer_head, _, body = came.partition(b"\r\n\r\n")
    return answer_head, body, stays


@pytest.mark.parametrize("name", FORMS)
def test_each_form_is_the_same_call(gate: Gate, target: Target, token: str, name: str) -> None:
    form = FORMS[name]
    target.answers["/orders"] = answering(form)
    head, body, stays = call(gate, token, form)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length: %d" % len(body) in head
    assert body == ANSWER.replace(b"a.b@mail.example.com", b"[REDACTED:email]")
    assert (stays, b"Connection: close" in head) == (not form.last, form.last)
    [received] = target.seen("/orders")
    assert received.body == BODY
    lengths = [(n, v) for n, v in received.headers if n.lower() in ("content-length", "transfer-encoding")]
    assert lengths == [("content-length", str(len(BODY)))]
    call_id = head.split(b"Funcgate-Call-Id: ")[1].split(b"\r\n")[0].decode()
    assert gate.ended(call_id)["outcome"] == "complete"
    arrived = until(lambda: gate.call_entries(call_id))[0]
    assert arrived["args"]["amount"] == 7
