"""What the record says of a new configuration: all that differs, by name, within limits, and a text that proves the version."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from funcgate.app.changes import (
    MAX_CHANGES,
    MAX_TEXT_BYTES,
    Version,
    by_file,
    configuration,
    remember,
    remembered,
    version_of,
)
from funcgate.config.load import load

OLD = """\
issuers: [{name: corp, audience: a}]
targets:
  - {name: shop, url: http://x, credential: {type: bearer, secret: env:SHOP}, limits: {timeout: 3s}}
policies:
  - {name: reading, effect: allow, functions: [shop.read]}
  - {name: closed, effect: deny, functions: [shop.x]}
roles: {admin: [group:a]}
masking: [{functions: [shop.*], detect: all}]
"""


def version(text: str, **files: str) -> Version:
    return Version(hashlib.sha256(text.encode()).hexdigest(), text, files)


def changes(new: str, old: str = OLD) -> list[dict[str, Any]]:
    found = configuration(version(new), version(old))["changes"]
    assert isinstance(found, list)
    return found


def test_a_policy_before_and_after() -> None:
    (found,) = changes(OLD.replace("functions: [shop.read]", "functions: [shop.write]"))
    before = {"name": "reading", "effect": "allow", "functions": ["shop.read"]}
    after = before | {"functions": ["shop.write"]}
    assert found == {"where": "policies[reading]", "change": "changed", "before": before, "after": after}


def test_what_came_and_what_went() -> None:
    closed = {"name": "closed", "effect": "deny", "functions": ["shop.x"]}
    new = OLD.replace("  - {name: closed, effect: deny, functions: [shop.x]}\n", "  - {name: more, effect: allow}\n")
    assert changes(new) == [
        {"where": "policies[closed]", "change": "removed", "before": closed},
        {"where": "policies[more]", "change": "added", "after": {"name": "more", "effect": "allow"}},
    ]  # fmt: skip


def test_one_value_of_a_target_and_its_secret_s_place() -> None:
    new = (
        OLD.replace("timeout: 3s", "timeout: 9s")
        .replace("env:SHOP", "file:./shop.key")
        .replace("audience: a", "audience: b")
    )
    assert [(found["where"], found["before"], found["after"]) for found in changes(new)] == [
        ("issuers[corp].audience", "a", "b"),
        ("targets[shop].credential.secret", "env:SHOP", "file:./shop.key"),
        ("targets[shop].limits.timeout", "3s", "9s"),
    ]


def test_roles_masking_and_new_sections() -> None:
    new = OLD.replace("group:a", "group:b").replace("detect: all", "detect: [email]") + "index: {enabled: false}\n"
    assert [(found["where"], found["change"]) for found in changes(new)] == [
        ("roles.admin", "changed"), ("masking[0]", "changed"), ("index", "added"),
    ]  # fmt: skip


def test_another_order_and_a_comment() -> None:
    lines = OLD.splitlines(keepends=True)
    swapped = "".join([*lines[:4], lines[5], lines[4], *lines[6:]])
    assert changes(swapped) == [{"where": "policies", "change": "reordered", "after": ["closed", "reading"]}]
    assert changes(OLD + "# a comment\n") == []


def test_a_file_that_the_configuration_names() -> None:
    old, new = version(OLD, **{"a.yaml": "sha256:1"}), version(OLD, **{"a.yaml": "sha256:2"})
    change = configuration(new, old)
    expected = {"where": "files.a.yaml", "change": "changed", "before": "sha256:1", "after": "sha256:2"}
    assert change["changes"] == [expected]
    assert change["files"] == {"a.yaml": "sha256:2"}


def test_limits() -> None:
    many = OLD + "logs: {" + ", ".join(f"k{number}: 1" for number in range(MAX_CHANGES + 50)) + "}\n"
    grown = OLD + "logs: {a: 1}\n"
    change = configuration(version(many), version(grown))
    assert len(change["changes"]) == MAX_CHANGES
    assert change["changes_cut"] is True
    (found,) = changes(OLD.replace("detect: all", f"detect: [{', '.join(f'word{n}' for n in range(2000))}]"))
    assert found["after"]["digest"].startswith("sha256:")
    large = OLD + "# " + "x" * MAX_TEXT_BYTES + "\n"
    change = configuration(version(large), None)
    assert "text" not in change
    assert change["text_digest"] == "sha256:" + hashlib.sha256(large.encode()).hexdigest()
    assert "too many for an entry" in change["note"]
    assert len(msgspec.json.encode(configuration(version(many), version(OLD)))) < 600_000


def test_the_entry_alone_proves_its_version(tmp_path: Path) -> None:
    (tmp_path / "x.openapi.yaml").write_text("openapi: 3.1.0\n")
    file = tmp_path / "funcgate.yaml"
    file.write_text("targets: [{name: x, protocol: http, url: 'http://x', functions: {openapi: x.openapi.yaml}}]\n")
    loaded = load(file)
    change = configuration(version_of(loaded), None)
    assert change["text"] == file.read_text()
    assert list(change["files"]) == ["x.openapi.yaml"]
    whole = hashlib.sha256(hashlib.sha256(change["text"].encode()).digest())
    for digest in change["files"].values():
        whole.update(bytes.fromhex(digest.removeprefix("sha256:")))
    assert whole.hexdigest() == change["new"] == loaded.version


def test_what_is_remembered_is_only_a_convenience(tmp_path: Path) -> None:
    assert remembered(tmp_path) is None
    remember(tmp_path, version(OLD))
    assert remembered(tmp_path) == version(OLD)
    assert (tmp_path / "configuration.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "configuration.json").write_bytes(b'{"version":1}\xff')
    assert remembered(tmp_path) is None
    remember(tmp_path / "gone", version(OLD))
    broken = configuration(version(OLD), version("\0"))  # no YAML: what was kept was spoilt
    assert [found["change"] for found in broken["changes"]] == ["changed"]
    assert by_file(tmp_path / "gone") == {"via": "file"}
