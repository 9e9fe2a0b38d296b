"""`funcgate call` through a running gateway: what the target gets, and what the command says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from funcgate.cli.commands import application
from support.gate import CANARY, Gate
from support.target import Target, answer

Run = Callable[..., Any]


@pytest.fixture
def call(gate: Gate, token: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("FUNCGATE_TOKEN", raising=False)

    def run(*arguments: str, who: str = token) -> Any:
        options = ("--config", str(gate.file), "--url", gate.url)
        return CliRunner().invoke(application, ["call", *arguments, *options], env={"FUNCGATE_TOKEN": who})

    return run


def test_arguments_go_where_the_function_has_them(call: Run, target: Target) -> None:
    ran = call("shop.item", "id=a b&c", "verbose=true")
    assert (ran.exit_code, ran.stdout) == (0, '{"ok":true}\n')
    assert ran.stderr.startswith("200 01")
    (seen,) = target.ledger
    assert (seen.method, seen.url) == ("GET", "/items/a%20b%26c?verbose=true")
    assert seen.header("authorization") == f"Bearer {CANARY}"


def test_a_body_with_the_types_of_the_schema(call: Run, target: Target, tmp_path: Path) -> None:
    (tmp_path / "extra.json").write_text('{"a": [1]}')
    ran = call("shop.order", "amount=5", "note=5", f"extra=@{tmp_path / 'extra.json'}")
    assert ran.exit_code == 0
    (seen,) = target.ledger
    assert json.loads(seen.body) == {"amount": 5, "note": "5", "extra": {"a": [1]}}


def test_the_answer_is_masked_here_too(call: Run, target: Target) -> None:
    target.answers["/read"] = answer(b'{"mail":"alice@example.com"}')
    ran = call("shop.read", "--json")
    found = json.loads(ran.stdout)
    assert found["status"] == 200
    assert len(found["call_id"]) == 26
    assert "alice@" not in ran.stdout


def test_a_refusal_is_status_1(call: Run, target: Target) -> None:
    ran = call("shop.read", who="")
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["code"] == "identity.missing"
    assert target.ledger == []


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("shop.reed",), 1, "there is no function shop.reed; did you mean 'shop.read'?"),
        (("shop.item",), 2, "the argument id is missing"),
        (("shop.item", "id"), 2, "'id' is not NAME=VALUE"),
        (("shop.order", "amount=@/nowhere"), 2, "amount: /nowhere: "),
    ],
)
def test_what_cannot_be_called(call: Run, target: Target, arguments: tuple[str, ...], status: int, said: str) -> None:
    ran = call(*arguments)
    assert ran.exit_code == status
    assert said in ran.stderr
    assert target.ledger == []


def test_a_gateway_that_is_not_there(gate: Gate, token: str) -> None:
    options = ["--config", str(gate.file), "--url", "http://127.0.0.1:9", "--token", token]
    ran = CliRunner().invoke(application, ["call", "shop.read", *options])
    assert ran.exit_code == 1
    assert "ConnectError" in ran.stderr
    assert token not in ran.stderr
