"""The demo in a browser: the held call that nobody answered yet is answered at the console, signed in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.browser import Browser


@pytest.fixture
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.close()


def test_the_farewell_says_where_to_sign_in_and_it_works(
    demo_folder: Path, addresses: dict[str, str], browser: Browser
) -> None:
    printed = (demo_folder / "printed.txt").read_text()
    assert f"as finance-lead: {addresses['console']}/approvals" in printed
    page = browser.sign_in(f"{addresses['console']}/approvals", "finance-lead")
    held = [link for link in page.links if link.startswith("/approvals/")]
    shown = browser.get(f"{addresses['console']}{held[-1]}")
    assert "50000" in shown.text
    assert "approved by finance-lead" in browser.press(shown, "approve", reason="seen").text
