"""`/channels/NAME`: where a channel's answers come in. Nothing is believed here but what the channel itself verifies."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response, Router, post

from funcgate.approval.answers import Answers, Unanswered
from funcgate.approval.channels.channel import Channel, Forged, Said
from funcgate.console.access import problem
from funcgate.core.refusal import Refused


def routes(answers: Answers, channels: Callable[[], Mapping[str, Channel]]) -> Router:
    """One route for all channels; `channels` gives those that are configured now."""

    @post("/{name:str}", status_code=200)
    async def heard(request: Request[Any, Any, Any], name: str) -> Response[Any]:
        channel = channels().get(name)
        if channel is None:
            return problem(404, "Not Found", "There is nothing here.")
        headers = {key.lower(): value for key, value in request.headers.items()}
        try:
            found = await channel.hear(headers, await request.body(), time.time())
        except Forged as forged:
            # Attack: an answer that nobody gave. It is recorded, and the sender learns nothing.
            await answers.refuse(forged.approval, name, str(forged))
            return problem(401, "Unauthorized", "This is not accepted.")
        if isinstance(found, Said):
            return _said(found)
        try:
            changed = await answers.give(found.approval, found.person, found.yes, name, found.reason)
        except Unanswered as why:
            return _said(await channel.reply(found, None, str(why)))
        except KeyError:
            await answers.refuse(found.approval, name, "there is no such approval", found.person)
            return _said(await channel.reply(found, None, "There is no such approval."))
        except Refused as refused:
            return _said(await channel.reply(found, None, f"The answer cannot be recorded now ({refused.code})."))
        return _said(await channel.reply(found, changed, ""))

    return Router("/channels", route_handlers=[heard])


def _said(said: Said) -> Response[bytes]:
    return Response(said.body, status_code=said.status, media_type=said.media, headers={"Cache-Control": "no-store"})
