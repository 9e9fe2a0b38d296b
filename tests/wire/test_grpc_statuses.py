"""Statuses, their messages, refusals in gRPC's words, and timeouts."""

import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as Details
from hypothesis import example, given
from hypothesis import strategies as st

from funcgate.core.refusal import MEANINGS, Code, Refused
from funcgate.wire.grpc import (
    Malformed,
    Status,
    from_http,
    read_binary,
    read_message,
    read_status,
    read_timeout,
    refusal,
    status_of,
    write_message,
    write_timeout,
)


@given(st.text(max_size=60))
@example("100% é\n\x7f\0")
def test_a_message_is_printable_and_comes_back(text: str) -> None:
    raw = write_message(text)
    assert all(0x20 <= byte < 0x7F for byte in raw)
    assert read_message(raw) == text.encode("utf-8", "replace").decode()


def test_a_message_as_the_protocol_writes_it() -> None:
    assert write_message("caf\u00e9 100%\n") == b"caf%C3%A9 100%25%0A"
    assert write_message("plain text") == b"plain text"
    assert len(write_message("é" * 10_000)) <= 4096 * 3


@pytest.mark.parametrize(
    ("raw", "text"), [(b"%", "%"), (b"%4", "%4"), (b"%ZZ", "%ZZ"), (b"%FF", "\ufffd"), (b"\xff", "\ufffd")]
)
def test_a_badly_encoded_message_is_read_as_well_as_can_be(raw: bytes, text: str) -> None:
    assert read_message(raw) == text


def test_statuses() -> None:
    assert [read_status(b"%d" % code) for code in range(17)] == list(range(17))
    for bad in (b"", b"00", b"17", b"+1", b" 1", b"1 ", b"-1", b"1.0", b"\xd9\xa1", b"100"):
        with pytest.raises(Malformed):
            read_status(bad)
    assert from_http(401) is Status.UNAUTHENTICATED
    assert from_http(200) is Status.UNKNOWN


def test_every_code_has_a_status() -> None:
    for code in Code:
        status = status_of(Refused(code))
        assert status is not Status.OK
        assert (status is Status.UNAUTHENTICATED) == (MEANINGS[code].status == 401)


def test_a_refusal_tells_what_http_callers_are_told() -> None:
    refused = Refused(
        Code.APPROVAL_PENDING, "Ask again.", private_detail="policy big transfers", retry_after_s=30,
        public={"approval_url": "https://gate.example/a/1"},
    )  # fmt: skip
    fields = dict(refusal(refused, "call-1"))
    assert fields[b"grpc-status"] == b"9"
    assert fields[b"grpc-message"] == b"This call waits for an approval: Ask again."
    details = Details.FromString(read_binary(fields[b"grpc-status-details-bin"])[0])
    assert (details.code, details.message) == (9, "This call waits for an approval: Ask again.")
    info, retry = ErrorInfo(), RetryInfo()
    assert details.details[0].Unpack(info)
    assert details.details[1].Unpack(retry)
    assert (info.reason, info.domain) == ("approval.pending", "funcgate")
    assert dict(info.metadata) == {"approval_url": "https://gate.example/a/1", "call_id": "call-1"}
    assert retry.retry_delay.seconds == 30
    assert b"big transfers" not in b"".join(fields.values()) + details.SerializeToString()


def test_a_refusal_without_more() -> None:
    fields = refusal(Refused(Code.POLICY_DENIED))
    assert [name for name, _ in fields] == [b"grpc-status", b"grpc-message", b"grpc-status-details-bin"]
    details = Details.FromString(read_binary(fields[2][1])[0])
    assert len(details.details) == 1


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (b"1H", 3600),
        (b"2M", 120),
        (b"3S", 3),
        (b"250m", 0.25),
        (b"5u", 5e-6),
        (b"7n", 7e-9),
        (b"0S", 0),
        (b"99999999S", 99999999),
    ],
)
def test_timeouts_are_read(raw: bytes, seconds: float) -> None:
    assert read_timeout(raw) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"1",
        b"S",
        b"1s",
        b"1h",
        b"-1S",
        b"+1S",
        b"1.5S",
        b" 1S",
        b"1S ",
        b"123456789S",
        b"1SS",
        b"\xd9\xa1S",
        b"1e3S",
    ],
)
def test_other_spellings_of_timeouts_are_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        read_timeout(raw)


@given(st.floats(min_value=0, max_value=1e9))
@example(0.0)
@example(99_999_999e-6)
@example(100.0)
def test_a_written_timeout_is_never_longer(seconds: float) -> None:
    again = read_timeout(write_timeout(seconds))
    assert again <= max(seconds, 1e-6) * (1 + 1e-9)
    assert again >= min(seconds * 0.99, 99_999_999 * 3600) - 1e-6
