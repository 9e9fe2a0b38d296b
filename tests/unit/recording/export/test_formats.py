"""Every format of every kind of call: escaped, harmless, and valid by its published schema."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pyarrow.parquet
import pytest

from funcgate.core.entry import Entry, Kind, Who
from funcgate.recording.calls import CallRecord, record_of
from funcgate.recording.contents import Opened
from funcgate.recording.export.formats import FORMATS, Unavailable
from funcgate.recording.export.formats.cef import cef_of
from funcgate.recording.export.formats.ocsf import ocsf_of
from funcgate.recording.export.units import Calls
from funcgate.recording.reader import read_entries

from .conftest import Written

SCHEMA = Path(__file__).with_name("ocsf-1.8.0-api_activity.json")


def units(story: Written) -> list[CallRecord | Entry]:
    calls = Calls(Opened, content=True, admin=True)
    found = [unit for entry in read_entries(story.journal) for unit in calls.take(entry)]
    return [unit.what for unit in (*found, *calls.rest(10_000))]


def by_name(story: Written) -> dict[str, CallRecord]:
    back = {call: name for name, call in story.ids.items()}
    return {back[what.id]: what for what in units(story) if isinstance(what, CallRecord)}


def written_as(form: str, whats: list[CallRecord | Entry]) -> bytes:
    made = FORMATS[form]()
    return made.header() + b"".join(map(made.row, whats)) + made.footer()


# -- OCSF


@pytest.fixture(scope="module")
def valid() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()), validate_formats=True)


def test_ocsf_is_valid_by_its_schema(written: Written, valid: jsonschema_rs.Validator) -> None:
    lines = written_as("ocsf", units(written)).splitlines()
    assert len(lines) == 7
    for line in lines:
        assert [error.message for error in valid.iter_errors(json.loads(line))] == []


def test_the_schema_refuses(valid: jsonschema_rs.Validator, written: Written) -> None:
    """That it can: a member of no such name, a required one missing, an actor without anything."""
    event = json.loads(written_as("ocsf", units(written)).splitlines()[1])
    for wrong in ({"nonsense": 1}, {"metadata": {}}, {"actor": {}}, {"time": "now"}, {"action_id": 77}):
        assert not valid.is_valid(event | wrong)


def test_ocsf_says_who_what_and_how(written: Written) -> None:
    call = by_name(written)["paid"]
    event = json.loads(FORMATS["ocsf"]().row(call))
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["actor"]["user"] == {"uid": "ada", "name": "ada", "groups": [{"name": "payments"}, {"name": "eu"}]}
    assert event["actor"]["app_uid"] == "agent-7"
    assert event["api"]["operation"] == "shop.pay"
    assert event["api"]["request"]["data"] == {"amount": 5, "note": "two\nlines"}
    assert event["api"]["response"] == {"code": 201, "data": {"ok": True}}
    assert event["src_endpoint"] == {"ip": "10.0.0.1", "port": 5001}
    assert event["dst_endpoint"] == {"svc_name": "shop"}
    assert (event["action"], event["disposition"], event["status"]) == ("Allowed", "Allowed", "Success")
    assert event["authorizations"] == [{"decision": "allow", "policy": {"name": "small", "version": "f" * 64}}]
    assert event["unmapped"]["masked"] == {"email": 2}
    assert event["trace"] == {"uid": "0af7651916cd43dd8448eb211c80319c"}
    assert event["time"] == 1_790_000_002_000


@pytest.mark.parametrize(
    ("name", "action", "status", "severity"),
    [
        ("paid", "Allowed", "Success", 1),
        ("held", "Held", "Failure", 2),
        ("stranger", "Denied", "Failure", 3),
        ("cut", "Allowed", "Failure", 2),
        ("open", "Allowed", "Unknown", 1),
    ],
)
def test_ocsf_decisions(written: Written, name: str, action: str, status: str, severity: int) -> None:
    event = ocsf_of(by_name(written)[name])
    assert (event["action"], event["status"], event["severity_id"]) == (action, status, severity)


# -- CEF


_KEY = re.compile(r"(?:^| )([A-Za-z0-9]+)=")


def parsed(line: str) -> tuple[list[str], dict[str, str]]:
    """As the format says: seven header fields between bare pipes, then keys up to bare equals signs."""
    fields: list[str] = [""]
    escaped = False
    rest = ""
    for at, one in enumerate(line):
        if escaped:
            fields[-1] += one
            escaped = False
        elif one == "\\":
            escaped = True
        elif one == "|":
            if len(fields) == 7:
                rest = line[at + 1 :]
                break
            fields.append("")
        else:
            fields[-1] += one
    pairs: dict[str, str] = {}
    plain = rest.replace("\\\\", "\0\0").replace("\\=", "\1\1")
    keys = list(_KEY.finditer(plain))
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        value = plain[key.end() : following.start() if following else None]
        pairs[key[1]] = value.replace("\1\1", "=").replace("\\r", "\r").replace("\\n", "\n").replace("\0\0", "\\")
    return fields, pairs


def test_cef_can_be_read_back(written: Written) -> None:
    lines = written_as("cef", units(written)).decode().splitlines()
    assert len(lines) == 7
    headers = [parsed(line)[0] for line in lines]
    assert all(header[:3] == ["CEF:0", "funcgate", "funcgate"] and len(header) == 7 for header in headers)
    assert [header[4] for header in headers] == [
        "admin", "call.allow", "call.approval.pending", "call.identity.missing", "admin", "call.allow", "call.allow",
    ]  # fmt: skip


def test_cef_escapes(written: Written) -> None:
    _, pairs = parsed(cef_of(by_name(written)["held"]))
    assert pairs["suid"] == "=cmd|' /C calc'!A0"
    assert pairs["msg"] == "a\nb=c|d\\e"
    assert pairs["cs1"] == "big, second|pair"
    assert (pairs["c6a2"], pairs["spt"]) == ("2001:db8::1", "443")
    assert (pairs["act"], pairs["outcome"]) == ("ask", "pending")


def test_cef_no_caller_writes_an_event_of_their_own() -> None:
    who = Who("corp", "eve\nCEF:0|x|y|1|forged|forged|9|act=allow suid=root")
    entry = Entry(kind=Kind.ARRIVED, call="c", at="2026-11-21T00:00:00Z", principal=who, function="a|b\nc")
    line = cef_of(record_of([entry]))
    fields, pairs = parsed(line)
    assert "\n" not in line
    assert fields[5] == "a|b c none"
    assert pairs["act"] == "none"
    assert pairs["suid"].startswith("eve\nCEF:0|x")


# -- CSV


def test_csv_is_one_row_a_call(written: Written) -> None:
    rows = list(csv.DictReader(io.StringIO(written_as("csv", units(written)).decode(), newline="")))
    assert len(rows) == 5
    paid = next(row for row in rows if row["call"] == written.ids["paid"])
    assert (paid["subject"], paid["acts_for"], paid["groups"]) == ("ada", "carol", "payments eu")
    assert json.loads(paid["args"]) == {"amount": 5, "note": "two\nlines"}
    assert (paid["decision"], paid["status"], paid["masked"]) == ("allow", "201", "email=2")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "＝"])
def test_csv_no_cell_is_a_formula(first: str) -> None:
    entry = Entry(kind=Kind.DENIED, call="c", code="identity.invalid", detail=f'{first}HYPERLINK("http://x")')
    cells = next(csv.reader(io.StringIO(FORMATS["csv"]().row(record_of([entry])).decode(), newline="")))
    assert [cell for cell in cells if "HYPERLINK" in cell] == [f'\'{first}HYPERLINK("http://x")']


@pytest.mark.parametrize("between", [";", "\t", "\n", "\r\n", "; "])
def test_csv_no_part_of_a_cell_is_a_formula_where_cells_end_otherwise(between: str) -> None:
    """Opened with another separator than the comma, as spreadsheets do in half the world."""
    entry = Entry(kind=Kind.DENIED, call="c", detail=f"harmless{between}=cmd|x;a-b;1")
    row = FORMATS["csv"]().row(record_of([entry])).decode()
    parts = re.split(r'[;\t\r\n"]+\s*', row)
    assert {"'=cmd|x", "' =cmd|x"} & set(parts)
    assert {"a-b", "1"} <= set(parts)  # nothing else is touched
    assert not any(part.startswith("=") for part in parts)


# -- JSON lines, Parquet


def test_jsonl_is_the_journal(written: Written) -> None:
    lines = [json.loads(line) for line in written_as("jsonl", units(written)).splitlines()]
    entries = list(read_entries(written.journal))
    assert sorted(line["seq"] for line in lines) == [entry.seq for entry in entries if "segment" not in entry.change]


def test_parquet_reads_back(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.recording.export.formats.parquet.GROUP_ROWS", 2)
    file = pyarrow.parquet.ParquetFile(io.BytesIO(written_as("parquet", units(written))))
    assert file.num_row_groups == 3
    rows: dict[str, Any] = {row["call"]: row for row in file.read().to_pylist()}
    assert rows.keys() == set(written.ids.values())
    paid = rows[written.ids["paid"]]
    assert (paid["subject"], paid["groups"], paid["status"]) == ("ada", ["payments", "eu"], 201)
    assert dict(paid["masked"]) == {"email": 2}
    assert (paid["at"].timestamp(), json.loads(paid["body"])) == (1_790_000_002.0, {"ok": True})
    assert rows[written.ids["stranger"]]["subject"] is None


def test_parquet_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(Unavailable, match=r"pip install 'funcgate\[parquet\]'"):
        FORMATS["parquet"]()
