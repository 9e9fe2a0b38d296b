"""What many calls share is judged once: the same decisions as without, and none that depends on anything else of a call."""

from typing import Any

import pytest

from funcgate.core.call import Call, Shared
from funcgate.core.decision import Allow, Decision
from funcgate.core.function import Function
from funcgate.core.principal import make_principal
from funcgate.policy import PolicySpec, compile_policies

SCHEMA = {
    "type": "object",
    "properties": {"verb": {"type": "string"}, "rows": {"type": "integer"}, "own": {"type": "integer"}},
}
FUNCTIONS = {"t.f": Function(target="t", name="f", full_name="t.f", args_schema=SCHEMA)}


def call(shared: Shared | None, own: dict[str, Any], subject: str = "ada", groups: tuple[str, ...] = ("a",)) -> Call:
    who = make_principal("corp", subject, frozenset(groups), {}, "t" * 16, 0.0)
    args = {**shared.args, **own} if shared is not None else own
    return Call(
        id="c", target="t", function="t.f", args=args, principal=who, session="s", digest="sha256:0", received_at=0.0,
        shared=shared, own=own,
    )  # fmt: skip


def allow(when: str | None) -> list[PolicySpec]:
    return [PolicySpec(name="p", effect="allow", functions=["t.f"], principals=["group:a"], when=when)]


@pytest.mark.parametrize(
    "when",
    [
        'args.verb == "read"', "args.own > 5", 'args.verb == "read" && args.own > 5', 'principal.subject == "ada"',
        "args.rows < 5", 'args.verb == "read" || principal.subject == "bob"', "has(args.own) && args.own > 5",
        '"own" in args', "size(args) > 1",
        'args["verb"] == "read"', None, "args.missing_at_run > 1",
    ],
)  # fmt: skip
def test_the_same_decisions_as_without(when: str | None) -> None:
    if when == "args.missing_at_run > 1":
        functions = {"t.f": Function(target="t", name="f", full_name="t.f", args_schema={"type": "object"})}
    else:
        functions = FUNCTIONS
    policies = compile_policies(allow(when), functions, "v1")
    for given in ({"verb": "read", "rows": 3}, {"verb": "write", "rows": 9}, {"rows": 3}):
        shared = Shared(given)
        for _ in range(2):
            for own in ({"own": 9}, {"own": 1}, {}):
                for subject, groups in (("ada", ("a",)), ("bob", ("a", "b")), ("eve", ("b",))):
                    one = call(shared, own, subject, groups)
                    assert policies.decide(one) == policies.decide(call(None, {**given, **own}, subject, groups))


def test_another_version_of_the_policies_judges_anew() -> None:
    shared = Shared({"verb": "read", "rows": 3})

    def decided(when: str) -> Decision:
        policies = compile_policies(allow(when), FUNCTIONS, "v")
        return policies.decide(call(shared, {}))

    assert isinstance(decided("args.rows < 5"), Allow)
    assert not isinstance(decided("args.rows < 2"), Allow)


def test_what_is_remembered_is_bounded_and_belongs_to_its_reader() -> None:
    shared = Shared({})
    readers = [object() for _ in range(500)]
    for at, reader in enumerate(readers):
        shared.remember(reader, at)
        assert shared.recall(reader) == at
    assert len(shared._known) <= 64
    assert shared.recall(object()) is None


@pytest.mark.parametrize(
    ("when", "blind"),
    [
        (None, True), ("principal.subject == 'ada'", True), ("call.reason != ''", True), ("args.rows > 5", False),
        ("has(args.own)", False), ("size(args) > 0", False), ("'own' in args", False),
        ("principal.subject == 'ada' || args.rows > 5", False), ("['a'].exists(x, x == args.verb)", False),
    ],
)  # fmt: skip
def test_whether_a_decision_looks_at_arguments(when: str | None, blind: bool) -> None:
    """Only the policies count that are about this caller."""
    specs = [*allow(None), PolicySpec(name="d", effect="deny", functions=["t.f"], principals=["group:b"], when=when)]
    policies = compile_policies(specs, FUNCTIONS, "v")
    assert policies.blind(call(None, {})) is True
    assert policies.blind(call(None, {}, groups=("a", "b"))) is blind
    other = call(None, {})
    other.function = "t.unknown"
    assert policies.blind(other) is False
