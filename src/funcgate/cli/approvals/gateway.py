"""The admin API of a running gateway, as the verbs use it: where it is, who asks, and how a no is told."""

from pathlib import Path
from typing import Annotated, Any

import typer

from funcgate.cli.say import DEFAULT_CONFIG, UNUSABLE, fail, usable

Url = Annotated[str, typer.Option("--url", help="The gateway's console; as the configuration says if not given.")]
Token = Annotated[str, typer.Option("--token", envvar="FUNCGATE_TOKEN", help="Who asks.", show_envvar=True)]
TIMEOUT_S = 15.0


class Api:
    """One gateway's admin API. Every method ends the command, with the reason, when the gateway says no."""

    def __init__(self, url: str, token: str, config: Path, as_json: bool) -> None:
        self._as_json = as_json
        if not token:
            raise fail(
                "whose answer is it? Give a token with --token or FUNCGATE_TOKEN", status=UNUSABLE, as_json=as_json
            )
        self._token = token.strip()
        self._url = f"{url.rstrip('/') or self._configured(config)}/api/v1/"

    def get(self, path: str, **params: str) -> Any:
        return self._ask("GET", path, params={name: value for name, value in params.items() if value})

    def post(self, path: str, said: dict[str, Any]) -> Any:
        return self._ask("POST", path, json=said)

    def _configured(self, config: Path) -> str:
        from funcgate.config.glance import console_of

        with usable(self._as_json):
            return f"http://{console_of(config)}"

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        import httpx

        try:
            answer = httpx.request(
                method, self._url + path, headers={"authorization": f"Bearer {self._token}"}, timeout=TIMEOUT_S,
                follow_redirects=False, trust_env=False, **content,
            )  # fmt: skip
            body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise fail(f"{self._url} cannot be asked ({type(error).__name__})", as_json=self._as_json) from None
        if answer.status_code >= 400:
            raise fail(f"{body.get('title', '')}: {body.get('detail', '')}", as_json=self._as_json)
        return body


__all__ = ["DEFAULT_CONFIG", "Api", "Token", "Url"]
