"""Catalogues from descriptor sets, .proto files and lists; what is wrong with them; and what policies know of the arguments."""

from pathlib import Path
from textwrap import dedent
from typing import Any

import jsonschema_rs
import pytest
from google.protobuf import descriptor_pb2

from funcgate.catalog.proto import ProtoCatalog, ProtoSpec, load_proto
from funcgate.catalog.proto.children import Failed, run_python
from funcgate.core.problem import Problem, Unusable
from funcgate.policy import PolicySpec, compile_policies
from support.protos import WHERE, catalog, descriptor_set, method, new

SERVICE = """
    syntax = "proto3";
    package pay;
    import "google/protobuf/timestamp.proto";
    message Transfer { string account = 1; int64 amount = 2; google.protobuf.Timestamp at = 3; }
    service Payments {
      // Moves money.
      rpc Move(Transfer) returns (Transfer);
    }
"""


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.proto").write_text(dedent(text))


def load(folder: Path, reflected: bytes | None = None, **spec: Any) -> ProtoCatalog:
    return load_proto("t", ProtoSpec(**spec), folder, WHERE, reflected)


def problems(folder: Path, reflected: bytes | None = None, **spec: Any) -> list[Problem]:
    with pytest.raises(Unusable) as caught:
        load(folder, reflected, **spec)
    return caught.value.problems


def test_proto_files(tmp_path: Path) -> None:
    write(tmp_path, pay=SERVICE)
    found = load(tmp_path, proto=["pay.proto"])
    assert [*found.functions] == ["t.pay.Payments/Move"]
    function = found.functions["t.pay.Payments/Move"]
    assert (function.name, function.summary, function.target) == ("pay.Payments/Move", "Moves money.", "t")
    assert function.args_schema == {
        "type": "object", "additionalProperties": False, "required": ["account", "amount"],
        "properties": {
            "account": {"type": "string"}, "at": {"type": "string", "format": "date-time"},
            "amount": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
        },
    }  # fmt: skip
    assert found.warnings == ()


def test_a_descriptor_set_and_what_the_target_says(tmp_path: Path) -> None:
    (tmp_path / "all.binpb").write_bytes(descriptor_set())
    names = [*catalog().functions]
    assert [*load(tmp_path, descriptors="all.binpb").functions] == names
    assert [*load(tmp_path, descriptor_set(), reflection=True).functions] == names


def test_methods_are_found_to_the_last_letter() -> None:
    assert catalog().find(b"/sample.Samples/Do") is method("Do")
    for path in (b"sample.Samples/Do", b"/sample.Samples/do", b"/sample.Samples/Do/", b"//sample.Samples/Do", b"/Do", b"", b"/",
                 b"/sample.Samples/Do?x", b"/t.sample.Samples/Do", b"/sample.Samples%2FDo"):  # fmt: skip
        assert catalog().find(path) is None


def test_streams_and_idempotence() -> None:
    assert {name: method(name).streams for name in ("Do", "Watch", "Collect", "Talk")} == {
        "Do": (False, False), "Watch": (False, True), "Collect": (True, False), "Talk": (True, True),
    }  # fmt: skip
    assert method("Watch").idempotent
    assert not method("Do").idempotent
    assert method("Do").path == b"/sample.Samples/Do"


def test_methods_without_a_description(tmp_path: Path) -> None:
    found = load(tmp_path, methods=["a.B/C"])
    listed = found.find(b"/a.B/C")
    assert listed is not None
    assert listed.opaque
    assert listed.streams == (True, True)
    assert listed.function.args_schema["properties"] == {}
    assert found.status is None
    write(tmp_path, pay=SERVICE)
    both = load(tmp_path, proto=["pay.proto"], methods=["a.B/C"])
    assert sorted(both.functions) == ["t.a.B/C", "t.pay.Payments/Move"]
    assert both.status is not None


def test_a_described_method_cannot_be_listed_as_unknown(tmp_path: Path) -> None:
    """Attack, or a slip: its arguments would no longer be judged."""
    write(tmp_path, pay=SERVICE)
    found = problems(tmp_path, proto=["pay.proto"], methods=["a.B/C", "pay.Payments/Move"])
    assert [(problem.where, "described already" in problem.text) for problem in found] == [
        ((*WHERE, "methods", 1), True)
    ]


