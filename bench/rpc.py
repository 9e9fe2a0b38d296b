"""gRPC, side by side: a unary call of the full job beside Envoy and a generic grpc.aio proxy, on one upstream, in one run."""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import msgspec

from . import envoy
from .bed import Bed, tell
from .gateway import ALWAYS, INTERVAL, Gateway, serving
from .peers import Peer, Shot
from .processes import BenchError, child, free_port, talker, wait_for_port
from .report import absolute, facts, machine, ratios, versions
from .rounds import Effort, Sample, alone, measure, summarize
from .rpcwork import METHOD, PROTO, SEEN, answer_message, blocks, message, request_message
from .workload import AUDIENCE, GROUP, ISSUER, TARGET, Workload, sensitive_answer

REFERENCE, BASELINE, WITHOUT_KEEPER = "envoy", "direct", " (no keeper)"
TARGETS = {"funcgate interval": 3.0, "funcgate always": 3.0}
_ALL = "token, arguments, CEL, masking, credential, journal"
SHARED = 16  # calls of one busy client on its connection
_TARGETED = [("funcgate-target", TARGET)]
_TIMEOUT_S = 10


def run(bed: Bed) -> None:
    """Start upstream and peers, prove them, time them, print the two tables."""
    about = machine(bed.folder) | versions()
    with talker("bench.rpcupstream") as upstream, talker("bench.rpcload") as loader:
        assert upstream.stdout is not None
        port = int(upstream.stdout.readline() or 0)
        with _peers(bed, port, upstream.pid) as peers:
            entries = [(peer, preflight(peer, bed.work, port)) for peer in peers]
            for peer, shot in entries:
                tell(f"{peer.name}: {peer.does}: holds{f', {shot.masked} values masked' if peer.guards else ''}")
            samples = {
                shared: measure(loader, [_sharing(entry, shared) for entry in entries], effort, tell)
                for shared, effort in _efforts(bed.options.effort).items()
            }
    bed.results["grpc"] = {"machine": about, "samples": msgspec.to_builtins(samples)}
    print(facts(about | ({"envoy": envoy.version()} if any(peer.name == REFERENCE for peer in peers) else {})))
    print(f"unary calls, request {len(request_message())} bytes, answer {len(answer_message())}\n")
    for shared, found in samples.items():
        print(
            f"{'one call at a time' if shared == 1 else f'{shared} calls at a time'} on a connection; conns: calls under way"
        )
        _tables(peers, found)


def _efforts(effort: Effort) -> dict[int, Effort]:
    """By how many calls share a connection."""
    found = {1: effort, SHARED: effort._replace(connections=tuple(n for n in effort.connections if n >= SHARED))}
    return {shared: each for shared, each in found.items() if each.connections}


def _sharing(entry: tuple[Peer, Shot], calls: int) -> tuple[Peer, Shot]:
    return entry[0], entry[1]._replace(framing=str(calls).encode())


def _tables(peers: list[Peer], samples: list[Sample]) -> None:
    names, counts = [peer.name for peer in peers], sorted({sample.connections for sample in samples})
    guards = [peer.name for peer in peers if peer.guards]
    cells = summarize(samples, REFERENCE, BASELINE)
    print(absolute(cells, [(peer.name, peer.does) for peer in peers], counts), end="\n\n")
    if REFERENCE in names:
        rows = [*(name for name in names if name != BASELINE), *(name + WITHOUT_KEEPER for name in guards)]
        apart = summarize([*samples, *alone(samples, guards, WITHOUT_KEEPER)], REFERENCE, BASELINE)
        goals = {name + suffix: TARGETS[name] for name in guards for suffix in ("", WITHOUT_KEEPER)}
        print("CPU a call, as a multiple of Envoy's, with its token cache (median of the rounds' ratios, quartiles)")
        print(ratios(apart, rows, counts, goals), end="\n\n")


@contextlib.contextmanager
def _peers(bed: Bed, port: int, pid: int) -> Iterator[list[Peer]]:
    only = bed.options.only
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        peers = [Peer(BASELINE, "no gateway", port, [pid], METHOD, judges=False)]
        if not only or "envoy" in only:
            peers.append(start(envoy.envoy(bed.work, port, bed.folder, cached=True, grpc_path=METHOD)))
        if not only or "aiohttp" in only:
            peers.append(start(_grpc_aio(bed.work, port, bed.folder)))
        if not only or "funcgate" in only:
            for name, journal in (("always", ALWAYS), ("interval", INTERVAL)):
                found = start(_gateway(bed.work, port, bed.folder / f"grpc-{name}", journal))
                peers.append(Peer(f"funcgate {name}", _ALL, found.port, [found.pid], METHOD, guards=True))
        yield peers


@contextlib.contextmanager
def _grpc_aio(work: Workload, upstream_port: int, folder: Path) -> Iterator[Peer]:
    port, log, jwks = free_port(), folder / "grpc-aio.log", folder / "grpc-aio.jwks.json"
    jwks.write_text(json.dumps(work.jwks))
    command = [sys.executable, "-m", "bench.rpcproxy", str(port), str(upstream_port), str(jwks)]
    with child(command, log) as process:
        wait_for_port(process, port, log)
        yield Peer("grpc.aio", "a generic proxy; token (cached), one comparison", port, [process.pid], METHOD)


