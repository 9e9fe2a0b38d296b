"""`/api/v1/revocations`: tokens, callers and sessions that are refused, ordered and lifted by administrators."""

from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import Parameter

from funcgate.console.access import Access, problem
from funcgate.core.approval import StoreFailed
from funcgate.core.principal import Principal
from funcgate.core.revocation import Revocation
from funcgate.identity.revoking import Order, Revocations, Unfit

from .approvals import rfc3339

T = TypeVar("T")

_FRESH = {"Cache-Control": "no-store"}
_PAGE = 50
_FORBIDDEN = "Only an administrator revokes, with a token that nobody else presents."


class Lifting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: str


def routes(revocations: Revocations, access: Access) -> Router:
    """The routes, over one store."""

    @get("/revocations")
    async def listed(
        request: Request[Any, Any, Any],
        every: Annotated[bool, Parameter(query="all")] = False,
        cursor: Annotated[str, Parameter(max_length=64)] = "",
    ) -> Response[dict[str, Any]]:
        """Revocations that stand, newest first, or all there ever were: for administrators and auditors."""
        principal = await access.principal(request)
        if not access.has(principal, "admin", "auditor"):
            return problem(403, "Forbidden", "Only administrators and auditors see revocations.")
        try:
            found = await revocations.find(every=every, before=cursor, limit=_PAGE)
        except StoreFailed:
            return _unavailable()
        more = {"cursor": found[-1].id} if len(found) == _PAGE else {}
        return Response({"revocations": [_shown(each) for each in found], **more}, headers=_FRESH)

    @post("/revocations", status_code=201)
    async def ordered(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """Refuse a token, a caller or a session from now on."""
        principal = await access.principal(request)
        if not _may(access, principal):
            await revocations.refuse("revoke", principal, "not an administrator")
            return problem(403, "Forbidden", _FORBIDDEN)
        try:
            made = await revocations.order(await _read(request, Order), principal)
        except Unfit as why:
            return problem(400, "Bad Request", _sentence(why))
        except StoreFailed:
            return _unavailable()
        return Response(_shown(made), status_code=201, headers=_FRESH)

    @post("/revocations/{revocation:str}/lift", status_code=200)
    async def lifted(request: Request[Any, Any, Any], revocation: str) -> Response[dict[str, Any]]:
        """End a revocation, from now on."""
        principal = await access.principal(request)
        if not _may(access, principal):
            await revocations.refuse("lift revocation", principal, "not an administrator")
            return problem(403, "Forbidden", _FORBIDDEN)
        try:
            done = await revocations.lift(revocation[:64], principal, (await _read(request, Lifting)).reason)
        except Unfit as why:
            return problem(400, "Bad Request", _sentence(why))
        except KeyError:
            return problem(404, "Not Found", "No such revocation stands.")
        except StoreFailed:
            return _unavailable()
        return Response(_shown(done), headers=_FRESH)

    return Router("/api/v1", route_handlers=[listed, ordered, lifted])


def _may(access: Access, principal: Principal) -> bool:
    # Attack: an agent with a token in an administrator's name, who lifts what stands against another of its kind.
    return principal.actor is None and access.has(principal, "admin")


async def _read(request: Request[Any, Any, Any], kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unfit(f"the body cannot be read: {error}") from None


def _unavailable() -> Response[dict[str, Any]]:
    return problem(503, "Service Unavailable", "Revocations cannot be kept or read now. Try again.")


def _shown(revocation: Revocation) -> dict[str, Any]:
    times = {
        name: None if at is None else rfc3339(at)
        for name, at in (("at", revocation.at), ("until", revocation.until), ("lifted_at", revocation.lifted_at))
    }
    return {**msgspec.structs.asdict(revocation), **times}


def _sentence(why: Unfit) -> str:
    text = str(why)
    return f"{text[:1].upper()}{text[1:]}."
