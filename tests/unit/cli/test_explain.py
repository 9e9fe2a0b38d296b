"""`funcgate policy explain`: it says what the gateway would do, and why."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.authority import Authority

Funcgate = Callable[..., Any]
PAY = ("policy", "explain", "--function", "shop.pay")
AGENT = ("--as-user", "bob", "--as-group", "agents")


@pytest.mark.parametrize(
    ("who", "args", "decision", "decided"),
    [
        (AGENT, '{"account": "a", "amount": 10}', "allow", ["small"]),
        (AGENT, '{"account": "a", "amount": 11}', "require_approval", ["big"]),
        (("--as-user", "eve", "--as-group", "agents"), '{"account": "a", "amount": 1}', "deny", ["nothing for eve"]),
        (("--as-user", "bob"), '{"account": "a", "amount": 1}', "deny", []),
    ],
)
def test_who_decided(funcgate: Funcgate, who: tuple[str, ...], args: str, decision: str, decided: list[str]) -> None:
    ran = funcgate(*PAY, *who, "--args", args, "--json")
    assert ran.status == 0
    found = ran.json["explanation"]
    assert found["decision"] == decision
    assert [policy["name"] for policy in found["policies"] if policy["decided"]] == decided
    assert ran.json["invalid_args"] == []


def test_for_people(funcgate: Funcgate) -> None:
    ran = funcgate(*PAY, *AGENT, "--args", '{"account": "a", "amount": 11}')
    lines = ran.out.splitlines()
    assert lines[0] == "corp/bob (groups: agents) calls shop.pay"
    assert lines[1] == "require_approval: decided by big"
    assert [line.split()[0] for line in lines[3:]] == ["small", "nothing", "=>"]
    assert "false" in lines[3]
    assert "true" in lines[5]


def test_arguments_that_would_not_get_as_far(funcgate: Funcgate) -> None:
    ran = funcgate(*PAY, *AGENT, "--args", '{"account": "a"}')
    assert "request.invalid, before any policy is asked" in ran.out
    assert "amount" in ran.out


def test_expectations_for_scripts(funcgate: Funcgate) -> None:
    call = (*PAY, *AGENT, "--args", '{"account": "a", "amount": 1}')
    assert funcgate(*call, "--expect", "allow").status == 0
    assert funcgate(*call, "--expect", "deny").status == 1
    assert funcgate(*call, "--expect", "maybe").status == 2


def test_a_real_token(funcgate: Funcgate, authority: Authority) -> None:
    args = ("--args", '{"account": "a", "amount": 1}', "--json")
    ran = funcgate(*PAY, *args, "--token", authority.token())
    assert ran.json["explanation"]["decision"] == "allow"
    stranger = funcgate(*PAY, *args, FUNCGATE_TOKEN=authority.token(groups=("others",)))
    assert stranger.json["explanation"]["decision"] == "deny"


def test_a_token_that_is_not_accepted(funcgate: Funcgate, authority: Authority) -> None:
    token = authority.token(exp=1)
    ran = funcgate(*PAY, "--token", token)
    assert ran.status == 1
    assert "identity.expired" in ran.err
    assert token not in ran.err + ran.out


@pytest.mark.parametrize("args", ["{", "[]", '{"a": 1, "a": 2}', "NaN", "@nowhere.json"])
def test_arguments_that_are_no_json_object(funcgate: Funcgate, args: str) -> None:
    ran = funcgate(*PAY, "--args", args)
    assert ran.status == 2
    assert "--args" in ran.err


def test_arguments_from_a_file(funcgate: Funcgate, folder: Path) -> None:
    (folder / "args.json").write_text('{"account": "a", "amount": 1}')
    assert funcgate(*PAY, *AGENT, "--args", "@args.json", "--expect", "allow").status == 0


def test_a_function_that_is_not_there(funcgate: Funcgate) -> None:
    ran = funcgate("policy", "explain", "--function", "shop.pey")
    assert ran.status == 1
    assert ran.err == "funcgate: there is no function shop.pey; did you mean 'shop.pay'?\n"
