"""A browser as far as the console needs one: cookies, links, forms, and redirects that a test follows by hand."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx


class Page(HTMLParser):
    """The links and forms of a page."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.answer = answer
        self.url = str(answer.url)
        self.text = answer.text
        self.status = answer.status_code
        self.links: list[str] = []
        self.forms: list[dict[str, Any]] = []
        if answer.headers.get("content-type", "").startswith("text/html"):
            self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(given["href"])
        elif tag == "form":
            self.forms.append({"action": given["action"], "fields": {}, "buttons": []})
        elif tag == "button" and "name" in given:
            self.forms[-1]["buttons"].append((given["name"], given["value"]))
        elif tag in ("input", "textarea") and self.forms and given.get("type") != "checkbox":
            self.forms[-1]["fields"][given["name"]] = given.get("value", "")

    def form(self, button: str) -> dict[str, Any]:
        """The form with a button of this value, or with this action."""
        return next(
            each
            for each in self.forms
            if any(value == button for _, value in each["buttons"]) or each["action"] == button
        )

    def has(self, button: str) -> bool:
        return any(value == button for each in self.forms for _, value in each["buttons"])


class Browser:
    """One person's browser."""

    def __init__(self) -> None:
        self.client = httpx.Client(trust_env=False, timeout=30)

    def get(self, url: str, *, follow: bool = True) -> Page:
        return self._went(self.client.get(url), follow)

    def press(self, page: Page, button: str, *, origin: str | None = None, follow: bool = True, **fields: str) -> Page:
        """Fill in and send the form of this button."""
        form = page.form(button)
        pressed = dict(each for each in form["buttons"] if each[1] == button)
        parts = urlsplit(page.url)
        headers = {"origin": f"{parts.scheme}://{parts.netloc}" if origin is None else origin}
        where = urljoin(page.url, form["action"])
        return self._went(self.client.post(where, data=form["fields"] | fields | pressed, headers=headers), follow)

    def sign_in(self, url: str, subject: str) -> Page:
        """From a page of the console, over the provider's, back to it."""
        asked = self.get(url)
        (start,) = [link for link in asked.links if "/sign-in/start" in link]
        return self.press(self.get(urljoin(asked.url, start)), subject)

    def _went(self, answer: httpx.Response, follow: bool) -> Page:
        for _ in range(10):
            if not follow or answer.status_code not in (302, 303, 307):
                return Page(answer)
            answer = self.client.get(urljoin(str(answer.url), answer.headers["location"]))
        raise AssertionError(f"no end of redirects at {answer.url}")

    def close(self) -> None:
        self.client.close()
