"""Syslog to a receiver that reads RFC 5424 to the letter: over TCP and TLS, slow, killed, replaced."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from funcgate.core.entry import Entry, Kind
from funcgate.core.ids import new_id
from funcgate.recording.forward import syslog
from funcgate.recording.keeper.settings import SyslogSettings, Tells
from support.gate import until
from support.receivers import SyslogReceiver, certificate

from .conftest import Following, Growing

Follow = Callable[..., Following]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog, "ROTATE_S", 0.1)


def to(
    port: int, *, tls: bool = False, ca: Path | None = None, form: Tells = "rfc5424", content: bool = False
) -> SyslogSettings:
    return SyslogSettings(
        name="siem", host="127.0.0.1", port=port, tls=tls, ca=str(ca or ""), format=form, content=content
    )


def test_a_call_is_one_message(growing: Growing, follow: Follow) -> None:
    receiver = SyslogReceiver()
    (call,) = growing.calls(1)
    following = follow(to(receiver.port))
    (message,) = until(lambda: list(receiver.messages))
    assert (message.pri, message.app, message.kind) == (13 * 8 + 6, "funcgate", "call.allow")
    assert message.at == "2026-11-21T09:30:00.123456Z"
    assert message.data["id"] == call
    assert message.data["subject"] == 'ada "the" \\ ]�CEF:0|x'  # no line of its own
    event = json.loads(message.text)
    assert (event["type"], event["decision"], event["status"]) == ("call", "allow", 200)
    assert "args" not in event
    assert "canary" not in message.text.decode()
    until(lambda: following.worker.position == growing.seq)
    assert receiver.wrong == []


def test_content_goes_when_it_is_asked_for(growing: Growing, follow: Follow) -> None:
    receiver = SyslogReceiver()
    growing.calls(1)
    follow(to(receiver.port, content=True))
    (message,) = until(lambda: list(receiver.messages))
    event = json.loads(message.text)
    assert (event["args"], event["body"]) == ({"amount": 5}, {"ok": "canary"})


@pytest.mark.parametrize(("form", "begins"), [("cef", b"CEF:0|funcgate|"), ("ocsf", b'{"category_uid":6,')])
def test_other_words(growing: Growing, follow: Follow, form: Tells, begins: bytes) -> None:
    receiver = SyslogReceiver()
    growing.calls(1)
    follow(to(receiver.port, form=form))
    (message,) = until(lambda: list(receiver.messages))
    assert message.text.startswith(begins)
    assert b"\n" not in message.text


def test_what_administrators_do_goes_too(growing: Growing, follow: Follow) -> None:
    receiver = SyslogReceiver()
    growing.add(Entry(kind=Kind.ADMIN, call="", outcome="complete", change={"what": "hold", "by": {"user": "root"}}))
    follow(to(receiver.port))
    (message,) = until(lambda: list(receiver.messages))
    assert (message.kind, message.data["what"]) == ("admin", "hold")
    assert json.loads(message.text)["who"] == "root"


def test_tls(growing: Growing, follow: Follow, tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    receiver = SyslogReceiver(context)
    made = growing.calls(300)
    following = follow(to(receiver.port, tls=True, ca=ca))
    until(lambda: receiver.ids() == made)
    until(lambda: following.worker.position == growing.seq)


def test_nobody_else_is_told(growing: Growing, follow: Follow, tmp_path: Path) -> None:
    """A receiver without a certificate that is trusted gets nothing."""
    context, _ = certificate(tmp_path)
    receiver = SyslogReceiver(context)
    growing.calls(1)
    following = follow(to(receiver.port, tls=True))
    assert "certificate" in until(lambda: following.worker.trouble)
    assert receiver.messages == []


def test_nothing_is_lost_with_a_receiver_that_dies(growing: Growing, follow: Follow) -> None:
    """It dies with messages unread in its buffers, three times, in the middle of a stream of them."""
    receiver = SyslogReceiver()
    port = receiver.port
    following = follow(to(port))
    found: set[str] = set()
    for _ in range(3):
        receiver.slow_s = 0.01  # so that there is something that it has not read
        growing.calls(2000)
        following.go()
        until(receiver.ids)
        receiver.kill()
        found.update(receiver.ids())
        assert receiver.wrong == []
        receiver = SyslogReceiver(port=port)
    until(lambda: found.union(receiver.ids()) >= set(growing.ids), 60)
    until(lambda: following.worker.position == growing.seq)


def test_nothing_is_lost_when_the_keeper_is_restarted(growing: Growing, follow: Follow) -> None:
    receiver = SyslogReceiver()
    open_ = new_id()
    growing.begin(open_)
    for _ in range(3):
        growing.calls(500)
        following = follow(to(receiver.port))
        until(lambda: len(receiver.messages) > 100)
        following.stop()
    growing.end(open_)
    following = follow(to(receiver.port))
    until(lambda: set(receiver.ids()) == set(growing.ids))
    ended = next(message for message in receiver.messages if message.data["id"] == open_)
    assert ended.data["function"] == "shop.pay"  # its arrival was read again


def test_a_dead_destination_stops_nobody_else(growing: Growing, follow: Follow) -> None:
    dead = SyslogReceiver()
    dead.kill()
    receiver = SyslogReceiver()
    failing = follow(SyslogSettings(name="dead", host="127.0.0.1", port=dead.port, tls=False))
    follow(to(receiver.port))
    made = growing.calls(50)
    failing.go()
    until(lambda: "refused" in failing.worker.trouble)
    follow(SyslogSettings(name="other", host="127.0.0.1", port=receiver.port, tls=False))
    until(lambda: set(receiver.ids()) >= set(made))
    assert failing.worker.position < 3  # the lag is to be seen


def test_a_large_event_goes_without_its_content(growing: Growing, follow: Follow) -> None:
    receiver = SyslogReceiver()
    call = new_id()
    growing.begin(call)
    growing.end(call, body="x" * 1_000_000, body_bytes=1_000_000)
    follow(to(receiver.port, content=True))
    (message,) = until(lambda: list(receiver.messages))
    event = json.loads(message.text)
    assert (event["body_bytes"], event["body_cut"], "body" in event) == (1_000_000, True, False)


def test_a_receiver_that_does_not_read_holds_the_cursor(growing: Growing, follow: Follow) -> None:
    receiver = SyslogReceiver()
    receiver.slow_s = 0.02
    growing.calls(3000)
    following = follow(to(receiver.port))
    until(lambda: receiver.messages)
    assert following.worker.position < growing.seq
    receiver.slow_s = 0
    until(lambda: following.worker.position == growing.seq)
    assert set(receiver.ids()) == set(growing.ids)
