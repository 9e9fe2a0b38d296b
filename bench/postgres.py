"""PostgreSQL: pgbench's select-only statements through funcgate, through PgBouncer and direct, in the same rounds; and a
million rows scanned with all detectors.

Each peer is proved to do what its row says before it is timed. CPU is that of the peer's process, and of its workers where it
has some, without its keeper.
"""

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from .bed import Bed, tell
from .database import GATED, NAME, OWNER, PASSWORD, ROWS, Server, pgbouncer, postgres, run_sql, versions
from .gateway import ALWAYS, COMMAND, INTERVAL, READY_WITHIN_S, _ready, all_there, listen
from .processes import BenchError, carriers, child, children_cpu_s, cpu_s, free_port, tail, wait_for_port
from .report import facts, machine
from .report import versions as packages
from .rounds import FULL, quartiles
from .scan import Scan, scan
from .workload import AUDIENCE, GROUP, ISSUER, Workload

PROTOCOLS = ("simple", "prepared")
CLIENTS = (1, 8, 64)
REFERENCE = "pgbouncer"
AT_LEAST = 0.5
_WIDE = 29  # of a peer's name
_BUSY_S = 0.05
_SETTLED_WITHIN_S, _LOOK_S, _STILL = 60.0, 0.3, 0.1  # of one processor, all keepers together
_FULL, _QUICK = (3, 3), (1, 2)  # rounds, seconds each
_ALL = "token, statement, arguments, CEL, column rules and detectors, journal"
_SCANS = {
    "rows": "SELECT id, name, amount, remark FROM people",
    "copied": "COPY (SELECT id, name, amount, remark FROM people) TO STDOUT",
}
_HIDDEN = b"@example.org"
_WHEN = 'args.tables == ["pgbench_accounts"] && args.has_where && !args.filter_columns.exists(c, c.endsWith(".ssn"))'


