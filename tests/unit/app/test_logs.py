"""What gets to standard error, and what never does."""

import io
import json
import logging
from typing import Any

import pytest

from funcgate.core.entry import Entry, Kind
from funcgate.logs import CallLog, about_call, logger, set_up

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_one_json_document_a_line(out: io.StringIO) -> None:
    set_up("info", "json", out)
    logger(version="v").info("serving", calls="127.0.0.1:1")
    logger().debug("not this one")
    (line,) = lines(out)
    assert line.pop("at").endswith("Z")
    assert line == {"level": "info", "event": "serving", "version": "v", "calls": "127.0.0.1:1"}


def test_lines_for_a_terminal(out: io.StringIO) -> None:
    set_up("info", "console", out)
    logger().info("serving", calls="127.0.0.1:1")
    assert "serving" in out.getvalue()
    assert "127.0.0.1:1" in out.getvalue()


def test_the_level_may_change_while_running(out: io.StringIO) -> None:
    log = logger()
    set_up("error", "json", out)
    log.info("one")
    set_up("debug", "json", out)
    log.debug("two")
    assert [line["event"] for line in lines(out)] == ["two"]


def test_a_line_about_a_call_names_it(out: io.StringIO) -> None:
    set_up("info", "json", out)
    about_call("01ID", "0af7651916cd43dd8448eb211c80319c").info("x")
    (line,) = lines(out)
    assert (line["call_id"], line["trace_id"]) == ("01ID", "0af7651916cd43dd8448eb211c80319c")


def test_an_exception_is_named_and_not_quoted(out: io.StringIO) -> None:
    set_up("info", "json", out)
    try:
        hidden = "hunter2-local"
        raise ValueError(f"hunter2-text {hidden}")
    except ValueError:
        logger().exception("broke")
    logging.getLogger("some.library").error("broke too", exc_info=ValueError("hunter2-library"))
    first, second = lines(out)
    assert first["error"] == second["error"] == "ValueError"
    assert "test_logs.py:" in first["passed"][0]
    assert "hunter2" not in out.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_a_token_that_slips_in_does_not_get_out(out: io.StringIO, style: Any) -> None:
    set_up("info", style, out)
    logger().info(f"header was Authorization: Bearer {TOKEN}", header=f"Basic {TOKEN}", token=TOKEN)
    logging.getLogger("some.library").warning("bad header %r", f"bearer {TOKEN}")
    assert "eyJ" not in out.getvalue()
    assert "c2lnbmF0dXJl" not in out.getvalue()
    assert out.getvalue().count("[TOKEN]") >= 4


def test_a_library_is_heard_from_warning_on(out: io.StringIO) -> None:
    set_up("info", "json", out)
    logging.getLogger("httpx").info("HTTP Request: GET https://idp.example/keys?secret=1")
    logging.getLogger("asyncio").warning("slow")
    (line,) = lines(out)
    assert (line["event"], line["source"], line["level"]) == ("slow", "asyncio", "warning")


class Recorder:
    """A journal that keeps what it is given; append returns an awaitable that is done."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    async def append(self, *entries: Entry) -> None:
        self.entries += entries

    def note(self, *entries: Entry) -> None:
        self.entries += entries


async def _call(journal: CallLog) -> None:
    arrived = Entry(kind=Kind.ARRIVED, call="01A", function="t.f", trace="0af7651916cd43dd8448eb211c80319c")
    await journal.append(arrived, Entry(kind=Kind.DENIED, call="01A", function="t.f", code="policy.denied"))
    await journal.append(Entry(kind=Kind.ALLOWED, call="01B", function="t.f"))
    journal.note(Entry(kind=Kind.ENDED, call="01B", function="t.f", outcome="complete"))


@pytest.mark.parametrize(("which", "events"), [("refused", ["call refused"]), ("all", ["call refused", "call ended"])])
def test_calls_in_the_log_when_it_is_asked_for(out: io.StringIO, which: Any, events: list[str]) -> None:
    import asyncio

    set_up("info", "json", out)
    inner = Recorder()
    asyncio.run(_call(CallLog(inner, which)))
    assert len(inner.entries) == 4
    said = lines(out)
    assert [line["event"] for line in said] == events
    assert said[0]["call_id"] == "01A"
    assert said[0]["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert said[0]["code"] == "policy.denied"
