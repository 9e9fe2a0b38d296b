"""OpenTelemetry logs to a collector that decodes them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber

from funcgate.core.secret import Secret
from funcgate.recording.keeper.settings import OtlpSettings
from support.gate import until
from support.receivers import Collector, certificate

from .conftest import Following, Growing

Follow = Callable[..., Following]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


def to(collector: Collector, **more: Any) -> OtlpSettings:
    url = f"http://127.0.0.1:{collector.port}/v1/logs"
    return OtlpSettings(**{"name": "otel", "url": url, "headers": {"X-Key": Secret("canary")}, **more})


def attributes(record: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in record.attributes}


def test_a_call_is_one_record(growing: Growing, follow: Follow, collector: Collector) -> None:
    (call,) = growing.calls(1)
    following = follow(to(collector))
    until(lambda: following.worker.position == growing.seq)
    (record,) = collector.records
    assert record.event_name == "funcgate.call"
    assert (record.severity_number, record.severity_text) == (SeverityNumber.SEVERITY_NUMBER_INFO, "INFO")
    assert record.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert record.time_unix_nano == 1795253400123456000
    told = attributes(record)
    assert (told["funcgate.call.id"], told["http.response.status_code"], told["client.port"]) == (call, 200, 5001)
    assert told["funcgate.decision"] == "allow"
    assert "args" not in json.loads(record.body.string_value)
    (resource,) = collector.resources
    assert attributes(resource) == {"service.name": "funcgate"}
    assert collector.requests[0][0]["x-key"] == "canary"


def test_thousands(growing: Growing, follow: Follow, collector: Collector) -> None:
    made = growing.calls(1200)
    follow(to(collector))
    until(lambda: collector.ids() == made)


def test_over_tls(growing: Growing, follow: Follow, collector: Collector, tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    collector.secure(context)
    made = growing.calls(3)
    follow(to(collector, url=f"https://127.0.0.1:{collector.port}/v1/logs", ca=str(ca)))
    until(lambda: collector.ids() == made)


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_what_is_no_success_is_tried_again(growing: Growing, follow: Follow, collector: Collector, status: int) -> None:
    """Also a redirect, which the exporter by itself takes for success."""
    collector.status = status
    made = growing.calls(2)
    following = follow(to(collector))
    assert str(status) in until(lambda: following.worker.trouble)
    collector.status = 200
    until(lambda: collector.ids() == made)


def test_what_a_collector_drops_is_told(growing: Growing, follow: Follow, collector: Collector) -> None:
    collector.reject = 2
    growing.calls(5)
    following = follow(to(collector))
    until(lambda: following.worker.position == growing.seq)
    until(lambda: following.asked)
    file = growing.data / "forward" / "otel.refused.jsonl"
    aside = json.loads(file.read_text().splitlines()[0])
    assert aside["count"] == 2
    assert "too old" in aside["why"]


def test_poison(growing: Growing, follow: Follow, collector: Collector) -> None:
    collector.status = 400
    growing.calls(3)
    following = follow(to(collector))
    until(lambda: following.worker.position == growing.seq)
    assert len((growing.data / "forward" / "otel.refused.jsonl").read_text().splitlines()) == 3


def test_nobody_there(growing: Growing, follow: Follow, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.recording.forward.otlp.TIMEOUT_S", 0.2)
    growing.calls(1)
    following = follow(to(collector, url="http://127.0.0.1:9/v1/logs"))
    assert "ConnectionError" in until(lambda: following.worker.trouble)
    assert following.worker.position < growing.seq
