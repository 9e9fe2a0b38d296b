"""OpenAPI 3.0 and 3.1 to functions: what is read, and every problem that stops it."""

from typing import Any

import pytest

from funcgate.catalog import HttpCatalog
from funcgate.core.problem import Unusable
from funcgate.core.refusal import Refused

from .conftest import FromText

TRANSFERS = """
paths:
  /transfers/{account}:
    parameters:
      - {name: account, in: path, required: true, schema: {type: string, maxLength: 34}}
      - {name: limit, in: query, schema: {type: integer}}
    get:
      operationId: listTransfers
      summary: The transfers of an account
      parameters:
        - {name: limit, in: query, schema: {type: integer, maximum: 100}}
        - {name: state, in: query, schema: {type: array, items: {type: string, enum: [open, done]}}}
    post:
      operationId: createTransfer
      x-funcgate-risk: high
      x-funcgate-owner: treasury
      requestBody: {$ref: '#/components/requestBodies/Transfer'}
components:
  requestBodies:
    Transfer:
      required: true
      content: {application/json: {schema: {$ref: '#/components/schemas/Transfer'}}}
  schemas:
    Transfer:
      type: object
      required: [amount, currency]
      properties:
        amount: {type: integer, minimum: 1, format: int64}
        currency: {type: string, enum: [EUR, USD]}
        split: {type: array, items: {$ref: '#/components/schemas/Transfer'}}
"""


def call(
    catalog: HttpCatalog, name: str, *path: str, query: Any = (), body: bytes = b"", **more: Any
) -> dict[str, Any]:
    media = more.pop("media", "application/json" if body else "")
    return catalog.bindings[f"pay.{name}"].read(
        path, query, more.pop("headers", ()), media, more.pop("charset", ""), body
    )


def problems(load: FromText, text: str, **options: Any) -> list[str]:
    with pytest.raises(Unusable) as caught:
        load(text, **options)
    assert all(problem.file == "api.yaml" for problem in caught.value.problems)
    return [problem.text for problem in caught.value.problems if not problem.warning]


def schema_of(load: FromText, schema: str, version: str) -> dict[str, Any]:
    text = f"""
    paths:
      /a:
        post:
          operationId: a
          requestBody: {{content: {{application/json: {{schema: {{type: object, properties: {{x: {schema}}}}}}}}}}}
    """
    found: dict[str, Any] = load(text, version=version).functions["pay.a"].args_schema["properties"]["x"]
    return found


def test_functions(from_openapi: FromText) -> None:
    catalog = from_openapi(TRANSFERS)
    assert set(catalog.functions) == {"pay.listTransfers", "pay.createTransfer"}
    function = catalog.functions["pay.createTransfer"]
    assert (function.target, function.name, function.risk, function.owner) == (
        "pay",
        "createTransfer",
        "high",
        "treasury",
    )
    schema = function.args_schema
    assert set(schema["properties"]) == {"account", "limit", "amount", "currency", "split"}
    assert schema["required"] == ["account", "amount", "currency"]
    assert schema["properties"]["split"] == {"type": "array", "items": {"$ref": "#/$defs/Transfer"}}
    assert set(schema["$defs"]) == {"Transfer"}
    assert catalog.functions["pay.listTransfers"].summary == "The transfers of an account"


def test_find_and_read(from_openapi: FromText) -> None:
    catalog = from_openapi(TRANSFERS)
    found = catalog.find("POST", ("transfers", "DE1"), "/transfers/DE1")
    assert found is not None
    assert found.binding.takes_body
    body = b'{"amount": 5, "currency": "EUR", "split": [{"amount": 1, "currency": "USD"}]}'
    assert found.binding.read(found.path_args, (), (), "application/json", "", body) == {
        "account": "DE1", "amount": 5, "currency": "EUR", "split": [{"amount": 1, "currency": "USD"}],
    }  # fmt: skip
    assert catalog.find("DELETE", ("transfers", "DE1")) is None
    assert catalog.find("post", ("transfers", "DE1")) is None
    assert catalog.find("GET", ("transfers",)) is None


def test_head_is_judged_as_get_unless_it_is_declared(from_openapi: FromText) -> None:
    found = from_openapi(TRANSFERS).find("HEAD", ("transfers", "DE1"))
    assert found is not None
    assert found.binding.function.name == "listTransfers"
    own = from_openapi("paths: {/a: {get: {operationId: g}, head: {operationId: h}}, /b: {post: {operationId: p}}}")
    found = own.find("HEAD", ("a",))
    assert found is not None
    assert found.binding.function.name == "h"
    assert own.find("HEAD", ("b",)) is None


