"""What compiled code keeps of a class (tools/quick.h) holds until the class changes, and for objects of that class only."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

from funcgate.core.call import Call, Shared
from funcgate.core.entry import Kind, whole
from funcgate.core.native import half
from funcgate.core.principal import make_principal
from funcgate.recording import entries, tape

pytestmark = pytest.mark.skipif(half("funcgate.recording._native") is None, reason="not built, or FUNCGATE_PURE is set")
ANN = make_principal("corp", "ann", frozenset(), {}, "t" * 16, 9e9)


def read(of: Any) -> Any:
    """Its `policies`, as compiled code reads them."""
    policy = whole(entries.step(Kind.DENIED, "c", None, "", of, "v")).policy
    assert policy is not None
    return policy.names


def called(masker: Any) -> bytes:
    """What its `mask_args` gives, as compiled code calls it."""
    call = Call(
        id="c",
        target="t",
        function="t.f",
        args={},
        principal=ANN,
        session="",
        digest="d",
        received_at=0.0,
        shared=Shared({}),
    )
    call.shared = None
    return tape.masked_args(masker, call)


class Slotted:
    __slots__ = ("policies",)

    def __init__(self, policies: Any) -> None:
        self.policies = policies


class Open:
    def __init__(self, policies: Any) -> None:
        self.policies = policies


class Kept(Struct):
    policies: Any


@pytest.mark.parametrize("cls", [Slotted, Open, Kept])
def test_a_field_is_each_object_s_own(cls: type[Any]) -> None:
    assert [read(cls((name,))) for name in ("a", "b", "a")] == [("a",), ("b",), ("a",)]


def test_one_place_sees_many_classes() -> None:
    made: list[Any] = [Slotted(("slot",)), Open(("dict",)), Kept(("struct",))]
    assert [read(each) for _ in range(3) for each in made] == [("slot",), ("dict",), ("struct",)] * 3


def test_a_class_that_changes_is_looked_at_again() -> None:
    class Changed:
        __slots__ = ("policies",)

    one: Any = Changed()
    one.policies = ("before",)
    assert read(one) == ("before",)
    slot = Changed.policies  # type: ignore[attr-defined]
    Changed.policies = property(lambda self: ("property",))  # type: ignore[attr-defined]
    assert read(one) == ("property",)
    Changed.policies = ("plain",)  # type: ignore[attr-defined]
    assert read(one) == ("plain",)
    Changed.policies = slot  # type: ignore[attr-defined]
    assert read(one) == ("before",)
    del Changed.policies  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        read(one)


def test_so_are_its_bases() -> None:
    class First:
        policies = ("first",)

    class Second:
        policies = ("second",)

    class Third(First):
        pass

    one = Third()
    assert read(one) == ("first",)
    Third.__bases__ = (Second,)
    assert read(one) == ("second",)
    one.policies = ("own",)
    assert read(one) == ("own",)


def test_a_slot_that_is_empty_is_missing() -> None:
    one = Slotted(("a",))
    assert read(one) == ("a",)
    del one.policies
    with pytest.raises(AttributeError, match="policies"):
        read(one)


def test_a_slot_of_another_class_is_never_read() -> None:
    class Small:
        __slots__ = ()
        policies = Slotted.policies  # type: ignore[has-type]

    for _ in range(3):
        with pytest.raises(TypeError):
            read(Small())


def test_what_looks_up_itself_is_asked() -> None:
    class Asked:
        policies = ("class",)

        def __getattribute__(self, name: str) -> Any:
            return (name,)

    assert [read(Asked()) for _ in range(3)] == [("policies",)] * 3


def masks(answer: bytes) -> Callable[..., bytes]:
    return lambda *_: answer


def test_methods_are_looked_up_as_ever() -> None:
    class Masker:
        __slots__ = ()
        mask_args = masks(b"method")

    class WithDict:
        mask_args = masks(b"method")

    class Field:
        __slots__ = ("mask_args",)

    one, other, field = Masker(), WithDict(), Field()
    field.mask_args = masks(b"field")  # type: ignore[attr-defined]
    for _ in range(2):
        assert [called(each) for each in (one, other, field)] == [b"method", b"method", b"field"]
    other.mask_args = masks(b"own")  # type: ignore[method-assign]
    assert called(other) == b"own"
    Masker.mask_args = masks(b"changed")  # type: ignore[method-assign]
    assert called(one) == b"changed"
    Masker.mask_args = staticmethod(masks(b"static"))  # type: ignore[assignment]
    assert called(one) == b"static"
    del Masker.mask_args
    with pytest.raises(AttributeError, match="mask_args"):
        called(one)


def test_a_method_may_take_itself_away_while_it_runs() -> None:
    class Gone:
        __slots__ = ()

        def mask_args(self, _: bytes) -> bytes:
            del Gone.mask_args
            return b"done"

    assert called(Gone()) == b"done"


def test_what_an_object_has_of_its_own_comes_before_the_method_of_its_class() -> None:
    """Its dict may be none, empty, or have something under that name."""

    class Owning(Exception):
        def mask_args(self, _: bytes) -> bytes:
            return b'{"of": "the class"}'

    one: Any = Owning()
    assert called(one) == b'{"of": "the class"}'
    one.mask_args = lambda _: b'{"of": "the object"}'
    assert called(one) == b'{"of": "the object"}'
    del one.mask_args
    assert one.__dict__ == {}
    assert called(one) == b'{"of": "the class"}'
    one.other = 1
    assert called(one) == b'{"of": "the class"}'
