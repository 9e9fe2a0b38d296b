"""Reading arguments: typed, exact, and refused wherever two readers could read two things."""

from datetime import date
from typing import Any

import pytest

from funcgate.catalog import FunctionSpec, HttpCatalog
from funcgate.core.problem import Unusable
from funcgate.core.refusal import Code, Refused

from .conftest import FromText, Listed

API = """
paths:
  /things/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer, minimum: 1}}]
    get:
      operationId: getThing
      parameters:
        - {name: deep, in: query, schema: {type: boolean}}
        - {name: ratio, in: query, schema: {type: number}}
        - {name: tags, in: query, schema: {type: array, items: {type: string}, maxItems: 3}}
        - {name: ids, in: query, explode: false, schema: {type: array, items: {type: integer}}}
        - {name: maybe, in: query, schema: {anyOf: [{type: integer}, {type: 'null'}]}}
        - {name: where, in: query, content: {application/json: {schema: {type: object, properties: {a: {type: integer}}}}}}
        - {name: X-Trace, in: header, schema: {type: string, maxLength: 8}}
        - {name: X-Counts, in: header, schema: {type: array, items: {type: integer}}}
        - {name: Authorization, in: header, schema: {type: string}}
    post:
      operationId: makeThing
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [name]
              properties:
                name: {type: string, maxLength: 10}
                count: {type: integer}
                note: {type: [string, 'null']}
                owner:
                  type: object
                  properties: {mail: {type: string}, limits: {type: array, items: {$ref: '#/components/schemas/Limit'}}}
                labels: {type: object, additionalProperties: {type: string}}
          application/x-www-form-urlencoded:
            schema:
              type: object
              additionalProperties: false
              properties:
                name: {type: string}
                count: {type: integer}
                tags: {type: array, items: {type: string}}
          application/vnd.thing+json: {schema: {type: array, items: {$ref: '#/components/schemas/Limit'}}}
          application/octet-stream: {}
          text/*: {}
    put:
      operationId: putThing
      requestBody: {content: {application/json: {schema: {type: object, additionalProperties: true}}}}
  /lists:
    post:
      operationId: anyList
      requestBody: {content: {application/json: {}}}
components:
  schemas:
    Limit: {type: object, properties: {amount: {type: integer}}}
"""


@pytest.fixture
def api(from_openapi: FromText) -> HttpCatalog:
    return from_openapi(API)


def get(api: HttpCatalog, query: Any = (), headers: Any = (), path: str = "7") -> dict[str, Any]:
    args = api.bindings["pay.getThing"].read((path,), query, headers, "", "", b"")
    del args["id"]
    return args


def post(api: HttpCatalog, body: bytes, media: str = "application/json", charset: str = "") -> dict[str, Any]:
    args = api.bindings["pay.makeThing"].read(("7",), (), (), media, charset, body)
    del args["id"]
    return args


def refusal(action: Any) -> str:
    with pytest.raises(Refused) as caught:
        action()
    assert caught.value.code is Code.REQUEST_INVALID
    assert caught.value.__context__ is None
    return caught.value.public_detail


@pytest.mark.parametrize(
    ("query", "args"),
    [
        ([], {}),
        ([("deep", "true")], {"deep": True}),
        ([("deep", "false")], {"deep": False}),
        ([("ratio", "1.5")], {"ratio": 1.5}),
        ([("ratio", "2")], {"ratio": 2}),
        ([("tags", "a")], {"tags": ["a"]}),
        ([("tags", "a"), ("tags", "b,c")], {"tags": ["a", "b,c"]}),
        ([("ids", "1,2")], {"ids": [1, 2]}),
        ([("maybe", "-3")], {"maybe": -3}),
        ([("maybe", "123456789012345678901234567890")], {"maybe": 123456789012345678901234567890}),
        ([("where", '{"a": 1}')], {"where": {"a": 1}}),
    ],
)
def test_query(api: HttpCatalog, query: Any, args: dict[str, Any]) -> None:
    found = get(api, query)
    assert found == args
    assert [type(value) for value in found.values()] == [type(value) for value in args.values()]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ([("deep", "1")], "deep: fails the rule 'type'."),
        ([("deep", "True")], "deep: fails the rule 'type'."),
        ([("deep", "")], "deep: fails the rule 'type'."),
        ([("deep", "true"), ("deep", "false")], "deep: occurs twice."),
        ([("ratio", "NaN")], "ratio: fails the rule 'type'."),
        ([("ratio", "1e999")], "ratio: fails the rule 'type'."),
        ([("ratio", "0x10")], "ratio: fails the rule 'type'."),
        ([("ratio", " 1")], "ratio: fails the rule 'type'."),
        ([("maybe", "007")], "maybe: fails the rule 'type'."),
        ([("maybe", "1_0")], "maybe: fails the rule 'type'."),
        ([("maybe", "+1")], "maybe: fails the rule 'type'."),
        ([("maybe", "1.0")], "maybe: fails the rule 'type'."),
        ([("maybe", "١")], "maybe: fails the rule 'type'."),
        ([("maybe", "9" * 129)], "maybe: fails the rule 'type'."),
        ([("maybe", "1\n")], "maybe: fails the rule 'type'."),
        ([("ids", "1,,2")], "ids: fails the rule 'type'."),
        ([("ids", "1"), ("ids", "2")], "ids: occurs twice."),
        ([("tags", "a")] * 4, "tags: fails the rule 'maxItems'."),
        ([("where", '{"a": 1, "a": 2}')], "where: fails the rule 'type'."),
        ([("where", '{"a": "hunter2"}')], "where.a: fails the rule 'type'."),
        ([("other", "1")], "The query has a parameter that the function does not have."),
        ([("Deep", "true")], "The query has a parameter that the function does not have."),
        ([("id", "8")], "The query has a parameter that the function does not have."),
    ],
)
def test_query_refused(api: HttpCatalog, query: Any, detail: str) -> None:
    assert refusal(lambda: get(api, query)) == detail


