"""`funcgate call`: one call through a running gateway, as any caller would make it."""

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from .say import DEFAULT_CONFIG, REFUSED, UNUSABLE, AsJson, ConfigFile, fail, print_json, usable

if TYPE_CHECKING:
    import httpx

    from funcgate.catalog import Binding


def call(
    function: Annotated[str, typer.Argument(help="TARGET.FUNCTION.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="NAME?=VALUE puts it in the query, NAME:=VALUE in a header."),
    ] = None,
    token: Annotated[str, typer.Option("--token", envvar="FUNCGATE_TOKEN", help="Who calls.")] = "",
    url: Annotated[str, typer.Option("--url", help="The gateway; as the configuration says if not given.")] = "",
    timeout: Annotated[float, typer.Option("--timeout", help="In seconds.")] = 60.0,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make one call and print the answer. Values are read as the function's schema says; @FILE reads one from a file."""
    import httpx

    from funcgate.app import read_parts

    with usable(as_json):
        parts = read_parts(config, need_secrets=False)
    found = parts.functions.get(function)
    if found is None:
        from funcgate.config.problems import did_you_mean

        raise fail(f"there is no function {function}{did_you_mean(function, parts.functions)}", as_json=as_json)
    catalogue: Any = parts.targets[found.target].catalogue
    if not hasattr(catalogue, "bindings"):
        protocol = parts.targets[found.target].spec.__struct_config__.tag
        raise fail(
            f"{found.target} is called with clients of its own protocol ({protocol})", status=UNUSABLE, as_json=as_json
        )
    scheme = "https" if parts.server_tls is not None else "http"
    request = _request(catalogue.bindings[function], found.args_schema, arguments or [], as_json)
    request["url"] = f"{url.rstrip('/') or f'{scheme}://{parts.calls}'}/{found.target}{request['url']}"
    request["headers"] |= {"authorization": f"Bearer {token.strip()}"} if token else {}
    try:
        answer = httpx.request(**request, timeout=timeout, follow_redirects=False, trust_env=False)
    except httpx.HTTPError as error:
        raise fail(f"{request['url']}: {type(error).__name__}: {error}", as_json=as_json) from None
    _print(answer, as_json)
    if answer.status_code >= 400:
        raise typer.Exit(REFUSED)


def _request(binding: "Binding", schema: Mapping[str, Any], arguments: list[str], as_json: bool) -> dict[str, Any]:
    """Where each argument goes: the path if the template names it, else the body if the function has one, else the query."""
    path, body = binding.path, {}
    params: list[tuple[str, str]] = []
    headers: dict[str, str] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        place, name = (name[-1:], name[:-1]) if name[-1:] in ("?", ":") else ("", name)
        if not equals or not name:
            raise fail(f"{argument!r} is not NAME=VALUE", status=UNUSABLE, as_json=as_json)
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", quote(text, safe=""))
        elif place == ":":
            headers[name] = text
        elif place == "?" or not binding.takes_body:
            params.append((name, text))
        else:
            body[name] = _value(name, text, schema, as_json)
    if "{" in path:
        missing = path[path.index("{") + 1 : path.index("}")]
        raise fail(f"the argument {missing} is missing", status=UNUSABLE, as_json=as_json)
    content: dict[str, Any] = {"json": body} if body else {}
    return {"method": binding.method, "url": path, "params": params, "headers": headers, **content}


def _value(name: str, text: str, schema: Mapping[str, Any], as_json: bool) -> Any:
    """Text where the schema wants text, else JSON."""
    if text.startswith("@"):
        try:
            with open(text[1:], encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise fail(f"{name}: {text[1:]}: {error}", status=UNUSABLE, as_json=as_json) from None
    declared = schema.get("properties", {}).get(name)
    if isinstance(declared, Mapping) and declared.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _print(answer: "httpx.Response", as_json: bool) -> None:
    if as_json:
        try:
            body = answer.json()
        except ValueError:
            body = answer.text
        call_id = answer.headers.get("funcgate-call-id", "")
        print_json({"status": answer.status_code, "call_id": call_id, "body": body})
        return
    typer.echo(f"{answer.status_code} {answer.headers.get('funcgate-call-id', '')}".strip(), err=True)
    sys.stdout.write(answer.text if answer.text.endswith("\n") or not answer.text else answer.text + "\n")
