"""One gateway and one target for most flow and invariant tests; tests that need other settings start their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.authority import Authority
from support.gate import Gate, settings
from support.target import Target

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
    """The shared gateway: agents may call everything, answers are masked by all detectors, timeouts are short."""
    changes: dict[str, Any] = {
        "listen": {
            "calls": "127.0.0.1:0",
            "console": "127.0.0.1:0",
            "limits": {"header_timeout": "1s", "body_timeout": "1s", "idle_timeout": "2s", "header_bytes": "4KiB"},
        },
        "masking": [{"functions": ["shop.*"], "detect": "all"}],
        "target": {
            "limits": {"max_request": "64KiB", "max_response": "1MiB", "timeout": "3s", "first_byte_timeout": "1s"}
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
