"""Markup: what came from outside is text, whatever it looks like."""

from funcgate.console.pages.frame import local
from funcgate.console.pages.markup import Html, html


def test_only_what_was_made_here_is_markup() -> None:
    evil = "<b onclick='x'>\"&{other}"
    assert html('<p title="{a}">{a}</p>', a=evil) == (
        '<p title="&lt;b onclick=&#x27;x&#x27;&gt;&quot;&amp;{other}">&lt;b onclick=&#x27;x&#x27;&gt;&quot;&amp;{other}</p>'
    )
    inner = html("<i>{n}</i>", n=5)
    assert html("{one}{many}", one=inner, many=[inner, inner]) == Html("<i>5</i>" * 3)


def test_where_one_may_be_sent() -> None:
    for good in ("/approvals", "/approvals/01M?ticket=a-b_c", "/grants", "/approvals?state=all"):
        assert local(good) == good
    for bad in (
        "",
        "/",
        "//approvals",
        "https://x/approvals",
        "/approvals\n",
        "/approvals\\",
        "/grants é",
        "/[",
        "/sign-out",
    ):
        assert local(bad) == "/approvals"
