"""Who asks the console: the same tokens and refusals as for calls. Pages and metrics that need nobody do not come here."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request, Response

from funcgate.core.approval import StoreFailed
from funcgate.core.ports import Identity
from funcgate.core.principal import Principal, RawToken
from funcgate.core.refusal import Code, Refused
from funcgate.wire.http1.writing import problem_body

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="funcgate"'}


class Access:
    """Verifies tokens by whatever configuration serves now. `roles` maps a role to principal selectors."""

    identity: Identity
    roles: Mapping[str, Sequence[str]]

    def __init__(self, identity: Identity, roles: Mapping[str, Sequence[str]]) -> None:
        self.identity, self.roles = identity, roles

    async def principal(self, request: Request[Any, Any, Any]) -> Principal:
        """Whoever sent the request. Raises `Refused(identity.…)`.

        The token comes in a header only: what a browser sends by itself (cookies) counts for nothing here, so that no other
        site's page can answer in an approver's name. Sessions are for the pages (pages/), which guard each form.
        """
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not value or len(value) > 16 << 10:
            raise Refused(Code.IDENTITY_MISSING)
        token = RawToken(value.strip().encode("latin-1", "replace"))
        return self.identity.recall(token) or await self.identity.identify(token)

    def has(self, principal: Principal, *roles: str) -> bool:
        """Whether the principal has one of the roles."""
        return any(not principal.selectors.isdisjoint(self.roles.get(role, ())) for role in roles)


def render(request: Request[Any, Any, Any], refused: Refused) -> Response[bytes]:
    """A refusal as RFC 9457 problem details, in the same shape as those of calls."""
    headers = {"Cache-Control": "no-store", **(_CHALLENGE if refused.status == 401 else {})}
    body = problem_body(refused, request.headers.get("x-request-id", "")[:64])
    return Response(body, status_code=refused.status, media_type="application/problem+json", headers=headers)


def unavailable(request: Request[Any, Any, Any], _: StoreFailed) -> Response[bytes]:
    """The store cannot be asked now. Why is for the operator, not for whoever asks."""
    return render(request, Refused(Code.APPROVAL_UNAVAILABLE))


def problem(status: int, title: str, detail: str) -> Response[dict[str, Any]]:
    """What is wrong with a request to the API itself (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(
        body, status_code=status, media_type="application/problem+json", headers={"Cache-Control": "no-store"}
    )


__all__ = ["Access", "problem", "render", "unavailable"]
