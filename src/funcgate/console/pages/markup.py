"""HTML that is escaped unless it was made here: a template is written in this program, what is put into it came from outside."""

from collections.abc import Iterable
from html import escape
from typing import LiteralString


class Html(str):
    """Markup that is safe to send."""

    __slots__ = ()


def html(template: LiteralString, **values: "str | int | Html | Iterable[Html]") -> Html:
    """The template with ``{name}`` replaced; plain text is escaped for elements and quoted attributes."""
    return Html(template.format_map({name: _safe(value) for name, value in values.items()}))


def _safe(value: "str | int | Html | Iterable[Html]") -> str:
    if isinstance(value, Html):
        return value
    # Attack: an argument with a tag in it, which presses the button itself when an approver looks at it.
    if isinstance(value, str | int):
        return escape(str(value), quote=True)
    return "".join(_safe(each) for each in value)
