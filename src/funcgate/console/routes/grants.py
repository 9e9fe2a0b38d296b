"""`/api/v1/grants`: standing approvals, seen and ended by those who gave or have them."""

import time
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post

from funcgate.approval.answers import Answers
from funcgate.console.access import Access, problem
from funcgate.core.approval import ApprovalStore, Grant
from funcgate.core.principal import Principal

from .approvals import person, rfc3339

_FRESH = {"Cache-Control": "no-store"}


def routes(answers: Answers, store: ApprovalStore, access: Access) -> Router:
    """The routes, over one desk."""

    @get("/grants")
    async def granted(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """Standing grants that can still be used: those that whoever asks gave or has, or all for an auditor."""
        principal = await access.principal(request)
        found = await store.grants(now=time.time())
        mine = [_grant(grant) for grant in found if may_see(grant, principal, access)]
        return Response({"grants": mine}, headers=_FRESH)

    @post("/grants/{grant:str}/revoke", status_code=200)
    async def revoke(request: Request[Any, Any, Any], grant: str) -> Response[dict[str, Any]]:
        """Ends a grant: for those who gave it, and for administrators."""
        principal = await access.principal(request)
        found = [each for each in await store.grants(now=0.0) if each.id == grant]
        if not found or not may_revoke(found[0], principal, access):
            return problem(404, "Not Found", "There is no such grant for you to revoke.")
        await answers.revoke(grant, person(principal), "api")
        return Response({"id": grant, "revoked": True}, headers=_FRESH)

    return Router("/api/v1", route_handlers=[granted, revoke])


def may_see(grant: Grant, principal: Principal, access: Access) -> bool:
    """Who gave it, who has it, administrators and auditors."""
    has = (grant.issuer, grant.subject) == (principal.issuer, principal.subject)
    return has or _gave(grant, principal) or access.has(principal, "admin", "auditor")


def may_revoke(grant: Grant, principal: Principal, access: Access) -> bool:
    """Who gave it, and administrators."""
    return _gave(grant, principal) or access.has(principal, "admin")


def _gave(grant: Grant, principal: Principal) -> bool:
    return any((each.issuer, each.subject) == (principal.issuer, principal.subject) for each in grant.answers)


def _grant(grant: Grant) -> dict[str, Any]:
    times = {"created_at": rfc3339(grant.created_at), "expires_at": rfc3339(grant.expires_at)}
    return {**msgspec.structs.asdict(grant), **times, "answers": [each.subject for each in grant.answers]}
