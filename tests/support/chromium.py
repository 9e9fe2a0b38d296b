"""A real browser: Debian's Chromium, driven over the W3C WebDriver protocol; installed if need be."""

import shutil
import subprocess
import tempfile
import time
from typing import Any

import httpx

from support.gate import free_port

_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=1200,900",
]  # fmt: skip
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver, 11: how an element is named


def _installed() -> tuple[str, str]:
    for _ in range(2):
        found = shutil.which("chromium"), shutil.which("chromedriver")
        if found[0] and found[1]:
            return found[0], found[1]
        subprocess.run(["apt-get", "update"], check=False, capture_output=True, timeout=300)
        subprocess.run(
            ["apt-get", "install", "-y", "chromium", "chromium-driver"], check=False, capture_output=True, timeout=900
        )
    raise AssertionError("a browser is needed: install Debian's packages chromium and chromium-driver")


class Chromium:
    """One browser with one window."""

    def __init__(self) -> None:
        browser, driver = _installed()
        port = free_port()
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, "the browser's driver does not answer"
            time.sleep(0.05)
        options = {"binary": browser, "args": [*_FLAGS, f"--user-data-dir={self._profile.name}"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"implicit": 10_000},
        }
        made = self._client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
        made.raise_for_status()
        self._session = f"/session/{made.json()['value']['sessionId']}"

    def _answers(self) -> bool:
        try:
            return self._client.get("/status").status_code == 200
        except httpx.TransportError:
            return False

    def _do(self, method: str, path: str, **body: Any) -> Any:
        answer = self._client.request(method, self._session + path, json=body if method == "POST" else None)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def open(self, url: str) -> None:
        self._do("POST", "/url", url=url)

    def click(self, css: str) -> None:
        """The first element that matches, as soon as there is one."""
        found = self._do("POST", "/element", using="css selector", value=css)[_ELEMENT]
        self._do("POST", f"/element/{found}/click")

    def text(self, css: str) -> str:
        found = self._do("POST", "/element", using="css selector", value=css)[_ELEMENT]
        return str(self._do("GET", f"/element/{found}/text"))

    def reads(self, css: str, text: str) -> bool:
        """Whether the element comes to hold the text: a press of a button is followed by another page in its own time."""
        deadline = time.monotonic() + 15
        while text not in self.text(css):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def evaluate(self, script: str, *args: Any) -> Any:
        """What the script returns; of a promise, what it comes to."""
        return self._do("POST", "/execute/sync", script=script, args=list(args))

    def complaints(self) -> list[str]:
        """What the browser logged: refused scripts and styles, failed loads."""
        return [str(line["message"]) for line in self._do("POST", "/se/log", type="browser")]

    def close(self) -> None:
        try:
            self._do("DELETE", "")
        finally:
            self._client.close()
            self._driver.terminate()
            self._driver.wait(30)
            self._profile.cleanup()