@contextlib.contextmanager
def _gateway(work: Workload, upstream_port: int, folder: Path, journal: Mapping[str, str]) -> Iterator[Gateway]:
    folder.mkdir()
    ports = (free_port(), free_port())
    (folder / "jwks.json").write_text(json.dumps(work.jwks))
    (folder / "payments.proto").write_text(PROTO)
    config = folder / "funcgate.yaml"
    config.write_text(json.dumps(config_of(*ports, upstream_port, journal), indent=1))
    with serving(config, ports, folder / "serve.log") as found:
        yield found


def config_of(port: int, console: int, upstream_port: int, journal: Mapping[str, str]) -> dict[str, Any]:
    """The configuration of gateway.py, for the same call as a gRPC method."""
    function = f"{TARGET}.{METHOD[1:]}"
    condition = "args.amount <= 10000 && args.currency in ['EUR', 'USD']"
    small = {
        "name": "small",
        "effect": "allow",
        "functions": [function],
        "principals": [f"group:{GROUP}"],
        "when": condition,
    }
    big = small | {"name": "big", "effect": "require_approval", "when": "args.amount > 10000"}
    target = {
        "name": TARGET,
        "protocol": "grpc",
        "url": f"http://127.0.0.1:{upstream_port}",
        "functions": {"proto": ["./payments.proto"]},
        "credential": {"type": "bearer", "secret": "env:BENCH_TARGET_KEY"},
    }
    return {
        "listen": {"calls": f"127.0.0.1:{port}", "console": f"127.0.0.1:{console}"},
        "data_dir": "./data",
        "journal": dict(journal),
        "issuers": [
            {"name": "corp", "issuer": ISSUER, "audience": AUDIENCE, "jwks_file": "./jwks.json", "groups": "groups"}
        ],
        "targets": [target],
        "policies": [small, big | {"approval": {"approvers": ["group:finance"], "count": 1, "expires": "15m"}}],
        "masking": [{"functions": [f"{TARGET}.*"], "detect": "all", "action": "redact"}],
    }


def preflight(peer: Peer, work: Workload, upstream_port: int) -> Shot:
    """Try what the peer claims, with gRPC's own client. Raises `BenchError` at the first claim that does not hold."""
    with grpc.insecure_channel(f"127.0.0.1:{peer.port}") as channel:
        answer = _ask(channel, peer, METHOD, work.good, request_message())
        if isinstance(answer, grpc.StatusCode):
            raise BenchError(f"{peer.name} answers the good call with {answer}")
        credential, token = _seen(upstream_port)
        if peer.judges:
            _claim(peer, _ask(channel, peer, METHOD, work.bad, request_message()), grpc.StatusCode.UNAUTHENTICATED)
            _claim(
                peer, _ask(channel, peer, METHOD, work.outsider, request_message()), grpc.StatusCode.PERMISSION_DENIED
            )
            _claim(
                peer, _ask(channel, peer, METHOD + "x", work.good, request_message()), grpc.StatusCode.PERMISSION_DENIED
            )
        if peer.guards:
            big = _ask(channel, peer, METHOD, work.good, request_message(250_000))  # nobody approves
            _claim(peer, big, grpc.StatusCode.FAILED_PRECONDITION)
            dollars = _ask(channel, peer, METHOD, work.good, request_message(currency="JPY"))
            _claim(peer, dollars, grpc.StatusCode.PERMISSION_DENIED)
            leaked = [secret for secret in sensitive_answer().secrets if secret.encode() in answer]
            if leaked or not credential or token:
                raise BenchError(f"{peer.name} lets {len(leaked)} values through, or the wrong credential")
        elif answer != answer_message():
            raise BenchError(f"{peer.name} changes the answer")
    more = [(name.encode(), value.encode()) for name, value in _TARGETED] if peer.guards else []
    shot = blocks(METHOD, work.good, f"127.0.0.1:{peer.port}", more, request_message())
    return Shot(msgspec.msgpack.encode(shot), b"", len(answer) + 5, answer.count(b"[REDACTED"))


def _ask(channel: Any, peer: Peer, path: str, token: str, data: bytes) -> Any:
    """The answer's bytes, or the status of a refusal."""
    metadata = [("authorization", f"Bearer {token}"), ("prefer", "wait=0"), *(_TARGETED if peer.guards else [])]
    try:
        return channel.unary_unary(path)(data, metadata=metadata, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        return error.code()  # type: ignore[attr-defined,unused-ignore]


def _seen(port: int) -> tuple[bool, bool]:
    """Whether the last call carried the credential, and whether the caller's token."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        said = message("Records").FromString(channel.unary_unary(SEEN)(b"", timeout=_TIMEOUT_S)).next
    credential, token = said.split()
    return credential == "1", token == "1"


def _claim(peer: Peer, found: Any, wanted: grpc.StatusCode) -> None:
    if found is not wanted:
        raise BenchError(f"{peer.name} answers with {found!r} where its row in the table says {wanted}")