@pytest.mark.parametrize("path", ["0", "x", "1e3", "07", "7.0", " 7"])
def test_path_refused(api: HttpCatalog, path: str) -> None:
    assert refusal(lambda: get(api, path=path)).startswith("id: fails the rule")


def test_headers(api: HttpCatalog) -> None:
    headers = [(b"x-trace", b"abc"), (b"accept", b"*/*"), (b"x-counts", b"1, 2 ,3"), (b"authorization", b"x")]
    assert get(api, headers=headers) == {"X-Trace": "abc", "X-Counts": [1, 2, 3]}


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ([(b"x-trace", b"a"), (b"x-trace", b"a")], "X-Trace: occurs twice."),
        ([(b"x-trace", b"\xc3\xa9")], "X-Trace: holds an octet beyond ASCII."),
        ([(b"x-trace", b"123456789")], "X-Trace: fails the rule 'maxLength'."),
        ([(b"x-counts", b"1;2")], "X-Counts: fails the rule 'type'."),
    ],
)
def test_headers_refused(api: HttpCatalog, headers: Any, detail: str) -> None:
    assert refusal(lambda: get(api, headers=headers)) == detail


@pytest.mark.parametrize(
    ("body", "args"),
    [
        (b'{"name": "a"}', {"name": "a"}),
        (b'{"name": "a", "note": null}', {"name": "a", "note": None}),
        (
            b'{"name": "a", "count": 123456789012345678901234567890}',
            {"name": "a", "count": 123456789012345678901234567890},
        ),
        (b'{"name": "a", "more": [1]}', {"name": "a", "more": [1]}),
        (
            b'{"name": "a", "labels": {"Mail": "x", "Amount": "y"}}',
            {"name": "a", "labels": {"Mail": "x", "Amount": "y"}},
        ),
        (b'{"name": "a", "owner": {"mail": "x", "other": 1}}', {"name": "a", "owner": {"mail": "x", "other": 1}}),
    ],
)
def test_json_body(api: HttpCatalog, body: bytes, args: dict[str, Any]) -> None:
    assert post(api, body) == args
    assert post(api, body, charset="utf-8") == args


LOOKALIKE = "The body has a member that looks like an argument of the function, and is none."


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "The body is missing."),
        (b"[]", "The body is not an object."),
        (b"null", "The body is not an object."),
        (b'"name"', "The body is not an object."),
        (b"{}", "name: fails the rule 'required'."),
        (b'{"name": 1}', "name: fails the rule 'type'."),
        (b'{"name": "12345678901"}', "name: fails the rule 'maxLength'."),
        (b'{"name": "a", "name": "b"}', "The body is not acceptable as JSON: a name occurs twice in an object."),
        (b'{"name": "a"', "The body is not acceptable as JSON: the text is not JSON."),
        (b'{"name": "a", "Name": "b"}', LOOKALIKE),
        (b'{"name": "a", "NAME": "b"}', LOOKALIKE),
        ('{"name": "a", "coun\u017f": 1, "\u212aount": 1, "note\u017f": 1}'.encode(), ""),
        (b'{"name": "a", "id": 8}', LOOKALIKE),
        (b'{"name": "a", "ID": 8}', LOOKALIKE),
        (b'{"name": "a", "owner": {"Mail": "x"}}', LOOKALIKE),
        (b'{"name": "a", "owner": {"limits": [{}, {"Amount": 1}]}}', LOOKALIKE),
        (
            b'{"name": "a", "owner": {"limits": [{"amount": "hunter2"}]}}',
            "owner.limits[0].amount: fails the rule 'type'.",
        ),
        (b'{"name": "a", "labels": {"hunter2": 5}}', "labels.*: fails the rule 'type'."),
    ],
)
def test_json_body_refused(api: HttpCatalog, body: bytes, detail: str) -> None:
    if detail:
        assert refusal(lambda: post(api, body)) == detail
    else:
        assert post(api, body)["name"] == "a"  # odd letters that fold to no declared name


