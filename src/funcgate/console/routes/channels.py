"""`/channels/NAME`: where a channel's answers come in. Nothing is believed here but what the channel itself verifies."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response, Router, post
from litestar.exceptions import HTTPException

from funcgate.approval.answers import Answers, Unanswered
from funcgate.approval.channels.channel import Channel, Forged, Heard, Said
from funcgate.console.access import problem
from funcgate.core.approval import StoreFailed
from funcgate.core.refusal import Code, Refused

_NOT_NOW = "The answer cannot be recorded now ({}). Try again later."


def routes(answers: Answers, channels: Callable[[], Mapping[str, Channel]], admit: Callable[[Code], bool]) -> Router:
    """One route for all channels; `channels` gives those that are configured now. `admit` says whether one more refusal of
    somebody unknown gets an entry of its own."""

    async def refused(name: str, why: str, approval: str = "") -> None:
        # Attack: forged answers by the thousand, each an entry, until the disk is full. The rest is counted.
        if admit(Code.IDENTITY_INVALID):
            await answers.refuse(approval, name, why)

    @post("/{name:str}", status_code=200)
    async def heard(request: Request[Any, Any, Any], name: str) -> Response[Any]:
        channel = channels().get(name)
        if channel is None:
            return problem(404, "Not Found", "There is nothing here.")
        try:
            body = await request.body()
        except HTTPException as error:
            await refused(name, f"the message cannot be read ({error.status_code})")
            return problem(error.status_code, "Not Accepted", "The message is too large, or cannot be read.")
        headers = {key.lower(): value for key, value in request.headers.items()}
        try:
            found = await channel.hear(headers, body, time.time())
        except Forged as forged:
            # Attack: an answer that nobody gave. It is recorded, and the sender learns nothing.
            await refused(name, str(forged), forged.approval)
            return _said(forged.said) if forged.said else problem(401, "Unauthorized", "This is not accepted.")
        return _said(found if isinstance(found, Said) else await _answered(answers, channel, name, found))

    return Router("/channels", route_handlers=[heard])


async def _answered(answers: Answers, channel: Channel, name: str, found: Heard) -> Said:
    try:
        changed = await answers.give(found.approval, found.person, found.yes, name, found.reason)
    except Unanswered as why:
        return await channel.reply(found, None, str(why))
    except KeyError:
        await answers.refuse(found.approval, name, "there is no such approval", found.person)
        return await channel.reply(found, None, "There is no such approval.")
    except Refused as refused:
        return await channel.reply(found, None, _NOT_NOW.format(refused.code))
    except StoreFailed:
        return await channel.reply(found, None, _NOT_NOW.format(Code.APPROVAL_UNAVAILABLE))
    return await channel.reply(found, changed, "")


def _said(said: Said) -> Response[bytes]:
    return Response(said.body, status_code=said.status, media_type=said.media, headers={"Cache-Control": "no-store"})
