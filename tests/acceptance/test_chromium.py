"""The console in a real browser: sign in at the provider, see the held call, approve it; then the call runs once."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.chromium import Chromium

pytestmark = pytest.mark.slow  # it installs a browser where there is none


@pytest.fixture
def browser() -> Iterator[Chromium]:
    made = Chromium()
    yield made
    made.close()


def test_a_held_call_is_approved_in_a_browser(demo_folder: Path, addresses: dict[str, str], browser: Chromium) -> None:
    token = re.findall(r"export TOKEN=(\S+)", (demo_folder / "printed.txt").read_text())[-1]
    caller = httpx.Client(base_url=addresses["calls"], headers={"authorization": f"Bearer {token}"})
    transfer = {"to": "c-1001", "amount": 12345, "currency": "EUR"}
    pending = caller.post("/payments/transfers", json=transfer, headers={"prefer": "wait=0"})
    assert pending.status_code == 403, pending.text

    browser.open(pending.json()["approval_url"])
    browser.click("a[href^='/sign-in/start']")
    browser.click("button[value=finance-lead]")
    assert browser.reads("main", "12345")
    assert browser.evaluate("return getComputedStyle(document.body).maxWidth") != "none", (
        "the style sheet is not in use"
    )
    browser.click("button[value=approve]")
    assert browser.reads("main", "approved by finance-lead")
    assert [line for line in browser.complaints() if addresses["console"] in line] == []

    done = caller.post("/payments/transfers", json=transfer)
    assert done.status_code == 201, done.text
    again = caller.post("/payments/transfers", json=transfer, headers={"prefer": "wait=0"})
    assert again.status_code == 403, again.text
