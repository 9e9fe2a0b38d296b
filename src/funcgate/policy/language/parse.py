"""Tokens to a tree, by precedence climbing (cel-spec, "Syntax").

Bounded: text, nesting and the depth of the finished tree have limits, so that neither parsing nor running recurses far.
Message literals are not part of funcgate's language.
"""

from .lex import RESERVED, Token, tokens
from .tree import Choice, Index, Invoke, ListOf, Literal, Logic, Loop, MapOf, Mistake, Name, Node, Select, walk
from .values import INT_MAX

MAX_TEXT = 16_384
MAX_NESTING = 48
MAX_DEPTH = 96

_RELATIONS = ("<", "<=", ">=", ">", "==", "!=", "in")
_LEVELS: tuple[tuple[str, ...], ...] = (("||",), ("&&",), _RELATIONS, ("+", "-"), ("*", "/", "%"))
_LEVEL = {mark: level for level, marks in enumerate(_LEVELS) for mark in marks}
_HINTS = {"and": "; write '&&'", "or": "; write '||'", "not": "; write '!'"}
_LOOPS = {"all": (2,), "exists": (2,), "exists_one": (2,), "existsOne": (2,), "filter": (2,), "map": (2, 3)}


def parse(text: str) -> Node:
    """The tree of one expression. Raises `Mistake` with the column."""
    if len(text) > MAX_TEXT:
        raise Mistake(f"the expression is longer than {MAX_TEXT} characters", MAX_TEXT)
    parser = _Parser(tokens(text))
    root = parser.expression()
    parser.close("end", "", "an operator or the end")
    for node, depth in walk(root):
        if depth > MAX_DEPTH:
            raise Mistake(f"the expression is nested deeper than {MAX_DEPTH} levels", node.at)
    return root


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._next = 0
        self._nesting = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self, mark: str) -> Token | None:
        token = self._token
        if token.kind == "mark" and token.text == mark:
            self._next += 1
            return token
        return None

    def close(self, kind: str, text: str, wanted: str) -> Token:
        """The next token, which must be this one."""
        token = self._token
        if token.kind != kind or (text and token.text != text):
            found = "the end" if token.kind == "end" else repr(token.text) if token.text else "a literal"
            hint = _HINTS.get(token.text, "")
            raise Mistake(f"{wanted} is wanted here, not {found}{hint}", token.at)
        self._next += 1
        return token

    def expression(self) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise Mistake(f"the expression is nested deeper than {MAX_NESTING} levels", self._token.at)
        test = self._binary(0)
        if mark := self._take("?"):
            yes = self._binary(0)
            self.close("mark", ":", "':'")
            test = Choice(test, yes, self.expression(), mark.at)
        self._nesting -= 1
        return test

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while True:
            token = self._token
            spelling = token.text if token.kind == "mark" or (token.text == "in" and not token.quoted) else ""
            level = _LEVEL.get(spelling, -1)
            if level < least:
                return left
            self._next += 1
            right = self._binary(level + 1)
            left = _join(spelling, left, right, token.at)

    def _unary(self) -> Node:
        signs: list[Token] = []
        wanted = self._token.text if self._token.kind == "mark" and self._token.text in "!-" else ""
        while wanted and (sign := self._take(wanted)):
            signs.append(sign)
        if wanted == "-" and self._token.kind == "literal" and type(self._token.value) in (int, float):
            token, at = self._token, signs.pop().at
            self._next += 1
            node = self._postfix(Literal(-token.value, at))
        else:
            node = self._postfix(self._primary())
        for sign in reversed(signs):
            node = Invoke(f"{wanted}_", (node,), sign.at)
        if len(signs) > MAX_NESTING:
            raise Mistake("there are too many signs", signs[0].at)
        return node

    def _postfix(self, node: Node) -> Node:
        while True:
            if self._take("."):
                field = self._member()
                if not field.quoted and (mark := self._take("(")):
                    node = self._method(node, field, self._list(")"), mark)
                else:
                    node = Select(node, field.text, field.at)
            elif mark := self._take("["):
                node = Index(node, self.expression(), mark.at)
                self.close("mark", "]", "']'")
            elif isinstance(node, Name | Select) and self._token.kind == "mark" and self._token.text == "{":
                raise Mistake("messages are not supported", self._token.at)
            else:
                return node

    def _member(self) -> Token:
        token = self._token
        if token.kind == "name" and token.text == "in" and not token.quoted:
            raise Mistake("'in' is a reserved word", token.at)
        return self.close("name", "", "the name of a member")

    def _primary(self) -> Node:
        token = self._token
        if token.kind == "literal":
            self._next += 1
            if type(token.value) is int and token.value > INT_MAX:
                raise Mistake("the number is beyond int64", token.at)
            return Literal(token.value, token.at)
        if self._take("("):
            inner = self.expression()
            self.close("mark", ")", "')'")
            return inner
        if self._take("["):
            return ListOf(self._list("]"), token.at)
        if self._take("{"):
            return self._map(token.at)
        rooted = self._take(".") is not None
        name = self.close("name", "", "a value")
        if name.quoted or name.text in RESERVED or name.text == "in":
            raise Mistake(f"{name.text!r} cannot be a name here", name.at)
        if mark := self._take("("):
            return self._function(name, self._list(")"), mark)
        return Name(name.text, name.at, rooted)

    def _list(self, end: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._take(end):
            if items:
                self.close("mark", ",", f"',' or {end!r}")
                if end == "]" and self._take(end):  # a trailing comma is allowed in lists and maps
                    break
            items.append(self.expression())
        return tuple(items)

    def _map(self, at: int) -> Node:
        pairs: list[tuple[Node, Node]] = []
        while not self._take("}"):
            if pairs:
                self.close("mark", ",", "',' or '}'")
                if self._take("}"):
                    break
            key = self.expression()
            self.close("mark", ":", "':'")
            pairs.append((key, self.expression()))
        return MapOf(tuple(pairs), at)

    def _function(self, name: Token, operands: tuple[Node, ...], mark: Token) -> Node:
        if name.text != "has":
            return Invoke(name.text, operands, name.at)
        if len(operands) != 1 or not isinstance(operands[0], Select) or operands[0].test:
            raise Mistake("has() takes one member, as in has(args.note)", mark.at)
        member = operands[0]
        return Select(member.of, member.field, member.at, test=True)

    def _method(self, of: Node, name: Token, operands: tuple[Node, ...], mark: Token) -> Node:
        if len(operands) not in _LOOPS.get(name.text, ()):
            return Invoke(name.text, (of, *operands), name.at, method=True)
        variable, *rest = operands
        if not isinstance(variable, Name) or variable.rooted:
            raise Mistake(f"{name.text}() takes the name of a variable first", mark.at + 1)
        kind = "exists_one" if name.text == "existsOne" else name.text
        if kind != "map":
            return Loop(kind, of, variable.name, rest[0], None, name.at)
        return Loop(kind, of, variable.name, rest[0] if len(rest) == 2 else None, rest[-1], name.at)


def _join(spelling: str, left: Node, right: Node, at: int) -> Node:
    if spelling in ("&&", "||"):
        every = spelling == "&&"
        parts = left.parts if isinstance(left, Logic) and left.every == every else (left,)
        more = right.parts if isinstance(right, Logic) and right.every == every else (right,)
        return Logic(every, parts + more, at)
    return Invoke("@in" if spelling == "in" else f"_{spelling}_", (left, right), at)