def test_files_that_import_each_other_are_all_listed(tmp_path: Path) -> None:
    write(
        tmp_path,
        types='syntax = "proto3"; package a; message M { string text = 1; }',
        svc='syntax = "proto3"; package a; import "types.proto"; service S { rpc Do(M) returns (M); }',
    )
    assert [*load(tmp_path, proto=["svc.proto", "types.proto"]).functions] == ["t.a.S/Do"]
    found = problems(tmp_path, proto=["svc.proto"])
    assert [problem.where for problem in found] == [(*WHERE, "proto")]
    assert "types.proto is imported; list it too" in found[0].text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("syntax = 'proto3'; message M { string text = ; }", "pay.proto:"),
        ("syntax = 'proto3'; import 'nowhere.proto';", "nowhere.proto"),
        ("syntax = 'proto3'; service S { rpc Do(No) returns (No); }", '"No"'),
        ("syntax = 'proto3'; message M {}", "no method in it"),
        ("", "no method in it"),
        ("\0\xff", "pay.proto:"),
    ],
    ids=["syntax", "import", "type", "no service", "empty", "bytes"],
)
def test_a_broken_file_is_a_problem_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, pay=text)
    found = problems(tmp_path, proto=["pay.proto"])
    assert len(found) == 1
    assert says in found[0].text
    assert str(tmp_path) not in found[0].text


def test_files_that_are_not_there(tmp_path: Path) -> None:
    found = problems(tmp_path, proto=["a.proto", "b.proto"])
    assert [problem.where[-1] for problem in found] == [0, 1]
    assert "there is no such file" in found[0].text
    found = problems(tmp_path, descriptors="a.binpb")
    assert found[0].where == (*WHERE, "descriptors")
    assert "a.binpb" in found[0].text
    assert problems(tmp_path, reflection=True)[0].where == (*WHERE, "reflection")


def test_a_name_of_a_file_is_no_option_of_protoc(tmp_path: Path) -> None:
    write(tmp_path, **{"--version": SERVICE})
    assert [*load(tmp_path, proto=["--version.proto"]).functions] == ["t.pay.Payments/Move"]


def parts() -> descriptor_pb2.FileDescriptorSet:
    return descriptor_pb2.FileDescriptorSet.FromString(descriptor_set())


def test_sets_that_cannot_be_used(tmp_path: Path) -> None:
    def said(data: bytes) -> str:
        found = problems(tmp_path, data, reflection=True)
        assert len(found) == 1
        return found[0].text

    assert "no FileDescriptorSet" in said(b"\xff\xff")
    assert "no descriptors in it" in said(b"")
    alone = descriptor_pb2.FileDescriptorSet(file=[file for file in parts().file if file.name == "sample.proto"])
    assert load(tmp_path, alone.SerializeToString(), reflection=True).functions, "the well-known types are ours"
    missing = descriptor_pb2.FileDescriptorSet(
        file=[descriptor_pb2.FileDescriptorProto(name="a", dependency=["b.proto"])]
    )
    assert "b.proto is imported and not there" in said(missing.SerializeToString())
    twice = parts()
    changed = next(file for file in twice.file if file.name == "older.proto")
    twice.file.add().CopyFrom(changed)
    assert load(tmp_path, twice.SerializeToString(), reflection=True).functions
    twice.file[-1].package = "other"
    assert "older.proto is in it twice" in said(twice.SerializeToString())
    clash = parts()
    clash.file.add().CopyFrom(changed)
    clash.file[-1].name = "other.proto"
    assert "other.proto" in said(clash.SerializeToString())
    circle = descriptor_pb2.FileDescriptorSet()
    circle.file.add(name="a", dependency=["b"])
    circle.file.add(name="b", dependency=["a"])
    assert "import each other" in said(circle.SerializeToString())


def test_a_set_cannot_say_what_the_well_known_types_are(tmp_path: Path) -> None:
    """Attack: a Timestamp with other fields, so that something else is judged than is sent."""
    lying = parts()
    for file in lying.file:
        if file.name == "google/protobuf/timestamp.proto":
            file.message_type[0].field[0].name = "harmless"
    found = load(tmp_path, lying.SerializeToString(), reflection=True).find(b"/sample.Samples/Do")
    assert found is not None
    assert found.takes is not None
    message = new("All")
    message.at.seconds = 60
    assert found.takes.read(message.SerializeToString()).args["at"] == "1970-01-01T00:01:00Z"


