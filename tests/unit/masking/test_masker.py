"""Whole replies: headers, media, charsets, codings, streams; what cannot be read is refused."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from funcgate.core.lease import NO_LEASE, Lease
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.core.secret import Secret
from funcgate.masking import RuleSpec, compile_rules
from funcgate.masking.masker import Masker
from funcgate.masking.scanner import ScanFailed


def packed_by_gzip(data: bytes) -> bytes:
    """The same bytes at any time: they stand in the tests' names."""
    return gzip.compress(data, mtime=0)


SECRET = "s3cr3t-credential"
LEASE = Lease(needles=(Secret(SECRET), Secret("czNjcjN0LWNyZWRlbnRpYWw=")))
MAIL, MASKED_MAIL = b"write to ada@example.com", b"write to [REDACTED:email]"
LIMIT = 100_000

PLAN = compile_rules(
    [RuleSpec(functions=["t.ruled"], detect="all", fields=["**.password"])],
    ["t.ruled", "t.free"],
    hash_key=b"k" * 32,
    decoded_limit=LIMIT,
)
RULED, FREE = PLAN.masker("t.ruled"), PLAN.masker("t.free")
RULED_PASS = PLAN.masker("t.ruled", unmaskable_pass=True)
FREE_PASS = PLAN.masker("t.free", unmaskable_pass=True)


def reply(body: bytes | None, media: str = "text/plain", **more: object) -> Reply:
    headers = [(b"Content-Type", media.encode()), (b"Content-Length", b"%d" % len(body or b""))]
    if more.get("encoding"):
        headers.append((b"Content-Encoding", str(more["encoding"]).encode()))
    return Reply(**{"status": 200, "headers": headers, "media": media, "body": body, **more})  # type: ignore[arg-type]


def refused(masker: Masker, answer: Reply, lease: Lease = LEASE) -> bool:
    try:
        masker.mask_reply(answer, lease)
    except Refused as error:
        if error.code is not Code.MASKING_REFUSED or error.public_detail or SECRET in error.private_detail:
            raise
        return True
    return False


@pytest.mark.parametrize(
    ("media", "charset"),
    [
        ("text/plain", ""), ("text/html", "utf-8"), ("text/csv", "us-ascii"), ("application/xml", "UTF-8"),
        ("image/svg+xml", ""), ("application/javascript", "iso-8859-1"), ("application/x-www-form-urlencoded", ""),
        ("application/yaml", ""), ("text/event-stream", ""),
    ],
)  # fmt: skip
def test_text_is_masked_by_detector(media: str, charset: str) -> None:
    masked = RULED.mask_reply(reply(MAIL, media, charset=charset), NO_LEASE)
    assert masked.reply.body == MASKED_MAIL
    assert masked.counts == {"email": 1}
    assert b"Content-Length" not in dict(masked.reply.headers)


@pytest.mark.parametrize(
    "media", ["application/json", "text/json", "application/problem+json", "application/vnd.api+json"]
)
def test_json_is_masked_by_structure(media: str) -> None:
    body = rb'{"m":"ada\u0040example.com","password":["x"]}'
    masked = RULED.mask_reply(reply(body, media), NO_LEASE)
    assert masked.reply.body == b'{"m":"[REDACTED:email]","password":"[REDACTED:field]"}'
    assert masked.counts == {"field": 1, "email": 1}


def test_lines_of_json_are_each_masked_by_structure() -> None:
    body = b'{"m":"ada\\u0040example.com"}\n\n{"n":4111111111111111}\n'
    masked = RULED.mask_reply(reply(body, "application/x-ndjson"), NO_LEASE).reply.body
    assert masked == b'{"m":"[REDACTED:email]"}\n\n{"n":"[REDACTED:credit_card]"}\n'
    assert RULED.mask_reply(reply(b'\x1e{"password":1}\n', "application/json-seq"), NO_LEASE).reply.body == (
        b'\x1e{"password":"[REDACTED:field]"}\n'
    )
    assert refused(RULED, reply(b'{"a":1}\n{', "application/x-ndjson"))