class Peer(NamedTuple):
    """One of those that are compared. `password` is the caller's token, "" where none is asked for; `workers` are the processes
    that carry its calls, 1 where it does that itself."""

    name: str
    does: str
    server: Server
    password: str = ""
    workers: int = 1

    @property
    def processes(self) -> str:
        """How many take part in a call: a gateway's own one and its workers; of the database, one for each client."""
        return "-" if self.name == "direct" else str(1 if self.workers == 1 else 1 + self.workers)


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: statements a second, CPU in microseconds a statement."""

    peer: str
    protocol: str
    clients: int
    round: int
    tps: float
    cpu_us: float


def run(bed: Bed) -> None:
    """Start everything, prove the peers, time them, scan the rows, print the tables."""
    full = bed.options.effort.rounds == FULL.rounds
    rounds, seconds = _FULL if full else _QUICK
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(postgres(bed.folder))
        peers = _peers(stack, bed, database)
        turns: list[Turn] = []
        for number in range(rounds):
            for protocol in PROTOCOLS:
                for clients in bed.options.effort.connections if bed.options.asked else CLIENTS:
                    for peer in _turned(peers, number):
                        _settle(peers)
                        turns.append(_time(peer, protocol, clients, number, seconds))
        about = machine(bed.folder) | packages() | versions()
        bed.results["postgres"] = {"machine": about, "turns": msgspec.to_builtins(turns)}
        print(facts(about))
        print(f"{rounds} rounds of {seconds} s; medians, ratios to {REFERENCE} of the same round\n")
        print(_table(turns, peers), end="\n\n")
        both = {what: {peer.name: _scanned(peer, sql) for peer in peers} for what, sql in _SCANS.items()}
    for what, scans in both.items():
        bed.results["postgres"][what] = {name: found._asdict() for name, found in scans.items()}
        print(_scans(what, scans), end="\n\n")


def _peers(stack: contextlib.ExitStack, bed: Bed, database: Server) -> list[Peer]:
    peers = [Peer("direct", "no proxy (CPU: the database's)", database)]
    peers.append(
        Peer(REFERENCE, "session pooling, judges nothing", stack.enter_context(pgbouncer(database, bed.folder)))
    )
    for workers in dict.fromkeys((1, *(bed.options.workers or _several()))):
        for mode, journal in (("always", ALWAYS), ("interval", INTERVAL)):
            folder = bed.folder / f"pg-{mode}-{workers}"
            server = stack.enter_context(_funcgate(bed.work, database, folder, journal, workers))
            name = f"funcgate {mode}" + (f", {workers} workers" if workers > 1 else "")
            peer = Peer(name, _ALL, server, bed.work.good, workers)
            with contextlib.ExitStack() as held:
                for _ in range(workers):  # the next connection goes to a worker that has none of those that are held
                    _prove(peer, bed.work)
                    held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            peers.append(peer)
    for peer in peers:
        tell(f"{peer.name}: {peer.does}: holds")
    only = bed.options.only
    return [peer for peer in peers if not only or "funcgate" not in peer.name or "funcgate" in only]


def _several() -> tuple[int, ...]:
    """What there is room for on the processors that it may run on, beside pgbench and the database."""
    return (2, 3) if len(os.sched_getaffinity(0)) >= 4 else (2,)


@contextlib.contextmanager
def _funcgate(
    work: Workload, database: Server, folder: Path, journal: Mapping[str, str], workers: int
) -> Iterator[Server]:
    folder.mkdir()
    port, console, log = free_port(), free_port(), folder / "serve.log"
    (folder / "jwks.json").write_text(json.dumps(work.jwks))
    (folder / "funcgate.yaml").write_text(json.dumps(_config(port, console, database.port, journal, workers), indent=1))
    environ = os.environ | {"BENCH_TARGET_KEY": PASSWORD}
    command = bench_command() or [str(COMMAND)]
    with child([*command, "serve", "--config", str(folder / "funcgate.yaml")], log, environ) as process:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _ready(console):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"funcgate serve is not ready; the end of its log:\n{tail(log)}")
            time.sleep(0.05)
        wait_for_port(process, port, log)
        all_there(process.pid, workers)
        yield Server(port, process.pid, "agent")
        process.send_signal(signal.SIGTERM)


def bench_command() -> list[str]:
    """What starts funcgate, when it is not the installed command."""
    return os.environ.get("BENCH_FUNCGATE", "").split()


def _config(port: int, console: int, database: int, journal: Mapping[str, str], workers: int) -> dict[str, object]:
    issuer = {"name": "corp", "issuer": ISSUER, "audience": AUDIENCE, "jwks_file": "./jwks.json", "groups": "groups"}
    target = {
        "name": NAME, "protocol": "postgres", "url": f"postgres://127.0.0.1:{database}/{NAME}",
        "credential": {"type": "password", "user": GATED, "secret": "env:BENCH_TARGET_KEY"},
        "limits": {"max_response": "1GiB", "timeout": "10m"},
    }  # fmt: skip

    def policy(name: str, functions: list[str], when: str) -> dict[str, object]:
        return {"name": name, "effect": "allow", "functions": functions, "principals": [f"group:{GROUP}"], "when": when}

    return {
        "listen": listen(
            workers,
            calls=f"127.0.0.1:{free_port()}",
            console=f"127.0.0.1:{console}",
            postgres=f"127.0.0.1:{port}",
        ),
        "data_dir": "./data",
        "journal": {**journal, "record": "1GiB"},
        "issuers": [issuer],
        "targets": [target],
        "policies": [
            policy("accounts", [f"{NAME}.select"], _WHEN),
            policy("people", [f"{NAME}.select", f"{NAME}.copy_out"], 'args.tables == ["people"]'),
            policy("pgbench looks at its tables", [f"{NAME}.select"], 'args.tables.exists(t, t == "pgbench_branches")'),
            policy("catalogue", [f"{NAME}.select"], 'args.tables.exists(t, t == "pg_catalog.pg_class")'),
        ],
        "masking": [{"functions": [f"{NAME}.*"], "detect": "all", "fields": ["people.ssn"]}],
    }


def _prove(peer: Peer, work: Workload) -> None:
    """That it refuses whom and what it should, hides what it should, and lets the rest through."""
    server = peer.server
    account = "SELECT abalance FROM pgbench_accounts WHERE aid = 7"
    if run_sql(server, NAME, account, peer.password).strip() != "0":
        raise BenchError(f"{peer.name} does not answer what the database answers")
    row = run_sql(server, NAME, "SELECT id, ssn, remark FROM people WHERE id = 100", peer.password).strip()
    if "example" in row or "-45-" in row or not row.startswith("100|"):
        raise BenchError(f"{peer.name} does not hide what it should: {row}")
    for what, password, sql in (
        ("forged token", work.bad, account),
        ("other group", work.outsider, account),
        ("write", peer.password, "DELETE FROM pgbench_accounts WHERE aid = 7"),
        ("statement without a condition", peer.password, "SELECT abalance FROM pgbench_accounts"),
    ):
        with contextlib.suppress(BenchError):
            run_sql(server, NAME, sql, password)
            raise SystemExit(f"bench: {peer.name} lets a {what} through")


def _turned(peers: Sequence[Peer], number: int) -> list[Peer]:
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def _settle(peers: Sequence[Peer]) -> None:
    """Wait until the keepers are through with what was carried before: that is no part of what the next peer does."""
    servers = [peer.server.pid for peer in peers if peer.password]
    until, spent = time.monotonic() + _SETTLED_WITHIN_S, children_cpu_s(servers)
    while time.monotonic() < until:
        time.sleep(_LOOK_S)
        before, spent = spent, children_cpu_s(servers)
        if spent - before < _LOOK_S * _STILL:
            return
    raise BenchError(f"the keepers are not through with their work after {_SETTLED_WITHIN_S:g} s")


def _time(peer: Peer, protocol: str, clients: int, number: int, seconds: int) -> Turn:
    """pgbench says each second how many transactions there were. The first seconds are for connecting, and for the database's
    processes to map the memory that they share, which costs each of them a page fault a statement at first: they are new for
    every peer but PgBouncer, which keeps its own from turn to turn."""
    server, warm_s = peer.server, _warm_s(clients)
    command = ["pgbench", "-n", "-S", "-M", protocol, "-c", str(clients), "-j", "1" if clients == 1 else "2"]
    command += ["-T", str(warm_s + seconds + 1), "-P", "1"]
    command += ["-h", "127.0.0.1", "-p", str(server.port), "-U", server.user, NAME]
    environ = os.environ | {"PGPASSWORD": peer.password, "PGSSLMODE": "disable"}
    counts: list[float] = []
    said: list[str] = []
    began = spent = 0.0
    passed = 0
    idle = {pid: cpu_s([pid]) for pid in carriers(server.pid)} if clients >= peer.workers > 1 else {}
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environ
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if not line.startswith("progress:"):
                said.append(line)
                continue
            passed += 1
            if passed < warm_s:
                continue
            if began:
                counts.append(float(line.split()[3]))
                spent = _cpu_s(peer) - began
            else:
                began = _cpu_s(peer)
            if len(counts) == seconds:
                break  # the last second ends with the connections, and the database's processes with them
        said += process.stderr
    if process.returncode or not counts:
        raise BenchError(f"pgbench failed on {peer.name}: {''.join(said)[-500:]}")
    if any(cpu_s([pid]) - before < _BUSY_S for pid, before in idle.items()):
        raise BenchError(f"{peer.name}: a worker had none of the {clients} clients")
    turn = Turn(
        peer=peer.name, protocol=protocol, clients=clients, round=number, tps=statistics.mean(counts),
        cpu_us=spent / max(sum(counts), 1) * 1e6,
    )  # fmt: skip
    tell(
        f"round {number + 1}  {protocol:8} {clients:>3} clients  {peer.name:{_WIDE}}{turn.tps:9.0f} tps {turn.cpu_us:7.1f} µs"
    )
    return turn


def _warm_s(clients: int) -> int:
    """1, 2 and 11 seconds for 1, 8 and 64 clients: by then most of it is done."""
    return 1 + clients // 6


def _cpu_s(peer: Peer) -> float:
    """Of the peer alone; the database's with its children, which do the work."""
    pids = [peer.server.pid]
    return cpu_s(pids) if peer.name == "direct" else cpu_s(pids) - children_cpu_s(pids)


