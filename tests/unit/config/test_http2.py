"""HTTP/2 with targets in the configuration: every key reaches its place, nonsense is told, what would do nothing is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import structs

from funcgate.app import read_parts
from funcgate.config.http2 import target_http2
from funcgate.config.problems import Faulty
from funcgate.config.settings import target_limits
from funcgate.config.shape.http2 import TargetHttp2Spec
from funcgate.config.shape.limits import TargetLimitsSpec
from funcgate.core.function import Limits
from funcgate.core.problem import Problem
from funcgate.wire.http1.limits import HeadLimits
from funcgate.wire.http2.limits import Http2Limits, Times
from support.ledger import PROTO

URL = "    url: http://127.0.0.1:9/v1\n"
Write = Callable[..., Path]

# What a target gets when nothing is said: docs/http2.md.
WIRE = Http2Limits(
    head=HeadLimits(max_fields=100, max_bytes=64 << 10), max_streams=100, stream_window=512 << 10,
    connection_window=50 << 20, max_frame=16 << 10, max_continuations=16, max_unread=2 << 20, max_interim=32, per_s=10.0,
    resets=200, settings=50, pings=200, empty=200, priorities=500, updates=1000, unknown=200,
)  # fmt: skip
TIMES = Times(settle_s=5.0, unfinished_s=10.0, write_s=30.0, idle_s=60.0, ping_after_s=15.0, ping_s=10.0, age_s=3600.0)
HEAD = WIRE.head

# Each key of `limits.http2` with another value, and what becomes of it.
KEYS: dict[str, tuple[str | int, Http2Limits | Times]] = {
    "stream_window": ("1MiB", structs.replace(WIRE, stream_window=1 << 20, connection_window=100 << 20)),
    "connection_window": ("2MiB", structs.replace(WIRE, connection_window=2 << 20)),
    "headers": (7, structs.replace(WIRE, head=structs.replace(HEAD, max_fields=7))),
    "header_bytes": ("3KiB", structs.replace(WIRE, head=structs.replace(HEAD, max_bytes=3 << 10))),
    "frame": ("32KiB", structs.replace(WIRE, max_frame=32 << 10)),
    "continuations": (3, structs.replace(WIRE, max_continuations=3)),
    "unread": ("1MiB", structs.replace(WIRE, max_unread=1 << 20)),
    "interim": (5, structs.replace(WIRE, max_interim=5)),
    "per": ("3s", structs.replace(WIRE, per_s=3.0)),
    **{
        name: (11, structs.replace(WIRE, **{name: 11}))
        for name in ("resets", "settings", "pings", "empty", "priorities", "updates", "unknown")
    },
    "idle_timeout": ("3s", structs.replace(TIMES, idle_s=3.0)),
    "max_age": ("3m", structs.replace(TIMES, age_s=180.0)),
    "ping_after": ("3s", structs.replace(TIMES, ping_after_s=3.0)),
    "ping_timeout": ("3s", structs.replace(TIMES, ping_s=3.0)),
    "frame_timeout": ("3s", structs.replace(TIMES, unfinished_s=3.0)),
    "write_timeout": ("3s", structs.replace(TIMES, write_s=3.0)),
}


def read(spec: TargetLimitsSpec) -> tuple[Http2Limits, Times, list[Problem]]:
    problems: list[Problem] = []
    limits: Limits = target_limits(spec, ("limits",), problems)
    return *target_http2(spec, limits, ("limits",), problems), problems


def test_the_defaults() -> None:
    assert read(TargetLimitsSpec()) == (WIRE, TIMES, [])
    assert read(TargetLimitsSpec(http2=TargetHttp2Spec())) == (WIRE, TIMES, [])


def test_every_key_is_here() -> None:
    assert set(KEYS) == {field.name for field in msgspec.structs.fields(TargetHttp2Spec)}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_reaches_its_place(name: str) -> None:
    value, expected = KEYS[name]
    spec = msgspec.convert({"http2": {name: value}}, TargetLimitsSpec)
    wire, times, problems = read(spec)
    assert problems == []
    assert expected in (wire, times)
    assert WIRE in (wire, times) or TIMES in (wire, times)  # and nothing else changed


def test_max_streams_and_the_connect_timeout_reach_theirs() -> None:
    wire, times, _ = read(TargetLimitsSpec(max_streams=7, connect_timeout="2s"))
    assert (wire.max_streams, wire.connection_window, times.settle_s) == (7, 7 * (512 << 10), 2.0)


@pytest.mark.parametrize(
    ("limits", "at", "said"),
    [
        ({"stream_window": 100}, (), "the windows must be 65535 bytes at least"),
        ({"stream_window": "2GiB"}, (), "the windows must be 65535 bytes at least"),
        ({"stream_window": "1MiB", "connection_window": "512KiB"}, (), "the stream's no larger than the connection's"),
        ({"frame": "1KiB"}, (), "the largest frame must be from 16 KiB to 16 MiB"),
        ({"unread": "1KiB"}, (), "what may wait unread must be 512 KiB at least"),
        ({"pings": 0}, ("pings",), "this is out of range"),
        ({"interim": -1}, ("interim",), "this is out of range"),
        ({"idle_timeout": "0s"}, ("idle_timeout",), "this is out of range"),
        ({"max_age": "soon"}, ("max_age",), "soon"),
    ],
)
def test_nonsense_is_told(limits: dict[str, Any], at: tuple[str, ...], said: str) -> None:
    _, _, (problem,) = read(msgspec.convert({"http2": limits}, TargetLimitsSpec))
    assert problem.where == ("limits", "http2", *at)
    assert said in problem.text


def problems(path: Path) -> list[str]:
    with pytest.raises(Faulty) as caught:
        read_parts(path, need_secrets=False)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems if not problem.warning]


@pytest.mark.parametrize("limits", ["max_streams: 100", "http2: {pings: 5}", "http2: {}"])
def test_limits_of_a_protocol_that_is_not_spoken_do_nothing_and_are_refused(write: Write, limits: str) -> None:
    name = limits.partition(":")[0]
    (said,) = problems(write((URL, f"{URL}    limits: {{{limits}}}\n")))
    assert f"'{name}': HTTP/2 is not spoken with this target, so it would do nothing; add 'http2: true'" in said
    parts = read_parts(write((URL, f"{URL}    http2: true\n    limits: {{{limits}}}\n")))
    found = parts.targets["payments"].http2
    assert found is not None
    assert found[0].pings == (5 if "pings" in limits else 200)
    assert read_parts(write()).targets["payments"].http2 is None


def test_nor_with_a_database(write: Write) -> None:
    database = """\
  - name: db
    protocol: postgres
    url: postgres://127.0.0.1:9/x
    credential: {type: password, user: u, secret: env:NONE}
    limits: {max_streams: 5}
policies:
"""
    said = "'max_streams': HTTP/2 is not spoken with this target, so it would do nothing; take it away"
    assert any(said in one for one in problems(write(("policies:\n", database))))


def test_grpc_targets_always_speak_it(write: Write) -> None:
    text = """\
issuers: [{name: corp, issuer: "https://idp.example", audience: funcgate, jwks_file: ./jwks.json}]
targets:
  - name: ledger
    protocol: grpc
    url: http://127.0.0.1:9
    functions: {proto: [./ledger.proto]}
    limits: {max_streams: 9, http2: {max_age: 5m}}
policies: [{name: p, effect: allow, functions: ["ledger.*"], principals: ["*"]}]
"""
    path = write(text=text)
    shutil.copy(PROTO, path.parent / "ledger.proto")
    found = read_parts(path, need_secrets=False).targets["ledger"].http2
    assert found is not None
    assert (found[0].max_streams, found[1].age_s) == (9, 300.0)
