"""Descriptions that are small, and what is worked out of them is not: types that reach one another, for many methods."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from funcgate.catalog.proto import ProtoCatalog, ProtoSpec, load_proto
from funcgate.core.problem import Unusable

WHERE = ("targets", 0, "functions")


def described(types: int, methods: int, *, fields: int = 2, hidden: bool = False) -> bytes:
    """Each type leads to all others, by `fields` of its fields; its last field is a text."""
    file = descriptor_pb2.FileDescriptorProto(name="a.proto", package="p", syntax="proto3")
    for at in range(types):
        made = file.message_type.add(name=f"M{at}")
        for to in range(1, fields + 1):
            name = f".p.M{(fields * at + to) % types}"
            made.field.add(name=f"f{to}", number=to, type=11, label=1, type_name=name)
        text = made.field.add(name="text", number=fields + 1, type=9, label=1)
        if hidden:
            text.options.debug_redact = True
    service = file.service.add(name="S")
    for at in range(methods):
        service.method.add(name=f"F{at}", input_type=f".p.M{at % types}", output_type=".p.M0")
    return descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()


def load(data: bytes) -> ProtoCatalog:
    return load_proto("t", ProtoSpec(reflection=True), Path(), WHERE, data)


def test_a_description_that_is_small_and_reaches_far() -> None:
    data = described(300, 300, fields=12)
    assert len(data) < 200_000
    with pytest.raises(Unusable) as caught:
        load(data)
    assert ["reach more than 1000000 fields" in problem.text for problem in caught.value.problems] == [True]


def test_many_methods_of_few_types_are_no_trouble() -> None:
    catalog = load(described(100, 5000))
    assert len(catalog.functions) == 5000
    schemas = {id(function.args_schema) for function in catalog.functions.values()}
    assert len(schemas) == 100


def test_what_is_hidden_stays_hidden_when_there_is_no_end_of_paths() -> None:
    """By name wherever it stands, once following the paths would take too long."""
    catalog = load(described(150, 150, hidden=True))
    for method in catalog.methods.values():
        assert "**.text" in method.redacted or "text" in method.redacted
    assert any(method.redacted == ("**.text",) for method in catalog.methods.values())


def test_texts_of_a_description_are_for_people() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="a.proto", package="p", syntax="proto3")
    file.message_type.add(name="M")
    file.service.add(name="S").method.add(name="F", input_type=".p.M", output_type=".p.M")
    file.source_code_info.location.add(path=[6, 0, 2, 0], leading_comments=" clears \x1b[2J it\r" + "x" * 9000)
    found = load(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString()).functions["t.p.S/F"].summary
    assert found.startswith("clears ?[2J it")
    assert found.isprintable()
    assert len(found) < 1000
    file.name = "a\x1b[2J.proto"
    file.service[0].method[0].input_type = ".p.None"
    with pytest.raises(Unusable) as caught:
        load(descriptor_pb2.FileDescriptorSet(file=[file]).SerializeToString())
    assert all(problem.text.isprintable() for problem in caught.value.problems)
