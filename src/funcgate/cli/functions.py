"""`funcgate functions`: what can be called, with which arguments."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from .say import DEFAULT_CONFIG, AsJson, ConfigFile, console, fail, print_json, usable


def functions(
    pattern: Annotated[str, typer.Argument(help="Which: TARGET.FUNCTION, with * as a wildcard.")] = "*",
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List the functions of all targets."""
    from funcgate.app import read_parts
    from funcgate.core.selector import matching

    with usable(as_json):
        parts = read_parts(config, need_secrets=False)
    chosen = [parts.functions[name] for name in matching(pattern, sorted(parts.functions))]
    if not chosen:
        raise fail(f"no function is named {pattern}", as_json=as_json)
    if as_json:
        print_json(chosen)
        return
    from rich.table import Table

    table = Table("function", "arguments", "risk", "owner", "summary", box=None, pad_edge=False)
    for function in chosen:
        arguments = _arguments(function.args_schema)
        table.add_row(function.full_name, arguments, function.risk, function.owner, function.summary)
    console().print(table)


def _arguments(schema: Mapping[str, Any]) -> str:
    """``amount: number, note?: string``: a question mark for what may be left out."""
    required = set(schema.get("required", ()))
    members = schema.get("properties", {})
    return ", ".join(
        f"{name}{'' if name in required else '?'}: {_type(member, schema)}" for name, member in members.items()
    )


def _type(schema: Any, root: Mapping[str, Any]) -> str:
    for _ in range(8):  # references may go in a circle
        if isinstance(schema, Mapping) and str(schema.get("$ref", "")).startswith("#/$defs/"):
            schema = root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/"))
    if not isinstance(schema, Mapping):
        return "any"
    if "enum" in schema:
        return "|".join(str(value) for value in schema["enum"][:6])
    found = schema.get("type", "any")
    return "|".join(found) if isinstance(found, list) else str(found)