@pytest.mark.parametrize(
    "text",
    [
        b"ada%40example.com", b"ada%2540example.com", b"ada&#64;example.com", b"ada&#x40;example.com", b"ada\\u0040example.com",
        b"ada\\x40example.com", b"ad\\u0061\\u0040example.com", b"%61%64%61%40%65%78ample.com",
    ],
)  # fmt: skip
def test_escapes_do_not_hide_a_value_in_text(text: bytes) -> None:
    assert RULED.mask_reply(reply(b"to: " + text + b" ok"), NO_LEASE).reply.body == b"to: [REDACTED:email] ok"


def test_an_escape_before_a_value_is_not_torn() -> None:
    body = b'data: {"a":"x\\nada@example.com","b":"y\\n4111111111111111"}\n\n'
    out = RULED.mask_reply(reply(body, "text/event-stream"), NO_LEASE).reply.body or b""
    assert b"ada" not in out
    assert b"4111" not in out
    assert b"\\[" not in out


def test_a_form_writes_spaces_as_plus() -> None:
    body = b"card=4111+1111+1111+1111&x=1"
    masked = RULED.mask_reply(reply(body, "application/x-www-form-urlencoded"), NO_LEASE).reply.body
    assert masked == b"card=[REDACTED:credit_card]&x=1"


@pytest.mark.parametrize(
    ("body", "media", "more"),
    [
        (b"\x89PNG", "image/png", {}),
        (b"%PDF", "application/pdf", {}),
        (b"x", "application/octet-stream", {}),
        (b"x", "multipart/form-data", {}),
        (b"x", "application/x-protobuf", {}),
        (b"x", "", {}),
        (b"x", "text/plain", {"charset": "utf-16"}),
        (b"x", "text/plain", {"charset": "utf-7"}),
        (b'"x"', "application/json", {"charset": "iso-8859-1"}),
        (b"x", "text/plain", {"encoding": "br"}),
        (b"x", "text/plain", {"encoding": "gzip, gzip"}),
        (b"x", "text/plain", {"status": 206}),
    ],
)
def test_what_cannot_be_read_is_refused_where_there_are_rules(body: bytes, media: str, more: dict[str, object]) -> None:
    assert refused(RULED, reply(body, media, **more))
    assert not refused(RULED_PASS, reply(body, media, **more))


@pytest.mark.parametrize("body", [b"a\0d\0a\0", b"\xff\xfea", b"\xfe\xffa"])
def test_text_that_a_reader_may_take_for_another_charset_is_refused(body: bytes) -> None:
    assert refused(RULED, reply(body))
    assert passed_unread(RULED_PASS, reply(body)).body == body


def test_text_that_is_not_in_its_charset_is_refused() -> None:
    assert refused(RULED, reply(b"\xff", charset="utf-8"))
    assert not refused(RULED, reply(b"\xff"))
    assert not refused(RULED, reply(b"\xff", charset="iso-8859-1"))


def passed_unread(masker: Masker, answer: Reply) -> Reply:
    masked = masker.mask_reply(answer, LEASE)
    assert masked.reply is answer, "what is not read is not touched"
    assert (masked.counts, masked.json) == ({}, False)
    return answer


def test_what_passes_unread_is_still_scrubbed() -> None:
    for body in (b'{"a":"' + SECRET.encode(), b"\0" + SECRET.encode(), b'{"a":"s\\u0033cr3t-credential",}'):
        for media in ("application/json", "text/plain", "application/x-ndjson"):
            masked = RULED_PASS.mask_reply(reply(body, media), LEASE)
            assert masked.counts == {"credential": 1}
            assert b"[CREDENTIAL]" in (masked.reply.body or b"")
            assert b"cr3t" not in (masked.reply.body or b"")


def test_where_a_line_is_broken_the_others_are_masked() -> None:
    body = b'{"m":"ada@example.com"}\n{"m":"ada@example.com"\n'
    masked = RULED_PASS.mask_reply(reply(body, "application/x-ndjson"), NO_LEASE)
    assert masked.reply.body == b'{"m":"[REDACTED:email]"}\n{"m":"ada@example.com"\n'
    assert masked.counts == {"email": 1}


@pytest.mark.parametrize("body", [b"{", b'{"a":1}{', b'"\xff"', b"\xef\xbb\xbf{}"])
def test_broken_json_is_refused(body: bytes) -> None:
    assert refused(RULED, reply(body, "application/json"))
    assert passed_unread(RULED_PASS, reply(body, "application/json")).body == body