@pytest.mark.parametrize(
    "name", ["Do", "Count", "Hide", "Nothing", "Wrapped", "Structured", "Anything", "When", "older.Olds/Do"]
)
def test_arguments_fit_their_schema(name: str) -> None:
    found = method(name)
    assert found.takes is not None
    validator = jsonschema_rs.Draft202012Validator(dict(found.function.args_schema))
    data = b"\x0a\x01n" if "/" in name or name == "Wrapped" else b""
    validator.validate(found.takes.read(data).args)


def judged(when: str, *functions: str) -> list[str]:
    known = catalog().functions
    spec = PolicySpec(name="p", effect="allow", functions=[*functions], principals=["*"], when=when)
    try:
        compile_policies([spec], known, "v")
    except Unusable as unusable:
        return [problem.text for problem in unusable.problems]
    return []


@pytest.mark.parametrize(
    "when",
    [
        "args.number > 5 && args.small.text == 'x' && args.texts.exists(t, t == 'a')", "args.text_of['k'] == 'v'",
        "args.at < '2026' || args.color == 'RED' || args.color == 77", "args.inner.inner.number == 1",
        "args.any['@type'] == 'x' && has(args.maybe_text)", "args.struct.a == 1 && args.value == 'x'",
        "args.int64_value > 3 && args.by_number['5'] == 'x' && args.each.uint64 < 5",
    ],
)  # fmt: skip
def test_conditions_on_fields(when: str) -> None:
    assert judged(when, "t.sample.Samples/Do") == []


@pytest.mark.parametrize("when", ["args.nunber > 5", "args.number == 'x'", "args.small.texd == 'x'", "args.text > 5"])
def test_conditions_that_can_never_hold_are_problems(when: str) -> None:
    assert judged(when, "t.sample.Samples/Do")


def test_conditions_on_extensions() -> None:
    assert judged("args['older/more'] == 'x' && args.group.number > 1", "t.older.Olds/Do") == []


def test_the_gateways_process_never_imports_grpcio() -> None:
    code = "import sys, funcgate.catalog.proto as p; print([m for m in sys.modules if m.split('.')[0] in ('grpc', 'grpc_tools')])"
    assert run_python(["-c", code], max_bytes=1000, timeout_s=60).strip() == b"[]"


def test_processes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYMENTS_KEY", "canary")
    said = run_python(["-c", "import os; print(sorted(os.environ))"], max_bytes=10_000, timeout_s=60)
    assert b"PAYMENTS_KEY" not in said
    with pytest.raises(Failed, match="longer than"):
        run_python(["-c", "import time; time.sleep(600)"], max_bytes=1000, timeout_s=0.5)
    with pytest.raises(Failed, match="said more"):
        run_python(["-c", "print('x' * 2_000_000)"], max_bytes=1 << 20, timeout_s=60)
    with pytest.raises(Failed, match="status 3"):
        run_python(["-c", "raise SystemExit(3)"], max_bytes=1000, timeout_s=60)


def test_a_description_whose_types_reach_each_other_in_many_ways(tmp_path: Path) -> None:
    """Attack: 2 to the power of 60 paths."""
    types = "".join([f"message M{at} {{ M{at + 1} a = 1; M{at + 1} b = 2; }}" for at in range(60)])
    write(
        tmp_path,
        pay=f"""syntax = "proto3"; {types} message M60 {{ string text = 1 [debug_redact = true]; }}
                service S {{ rpc Do(M0) returns (M0); }}""",
    )
    found = load(tmp_path, proto=["pay.proto"]).find(b"/S/Do")
    assert found is not None
    assert found.redacted == ("**.text",)


def test_a_description_with_a_chain_of_types_longer_than_the_stack(tmp_path: Path) -> None:
    types = "".join([f"message M{at} {{ M{at + 1} a = 1; }}\n" for at in range(3000)])
    text = f'syntax = "proto3"; {types} message M3000 {{ string text = 1 [debug_redact = true]; }}'
    write(tmp_path, pay=text + " service S { rpc Do(M0) returns (M0); }")
    assert "nested too deeply" in problems(tmp_path, proto=["pay.proto"])[0].text
