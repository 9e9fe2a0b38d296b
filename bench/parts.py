"""The parts alone, in this process, without sockets: what each costs when nothing disturbs it.

The least of many batches, so that it can be read on a busy machine. It adds up to less than a call: no loop, no kernel.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import uvloop
from msgspec import Raw

from funcgate.app.building import read_parts
from funcgate.config.parts import Parts
from funcgate.core.call import Call
from funcgate.core.entry import Drawn, Entry, Kind, Who
from funcgate.core.ids import new_id
from funcgate.core.lease import Lease
from funcgate.core.ports import Masked
from funcgate.core.principal import Principal, RawToken
from funcgate.core.reply import Reply
from funcgate.masking import RuleSpec, compile_rules
from funcgate.recording.contents.keys import KeyRing
from funcgate.recording.contents.seal import seal
from funcgate.recording.tape import Tape, encode_args
from funcgate.wire.http1.fields import media_type
from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http1.requests import Request, RequestReader
from funcgate.wire.request_target import parse_request_target

from .bed import Bed
from .bodies import answers
from .gateway import INTERVAL, PLAIN, write_config
from .workload import PATH, TARGET, TARGET_KEY, clean_answer, make_body, make_request, sensitive_answer

BATCHES, BATCH, SYNCS = 40, 200, 1000
FEW, SLOW_S = 10, 1e-4
SENSITIVE, CLEAN = sensitive_answer().body, clean_answer().body
Part = tuple[str, Callable[[], object]]


def run(bed: Bed) -> None:
    """Print the least time of each part."""
    results = uvloop.run(_run(bed))
    bed.results["parts_us"] = results
    print("\n".join(f"{name:48} {least:7.2f} µs" for name, least in results.items()), end="\n\n")


async def _run(bed: Bed) -> dict[str, float]:
    folder = bed.folder / "parts"
    folder.mkdir()
    os.environ["BENCH_TARGET_KEY"] = TARGET_KEY
    parts = read_parts(write_config(folder, bed.work, (0, 0, 9), INTERVAL, PLAIN), serving=True)
    await parts.issuers.start()
    try:
        principal = await parts.issuers.identify(RawToken(bed.work.good.encode()))
        found = {name: _least(part) for name, part in await _parts(parts, principal, bed.work.good)}
        return {**found, "a line on the disk, synced: CPU, the mean": _synced(folder)}
    finally:
        await parts.issuers.close()


def _least(part: Callable[[], object]) -> float:
    """Microseconds."""
    took = []
    since = perf_counter()
    for _ in range(FEW):
        part()
    slow = perf_counter() - since > FEW * SLOW_S
    many = FEW if slow else BATCH
    for _ in range(FEW if slow else BATCHES):
        since = perf_counter()
        for _ in range(many):
            part()
        took.append(perf_counter() - since)
    return min(took) / many * 1e6


async def _parts(parts: Parts, principal: Principal, token: str) -> list[Part]:
    request, raw = _request(token)
    args, reading = _arguments(parts, request)
    call = Call(
        id=new_id(), target=TARGET, function=f"{TARGET}.createTransfer", args=args, principal=principal, session="bench",
        digest="sha256:" + "0" * 64, received_at=time.time(), client="127.0.0.1", trace="", reason="",
    )  # fmt: skip
    masker = parts.masking.masker(call.function)
    lease = await parts.broker.lease(TARGET)
    encoded = encode_args(args)
    masked = masker.mask_reply(_reply(CLEAN), lease)
    return [
        ("request: bytes to fields and body", lambda: _read(raw)),
        ("token: known", lambda: parts.issuers.recall(RawToken(token.encode()))),
        *reading,
        ("policy: decide", lambda: parts.policies.decide(call)),
        ("arguments: as JSON, masked for the journal", lambda: masker.mask_args(encode_args(args))),
        ("arguments: masked only", lambda: masker.mask_args(encoded)),
        ("answer: masked", lambda: masker.mask_reply(_reply(SENSITIVE), lease)),
        ("answer: nothing to mask", lambda: masker.mask_reply(_reply(CLEAN), lease)),
        ("answer: masked, one escape in it", lambda: masker.mask_reply(_reply(_escaped(SENSITIVE)), lease)),
        ("answer: nothing to mask, one escape in it", lambda: masker.mask_reply(_reply(_escaped(CLEAN)), lease)),
        ("answer: as an entry", lambda: _chunk(masked, call)),
        *_everyday(lease),
        *await _sealing(masker.mask_args(encoded)),
        ("an id", new_id),
    ]


def _everyday(lease: Lease) -> list[Part]:
    """Answers of many kinds, under all detectors and one rule for a field."""
    name = f"{TARGET}.any"
    rules = [RuleSpec(functions=[name], detect="all", fields=["**.password"])]
    masker = compile_rules(rules, [name], hash_key=bytes(32)).masker(name)

    def part(media: str, body: bytes) -> Callable[[], object]:
        return lambda: masker.mask_reply(_reply(body, media), lease)

    return [(f"masked: {what}", part(media, body)) for what, (media, body) in answers().items()]


def _escaped(body: bytes) -> bytes:
    """The body with a line end, as JSON spells it, in its first string that is a value."""
    return body.replace(b'": "', b'": "\\n', 1).replace(b'":"', b'":"\\n', 1)


def _synced(folder: Path) -> float:
    """Microseconds of CPU that one durable append takes by itself: no thread, no queue, space that is there already."""
    descriptor = os.open(folder / "synced", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        line = bytes(1500)
        os.pwrite(descriptor, bytes(SYNCS * len(line)), 0)
        os.fsync(descriptor)
        since = process_time()
        for at in range(SYNCS):
            os.pwritev(descriptor, [line], at * len(line), os.RWF_DSYNC)
        return (process_time() - since) / SYNCS * 1e6
    finally:
        os.close(descriptor)


def _chunk(masked: Masked, call: Call) -> Entry | Drawn:
    return Tape(masked, 1 << 25, call, _unused).chunk()


async def _unused(entry: Entry) -> None:
    raise AssertionError("a whole answer is recorded by its caller")


async def _sealing(args: bytes) -> list[Part]:
    """What encryption at rest adds: to the entry of an arrival, and to that of an answer."""
    with TemporaryDirectory() as folder, ThreadPoolExecutor(1) as threads:
        keys = await KeyRing(Path(folder), bytes(32), threads).make("s", TARGET)
    who = Who("bench", "agent", ("agents",), token="0" * 16)

    def arrived() -> None:
        seal(Entry(kind=Kind.ARRIVED, call="c", principal=who, args=Raw(args), client="127.0.0.1"), keys)

    def chunk() -> None:
        seal(Entry(kind=Kind.CHUNK, call="c", body=Raw(CLEAN)), keys)

    return [("arguments and caller: sealed", arrived), ("answer: sealed", chunk)]


def _arguments(parts: Parts, request: Request) -> tuple[dict[str, Any], Iterator[Part]]:
    catalogue: Any = parts.targets[TARGET].catalogue
    target, host = request.target, request.known[b"host"]
    located = parse_request_target(target, host)
    found = catalogue.find("POST", located.segments[1:])
    media, charset = media_type(request.known[b"content-type"])

    def read() -> dict[str, Any]:
        typed: dict[str, Any] = found.binding.read(
            found.path_args, located.params, request.fields, media, charset, request.body
        )
        return typed

    reading: list[Part] = [
        ("path: parsed", lambda: parse_request_target(target, host)),
        ("function: found", lambda: catalogue.find("POST", located.segments[1:])),
        ("arguments: typed and checked", read),
    ]
    return read(), iter(reading)


def _request(token: str) -> tuple[Request, bytes]:
    raw = make_request(f"/{TARGET}{PATH}", token, make_body(), "127.0.0.1:8080")
    return _read(raw), raw


def _read(raw: bytes) -> Request:
    requests: list[Request] = []
    RequestReader(HeadLimits(), requests.append).feed(raw)
    return requests[0]


def _reply(body: bytes, media: str = "application/json") -> Reply:
    fields = [(b"Content-Type", media.encode()), (b"Content-Length", b"%d" % len(body))]
    return Reply(status=200, headers=fields, media=media, charset="", encoding="", body=body)
