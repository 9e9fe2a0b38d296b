"""Webhooks to a receiver that checks every signature: refusals, pauses, redirects, poison, restarts."""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from funcgate.core.entry import Entry, Kind
from funcgate.core.ids import new_id
from funcgate.core.secret import Secret
from funcgate.recording.forward import forwarder
from funcgate.recording.forward.webhook import key_of, signed
from funcgate.recording.keeper.settings import WebhookSettings
from support.gate import until
from support.receivers import Hook, HttpReceiver, certificate

from .conftest import Following, Growing

Follow = Callable[..., Following]
SECRET = Secret("whsec_" + base64.b64encode(b"k" * 24).decode())


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook(b"k" * 24)
    yield hook
    hook.stop()


def to(hook: HttpReceiver, name: str = "hook", **more: Any) -> WebhookSettings:
    url = f"http://127.0.0.1:{hook.port}/in?token=canary"
    return WebhookSettings(**{"name": name, "url": url, "secret": SECRET, **more})


def refused(growing: Growing) -> list[dict[str, Any]]:
    file = growing.data / "forward" / "hook.refused.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_the_signature_is_the_one_of_the_specification() -> None:
    """The example of Standard Webhooks."""
    key = key_of(Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    headers = signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_batches_arrive_signed(growing: Growing, follow: Follow, hook: Hook) -> None:
    made = growing.calls(1200)
    following = follow(to(hook))
    until(lambda: following.worker.position == growing.seq)
    assert hook.ids() == made
    assert hook.wrong == []
    assert len(hook.requests) < 10
    assert "args" not in hook.events[0]


def test_over_tls(growing: Growing, follow: Follow, hook: Hook, tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    hook.secure(context)
    made = growing.calls(3)
    follow(to(hook, url=f"https://127.0.0.1:{hook.port}/", ca=str(ca)))
    until(lambda: hook.ids() == made)
    stranger = follow(to(hook, "stranger", url=f"https://127.0.0.1:{hook.port}/"))
    until(lambda: stranger.worker.trouble)
    assert hook.ids() == made


@pytest.mark.parametrize("status", [500, 503, 429, 408, 401, 404, 302])
def test_refusals_that_pass(growing: Growing, follow: Follow, hook: Hook, status: int) -> None:
    answers = iter([status, status])
    hook.status = lambda events: next(answers, 204)
    made = growing.calls(5)
    following = follow(to(hook))
    until(lambda: following.worker.position == growing.seq)
    assert hook.ids() == made
    assert refused(growing) == []


def test_the_trouble_is_told_without_the_address_s_secrets(growing: Growing, follow: Follow, hook: Hook) -> None:
    hook.status = lambda events: 503
    growing.calls(1)
    following = follow(to(hook))
    assert until(lambda: following.worker.trouble) == f"http://127.0.0.1:{hook.port} answered 503"


def test_a_redirect_is_not_followed(growing: Growing, follow: Follow, hook: Hook) -> None:
    elsewhere = HttpReceiver()
    hook.answer = lambda head, body: (307, {"location": f"http://127.0.0.1:{elsewhere.port}/"}, b"")
    growing.calls(1)
    following = follow(to(hook))
    assert "307" in until(lambda: following.worker.trouble)
    assert elsewhere.requests == []
    elsewhere.stop()


def test_an_answer_that_drips_is_no_answer(growing: Growing, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.recording.forward.webhook.TIMEOUT_S", 0.3)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    growing.calls(1)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    following = follow(WebhookSettings(name="slow", url=url, secret=SECRET))
    connection, _ = listener.accept()
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(40):
            connection.sendall(b"x: y\r\n")
            time.sleep(0.05)
    assert "did not answer within 0.3 s" in until(lambda: following.worker.trouble)
    connection.close()
    listener.close()


def test_a_pause_that_is_asked_for(growing: Growing, follow: Follow, hook: Hook) -> None:
    hook.answer = lambda head, body: (429, {"retry-after": "3600"}, b"")
    growing.calls(1)
    following = follow(to(hook))
    until(lambda: "asked for a pause" in following.worker.trouble)
    assert len(hook.requests) == 1


def test_poison_is_set_aside_and_told_and_the_rest_goes_on(growing: Growing, follow: Follow, hook: Hook) -> None:
    made = growing.calls(700)
    poison = {made[0], made[333], made[699]}
    hook.status = lambda events: 422 if poison & {event["id"] for event in events} else 204
    following = follow(to(hook))
    until(lambda: following.worker.position == growing.seq)
    assert hook.ids() == [call for call in made if call not in poison]
    assert {line["id"] for line in refused(growing)} == poison
    assert all("422" in line["why"] and line["seq"] for line in refused(growing))
    until(lambda: sum(asked["count"] for asked in following.asked) == 3)
    assert following.asked[0]["what"] == "set_aside"
    until(lambda: following.worker.trouble == "3 events were set aside, see forward/hook.refused.jsonl")


def test_what_is_told_of_poison_is_not_sent_to_where_it_was_refused(
    growing: Growing, follow: Follow, hook: Hook
) -> None:
    growing.add(
        Entry(kind=Kind.ADMIN, call="", change={"what": "set_aside", "destination": "forward-hook", "count": 1})
    )
    growing.calls(1)
    follow(to(hook))
    until(lambda: hook.events)
    assert [event["type"] for event in hook.events] == ["call"]


def test_a_destination_that_wants_nothing_is_not_given_everything_to_refuse(
    growing: Growing, follow: Follow, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarder, "MAX_REFUSED_IN_A_ROW", 5)
    hook.status = lambda events: 400
    growing.calls(50)
    following = follow(to(hook))
    until(lambda: "in a row were refused" in following.worker.trouble)
    hook.status = lambda events: 204
    until(lambda: following.worker.position == growing.seq)
    assert len(hook.events) + len(refused(growing)) == 50
    assert hook.events


def test_a_line_that_cannot_be_read_is_set_aside(growing: Growing, follow: Follow, hook: Hook) -> None:
    growing.seq += 1
    with (growing.data / "journal" / "00000001.jsonl").open("ab") as file:
        file.write(b'{"seq":%d,"at":"2026-11-21T09:30:00.000000Z","kind":nonsense}\n' % growing.seq)
    growing.calls(1)
    following = follow(to(hook))
    until(lambda: following.worker.position == growing.seq)
    assert [line["seq"] for line in refused(growing)] == [2]
    assert len(hook.events) == 1


def test_lines_that_are_not_there_are_told(growing: Growing, follow: Follow, hook: Hook) -> None:
    made = growing.calls(3)
    segment = growing.data / "journal" / "00000001.jsonl"
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4].replace(b"arrived", b"arrivex")  # its checksum does not hold any more
    del lines[8]
    segment.write_bytes(b"".join(lines))
    following = follow(to(hook))
    until(lambda: following.worker.position == growing.seq)
    assert [line["seq"] for line in refused(growing)] == [5, 9]
    assert hook.ids() == made


def test_restarts_lose_nothing(growing: Growing, follow: Follow, hook: Hook) -> None:
    """Stopped while calls are open; killed between a batch that arrived and its cursor."""
    open_ = [new_id() for _ in range(3)]
    for call in open_:
        growing.begin(call)
    for round_ in range(3):
        growing.calls(200)
        following = follow(to(hook))
        count = 200 * (round_ + 1) + round_
        until(lambda: len({*hook.ids()}) >= count)  # noqa: B023
        following.stop()
        growing.end(open_[round_])
    cursor = growing.data / "forward" / "hook.cursor"
    before = cursor.read_bytes()
    growing.calls(10)
    following = follow(to(hook))
    until(lambda: set(hook.ids()) == set(growing.ids))
    following.stop()
    cursor.write_bytes(before)  # as if it had been killed before it was written
    following = follow(to(hook))
    until(lambda: following.worker.position == growing.seq)
    assert hook.again == 0 or set(hook.ids()) == set(growing.ids)
    assert len(hook.events) - len(set(hook.ids())) <= 11  # only what was not known to be there


def test_a_cursor_that_is_none_is_not_taken_for_the_beginning(growing: Growing, follow: Follow, hook: Hook) -> None:
    growing.calls(1)
    (growing.data / "forward").mkdir()
    (growing.data / "forward" / "hook.cursor").write_text("?")
    following = follow(to(hook))
    assert "is no cursor" in until(lambda: following.worker.trouble)
    assert hook.events == []


def test_sealed_content_never_leaves_unless_asked(growing: Growing, follow: Follow, hook: Hook) -> None:
    """With encryption at rest, what cannot be opened is just not there; nothing sealed is sent in its stead."""
    from funcgate.core.entry import Sealed

    call = new_id()
    seal = Sealed(content="bm9uY2Vub25jZW5vbmNlY2FuYXJ5", content_key="k1", meta="bm9uY2Vub25jZW5vbmNl", meta_key="k2")
    growing.add(
        Entry(kind=Kind.ARRIVED, call=call, function="shop.pay", sealed=seal),
        Entry(kind=Kind.ENDED, call=call, outcome="complete"),
    )
    follow(to(hook), Secret("00" * 32))
    (event,) = until(lambda: list(hook.events))
    assert (event["id"], event["function"], event["outcome"]) == (call, "shop.pay", "complete")
    assert "sealed" not in event
    assert "principal" not in event
