"""`funcgate check` and `funcgate functions`: what they print, where, and with which status; and the installed command."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Funcgate = Callable[..., Any]


def test_a_good_file(funcgate: Funcgate, folder: Path) -> None:
    ran = funcgate("check")
    assert ran.status == 0
    assert ran.out.startswith("funcgate.yaml: good (1 issuer, 1 target, 2 functions, 3 policies; version ")
    assert ran.err == ""
    assert sorted(path.name for path in folder.iterdir()) == ["funcgate.yaml"]


def test_problems_go_to_standard_error_with_status_2(funcgate: Funcgate, folder: Path) -> None:
    file = folder / "funcgate.yaml"
    file.write_text(file.read_text().replace("args.amount <= 10", "args.amout <= 10").replace('"issuers"', '"isuers"'))
    ran = funcgate("check")
    assert ran.status == 2
    assert ran.out == ""
    lines = ran.err.splitlines()
    assert all(line.startswith("funcgate.yaml:") for line in lines)
    assert any("unknown key 'isuers'; did you mean 'issuers'?" in line for line in lines)
    assert any("amout" in line and "amount" in line for line in lines)


def test_problems_as_json(funcgate: Funcgate, folder: Path) -> None:
    file = folder / "funcgate.yaml"
    file.write_text(file.read_text().replace('"allow"', '"alow"'))
    ran = funcgate("check", "--json")
    assert ran.status == 2
    (problem,) = ran.json["problems"]
    assert ran.json["usable"] is False
    assert problem["file"] == "funcgate.yaml"
    assert problem["line"] > 1
    assert problem["text"] == "'effect': 'alow' is not known; did you mean 'allow'?"
    assert problem["warning"] is False


def test_good_as_json(funcgate: Funcgate) -> None:
    ran = funcgate("check", "--json")
    assert ran.status == 0
    assert (ran.json["usable"], ran.json["functions"], ran.json["problems"]) == (True, 2, [])
    assert len(ran.json["version"]) == 64


def test_no_file_and_another_file(funcgate: Funcgate, folder: Path) -> None:
    (folder / "funcgate.yaml").rename(folder / "other.yaml")
    missing = funcgate("check")
    assert missing.status == 2
    assert "funcgate.yaml: the configuration cannot be read" in missing.err
    assert "--config FILE" in missing.err
    assert funcgate("check", "--config", "other.yaml").status == 0


def test_secrets_may_be_left_out(funcgate: Funcgate) -> None:
    without = funcgate("check", SHOP_KEY="")
    assert without.status == 2
    assert "SHOP_KEY" in without.err
    assert funcgate("check", "--no-secrets", SHOP_KEY="").status == 0


def test_the_functions(funcgate: Funcgate) -> None:
    ran = funcgate("functions")
    assert ran.status == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["function", "arguments", "risk", "owner", "summary"]
    assert rows[1][0] == "shop.look"
    assert "what?:" in rows[1]
    assert rows[2][0] == "shop.pay"
    assert "amount: integer" in ran.out
    assert "note?: string" in ran.out
    assert rows[2][-4:] == ["high", "team-pay", "Pay", "somebody."]


def test_the_functions_by_pattern_and_as_json(funcgate: Funcgate) -> None:
    (found,) = funcgate("functions", "*.pay", "--json").json
    assert found["full_name"] == "shop.pay"
    assert found["args_schema"]["properties"]["amount"] == {"type": "integer"}
    nothing = funcgate("functions", "shop.nothing")
    assert nothing.status == 1
    assert nothing.err == "funcgate: no function is named shop.nothing\n"


def test_unusable_arguments(funcgate: Funcgate) -> None:
    assert funcgate("check", "--what").status == 2
    assert funcgate("nothing").status == 2
    assert funcgate("--version").out.startswith("funcgate ")


def test_the_installed_command(process: Funcgate, folder: Path) -> None:
    good = process("check")
    assert (good.status, good.err) == (0, "")
    assert good.out.startswith("funcgate.yaml: good")
    wrong = process("check", "--what")
    assert wrong.status == 2
    (folder / "funcgate.yaml").write_text("lisen: {}\n")
    bad = process("check")
    assert (bad.status, bad.out) == (2, "")
    assert "funcgate.yaml:1:1: unknown key 'lisen'; did you mean 'listen'?\n" in bad.err


def test_a_light_command_is_light(folder: Path) -> None:
    """Reading the journal needs none of the parts, and no server's libraries."""
    code = (
        "import sys, funcgate.cli.commands as c\n"
        "try: c.application(['audit', 'list'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('litestar', 'uvicorn', 'httpx', 'joserfc', 're2', 'funcgate.app') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "[]\n"


def test_a_bug_shows_no_values(folder: Path) -> None:
    code = (
        "import funcgate.cli, funcgate.cli.commands as commands\n"
        "def broken(): raise ValueError('hunter2')\n"
        "commands.application = broken\n"
        "funcgate.cli.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "this is a bug: ValueError at" in ran.stderr
    assert "hunter2" not in ran.stderr