def test_letters_that_fold_to_ascii_are_lookalikes(from_openapi: FromText) -> None:
    """Go's encoding/json takes U+017F for an s and U+212A for a k."""
    catalog = from_openapi("""
    paths:
      /a:
        post:
          operationId: a
          requestBody: {content: {application/json: {schema: {type: object, properties: {asks: {type: integer}}}}}}
    """)
    read = catalog.bindings["pay.a"].read
    for name in ("a\u017fks", "as\u212as", "ASKS"):
        body = f'{{"{name}": 1}}'.encode()
        assert refusal(lambda body=body: read((), (), (), "application/json", "", body)) == LOOKALIKE


@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "iso-8859-1", "ibm037"])
def test_other_charsets_are_refused(api: HttpCatalog, charset: str) -> None:
    assert refusal(lambda: post(api, b'{"name": "a"}', charset=charset)) == "The body is not in UTF-8."
    form = "application/x-www-form-urlencoded"
    assert refusal(lambda: post(api, b"name=a", form, charset)) == "The body is not in UTF-8."


@pytest.mark.parametrize(
    "media", ["", "application/xml", "application/jsonx", "json", "multipart/form-data", "*/*", "image/*"]
)
def test_media_types_that_are_not_declared_are_refused(api: HttpCatalog, media: str) -> None:
    assert "media type" in refusal(lambda: post(api, b'{"name": "a"}', media))


def test_a_body_that_is_no_object_is_the_argument_body(api: HttpCatalog) -> None:
    media = "application/vnd.thing+json"
    assert post(api, b'[{"amount": 1}]', media) == {"body": [{"amount": 1}]}
    assert refusal(lambda: post(api, b'{"amount": 1}', media)).endswith("fails the rule 'type'.")
    assert refusal(lambda: post(api, b'[{"Amount": 1}]', media)) == LOOKALIKE
    read = api.bindings["pay.anyList"].read
    for body, value in ((b"[1]", [1]), (b'{"body": [1]}', {"body": [1]}), (b"null", None)):
        assert read((), (), (), "application/json", "", body) == {"body": value}


def test_opaque_bodies_have_no_arguments(api: HttpCatalog) -> None:
    assert post(api, b"\x00\xff", "application/octet-stream") == {}
    assert post(api, b"\xff", "text/plain", "latin-1") == {}


def test_form(api: HttpCatalog) -> None:
    form = "application/x-www-form-urlencoded"
    assert post(api, b"name=a+b&count=3&tags=x&tags=y", form) == {"name": "a b", "count": 3, "tags": ["x", "y"]}
    for body, detail in (
        (b"name=a&name=b", "A member of the form occurs twice."),
        (b"count=x", "count: fails the rule 'type'."),
        (b"other=x", "The arguments: fails the rule 'additionalProperties'."),
        (b"Name=x", LOOKALIKE),
        (b"_method=DELETE", LOOKALIKE),
        (b"name=%", "The body is not acceptable as a form: "),
    ):
        assert refusal(lambda body=body: post(api, body, form)).startswith(detail)


def test_a_body_where_none_is_declared_is_refused(api: HttpCatalog) -> None:
    read = api.bindings["pay.getThing"].read
    assert refusal(lambda: read(("7",), (), (), "application/json", "", b"{}")) == "The function takes no body."
    assert not api.bindings["pay.getThing"].takes_body


def test_an_optional_body_may_be_absent(api: HttpCatalog) -> None:
    read = api.bindings["pay.putThing"].read
    assert read(("7",), (), (), "", "", b"") == {"id": 7}
    assert read(("7",), (), (), "application/json", "", b'{"a": {"b": 1}}') == {"id": 7, "a": {"b": 1}}
    assert refusal(lambda: read(("7",), (), (), "application/json", "", b'{"id": 9}')) == LOOKALIKE


def test_unknown_query_parameters_may_be_let_pass_but_not_lookalikes(from_openapi: FromText) -> None:
    read = from_openapi(API, unknown_params="pass").bindings["pay.getThing"].read
    assert read(("7",), [("trace", "1"), ("trace", "2")], (), "", "", b"") == {"id": 7}
    for name in ("Deep", "ID", "id", "x-trace", "_method"):
        assert "looks like" in refusal(lambda name=name: read(("7",), [(name, "1")], (), "", "", b""))