def _table(turns: Sequence[Turn], peers: Sequence[Peer]) -> str:
    of, names = f"of {REFERENCE}", [peer.name for peer in peers]
    processes = {peer.name: peer.processes for peer in peers}
    head = f"{'protocol':9}{'clients':>7}  {'peer':{_WIDE}}{'processes':>9}{'tps':>9}{of:>14}{'(quartiles)':>14}"
    head += f"{'CPU µs':>9}{'of it':>7}"
    lines = [head, "-" * len(head)]
    for protocol, clients in dict.fromkeys((turn.protocol, turn.clients) for turn in turns):
        mine = {
            name: [t for t in turns if (t.peer, t.protocol, t.clients) == (name, protocol, clients)] for name in names
        }
        reference = mine[REFERENCE]
        for name in names:
            low, middle, high = quartiles(
                [one.tps / other.tps for one, other in zip(mine[name], reference, strict=True)]
            )
            cpu = statistics.median(one.cpu_us / other.cpu_us for one, other in zip(mine[name], reference, strict=True))
            tps = statistics.median(one.tps for one in mine[name])
            cpu_us = statistics.median(one.cpu_us for one in mine[name])
            spread = f"({low:.2f}-{high:.2f})"
            lines.append(
                f"{protocol:9}{clients:7}  {name:{_WIDE}}{processes[name]:>9}{tps:9.0f}{middle:14.2f}{spread:>14}"
                f"{cpu_us:9.1f}{cpu:7.1f}"
            )
    notes = [
        f"target: funcgate at least {AT_LEAST} of {REFERENCE}",
        "processes: those that a call goes through, and all of which count as CPU; the keeper is beside them and does not",
    ]
    return "\n".join([*lines, *notes])


def _scanned(peer: Peer, sql: str) -> Scan:
    found = scan(peer.server.port, peer.server.user or OWNER, NAME, peer.password, sql, _HIDDEN)
    if found.rows != ROWS or bool(found.found) is ("funcgate" in peer.name):
        raise BenchError(f"{peer.name}: {found.rows} rows, {found.found} addresses in clear")
    tell(f"{peer.name}: {found.rows} rows in {found.took_s:.1f} s")
    return found


def _scans(what: str, scans: Mapping[str, Scan]) -> str:
    head = f"{f'{ROWS} {what}':{_WIDE}}{'MB':>6}{'MB/s':>9}{'first row s':>13}{'s':>8}"
    lines = [head, "-" * len(head)]
    for name, found in scans.items():
        megabytes = found.data / 1e6
        lines.append(
            f"{name:{_WIDE}}{megabytes:6.1f}{megabytes / found.took_s:9.1f}{found.first_s:13.3f}{found.took_s:8.2f}"
        )
    return "\n".join(lines)