@pytest.mark.parametrize("answer", [reply(b"", "application/json"), reply(b"", status=204), reply(b"", "", status=304)])
def test_without_a_body_there_is_nothing_to_refuse(answer: Reply) -> None:
    answer.encoding = "br"
    assert not refused(RULED, answer)


def test_binary_without_rules_passes_scrubbed() -> None:
    body = b"\x89PNG\0" + SECRET.encode() + b"\xff"
    masked = FREE.mask_reply(reply(body, "image/png"), LEASE)
    assert masked.reply.body == b"\x89PNG\0[CREDENTIAL]\xff"
    assert masked.counts == {"credential": 1}
    assert refused(FREE, reply(b"x", "image/png", encoding="br")), "the credential could not be scrubbed"
    assert not refused(FREE_PASS, reply(b"x", "image/png", encoding="br"))
    assert not refused(FREE, reply(b"x", "image/png", encoding="br"), NO_LEASE), "nothing to hide at all"


def test_what_passes_unread_keeps_its_coding() -> None:
    masked = FREE_PASS.mask_reply(reply(SECRET.encode(), "image/png", encoding="br"), LEASE)
    assert masked.reply.body == b"[CREDENTIAL]"
    assert (b"Content-Encoding", b"br") in masked.reply.headers
    assert masked.reply.encoding == "br"


def deflated(body: bytes, window: int) -> bytes:
    squeezer = zlib.compressobj(wbits=window)
    return squeezer.compress(body) + squeezer.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", packed_by_gzip(MAIL)), ("x-gzip", packed_by_gzip(MAIL)),
        ("gzip", packed_by_gzip(MAIL[:9]) + packed_by_gzip(MAIL[9:])),
        ("deflate", deflated(MAIL, 15)), ("deflate", deflated(MAIL, -15)),
    ],
)  # fmt: skip
def test_compressed_bodies_are_opened_and_delivered_plain(coding: str, body: bytes) -> None:
    masked = RULED.mask_reply(reply(body, encoding=coding), NO_LEASE).reply
    assert masked.body == MASKED_MAIL
    assert masked.encoding == ""
    assert {name.lower() for name, _ in masked.headers} == {b"content-type"}


@pytest.mark.parametrize(
    "body",
    [
        b"not gzip", packed_by_gzip(MAIL)[:-1], packed_by_gzip(MAIL) + b"x", packed_by_gzip(MAIL) + b"\x1fx", b"\x1f",
    ],
)  # fmt: skip
def test_damaged_compressed_bodies_are_refused_or_pass_as_they_are(body: bytes) -> None:
    assert refused(RULED, reply(body, encoding="gzip"))
    assert refused(FREE, reply(body, encoding="gzip"))
    for masker in (RULED_PASS, FREE_PASS):
        answer = passed_unread(masker, reply(body, encoding="gzip"))
        assert (answer.body, answer.encoding) == (body, "gzip")


@pytest.mark.parametrize(
    "body", [packed_by_gzip(b"a" * (LIMIT + 1)), packed_by_gzip(b"a" * LIMIT) + packed_by_gzip(b"a")]
)
def test_what_unpacks_beyond_the_limit_is_refused_everywhere(body: bytes) -> None:
    for masker in (RULED, RULED_PASS, FREE, FREE_PASS):
        assert refused(masker, reply(body, encoding="gzip"))


def test_a_scanner_without_an_answer_refuses_where_unread_bodies_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = compile_rules([RuleSpec(functions=["*"], detect=["email"])], ["a"], hash_key=b"k").masker(
        "a", unmaskable_pass=True
    )
    monkeypatch.setattr("funcgate.masking.scanner.Scanner.gate", failing_gate)
    for media in ("application/json", "text/plain", "application/x-ndjson"):
        assert refused(masker, Reply(status=200, headers=[], media=media, body=b'{"a":"of ada%40example.org"}'))


def failing_gate(scanner: object, text: bytes) -> list[int]:
    raise ScanFailed


