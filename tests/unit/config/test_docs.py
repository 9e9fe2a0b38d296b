"""docs/configuration.md says what is so: its example loads, and its tables have every key with its real default."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from funcgate.app import read_parts
from funcgate.config.shape import Config, console, http2, limits, listen, record, targets

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
OPENAPI = """\
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /transfers:
    post:
      operationId: createTransfer
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [amount], properties: {amount: {type: integer}}}
      responses: {"200": {description: ok}}
"""


def test_the_example_loads(write: Callable[..., Path]) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = write(text=example)
    (path.parent / "payments.openapi.yaml").write_text(OPENAPI)
    parts = read_parts(path, need_secrets=False)
    assert sorted(parts.functions) == ["payments.createTransfer"]
    assert parts.warnings == ()


@pytest.mark.parametrize(
    ("heading", "spec"),
    [
        ("## The top level", Config),
        ("## `listen`", listen.ListenSpec),
        ("`listen.limits`:", listen.ListenLimitsSpec),
        ("`listen.limits.http2`:", http2.Http2Spec),
        ("## `journal`", record.JournalSpec),
        ("## `proof`", record.ProofSpec),
        ("## `index`", record.IndexSpec),
        ("## `retention`", record.KeepSpec),
        ("remembers how far it got. `type: syslog`:", record.SyslogSpec),
        ("`type: webhook`:", record.WebhookSpec),
        ("`type: otlp`:", record.OtlpSpec),
        ("## `targets`", targets.HttpTargetSpec),
        ("`targets[].limits`:", limits.StreamLimitsSpec),
        ("`targets[].limits.http2`:", http2.TargetHttp2Spec),
        ("## `logs`", console.LogsSpec),
        ("## `console`", console.SignInSpec),
    ],
)
def test_a_table_has_all_keys_and_their_defaults(heading: str, spec: type[msgspec.Struct]) -> None:
    text = PAGE.split(f"\n{heading}\n", 1)[1].split("| key | default |", 1)[1].split("\n\n", 1)[0]
    rows = [line.split("|")[1:3] for line in text.splitlines()[2:]]
    told = {name: default.strip().strip("`") for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    fields = {field.encode_name: field for field in msgspec.structs.fields(spec)}
    tag = msgspec.inspect.type_info(spec)
    assert set(told) == set(fields) | ({getattr(tag, "tag_field", None)} - {None})
    for name, field in fields.items():
        if isinstance(field.default, str | int) and not isinstance(field.default, bool):
            assert told[name] == str(field.default), name