def test_the_exact_path_decides_even_for_a_method_that_it_does_not_have(from_openapi: FromText) -> None:
    catalog = from_openapi("""
    paths:
      /users/me: {get: {operationId: me}}
      /users/{id}:
        parameters: [{name: id, in: path, required: true, schema: {type: string}}]
        delete: {operationId: deleteUser}
    """)
    assert catalog.find("DELETE", ("users", "me")) is None
    assert catalog.find("DELETE", ("users", "you")) is not None


def test_operation_parameters_replace_those_of_the_path(from_openapi: FromText) -> None:
    catalog = from_openapi(TRANSFERS)
    assert call(catalog, "listTransfers", "DE1", query=[("limit", "100")]) == {"account": "DE1", "limit": 100}
    with pytest.raises(Refused, match="invalid") as caught:
        call(catalog, "listTransfers", "DE1", query=[("limit", "101")])
    assert caught.value.public_detail == "limit: fails the rule 'maximum'."


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ("{type: string, nullable: true}", {"type": ["string", "null"]}),
        ("{type: string, nullable: false}", {"type": "string"}),
        ("{type: number, minimum: 1, exclusiveMinimum: true}", {"type": "number", "exclusiveMinimum": 1}),
        ("{type: number, minimum: 1, exclusiveMinimum: false}", {"type": "number", "minimum": 1}),
        ("{type: number, maximum: 9, exclusiveMaximum: true}", {"type": "number", "exclusiveMaximum": 9}),
        ("{type: string, example: x, xml: {}, x-y: 1, deprecated: true}", {"type": "string"}),
        (
            "{type: array, items: {type: string, nullable: true}}",
            {"type": "array", "items": {"type": ["string", "null"]}},
        ),
        (
            "{type: integer, format: int32}",
            {"type": "integer", "format": "int32", "minimum": -2147483648, "maximum": 2147483647},
        ),
        (
            "{type: integer, format: int32, minimum: 0}",
            {"type": "integer", "format": "int32", "minimum": 0, "maximum": 2147483647},
        ),
    ],
)
def test_3_0_schemas_become_2020_12(from_openapi: FromText, schema: str, expected: dict[str, Any]) -> None:
    assert schema_of(from_openapi, schema, "3.0.3") == expected


def test_3_1_schemas_stay_as_they_are(from_openapi: FromText) -> None:
    schema = "{type: [integer, 'null'], exclusiveMinimum: 3, const: 5}"
    assert schema_of(from_openapi, schema, "3.1.1") == {"type": ["integer", "null"], "exclusiveMinimum": 3, "const": 5}


def test_a_reference_with_siblings(from_openapi: FromText) -> None:
    text = TRANSFERS.replace(
        "items: {$ref: '#/components/schemas/Transfer'}",
        "items: {$ref: '#/components/schemas/Transfer', maxProperties: 2}",
    )
    for version, siblings in (("3.0.3", {}), ("3.1.0", {"maxProperties": 2})):
        items = (
            from_openapi(text, version=version)
            .functions["pay.createTransfer"]
            .args_schema["properties"]["split"]["items"]
        )
        assert items == {"$ref": "#/$defs/Transfer", **siblings}


def test_references_to_any_place_and_with_escapes(from_openapi: FromText) -> None:
    catalog = from_openapi("""
    paths:
      /a/b:
        post:
          operationId: one
          requestBody: {content: {application/json: {schema: {type: object, properties: {x: {type: integer}}}}}}
      /c:
        post:
          operationId: two
          requestBody:
            content:
              application/json:
                schema:
                  $ref: '#/paths/~1a~1b/post/requestBody/content/application~1json/schema'
      /d: {$ref: '#/components/pathItems/D%20D'}
    components:
      pathItems:
        D D: {get: {operationId: three}}
    """)
    assert call(catalog, "two", body=b'{"x": 1}') == {"x": 1}
    with pytest.raises(Refused):
        call(catalog, "two", body=b'{"x": "1"}')
    assert "pay.three" in catalog.functions


def test_cycles_are_followed_by_the_validator(from_openapi: FromText) -> None:
    catalog = from_openapi(TRANSFERS)
    deep = b'{"amount":1,"currency":"EUR","split":[' * 5 + b'{"amount":0,"currency":"EUR"}' + b"]}" * 5
    with pytest.raises(Refused) as caught:
        call(catalog, "createTransfer", "DE1", body=deep)
    assert (
        caught.value.public_detail == "split[0].split[0].split[0].split[0].split[0].amount: fails the rule 'minimum'."
    )


def test_an_operation_without_id_is_named_by_method_and_path(from_openapi: FromText) -> None:
    catalog = from_openapi("""
    paths:
      /users/{user-id}/keys:
        parameters: [{name: user-id, in: path, required: true, schema: {type: string}}]
        get: {}
    """)
    assert set(catalog.functions) == {"pay.get_users_user_id_keys"}