def test_one_automaton_for_rules_and_credential_finds_the_same() -> None:
    """A lease in frequent use gets one automaton for both: before and after, the answers are the same."""
    lease = Lease(needles=LEASE.needles)
    bodies = [
        b'{"m":"%b"}' % SECRET.encode(), b'{"m":"ada@example.com"}', b'{"m":"s\\u0033cr3t-credential","n":"ada@example.com"}',
        b'{"m":"nothing"}', b'{"m":"czNjcjN0LWNyZWRlbnRpYWw= 4111111111111111"}',
    ]  # fmt: skip
    seen: dict[bytes, set[object]] = {}
    for _ in range(100):
        for body in bodies:
            masked = RULED.mask_reply(reply(body, "application/json"), lease)
            seen.setdefault(body, set()).add((masked.reply.body, tuple(sorted(masked.counts.items()))))
    assert [results for results in seen.values() if len(results) != 1] == []
    assert seen[bodies[0]] == {(b'{"m":"[CREDENTIAL]"}', (("credential", 1),))}
    assert seen[bodies[3]] == {(bodies[3], ())}


def test_fields_known_to_hide_nothing_do_not_hide_others() -> None:
    harmless = (b"X-Note", b"fine")
    for number in range(600):  # more than are remembered
        answer = reply(b'{"a":1}', "application/json")
        answer.headers = [harmless, (b"X-Id", b"id-%d" % number)]
        assert RULED.mask_reply(answer, LEASE).reply is answer
        answer.headers = [harmless, (b"X-Id", b"ada%d@example.com" % number), (b"X-Key", SECRET.encode())]
        assert RULED.mask_reply(answer, LEASE).reply.headers == [
            harmless, (b"X-Id", b"[REDACTED:email]"), (b"X-Key", b"[CREDENTIAL]"),
        ]  # fmt: skip
    other = Lease(needles=(Secret("fine"),))
    answer.headers = [harmless]
    assert RULED.mask_reply(answer, other).reply.headers == [(b"X-Note", b"[CREDENTIAL]")]


@pytest.mark.parametrize(
    ("body", "media", "known"),
    [
        (b'{"a":1}', "application/json", True), (b'{"m":"ada@example.com"}', "application/json", True),
        (rb'{"m":"ada\u0040example.com","password":1}', "application/json", True), (b"", "application/json", False),
        (b"1", "text/plain", False), (b"1", "application/x-ndjson", False), (b"{", "application/json", False),
    ],
)  # fmt: skip
def test_a_body_is_known_to_be_json_when_it_was_checked(body: bytes, media: str, known: bool) -> None:
    assert RULED_PASS.mask_reply(reply(body, media), LEASE).json is known
    assert RULED_PASS.mask_reply(reply(packed_by_gzip(body), media, encoding="gzip"), LEASE).json is known
    assert not FREE.mask_reply(reply(body, media), LEASE).json


def test_only_what_has_rules_is_collected() -> None:
    assert (RULED.collects, FREE.collects) == (True, False)


def test_headers_and_trailers_are_masked_and_scrubbed() -> None:
    answer = reply(b"fine")
    answer.headers += [
        (b"Location", b"https://x/?mail=ada%40example.com"), (b"X-Echo", f"Bearer {SECRET}".encode()), (SECRET.encode(), b"1"),
        (b"ETag", b'W/"4111111111111111"'), (b"Date", b"Sat, 21 Nov 2026 02:57:54 GMT"),
    ]  # fmt: skip
    answer.trailers = [(b"X-Mail", b"ada@example.com")]
    masked = RULED.mask_reply(answer, LEASE)
    assert masked.reply.headers == [
        (b"Content-Type", b"text/plain"), (b"Content-Length", b"4"), (b"Location", b"https://x/?mail=[REDACTED:email]"),
        (b"X-Echo", b"Bearer [CREDENTIAL]"), (b"ETag", b'W/"[REDACTED:credit_card]"'),
        (b"Date", b"Sat, 21 Nov 2026 02:57:54 GMT"),
    ]  # fmt: skip
    assert masked.reply.trailers == [(b"X-Mail", b"[REDACTED:email]")]
    assert masked.counts == {"credential": 1, "email": 2, "credit_card": 1}


def test_digests_of_the_unmasked_body_go_with_it() -> None:
    answer = reply(MAIL)
    answer.headers += [(b"Content-MD5", b"x"), (b"Repr-Digest", b"x"), (b"Content-Digest", b"x"), (b"Digest", b"x")]
    assert RULED.mask_reply(answer, NO_LEASE).reply.headers == [(b"Content-Type", b"text/plain")]


