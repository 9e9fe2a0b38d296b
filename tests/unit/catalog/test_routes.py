"""Which function a path means: literal before parameter, one template or none, and no way round by spelling."""

import pytest

from funcgate.catalog.routes import Routes, ambiguous, parse_template
from funcgate.core.refusal import Refused
from funcgate.wire.request_target import parse_request_target


def routes(*templates: str) -> Routes[str]:
    made: Routes[str] = Routes()
    for template in templates:
        assert made.add(parse_template(template), "GET", template) is None
    return made


def find(made: Routes[str], path: str) -> tuple[str, tuple[str, ...]] | None:
    target = parse_request_target(path.encode(), b"h")
    found = made.find(target.segments, target.path)
    return None if found is None else (found[0]["GET"], found[1])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", ("/", ())),
        ("/users", ("/users", ())),
        ("/users/", None),
        ("/users/7", ("/users/{id}", ("7",))),
        ("/users/me", ("/users/me", ())),
        ("/users/m%65", ("/users/me", ())),
        ("/users/me/keys", ("/users/{id}/keys", ("me",))),
        ("/users/me/logins", ("/users/me/logins", ())),
        ("/users/a%20b/keys", ("/users/{id}/keys", ("a b",))),
        ("/Users", None),
        ("/users/7/keys/", None),
        ("/users/7/keys/1", None),
        ("/trailing/", ("/trailing/", ())),
        ("/trailing", None),
        ("/docs:search", ("/docs:search", ())),
        ("/nothing/of/this", None),
    ],
)
def test_find(path: str, expected: object) -> None:
    made = routes(
        "/", "/users", "/users/me", "/users/{id}", "/users/{id}/keys", "/users/me/logins", "/trailing/", "/docs:search"
    )
    assert find(made, path) == expected


def test_a_parameter_never_takes_a_literal_in_other_letters() -> None:
    made = routes("/users/me", "/users/{id}", "/users/{id}/keys")
    assert find(made, "/users/ME") is None
    assert find(made, "/users/Me/keys") is None
    assert find(made, "/users/%4De") is None
    assert find(made, "/users/mine") == ("/users/{id}", ("mine",))


def test_a_parameter_is_never_empty() -> None:
    made = routes("/users/{id}")
    assert find(made, "/users/") is None


def test_a_literal_with_reserved_characters_is_met_by_its_own_spelling_only() -> None:
    made = routes("/docs:search", "/{doc}")
    assert find(made, "/docs:search") == ("/docs:search", ())
    assert find(made, "/docs%3Asearch") is None  # not the literal by its spelling, not a parameter by its letters
    assert made.find(("docs:search",), None) is None
    assert made.find(("other",), None) is not None


def test_no_segments_is_the_root() -> None:
    assert routes("/").find((), "/") is not None
    assert routes("/a").find((), "/") is None


@pytest.mark.parametrize(
    "text",
    [
        "users",
        "/a/{b}.json",
        "/a/{b",
        "/a/b}",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "/a;b",
        "/a b",
        "/é",
        "/{a}/{a}",
        "/a/{}",
        "/a%2fb",
    ],
)
def test_templates_that_cannot_be_called(text: str) -> None:
    with pytest.raises(ValueError):
        parse_template(text)


@pytest.mark.parametrize(
    ("one", "other", "is_ambiguous"),
    [
        ("/{a}/b", "/c/{d}", True),
        ("/{a}/b/x", "/c/{d}/x", True),
        ("/{a}/b/x", "/c/{d}/y", False),
        ("/a/{b}", "/a/c", False),
        ("/a/{b}", "/{a}/{b}", False),
        ("/{a}/b", "/c/{d}/", False),
        ("/x/{a}/b", "/y/c/{d}", False),
    ],
)
def test_ambiguous(one: str, other: str, is_ambiguous: bool) -> None:
    templates = [parse_template(one), parse_template(other)]
    assert bool(ambiguous(templates)) is is_ambiguous


def test_a_thousand_functions_are_all_found_and_not_one_more() -> None:
    templates = [f"/v1/thing{number}/{{id}}/part{number % 7}" for number in range(1000)]
    made = routes(*templates)
    for number, template in enumerate(templates):
        assert find(made, f"/v1/thing{number}/x/part{number % 7}") == (template, ("x",))
        assert find(made, f"/v1/thing{number}/x/part{(number + 1) % 7}") is None


def test_the_search_does_not_grow_with_the_number_of_functions() -> None:
    """Counted, not timed: how many dictionaries are asked on the way."""

    class Counting(dict):  # type: ignore[type-arg]
        asked = 0

        def get(self, *args: object) -> object:
            Counting.asked += 1
            return super().get(*args)

    counts = []
    for size in (10, 1000):
        made = routes(*(f"/v1/thing{number}/{{id}}/part" for number in range(size)))
        open_ends = [made._root]
        while open_ends:
            node = open_ends.pop()
            open_ends += [*node.literals.values(), *([node.parameter] if node.parameter else [])]
            node.literals = Counting(node.literals)
        Counting.asked = 0
        assert made.find(("v1", "thing7", "x", "part"), "/v1/thing7/x/part") is not None
        counts.append(Counting.asked)
    assert counts == [4, 4]


def test_what_the_target_parser_refuses_never_gets_here() -> None:
    with pytest.raises(Refused):
        find(routes("/users/{id}"), "/users/..")
