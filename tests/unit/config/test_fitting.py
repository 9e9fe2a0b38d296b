"""Values into shapes: all misfits at once, each with its place and the nearest right spelling."""

from typing import Any, Literal

import msgspec
import pytest

from funcgate.config.fitting import LOST, Fitting, convert
from funcgate.config.source import Source


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Rule(Spec):
    name: str
    effect: Literal["allow", "deny", "require_approval"]
    functions: list[str] = []
    detect: list[str] | Literal["all"] = []
    limit: str | int = "1MiB"
    ratio: float | None = None
    on: bool = False
    free: dict[str, Any] = {}


class Web(Spec, tag_field="protocol", tag="http"):
    name: str
    functions: Rule | list[Rule] = []


class Wire(Spec, tag_field="protocol", tag="grpc"):
    name: str


class File(Spec):
    rules: list[Rule] = []
    targets: list[Web | Wire] = []
    roles: dict[str, list[str]] = {}
    text: str = ""


def fit(text: str) -> tuple[Any, list[str], Fitting]:
    fitting = Fitting(Source("f", text.encode()))
    fitted = fitting.fit(File)
    return fitted, [str(problem) for problem in fitting.problems], fitting


def test_what_fits() -> None:
    fitted, problems, _ = fit(
        "rules: [{name: a, effect: deny, detect: all, limit: 5, ratio: 1, on: true, free: {x: [1]}}]\n"
        "targets: [{protocol: http, name: b, functions: [{name: c, effect: allow}]}, {protocol: grpc, name: d}]\n"
        "roles: {admin: ['group:x']}\n"
    )
    assert problems == []
    file = convert(fitted, File)
    assert file.rules[0] == Rule(name="a", effect="deny", detect="all", limit=5, ratio=1.0, on=True, free={"x": [1]})
    assert [type(target) for target in file.targets] == [Web, Wire]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ruls: []", "f:1:1: unknown key 'ruls'; did you mean 'rules'?"),
        ("zzz: []", "f:1:1: unknown key 'zzz'; there are: roles, rules, targets, text"),
        ("text: 5", "f:1:7: 'text': expected text, found a number; put it in quotes"),
        ("text: true", "f:1:7: 'text': expected text, found true or false; put it in quotes"),
        ("text: [a]", "f:1:1: 'text': expected text, found a list"),
        ("text:", "f:1:6: 'text': expected text, found nothing"),
        ("rules: x", "f:1:8: 'rules': expected a list, found text"),
        ("rules: [{effect: deny}]", "f:1:9: the key 'name' is missing"),
        ("rules: [{name: a, effect: alow}]", "f:1:27: 'effect': 'alow' is not known; did you mean 'allow'?"),
        (
            "rules: [{name: a, effect: x}]",
            "f:1:27: 'effect': 'x' is not known; there are: allow, deny, require_approval",
        ),
        ("rules: [{name: a, effect: deny, on: 1}]", "f:1:37: 'on': expected true or false, found a number"),
        (
            "rules: [{name: a, effect: deny, limit: 1.5}]",
            "f:1:40: 'limit': expected text or a whole number, found a number; put it in quotes",
        ),
        (
            "rules: [{name: a, effect: deny, detect: {}}]",
            "f:1:33: 'detect': expected a list or 'all', found a mapping",
        ),
        ("rules: [{name: a, effect: deny, detect: al}]", "f:1:41: 'detect': 'al' is not known; did you mean 'all'?"),
        ("targets: [{name: a}]", "f:1:11: the key 'protocol' is missing; there are: grpc, http"),
        ("targets: [{protocol: htp, name: a}]", "f:1:22: 'protocol': 'htp' is not known; did you mean 'http'?"),
        ("roles: {a: x}", "f:1:12: 'a': expected a list, found text"),
        ("roles: {a: [1]}", "f:1:13: 'a': expected text, found a number; put it in quotes"),
    ],
)
def test_a_misfit(text: str, said: str) -> None:
    _, problems, _ = fit(text)
    assert problems == [said]


def test_all_at_once_and_in_one_go() -> None:
    _, problems, _ = fit("rules:\n - {nam: a, efect: alow, x: 1}\n - {}\ntargets: 5\ntxt: a\n")
    assert [problem.split(": ", 1)[1] for problem in problems] == [
        "unknown key 'nam'; did you mean 'name'?",
        "unknown key 'efect'; did you mean 'effect'?",
        "'efect': 'alow' is not known; did you mean 'allow'?",
        "unknown key 'x'; there are: detect, effect, free, functions, limit, name, on, ratio",
        "the key 'name' is missing",
        "the key 'effect' is missing",
        "'targets': expected a list, found a number",
        "unknown key 'txt'; did you mean 'text'?",
    ]


def test_what_is_mended_is_still_looked_at_and_what_is_lost_is_named() -> None:
    fitted, _, fitting = fit(
        "rules:\n - {name: a, efect: deny}\n - {name: 5, effect: deny}\n - {name: c, effect: deny}\n"
    )
    assert [rule["name"] for rule in fitted["rules"]] == ["a", "c"]
    assert fitted["rules"][0]["effect"] == "deny"
    assert ("rules", 1) in fitting.lost
    assert fitting.original(("rules", 1, "name")) == ("rules", 2, "name")
    assert fitting.original(("rules", 0)) == ("rules", 0)


def test_a_file_that_is_no_mapping() -> None:
    fitted, problems, _ = fit("[1, 2]")
    assert fitted is LOST
    assert problems == ["f:1:1: the file: expected a mapping, found a list"]


def test_a_problem_shows_no_value_of_another_kind() -> None:
    _, problems, _ = fit("text: [hunter2-the-secret]\nroles: {a: hunter2-the-secret}\n")
    assert len(problems) == 2
    assert "hunter2" not in " ".join(problems)
