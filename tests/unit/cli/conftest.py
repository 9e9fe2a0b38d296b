"""A folder with a configuration and a journal, and the real command run in it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from typer.testing import CliRunner

from funcgate.cli.commands import application
from support.authority import Authority
from support.gate import settings

FUNCTIONS: list[dict[str, Any]] = [
    {
        "name": "pay",
        "http": "POST /pay/{account}",
        "args": {"account": "string", "amount": {"type": "integer", "required": True}, "note": "string"},
        "risk": "high",
        "owner": "team-pay",
        "summary": "Pay somebody.",
    },
    {"name": "look", "http": "GET /look", "args": {"what": {"enum": ["a", "b"]}}},
]
POLICIES: list[dict[str, Any]] = [
    {
        "name": "small",
        "effect": "allow",
        "functions": ["shop.pay"],
        "principals": ["group:agents"],
        "when": "args.amount <= 10",
    },
    {"name": "nothing for eve", "effect": "deny", "functions": ["shop.*"], "principals": ["user:eve"]},
    {
        "name": "big",
        "effect": "require_approval",
        "functions": ["shop.pay"],
        "principals": ["group:agents"],
        "when": "args.amount > 10",
        "approval": {"approvers": ["group:finance"]},
    },
]


class Ran(Struct):
    """What a command did. `json` is its standard output, read."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Funcgate = Callable[..., Ran]


@pytest.fixture
def configuration(authority: Authority) -> dict[str, Any]:
    return settings(authority, "http://127.0.0.1:9", FUNCTIONS, policies=POLICIES)


@pytest.fixture
def folder(tmp_path: Path, configuration: dict[str, Any]) -> Path:
    (tmp_path / "funcgate.yaml").write_text(json.dumps(configuration, indent=1))
    return tmp_path


@pytest.fixture
def funcgate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Funcgate:
    """Runs the command in the folder, in this process: every start of Python costs as much as twenty of these."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("FUNCGATE_TOKEN", raising=False)

    def run(*arguments: str, **environment: str) -> Ran:
        given = {"COLUMNS": "200", "SHOP_KEY": "not-a-secret-1"} | environment
        ended = CliRunner().invoke(application, arguments, prog_name="funcgate", env=given)
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ran(ended.exit_code, ended.stdout, ended.stderr)

    return run


@pytest.fixture
def process(folder: Path) -> Funcgate:
    """Runs the installed command in the folder, as a process of its own."""

    def run(*arguments: str, **environment: str) -> Ran:
        binary = Path(sys.executable).parent / "funcgate"
        kept = {name: value for name, value in os.environ.items() if name != "FUNCGATE_TOKEN"}
        ended = subprocess.run(
            [str(binary), *arguments],
            cwd=folder,
            env=kept | {"SHOP_KEY": "not-a-secret-1"} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Ran(ended.returncode, ended.stdout, ended.stderr)

    return run
