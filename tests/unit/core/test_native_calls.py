"""Compiled and pure: permits, shared arguments, tokens and marks, which each call has."""

from typing import Any

import pytest

from funcgate.core import call, marks, principal
from funcgate.core.call import PermitError
from funcgate.core.meter import STEPS, Meter
from funcgate.core.native import half
from funcgate.core.principal import RawToken

pytestmark = pytest.mark.skipif(half("funcgate.core._native") is None, reason="not built, or FUNCGATE_PURE is set")


def kinds(module: Any, name: str) -> list[Any]:
    compiled, pure = getattr(module, name), getattr(module, f"_{name}")
    assert compiled is not pure
    return [compiled, pure]


@pytest.mark.parametrize("permit_of", kinds(call, "Permit") if half("funcgate.core._native") else [])
def test_a_permit_is_for_its_bytes_and_once(permit_of: Any) -> None:
    permit = permit_of("c", "sha256:1")
    assert (permit.call_id, permit.digest) == ("c", "sha256:1")
    for other in ("sha256:2", "", "sha256:", "sha256:11", "sha256:\u0661"):
        with pytest.raises(PermitError):
            permit.spend(other)
    permit.spend("sha256:1")
    with pytest.raises(PermitError):
        permit.spend("sha256:1")
    with pytest.raises((PermitError, TypeError)):
        permit_of("c", "sha256:1").spend(None)


def test_a_permit_cannot_be_made_good_again() -> None:
    permit: Any = call.Permit("c", "sha256:1")
    for name in ("digest", "call_id", "_spent"):
        with pytest.raises(AttributeError):
            setattr(permit, name, False)


@pytest.mark.parametrize("shared_of", kinds(call, "Shared") if half("funcgate.core._native") else [])
def test_what_is_remembered_is_its_readers(shared_of: Any) -> None:
    shared, readers = shared_of({"a": 1}), [object() for _ in range(200)]
    assert shared.args == {"a": 1}
    for at, reader in enumerate(readers):
        assert shared.recall(reader) is None
        shared.remember(reader, at)
        assert shared.recall(reader) == at
    assert len(shared._known) <= 64
    assert shared.recall(readers[0]) is None
    one, other, third = object(), object(), object()
    for value in range(4):
        for reader in (one, other, one, third, third):
            shared.remember(reader, (reader, value))
        for reader in (one, other, third, other, one):
            assert shared.recall(reader) == (reader, value)
    for reader in readers[:64]:
        shared.remember(reader, 7)
    assert len(shared._known) <= 64
    assert [shared.recall(each) for each in (one, other, third)] == [None] * 3


@pytest.mark.parametrize("tokens_of", kinds(principal, "Tokens") if half("funcgate.core._native") else [])
def test_only_the_same_token_is_the_same(tokens_of: Any) -> None:
    values = [b"x" * size for size in range(40)]
    values += [b"x" * at + b"y" + b"x" * (20 - at) for at in range(21)]
    for one in values:
        tokens = tokens_of()
        first = tokens.of(one)
        assert isinstance(first, RawToken)
        assert tokens.of(bytes(bytearray(one))) is first
        for other in values:
            found = tokens.of(other)
            assert (found.value, found.digest) == (other, RawToken(other).digest)
            if other != one:
                again = tokens.of(one)
                assert again.value == one


def test_marks_are_counted_alike() -> None:
    compiled: Any = marks.Marks()
    assert list(compiled) == [0] * len(STEPS)
    for step in (0, 3, len(STEPS) - 1):
        compiled.over(step)
    for step in (-1, len(STEPS), 1 << 40):
        with pytest.raises((IndexError, OverflowError)):
            compiled.over(step)
    meters: list[Any] = [Meter(), Meter()]
    told = ("shop", "allow", "")
    meters[0].tally.over(*told, compiled, {"card": 2})
    assert list(compiled.times(STEPS).items()) == list(meters[1].over(*told, compiled, {"card": 2}).items())
    assert [meters[0].steps[step].counts for step in STEPS] == [meters[1].steps[step].counts for step in STEPS]
    for wrong in (None, [0] * len(STEPS)):
        with pytest.raises(TypeError):
            meters[0].tally.over(*told, wrong, {})


def test_the_clock_of_marks_only_goes_forward() -> None:
    taken = marks.Marks()
    for step in range(len(STEPS)):
        taken.over(step)
    ends = [taken.since, *taken]
    assert ends == sorted(ends)
