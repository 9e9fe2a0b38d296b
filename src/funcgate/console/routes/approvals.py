"""`/api/v1/approvals`: held calls, seen and answered by people with their own tokens."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.params import Parameter

from funcgate.approval.answers import Answers, Unanswered
from funcgate.approval.grants import Wish
from funcgate.approval.quorum import Person, eligible
from funcgate.console.access import Access, problem
from funcgate.core.approval import Approval, ApprovalStore, State
from funcgate.core.decision import Terms
from funcgate.core.principal import Principal

_FRESH = {"Cache-Control": "no-store"}
_PAGE = 50
LISTED_ARGS = 16 << 10  # bytes


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an answer says. `grant` asks for a standing approval beside it."""

    reason: str = ""
    grant: Wish | None = None


def routes(answers: Answers, store: ApprovalStore, access: Access) -> Router:
    """The routes, over one desk."""

    @get("/approvals")
    async def listed(
        request: Request[Any, Any, Any],
        wanted: Annotated[State | None, Parameter(query="state")] = None,
        cursor: Annotated[str, Parameter(max_length=64)] = "",
    ) -> Response[dict[str, Any]]:
        """Held calls that concern whoever asks, newest first: theirs to answer, theirs to wait for, or all for an auditor.

        Arguments larger than 16 KiB are `null` in the list; the approval itself has them.
        """
        principal = await access.principal(request)
        found = await store.find(wanted, before=cursor, limit=_PAGE)
        seen = [_brief(told(each, principal, access)) for each in found if concerns(each, principal, access)]
        more = {"cursor": found[-1].id} if len(found) == _PAGE else {}
        return Response({"approvals": seen, **more}, headers=_FRESH)

    @get("/approvals/{approval:str}")
    async def one(request: Request[Any, Any, Any], approval: str) -> Response[dict[str, Any]]:
        principal = await access.principal(request)
        found = await store.get(approval[:64])
        # Attack: learn from the difference which approvals there are. Not there and not yours look the same.
        if found is None or not concerns(found, principal, access):
            return problem(404, "Not Found", "There is no such approval for you.")
        return Response(shown(told(found, principal, access)), headers=_FRESH)

    @post("/approvals/{approval:str}/{verb:str}", status_code=200)
    async def answer(request: Request[Any, Any, Any], approval: str, verb: str) -> Response[dict[str, Any]]:
        """`approve`, `reject` or `cancel`; the body may hold `reason` and, with `approve`, `grant`."""
        principal = await access.principal(request)
        found = await store.get(approval[:64])
        if verb in ("approve", "reject", "cancel") and found is not None and not concerns(found, principal, access):
            await answers.refuse(
                found.id, "api", "this person is not among the approvers of this call", person(principal)
            )
            found = None
        if verb not in ("approve", "reject", "cancel") or found is None:
            return problem(404, "Not Found", "There is no such approval for you.")
        body = await request.body()
        try:
            said = msgspec.json.decode(body, type=Said) if body.strip() else Said()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            return problem(400, "Bad Request", f"The body cannot be read: {error}")
        who = person(principal)
        try:
            if verb == "cancel":
                changed = await answers.cancel(found.id, who, "api")
            else:
                changed = await answers.give(found.id, who, verb == "approve", "api", said.reason, said.grant)
        except Unanswered as why:
            return problem(409, "Conflict", str(why))
        return Response(shown(told(changed, principal, access)), headers=_FRESH)

    return Router("/api/v1", route_handlers=[listed, one, answer])


def person(principal: Principal) -> Person:
    """Who answers. A token with which something acts for somebody is no person's."""
    agent = principal.actor or (principal.subject if principal.acts_for else "")
    return Person(principal.issuer, principal.subject, principal.groups, agent)


def told(approval: Approval, principal: Principal, access: Access) -> Approval:
    """What whoever asks may know of it. Its caller learns how it stands, and whom to ask."""
    if eligible(approval, principal.selectors) or access.has(principal, "admin", "auditor"):
        return approval
    # Attack: an agent that reads from its own held calls which policies there are, what would break the glass, and who says yes.
    somebody = {"issuer": "", "subject": "an approver", "groups": (), "channel": "", "reason": "", "wish": ""}
    return msgspec.structs.replace(
        approval,
        asked=msgspec.structs.replace(approval.asked, policies=(), version=""),
        terms=tuple(Terms(quorums=each.quorums) for each in approval.terms),
        answers=tuple(msgspec.structs.replace(each, **somebody) for each in approval.answers),
        why=approval.why if approval.state is State.CANCELLED else "",
    )


def shown(approval: Approval) -> dict[str, Any]:
    """An approval as the API shows it: times in RFC 3339, arguments masked as they are kept."""
    asked = approval.asked
    return {
        "id": approval.id, "state": approval.state.value, "created_at": rfc3339(approval.created_at),
        "expires_at": rfc3339(approval.expires_at), "function": asked.function, "target": asked.target,
        "principal": asked.principal, "args": asked.args, "masked": asked.masked, "digest": asked.digest,
        "fields": asked.fields,
        "reason": asked.reason, "policies": asked.policies, "version": asked.version, "session": asked.session,
        "call": asked.call, "terms": approval.terms, "used_by": approval.used_by, "why": approval.why,
        "answers": [{**msgspec.structs.asdict(each), "at": rfc3339(each.at)} for each in approval.answers],
    }  # fmt: skip


def concerns(approval: Approval, principal: Principal, access: Access) -> bool:
    """Whether they may see it: theirs to answer, theirs to wait for, or anybody's for an administrator or auditor."""
    who = approval.asked.principal
    mine = principal.issuer == who.issuer and principal.subject in {who.subject, who.acts_for}
    return mine or eligible(approval, principal.selectors) or access.has(principal, "admin", "auditor")


def _brief(approval: Approval) -> dict[str, Any]:
    """As `shown`. Attack: held calls with megabytes of arguments, so that a list of them stops the gateway."""
    found = shown(approval)
    if len(bytes(approval.asked.args)) > LISTED_ARGS:
        found["args"] = None
    return found


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
