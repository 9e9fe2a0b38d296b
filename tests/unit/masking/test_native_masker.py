"""Compiled and pure: whole answers and arguments masked alike, also the second time, when their fields are known."""

import gc
import weakref
from typing import Any

import pytest

from funcgate.core.lease import NO_LEASE, Lease
from funcgate.core.native import half
from funcgate.core.refusal import Refused
from funcgate.core.reply import Outcome, Reply
from funcgate.core.secret import Secret
from funcgate.masking import RuleSpec, compile_rules
from funcgate.masking.masker import Masker

pytestmark = pytest.mark.skipif(half("funcgate.masking._native") is None, reason="not built, or FUNCGATE_PURE is set")
SECRET = "s3cr3t-credential"
LEASES = (NO_LEASE, Lease(needles=(Secret(SECRET),)), Lease(needles=(Secret("short"),)))
RULES = [RuleSpec(functions=["t.ruled"], detect="all", fields=["**.password"])]
BODIES = [
    None, b"", b"{}", b'{"a":1}', b'{"mail":"ada@example.com"}', b'{"card":"4111111111111111","password":"x"}',
    b'{"a":"s3cr3t-credential"}',
    b'{"a":"\\u0073\\u0033cr3t-credential"}', b'{"ada@example.com":1}', b'{"a":1', b"\xff", b'{"a":"short"}',
    b'[["b@example.com"]]\n[1]\n',
    b"[" * 70 + b"]" * 70, b"4111111111111111", b'{"a":\n1}', b"ada@example.com",
]  # fmt: skip
HEADERS: list[list[tuple[bytes, bytes]]] = [
    [],
    [
        (b"Content-Type", b"application/json"),
        (b"CONTENT-length", b"5"),
        (b"Digest", b"sha"),
        (b"Content-MD5", b"x"),
        (b"ETag", b"1"),
    ],
    [
        (b"content-digest", b"x"),
        (b"Repr-Digest", b"x"),
        (b"Content-Encoding", b"identity"),
        (b"digests", b"x"),
        (b"", b""),
    ],
    [(b"X-Mail", b"ada@example.com"), (b"Content-Length", b"5")],
    [(b"X-Key", SECRET.encode())],
]
MORE: list[dict[str, Any]] = [
    {}, {"status": 204}, {"status": 206}, {"status": 304}, {"status": 500}, {"charset": "utf-8"}, {"encoding": "identity"},
    {"trailers": [(b"x", b"y")]}, {"trailers": [(b"x", b"ada@example.com")]}, {"outcome": Outcome.CUT},
]  # fmt: skip


def outcome(mask: Any, reply: Reply, lease: Lease) -> Any:
    try:
        masked = mask(reply, lease)
    except Refused as refused:
        return refused.code, refused.private_detail
    return masked.reply, masked.reply is reply, masked.counts, masked.json


def pair(function: str, unmaskable_pass: bool) -> list[Masker]:
    """Two, so that neither learns of the other."""
    return [
        compile_rules(RULES, ["t.ruled", "t.free"], hash_key=b"k" * 32).masker(
            function, unmaskable_pass=unmaskable_pass
        )
        for _ in range(2)
    ]


@pytest.mark.parametrize("function", ["t.ruled", "t.free"])
@pytest.mark.parametrize("unmaskable_pass", [True, False])
@pytest.mark.parametrize(
    "media", ["application/json", "application/x-ndjson", "text/plain", "application/problem+json"]
)
def test_the_same_answers(function: str, unmaskable_pass: bool, media: str) -> None:
    compiled, pure = pair(function, unmaskable_pass)
    for _ in range(2):
        for lease in LEASES:
            for headers in HEADERS:
                for body in BODIES:
                    for more in MORE:
                        reply = Reply(**{"status": 200, "headers": headers, "media": media, "body": body, **more})
                        told = outcome(compiled.mask_reply, reply, lease), outcome(pure._mask_reply, reply, lease)
                        assert told[0] == told[1], (lease, headers, body, more)


def test_the_same_arguments() -> None:
    compiled, pure = pair("t.ruled", False)
    for body in BODIES:
        if body is not None:
            for args in (body, b" " + body, body + b"\n", body + b"\r"):
                assert compiled.mask_args(args) == pure._mask_args(args)
    odd: Any = bytearray(b'{"mail":"ada@example.com"}')
    assert compiled.mask_args(odd) == pure._mask_args(odd)


def test_another_lease_is_looked_for_at_once() -> None:
    masker, _ = pair("t.ruled", False)
    reply = Reply(status=200, headers=[], media="application/json", body=b'{"a":"s3cr3t-credential"}')
    for lease, shown in [(LEASES[0], True), (LEASES[1], False), (LEASES[0], True), (LEASES[1], False)] * 3:
        assert (SECRET.encode() in (masker.mask_reply(reply, lease).reply.body or b"")) is shown


def test_the_quick_pass_goes_over_an_answer_once() -> None:
    """What it is not sure of is not given to it again: a caller must not make the gateway do everything twice."""
    masker, _ = pair("t.ruled", False)
    seen: list[bool] = []

    class Watched(Masker):
        def _mask_reply(self, reply: Reply, lease: Lease, unsure: bool = False) -> Any:
            seen.append(unsure)
            return super()._mask_reply(reply, lease, unsure)

    again = Watched(masker._rules, masker._journal, masker._sights, unmaskable_pass=False, decoded_limit=1 << 20)
    assert isinstance(again, half("funcgate.masking._native").Plain)
    again.mask_reply(Reply(status=200, headers=[], media="application/json", body=b'{"ada@example.com":1}'), NO_LEASE)
    assert seen == [True]


def test_a_masker_that_nobody_uses_holds_no_credential() -> None:
    """Attack: read from the memory the credentials that a reload took away. What was there when the process began is never looked
    at again by the garbage collector (`gc.freeze`): nothing of it may hold itself."""
    masker, _ = pair("t.ruled", False)
    lease, gone = Lease(needles=(Secret(SECRET),)), weakref.ref(masker)
    gc.disable()
    try:
        masker.mask_reply(Reply(status=200, headers=[], media="application/json", body=b"{}"), lease)
        del masker, _
        assert gone() is None
    finally:
        gc.enable()