def test_a_reply_that_need_not_change_is_the_same_object() -> None:
    answer = reply(b'{"a":1}', "application/json")
    assert RULED.mask_reply(answer, LEASE).reply is answer
    assert FREE.mask_reply(answer, LEASE).reply is answer


class Source:
    """A target's stream: pieces, then perhaps a failure; notes that it was closed."""

    def __init__(self, pieces: list[bytes], answer: Reply | None = None) -> None:
        self.pieces, self.answer, self.closed = iter(pieces), answer, False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self.pieces:
            return piece
        if self.answer is not None:
            self.answer.outcome = Outcome.CUT
            self.answer.trailers = [(b"X", SECRET.encode())]
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


def run(masker: Masker, answer: Reply, lease: Lease = LEASE) -> tuple[list[bytes], Reply, dict[str, int]]:
    async def collect() -> tuple[list[bytes], Reply, dict[str, int]]:
        masked = masker.mask_reply(answer, lease)
        assert masked.reply.body is None
        assert masked.reply.stream is not None
        return [piece async for piece in masked.reply.stream], masked.reply, masked.counts

    return asyncio.run(collect())


def cut(body: bytes) -> list[list[bytes]]:
    return [[body[:at], body[at:]] for at in range(1, len(body))] + [[body[at : at + 1] for at in range(len(body))]]


@pytest.mark.parametrize(
    ("body", "media"), [(MAIL, "text/plain"), (b'{"a":4111111111111111,"b":"ada\\u0040x.com"}', "application/json")]
)
def test_where_a_stream_is_cut_never_changes_what_is_masked(body: bytes, media: str) -> None:
    whole = RULED.mask_reply(reply(body, media), LEASE)
    for pieces in cut(body):
        parts, _, counts = run(RULED, reply(None, media, stream=Source(pieces)))
        assert b"".join(parts) == whole.reply.body
        assert counts == whole.counts


def test_a_stream_without_rules_is_scrubbed_as_it_passes() -> None:
    body = b"a" * 5 + SECRET.encode() + b"b"
    for pieces in cut(body):
        answer = reply(None, "application/octet-stream")
        answer.stream = source = Source(pieces, answer)
        parts, masked, counts = run(FREE, answer)
        assert b"".join(parts) == b"aaaaa[CREDENTIAL]b"
        assert masked.outcome is Outcome.CUT
        assert masked.trailers == [(b"X", b"[CREDENTIAL]")]
        assert counts == {"credential": 2}
        assert source.closed


def test_a_compressed_stream_without_rules_is_opened_to_be_scrubbed() -> None:
    packed = packed_by_gzip(b"x" + SECRET.encode())
    for pieces in cut(packed):
        parts, masked, _ = run(FREE, reply(None, "image/png", encoding="gzip", stream=Source(pieces)))
        assert b"".join(parts) == b"x[CREDENTIAL]"
        assert masked.encoding == ""
        assert b"Content-Encoding" not in dict(masked.headers)
    for broken in (packed[:-1], packed + b"x"):
        with pytest.raises(Refused):
            run(FREE, reply(None, "image/png", encoding="gzip", stream=Source([broken])))


def test_a_stream_beyond_the_limit_is_refused_and_closed() -> None:
    source = Source([b"a" * LIMIT, b"b", b"c"])
    with pytest.raises(Refused) as caught:
        run(RULED, reply(None, stream=source))
    assert caught.value.code is Code.MASKING_REFUSED
    assert source.closed
    assert next(source.pieces) == b"c", "nothing is read beyond the limit"


def test_an_unreadable_stream_is_refused_before_anything_is_read() -> None:
    source = Source([b"x"])
    assert refused(RULED, reply(None, "image/png", stream=source))
    assert next(source.pieces) == b"x"


def test_a_failing_target_passes_its_refusal_on() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise Refused(Code.TARGET_TIMEOUT)

    for masker in (RULED, FREE):
        with pytest.raises(Refused) as caught:
            run(masker, reply(None, stream=failing()))
        assert caught.value.code is Code.TARGET_TIMEOUT
