"""A gateway in front of the sample gRPC target: its configuration, channels to it, and what its refusals say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from support.authority import ISSUER, Authority
from support.gate import Gate, until
from support.ledger import LedgerTarget

DETAILS = "grpc-status-details-bin"


def grpc_settings(authority: Authority, ledger: LedgerTarget, **changes: Any) -> dict[str, Any]:
    """One target ``ledger``; `changes` replace top-level keys, `target` adds to the target."""
    spec: dict[str, Any] = {
        "name": "ledger",
        "protocol": "grpc",
        "url": ledger.url,
        "functions": {"reflection": True},
        "credential": {"type": "bearer", "secret": "env:SHOP_KEY"},
    } | changes.pop("target", {})
    base: dict[str, Any] = {
        "listen": {"calls": "127.0.0.1:0", "console": "127.0.0.1:0"},
        "issuers": [
            {"name": "corp", "issuer": ISSUER, "audience": "funcgate", "jwks_file": str(authority.jwks_file)},
        ],
        "targets": [spec],
        "policies": [{"name": "all", "effect": "allow", "functions": ["ledger.*"], "principals": ["group:agents"]}],
    }
    return base | changes


class GrpcGate(Gate):
    """`metadata` are what a caller of the target sends."""

    def __init__(self, folder: Path, authority: Authority, ledger: LedgerTarget, **changes: Any) -> None:
        self.authority = authority
        self._before = {""}
        self._known: set[str] = set()
        super().__init__(folder, grpc_settings(authority, ledger, **changes))

    def begin(self) -> None:
        """Where one gateway serves many tests: what `of` and `pending` tell from now on is of this one. The end of a call of an
        earlier one may be written only now."""
        self._before = {"", *(entry["call"] for entry in self.entries())}
        self._known = {approval["id"] for approval in self._pending()}

    def pending(self) -> dict[str, Any]:
        """The approval that is asked for, once it is."""
        new = until(lambda: [approval for approval in self._pending() if approval["id"] not in self._known])
        return dict(new[0])

    def decide(self, approval: str, verdict: str = "approve") -> None:
        """Bob of finance says yes, or no (``reject``)."""
        self._console("POST", f"approvals/{approval}/{verdict}", json={"reason": "fine"})

    def _pending(self) -> list[dict[str, Any]]:
        return list(self._console("GET", "approvals", params={"state": "pending"})["approvals"])

    def _console(self, method: str, path: str, **more: Any) -> Any:
        headers = {"authorization": f"Bearer {self.authority.token('bob', ('finance',))}"}
        reply = httpx.request(method, f"http://127.0.0.1:{self.console}/api/v1/{path}", headers=headers, **more)
        assert reply.is_success, reply.text
        return reply.json()

    def metadata(self, *more: tuple[str, str | bytes], **token: Any) -> tuple[tuple[str, str | bytes], ...]:
        bearer = f"Bearer {self.authority.token(**token)}"
        return (("authorization", bearer), ("funcgate-target", "ledger"), *more)

    def channel(self, *options: tuple[str, Any], **more: Any) -> grpc.Channel:
        return grpc.insecure_channel(f"127.0.0.1:{self.calls}", options=options, **more)

    def kinds(self, method: str) -> list[str]:
        """The kinds of the entries about one method, in their order."""
        return [entry["kind"] for entry in self.of(method)]

    def of(self, method: str) -> list[dict[str, Any]]:
        """The entries of all calls of one method."""
        entries = self.entries()
        calls = {entry["call"] for entry in entries if entry.get("function", "").endswith(f"/{method}")} - self._before
        return [entry for entry in entries if entry["call"] in calls]


def refused(
    call: Callable[..., Any], *args: Any, **kwargs: Any
) -> tuple[grpc.StatusCode, str, ErrorInfo, RetryInfo | None]:
    """Make a call that is refused: its status, its text, why, and when to come again."""
    try:
        result = call(*args, **kwargs)
        list(result) if hasattr(result, "__next__") else None
    except grpc.RpcError as error:
        return said(error)
    raise AssertionError("the call was not refused")


def said(error: Any) -> tuple[grpc.StatusCode, str, ErrorInfo, RetryInfo | None]:
    """What an error says."""
    info, retry = ErrorInfo(), RetryInfo()
    asked = False
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS:
            status = Status.FromString(value)
            assert status.code == error.code().value[0]
            for detail in status.details:
                detail.Unpack(info) if detail.Is(ErrorInfo.DESCRIPTOR) else None
                asked = detail.Unpack(retry) or asked if detail.Is(RetryInfo.DESCRIPTOR) else asked
    return error.code(), error.details() or "", info, retry if asked else None