def test_listed_functions(listed: Listed) -> None:
    catalog = listed(
        FunctionSpec(
            name="transfer", http="POST /transfers/{account}", risk="high", owner="treasury",
            args={
                "amount": {"type": "integer", "minimum": 1, "required": True},
                "note": "string",
                "dry": {"type": "boolean", "in": "query"},
            },
        ),
        FunctionSpec(name="list", http="get /transfers", args={"limit": "integer", "X-Page": {"type": "string", "in": "header"}}),
        FunctionSpec(name="upload", http="PUT /files/{name}", body="raw"),
        FunctionSpec(name="login", http="POST /login", body="form", args={"user": {"type": "string", "required": True}}),
    )  # fmt: skip
    found = catalog.find("POST", ("transfers", "DE1"))
    assert found is not None
    read = found.binding.read
    assert read(found.path_args, [("dry", "true")], (), "application/json", "", b'{"amount": 5}') == {
        "account": "DE1", "dry": True, "amount": 5,
    }  # fmt: skip
    assert refusal(lambda: read(("DE1",), (), (), "application/json", "", b'{"amount": 5, "more": 1}')).endswith(
        "'additionalProperties'."
    )
    assert refusal(lambda: read(("DE1",), (), (), "", "", b"")) == "The body is missing."
    assert found.binding.function.args_schema["required"] == ["account", "amount"]
    assert catalog.bindings["pay.list"].read((), [("limit", "3")], [(b"x-page", b"2")], "", "", b"") == {
        "limit": 3, "X-Page": "2",
    }  # fmt: skip
    assert catalog.bindings["pay.upload"].read(("a",), (), (), "image/png", "", b"\x89") == {"name": "a"}
    form = "application/x-www-form-urlencoded"
    assert catalog.bindings["pay.login"].read((), (), (), form, "", b"user=x") == {"user": "x"}


@pytest.mark.parametrize(
    ("spec", "says", "place"),
    [
        (FunctionSpec(name="a", http="/x"), "write the method and the path", ("http",)),
        (FunctionSpec(name="a", http="FETCH /x"), "write the method and the path", ("http",)),
        (FunctionSpec(name="a", http="GET /x/{y}.z"), "whole segment", ("http",)),
        (FunctionSpec(name="a b", http="GET /x"), "a name is letters", ("name",)),
        (FunctionSpec(name="a", http="GET /x", args={"y": "int"}), "write a type", ("args", "y")),
        (FunctionSpec(name="a", http="GET /x", args={"y": {"in": "path"}}), "cannot be in 'path'", ("args", "y", "in")),
        (
            FunctionSpec(name="a", http="GET /{y}", args={"y": {"in": "query"}}),
            "cannot be in 'query'",
            ("args", "y", "in"),
        ),
        (FunctionSpec(name="a", http="GET /x", args={"y": {"type": "intger"}}), "intger", ("args", "y")),
        (FunctionSpec(name="a", http="GET /x", args={"y": "object"}), "not converted to object", ("args", "y")),
        (
            FunctionSpec(name="a", http="GET /x", args={"y": {"const": date(2026, 1, 1)}}),
            "a date perhaps",
            ("args", "y"),
        ),
        (FunctionSpec(name="a", http="POST /x", args={"y": {"$ref": "#/z"}}), "does not exist", ("args",)),
        (
            FunctionSpec(name="a", http="POST /x", body="raw", args={"y": "string"}),
            "raw body has no arguments",
            ("body",),
        ),
    ],
)
def test_problems_of_listed_functions(listed: Listed, spec: FunctionSpec, says: str, place: tuple[str, ...]) -> None:
    with pytest.raises(Unusable) as caught:
        listed(spec)
    assert [(says in problem.text, problem.where) for problem in caught.value.problems] == [
        (True, ("targets", 0, "functions", 0, *place))
    ], caught.value.problems


def test_nothing_in_it_and_two_of_a_name(listed: Listed) -> None:
    with pytest.raises(Unusable, match="1 problem"):
        listed()
    with pytest.raises(Unusable) as caught:
        listed(FunctionSpec(name="a", http="GET /x"), FunctionSpec(name="a", http="GET /y"))
    assert "is taken by GET /x" in caught.value.problems[0].text
    with pytest.raises(Unusable) as caught:
        listed(FunctionSpec(name="a", http="GET /{x}"), FunctionSpec(name="b", http="GET /{y}"))
    assert "'a' already" in caught.value.problems[0].text
