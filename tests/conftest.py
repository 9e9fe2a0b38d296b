"""One gateway and one target for most flow and invariant tests; tests that need other settings start their own."""

import functools
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx._config
import httpx._transports.default
import pytest
from httpx import create_ssl_context
from hypothesis import HealthCheck
from hypothesis import settings as property_settings

import support.no_forks  # noqa: F401
from support.authority import Authority
from support.gate import Gate, settings
from support.grpc_gate import GrpcGate
from support.ledger import LedgerTarget
from support.postgres import Database, SqlGate
from support.quick import QUICK
from support.target import Target

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # many gateways are started: each would compile all modules anew

# An example that takes 200 ms, or a slow second in which examples are made, tells of the machine and not of what is tested.
# `make test` tries the same ones at each run: what it finds is a change's. `make test-full` draws others.
property_settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=QUICK, database=None
)
property_settings.load_profile("untimed")


@functools.cache
def _public_authorities() -> ssl.SSLContext:
    return create_ssl_context()


def _quick_ssl_context(
    verify: ssl.SSLContext | str | bool = True, cert: Any = None, trust_env: bool = True
) -> ssl.SSLContext:
    """httpx reads all public authorities anew for each client, also for one of plain HTTP: half of what many flows cost."""
    return _public_authorities() if verify is True and cert is None else create_ssl_context(verify, cert, trust_env)


httpx._transports.default.create_ssl_context = _quick_ssl_context

# Five seconds, unless told otherwise: a busy machine needs as much now and then.
for _part in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, _part, 30.0)

FUNCTIONS: list[dict[str, Any]] = [
    {"name": "read", "http": "GET /read"},
    {"name": "item", "http": "GET /items/{id}", "args": {"id": "string", "verbose": "boolean"}},
    {
        "name": "order",
        "http": "POST /orders",
        "args": {
            "amount": {"type": "integer", "required": True},
            "note": "string",
            "extra": {},
        },
    },
    {"name": "upload", "http": "PUT /upload", "args": {"data": {"type": "object"}}},
]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def shared_target() -> Iterator[Target]:
    target = Target().start()
    yield target
    target.stop()


@pytest.fixture
def target(shared_target: Target) -> Target:
    shared_target.forget()
    return shared_target


@pytest.fixture(scope="session")
def gate(authority: Authority, shared_target: Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """The shared gateway: agents may call everything, answers are masked by all detectors, callers have little time."""
    changes: dict[str, Any] = {
        "listen": {
            "calls": "127.0.0.1:0",
            "console": "127.0.0.1:0",
            "limits": {"header_timeout": "1s", "body_timeout": "1s", "idle_timeout": "5s", "header_bytes": "4KiB"},
        },
        "masking": [{"functions": ["shop.*"], "detect": "all"}],
        "target": {
            "limits": {"max_request": "64KiB", "max_response": "1MiB", "timeout": "30s", "first_byte_timeout": "10s"}
        },
    }
    running = Gate(
        tmp_path_factory.mktemp("gate"), settings(authority, shared_target.url, FUNCTIONS, **changes)
    ).start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def make_gate(authority: Authority, target: Target, tmp_path: Path) -> Iterator[Callable[..., Gate]]:
    """Makes a gateway with settings of the test's own; it is killed at the end of the test if it still runs."""
    made: list[Gate] = []

    def make(functions: list[dict[str, Any]] = FUNCTIONS, **changes: Any) -> Gate:
        folder = tmp_path / f"gate-{len(made)}"
        folder.mkdir()
        made.append(Gate(folder, settings(authority, target.url, functions, **changes)))
        return made[-1]

    yield make
    for gate in made:
        gate.kill()


@pytest.fixture(scope="session")
def token(authority: Authority) -> str:
    return authority.token()


@pytest.fixture(scope="session")
def database() -> Iterator[Database]:
    """One real PostgreSQL for all tests. Each test has tables of its own there."""
    found = Database().start()
    yield found
    found.stop()


@pytest.fixture
def make_sql_gate(authority: Authority, database: Database, tmp_path: Path) -> Iterator[Callable[..., SqlGate]]:
    """Makes a gateway in front of the database; it is killed at the end of the test if it still runs."""
    made: list[SqlGate] = []

    def make(**changes: Any) -> SqlGate:
        folder = tmp_path / f"sql-gate-{len(made)}"
        folder.mkdir()
        made.append(SqlGate(folder, authority, database, **changes))
        return made[-1]

    yield make
    for gate in made:
        gate.kill()


@pytest.fixture(scope="session")
def sql_gate(authority: Authority, database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlGate]:
    """The shared one: agents may do everything but delete, answers are masked by all detectors and in one column."""
    policies = [
        {"name": "agents", "effect": "allow", "functions": ["shop.*"], "principals": ["group:agents"]},
        {"name": "nobody deletes", "effect": "deny", "functions": ["shop.delete"], "principals": ["*"]},
    ]
    masking = [{"functions": ["shop.*"], "detect": "all", "fields": ["people.ssn"]}]
    folder = tmp_path_factory.mktemp("sql-gate")
    limits = {"max_request": "1MiB", "max_response": "4MiB", "timeout": "20s", "first_byte_timeout": "10s"}
    gate = SqlGate(folder, authority, database, policies=policies, masking=masking, target={"limits": limits})
    gate.start()
    yield gate
    assert gate.stop() == 0


@pytest.fixture(scope="session")
def shared_ledger() -> Iterator[LedgerTarget]:
    running = LedgerTarget().start()
    yield running
    running.stop()


@pytest.fixture
def ledger(shared_ledger: LedgerTarget) -> LedgerTarget:
    """The sample gRPC target."""
    shared_ledger.forget()
    return shared_ledger


@pytest.fixture(scope="session")
def grpc_gate(
    authority: Authority, shared_ledger: LedgerTarget, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GrpcGate]:
    """The shared gateway in front of it: agents may call everything, nothing is masked."""
    limits = {"max_request": "8MiB", "max_response": "8MiB", "timeout": "20s", "max_wait": "20s"}
    folder = tmp_path_factory.mktemp("grpc-gate")
    running = GrpcGate(folder, authority, shared_ledger, target={"limits": limits})
    running.start()
    yield running
    assert running.stop() == 0


@pytest.fixture
def make_grpc_gate(authority: Authority, ledger: LedgerTarget, tmp_path: Path) -> Iterator[Callable[..., GrpcGate]]:
    """Makes a gateway in front of the sample gRPC target; it is killed at the end of the test if it still runs."""
    made: list[GrpcGate] = []

    def make(**changes: Any) -> GrpcGate:
        folder = tmp_path / f"grpc-gate-{len(made)}"
        folder.mkdir()
        made.append(GrpcGate(folder, authority, ledger, **changes))
        return made[-1]

    yield make
    for gate in made:
        gate.kill()