def test_cookies_are_a_warning(from_openapi: FromText) -> None:
    catalog = from_openapi("""
    paths:
      /a:
        get: {operationId: a, parameters: [{name: sid, in: cookie, schema: {type: string}}]}
    """)
    assert [problem.warning for problem in catalog.warnings] == [True]
    assert call(catalog, "a") == {}


def test_json_file(from_openapi: FromText) -> None:
    text = '{"openapi": "3.0.0", "info": {}, "paths": {"/a": {"get": {"operationId": "a"}}}}'
    assert set(from_openapi(text, version="", name="api.json").functions) == {"pay.a"}


PROBLEMS = {
    "version": ("openapi: 2.0\npaths: {/a: {get: {operationId: a}}}", "not an OpenAPI 3.0 or 3.1"),
    "swagger": ("swagger: '2.0'\npaths: {/a: {get: {operationId: a}}}", "not an OpenAPI 3.0 or 3.1"),
    "a later version": ("openapi: 3.2.0\npaths: {/a: {get: {operationId: a}}}", "not an OpenAPI 3.0 or 3.1"),
    "no paths": ("paths2: {}", "no paths"),
    "two of one id": ("paths: {/a: {get: {operationId: x}}, /b: {get: {operationId: x}}}", "'x' is taken by GET /a"),
    "a name with a wildcard": ("paths: {/a: {get: {operationId: 'a*'}}}", "a name is letters"),
    "a name with a space": ("paths: {/a: {get: {operationId: 'a b'}}}", "a name is letters"),
    "a name that is a number": ("paths: {/a: {get: {operationId: 5}}}", "is text"),
    "a place that is a list": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: [q], schema: {}}]}}}",
        "must be in path, query, header or cookie",
    ),
    "a combination that is no list": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {$ref: '#/components/schemas/X'}}]}}}\n"
        "components: {schemas: {X: {anyOf: 5}}}",
        "is not of type",
    ),
    "remote reference": (
        "paths: {/a: {get: {$ref: 'x'}, parameters: [{$ref: 'https://x.example/y'}]}}",
        "leaves this file",
    ),
    "remote schema": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {$ref: 'b.yaml#/X'}}]}}}",
        "leaves this file",
    ),
    "dead reference": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {$ref: '#/components/schemas/X'}}]}}}",
        "points at nothing",
    ),
    "reference to itself": (
        "paths: {/a: {get: {operationId: a, parameters: [{$ref: '#/components/parameters/P'}]}}}\n"
        "components: {parameters: {P: {$ref: '#/components/parameters/P'}}}",
        "refers to itself",
    ),
    "schema that is only itself": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {$ref: '#/components/schemas/X'}}]}}}\n"
        "components: {schemas: {X: {anyOf: [{$ref: '#/components/schemas/Y'}]}, Y: {$ref: '#/components/schemas/X'}}}",
        "without going into the value",
    ),
    "unknown type": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {type: intger}}]}}}",
        "intger",
    ),
    "broken pattern": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {type: string, pattern: '('}}]}}}",
        "regex",
    ),
    "anchor": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {$anchor: b}}]}}}",
        "$anchor is not read",
    ),
    "deepObject": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, style: deepObject, schema: {type: object}}]}}}",
        "'deepObject'",
    ),
    "matrix": (
        "paths: {'/a/{x}': {get: {operationId: a, "
        "parameters: [{name: x, in: path, required: true, style: matrix, schema: {type: string}}]}}}",
        "'matrix'",
    ),
    "object in a query": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {type: object}}]}}}",
        "not converted to object",
    ),
    "two types in a query": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {type: [integer, boolean]}}]}}}",
        "boolean or integer",
    ),
    "no schema": ("paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query}]}}}", "no schema"),
    "unknown place": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: body, schema: {}}]}}}",
        "must be in path, query, header or cookie",
    ),
    "parameter twice": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {}}, {name: x, in: query, schema: {}}]}}}",
        "occurs twice in the query",
    ),
    "clash of path and query": (
        "paths: {'/a/{x}': {get: {operationId: a, parameters: "
        "[{name: x, in: path, required: true, schema: {}}, {name: x, in: query, schema: {}}]}}}",
        "both in the path and in the query",
    ),
    "clash of path and body": (
        "paths: {'/a/{x}': {put: {operationId: a, parameters: [{name: x, in: path, required: true, schema: {}}], "
        "requestBody: {content: {application/json: {schema: {allOf: [{properties: {x: {}}, type: object}]}}}}}}}",
        "both in the path and in the body",
    ),
    "clash with a body that is no object": (
        "paths: {/a: {put: {operationId: a, parameters: [{name: body, in: query, schema: {}}], "
        "requestBody: {content: {application/json: {schema: {type: array}}}}}}}",
        "both in the query and in the body",
    ),
    "undeclared path parameter": ("paths: {'/a/{x}': {get: {operationId: a}}}", "{x} that is not declared"),
    "path parameter that is not in the path": (
        "paths: {/a: {get: {operationId: a, parameters: [{name: x, in: path, required: true, schema: {}}]}}}",
        "not in the path",
    ),
    "same place twice": (
        "paths: {'/a/{x}': {get: {operationId: a, parameters: [{name: x, in: path, required: true, schema: {}}]}}, "
        "'/a/{y}': {get: {operationId: b, parameters: [{name: y, in: path, required: true, schema: {}}]}}}",
        "is 'a' already",
    ),
    "ambiguous": (
        "paths: {'/{x}/b': {get: {operationId: a, parameters: [{name: x, in: path, required: true, schema: {}}]}}, "
        "'/a/{y}': {get: {operationId: b, parameters: [{name: y, in: path, required: true, schema: {}}]}}}",
        "neither is the more exact",
    ),
    "half a segment": (
        "paths: {'/a/{x}.json': {get: {operationId: a, parameters: [{name: x, in: path, required: true, schema: {}}]}}}",
        "fills a whole segment",
    ),
    "body without content": ("paths: {/a: {post: {operationId: a, requestBody: {}}}}", "at least one media type"),
    "media twice": (
        "paths: {/a: {post: {operationId: a, requestBody: {content: {application/json: {}, Application/JSON;v=1: {}}}}}}",
        "occurs twice",
    ),
    "object in a form": (
        "paths: {/a: {post: {operationId: a, requestBody: {content: {application/x-www-form-urlencoded: "
        "{schema: {type: object, properties: {x: {type: object}}}}}}}}}",
        "not converted to object",
    ),
}


