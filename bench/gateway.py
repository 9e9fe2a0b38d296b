"""The funcgate peer: `funcgate serve` doing all of it, with a configuration made for the run.

Token, function and arguments from an OpenAPI description, schema, policies in CEL, credential, all detectors, journal.
"""

import contextlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .peers import Peer
from .processes import BenchError, carriers, child, free_port, tail
from .workload import AUDIENCE, CLEAN_PATH, GROUP, ISSUER, PATH, TARGET, TARGET_KEY, Workload

COMMAND = Path(sys.executable).parent / "funcgate"
READY_WITHIN_S = 30.0
ALWAYS: Mapping[str, str] = {"sync": "always"}
INTERVAL: Mapping[str, str] = {"sync": "interval", "every": "5ms"}


class Gateway(NamedTuple):
    """A running `funcgate serve`: its process and its ports."""

    pid: int
    port: int
    console: int
    config: Path

    def peer(self, name: str, does: str, path: str = PATH) -> Peer:
        """This gateway as a row of the table."""
        return Peer(name, does, self.port, [self.pid], f"/{TARGET}{path}", guards=True)


class Shape(NamedTuple):
    """How big the configuration is: functions beside the two that are called, each with its own policy, and policies
    of other groups on the function that is called; how many processes carry calls."""

    functions: int = 0
    groups: int = 0
    workers: int = 1


PLAIN = Shape()


@contextlib.contextmanager
def gateway(
    work: Workload,
    upstream_port: int,
    folder: Path,
    journal: Mapping[str, str],
    shape: Shape = PLAIN,
    command: Sequence[str] = (str(COMMAND),),
) -> Iterator[Gateway]:
    """Write the configuration into the folder, start `funcgate serve` (by `command`) and wait until it is ready."""
    folder.mkdir()
    ports = (free_port(), free_port())
    config = write_config(folder, work, (*ports, upstream_port), journal, shape)
    with serving(config, ports, folder / "serve.log", command) as found:
        all_there(found.pid, shape.workers)
        yield found


@contextlib.contextmanager
def serving(
    config: Path, ports: tuple[int, int], log: Path, command: Sequence[str] = (str(COMMAND),)
) -> Iterator[Gateway]:
    """`funcgate serve` with this configuration, once it is ready. `ports` are those of calls and console."""
    port, console = ports
    environ = os.environ | {"BENCH_TARGET_KEY": TARGET_KEY}
    with child([*command, "serve", "--config", str(config)], log, environ) as process:
        deadline = time.monotonic() + READY_WITHIN_S
        while not _ready(console):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"funcgate serve is not ready; the end of its log:\n{tail(log)}")
            time.sleep(0.05)
        yield Gateway(process.pid, port, console, config)
        process.send_signal(signal.SIGTERM)


def all_there(pid: int, workers: int) -> None:
    """Raises `BenchError` unless so many processes carry calls."""
    if len(carriers(pid)) != (workers if workers > 1 else 0):
        raise BenchError(f"{len(carriers(pid))} processes carry calls, not {workers}")


def listen(workers: int, **addresses: str) -> dict[str, Any]:
    """The section of a configuration. Nothing of workers where there is one process: older versions do not know them."""
    return addresses | ({"workers": workers} if workers > 1 else {})


def write_config(
    folder: Path, work: Workload, ports: tuple[int, int, int], journal: Mapping[str, str], shape: Shape
) -> Path:
    """Write the configuration and the files that it names. `ports` are those of calls, console and upstream."""
    config = folder / "funcgate.yaml"
    (folder / "jwks.json").write_text(json.dumps(work.jwks))
    (folder / "payments.json").write_text(json.dumps(_openapi(shape.functions)))
    config.write_text(json.dumps(_config(*ports, journal, shape), indent=1))
    return config


def _ready(console: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{console}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def _config(port: int, console: int, upstream_port: int, journal: Mapping[str, str], shape: Shape) -> dict[str, Any]:
    issuer = {"name": "corp", "issuer": ISSUER, "audience": AUDIENCE, "jwks_file": "./jwks.json", "groups": "groups"}
    target = {
        "name": TARGET,
        "protocol": "http",
        "url": f"http://127.0.0.1:{upstream_port}",
        "functions": {"openapi": "./payments.json"},
        "credential": {"type": "bearer", "secret": "env:BENCH_TARGET_KEY"},
    }
    return {
        "listen": listen(shape.workers, calls=f"127.0.0.1:{port}", console=f"127.0.0.1:{console}"),
        "data_dir": "./data",
        "journal": dict(journal),
        "issuers": [issuer],
        "targets": [target],
        "policies": _policies(shape),
        "masking": [{"functions": [f"{TARGET}.*"], "detect": "all", "action": "redact"}],
    }


def _policies(shape: Shape) -> list[dict[str, Any]]:
    """The two of the README for the functions that are called, and what the shape adds, in front of them."""
    called = [f"{TARGET}.createTransfer", f"{TARGET}.listStatements"]
    more = [
        _policy(f"ledger {n}", "allow", [f"{TARGET}.bookEntry{n}"], GROUP, f"args.amount <= {n + 10}")
        for n in range(shape.functions)
    ] + [
        _policy(f"group {n}", "allow", called[:1], f"team-{n}", f"args.amount <= {n + 10}") for n in range(shape.groups)
    ]
    small = _policy(
        "small transfers", "allow", called, GROUP, "args.amount <= 10000 && args.currency in ['EUR', 'USD']"
    )
    big = _policy("big transfers", "require_approval", called, GROUP, "args.amount > 10000")
    return [*more, small, big | {"approval": {"approvers": ["group:finance"], "count": 1, "expires": "15m"}}]


def _policy(name: str, effect: str, functions: list[str], group: str, when: str) -> dict[str, Any]:
    return {"name": name, "effect": effect, "functions": functions, "principals": [f"group:{group}"], "when": when}


def _openapi(functions: int) -> dict[str, Any]:
    body = {
        "type": "object",
        "additionalProperties": False,
        "required": ["amount", "currency", "recipient"],
        "properties": {
            "amount": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
            "currency": {"type": "string", "enum": ["EUR", "USD", "JPY"]},
            "recipient": {"type": "string", "minLength": 1, "maxLength": 100},
            "reference": {"type": "string", "maxLength": 140},
            "urgent": {"type": "boolean"},
            "tags": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 30}},
            "memo": {"type": "string", "maxLength": 500},
        },
    }
    paths = {
        PATH.rpartition("/")[0] + "/{account}": _operation("createTransfer", body),
        CLEAN_PATH.rpartition("/")[0] + "/{account}": _operation("listStatements", body),
    }
    paths |= {f"/ledgers/{n}/entries/{{account}}": _operation(f"bookEntry{n}", body) for n in range(functions)}
    return {"openapi": "3.1.0", "info": {"title": "Payments", "version": "1"}, "paths": paths}


def _operation(name: str, body: dict[str, Any]) -> dict[str, Any]:
    account = {"name": "account", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 40}}
    return {
        "post": {
            "operationId": name,
            "parameters": [account],
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {"200": {"description": "The records"}},
        }
    }