@pytest.mark.parametrize(("text", "says"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_problems(from_openapi: FromText, text: str, says: str) -> None:
    version = "" if text.startswith(("openapi", "swagger")) else "3.1.0"
    found = problems(from_openapi, text, version=version)
    assert any(says in each for each in found), found


def test_every_problem_is_told_at_once_with_its_place(from_openapi: FromText) -> None:
    found = problems(from_openapi, "paths: {/a: {get: {operationId: 'a b'}}, /c: {get: {operationId: 'c d'}}}")
    assert [text.partition(":")[0] for text in found] == [
        "paths > /a > get > operationId",
        "paths > /c > get > operationId",
    ]


def test_look_around_runs_within_a_limit_and_is_a_warning(from_openapi: FromText) -> None:
    catalog = from_openapi("""
    paths:
      /a:
        get: {operationId: a, parameters: [{name: x, in: query, schema: {type: string, pattern: '^(?=(a+)+b).*$'}}]}
    """)
    assert [problem.warning for problem in catalog.warnings] == [True]
    assert call(catalog, "a", query=[("x", "aab")]) == {"x": "aab"}
    with pytest.raises(Refused):
        call(catalog, "a", query=[("x", "a" * 5000)])


def test_a_missing_file_is_a_problem_of_the_configuration(from_openapi: FromText) -> None:
    with pytest.raises(Unusable) as caught:
        from_openapi("a: [")
    assert caught.value.problems[0].where == ("targets", 0, "functions", "openapi")
    assert "api.yaml: line" in caught.value.problems[0].text


def test_chains_of_references_longer_than_the_stack(from_openapi: FromText) -> None:
    links = "".join(
        f"    S{n}: {{type: object, properties: {{below: {{$ref: '#/components/schemas/S{n + 1}'}}}}}}\n"
        for n in range(500)
    )
    catalog = from_openapi(
        "paths:\n  /a:\n    post:\n      operationId: a\n      requestBody:\n        content:\n          application/json:\n"
        "            schema: {$ref: '#/components/schemas/S0'}\ncomponents:\n  schemas:\n"
        + links
        + "    S500: {type: object, properties: {end: {type: integer}}}\n"
    )
    body = b'{"below":' * 5 + b'{"BELOW": 1}' + b"}" * 5
    with pytest.raises(Refused, match="invalid") as caught:
        call(catalog, "a", body=body)
    assert "looks like" in caught.value.public_detail


def test_schemas_nested_too_deeply_are_a_problem(from_openapi: FromText) -> None:
    schema = '{"items": ' * 400 + "{}" + "}" * 400
    text = (
        '{"openapi": "3.1.0", "info": {}, "paths": {"/a": {"post": {"operationId": "a", "requestBody": {"content": '
        '{"application/json": {"schema": ' + schema + "}}}}}}}"
    )
    with pytest.raises(Unusable) as caught:
        from_openapi(text, version="", name="api.json")
    assert "nested too deeply" in caught.value.problems[0].text
