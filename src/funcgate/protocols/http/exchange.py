"""One HTTP call on its way through: the HTTP side of `core.ports.Exchange`.

What `resolve` judged and what `send` writes come from the same parsed request, so that they cannot differ (P9).
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine
from time import perf_counter, time
from typing import Any, Protocol

from funcgate.core.call import Call, Permit
from funcgate.core.digest import digest_of
from funcgate.core.ids import new_id
from funcgate.core.lease import Lease
from funcgate.core.ports import Patience
from funcgate.core.principal import Principal, RawToken, Tokens
from funcgate.core.refusal import Code, Refused
from funcgate.core.reply import Reply
from funcgate.core.session import session_of_token
from funcgate.protocols.calling import beside, reason_of, session, token_of, traceparent_of
from funcgate.wire.http1.fields import media_type
from funcgate.wire.http1.prefer import read_prefer
from funcgate.wire.http1.requests import Request
from funcgate.wire.request_target import split_request_target

from .forward import forward
from .outgoing import Unread
from .target import HttpSite, HttpTarget

# What few calls have, and what is to be looked at in those.
_CHECKED = frozenset({b"expect", b"content-encoding"})
_NAMING = frozenset({b"traceparent", b"funcgate-session"})
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Caller(Protocol):
    """What an exchange asks of whoever has the caller's connection, or its stream."""

    client: str
    tokens: Tokens

    @property
    def site(self) -> HttpSite:
        """What serves now; the exchange keeps to the one that it began with."""
        ...

    async def read_body(self, request: Request, limit: int) -> bytes: ...

    def answer_began(self) -> None: ...

    def abort(self) -> None: ...


class HttpExchange(ABC):
    """One request and its answer, of any version of HTTP. Used by gateway.py, top to bottom, once."""

    __slots__ = (
        "_began",
        "_broken",
        "_connection",
        "_site",
        "_started",
        "body",
        "call",
        "call_id",
        "client",
        "forwarded",
        "http_target",
        "path",
        "query",
        "request",
        "target",
        "target_s",
        "traceparent", "unread",
    )  # fmt: skip

    def __init__(self, connection: Caller, request: Request, site: HttpSite, broken: Refused | None) -> None:
        self._connection = connection
        self._site = site
        self._broken = broken
        self._began = False
        self._started = perf_counter()
        self.request = request
        self.call_id = new_id()
        self.client = connection.client
        self.target = ""
        self.http_target: HttpTarget | None = None
        self.call: Call | None = None
        self.path = ""
        self.query = ""
        self.forwarded: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.traceparent = b""
        self.unread: Unread | None = None  # the answer's body is still with the target
        self.target_s = 0.0  # the part of the call's time that the target took

    @property
    def token(self) -> RawToken | None:
        """See `core.ports.Exchange`."""
        if self._broken is not None:
            raise self._broken
        return token_of(self.request.known, self._connection.tokens)

    @property
    def patience(self) -> Patience:
        """See `core.ports.Exchange`. At most as long as the target's `max_wait`."""
        known = self.request.known
        wait_s, detached = read_prefer(known.get(b"prefer", b""))
        limit_s = self.http_target.limits.max_wait_s if self.http_target is not None else 0.0
        named = known.get(b"funcgate-approval", b"")[:64].decode("latin-1")
        also, fields, digest = self._beside_digest()
        patient_s = limit_s if wait_s is None else min(float(wait_s), limit_s)
        return Patience(patient_s, detached, named, also, fields, digest)

    @property
    def collects(self) -> bool:
        """See `Outgoing`."""
        call = self.call
        return call is not None and self._site.snapshot.maskers(call.function).collects

    @property
    def serving(self) -> HttpSite:
        """See `Outgoing`."""
        return self._connection.site

    def renew(self) -> bool:
        """See `core.ports.Exchange`."""
        old, call = self.http_target, self.call
        new = self._connection.site.targets.get(self.target)
        if old is None or call is None or new is None:
            return False
        # Attack: get a call approved, and have a reload send its bytes to another place, or mean another function by them.
        if (new.url, new.forward) != (old.url, old.forward):
            return False
        _, segments, _, _, authority = split_request_target(self.request.target, self.request.known.get(b"host", b""))
        if not self._by_host(authority):
            segments = segments[1:]
        found = new.catalog.find(self.request.method.decode("ascii"), segments, self.path)
        if found is None or found.binding.function.full_name != call.function:
            return False
        self.http_target = new
        return True

    async def resolve(self, principal: Principal) -> Call:
        """See `core.ports.Exchange`. The order: place, function, then the body, then the arguments."""
        request = self.request
        known = request.known
        whole, segments, params, self.query, authority = split_request_target(request.target, known.get(b"host", b""))
        target, segments, path = self._locate(whole, segments, authority)
        self.path = path
        method = _METHODS.get(request.method) or request.method.decode("ascii")
        found = target.catalog.find(method, segments, path)
        if found is None:
            raise Refused(Code.FUNCTION_UNKNOWN, private_detail=f"no function for {method} {whole}")
        if not _CHECKED.isdisjoint(known):
            self._check_head()
        limit = target.limits.max_request
        if request.complete and request.size <= limit:
            pieces = request.pieces
            self.body = body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        else:
            self.body = body = await self._connection.read_body(request, limit)
        content_type = known.get(b"content-type", b"")
        media, charset = media_type(content_type)
        self.forwarded = fields = request.fields if not target.forward else self._forwarded_fields(target)
        binding = found.binding
        args = binding.read(found.path_args, params, fields, media, charset, body)
        named = not _NAMING.isdisjoint(known)
        if named:
            self.traceparent = traceparent_of(known)
        self.call = call = Call(
            id=self.call_id,
            target=target.name,
            function=binding.function.full_name,
            args=args,
            principal=principal,
            session=session(known, self.traceparent, principal, self.target)
            if named
            else session_of_token(principal, self.target),
            digest=self._digest(target, content_type),
            received_at=time(),
            client=self.client,
        )
        if named:
            call.trace = self.traceparent[3:35].decode()
        if b"funcgate-reason" in known:
            call.reason = reason_of(known)
        return call

    def send(self, permit: Permit, lease: Lease) -> Coroutine[Any, Any, Reply]:
        """See `core.ports.Exchange`."""
        return forward(self, permit, lease)

    @abstractmethod
    async def deliver(self, reply: Reply) -> None:
        """See `core.ports.Exchange`."""

    async def refuse(self, refused: Refused) -> None:
        """See `core.ports.Exchange`. After the head has gone out there is only one honest no: to cut the connection."""
        if self.unread is not None:
            self.unread()
        if self._began:
            self._connection.abort()
            return
        self._begin()
        await self._answer_no(refused)

    @abstractmethod
    async def _answer_no(self, refused: Refused) -> None:
        """Write the whole refusal; nothing was written before."""

    def _approval_url(self, refused: Refused) -> str:
        """Where the approval is: below the configured address, by its id."""
        base, approval = self._site.approval_url, refused.public.get("approval")
        return f"{base.rstrip('/')}/{approval['id']}" if base and approval else base

    def _begin(self) -> None:
        """From here on bytes of an answer go out."""
        self._began = True
        self._connection.answer_began()

    def _locate(self, path: str, segments: tuple[str, ...], authority: str) -> tuple[HttpTarget, tuple[str, ...], str]:
        """The target that the host or the first segment names, and the segments and the path below it."""
        site = self._site
        by_host = self._by_host(authority) if site.hosts else None
        name = by_host or (segments[0] if segments else "")
        target = site.targets.get(name)
        if target is None:
            raise Refused(Code.FUNCTION_UNKNOWN, private_detail="the request names no target")
        self.target = name
        self.http_target = target
        if by_host:
            return target, segments, path
        below = path.find("/", 1)
        return target, segments[1:], path[below:] if below > 0 else "/"

    def _by_host(self, authority: str) -> str | None:
        return self._site.hosts.get(authority.rpartition(":")[0] or authority)

    def _check_head(self) -> None:
        known = self.request.known
        expectation = known.get(b"expect")
        if expectation is not None and expectation.lower() != b"100-continue":
            raise Refused(Code.REQUEST_INVALID, "The Expect field is not understood.", status=417)
        coding = known.get(b"content-encoding")
        if coding is not None and coding.lower() not in (b"", b"identity"):
            # Attack: what is judged as one body unpacks to another at the target.
            raise Refused(Code.REQUEST_INVALID, "An encoded body cannot be judged; send it as it is.", status=415)

    def _forwarded_fields(self, target: HttpTarget) -> list[tuple[bytes, bytes]]:
        """The caller's fields that cross, with those that cross because the target's configuration names them."""
        known = self.request.known
        # Attack: configured forwarding of Authorization must not hand the caller's funcgate token to the target.
        withheld = {b"authorization"} if b"funcgate-token" not in known else set()
        return self.request.fields + [(name, known[name]) for name in target.forward - withheld if name in known]

    def _digest(self, target: HttpTarget, content_type: bytes) -> str:
        """SHA-256 over the bytes that will be forwarded: method, target, path, query, content type, body."""
        line = f"{target.url}\n{self.path}?{self.query}\n".encode()
        judged = b"".join((self.request.method, b" ", line, content_type, b"\n", self.body))
        return digest_of(judged)

    def _beside_digest(self) -> tuple[str, tuple[str, ...], str]:
        """See `protocols.calling.beside`. The path is as it was spelled."""
        fields = [(name.lower(), value) for name, value in self.forwarded]
        return beside(self.request.target, fields)

    def _spent_s(self) -> float:
        """What the call has taken so far, without the target's part of it."""
        spent_s = perf_counter() - self._started - self.target_s
        return spent_s if spent_s > 0.0 else 0.0

    def _spent_ms(self) -> float:
        return self._spent_s() * 1000.0


async def pieces_of(reply: Reply) -> AsyncGenerator[bytes, None]:
    """The body's pieces, none of them empty."""
    if reply.stream is None:
        yield reply.body or b""
        return
    stream = reply.stream
    try:
        async for piece in stream:
            if piece:
                yield piece
    finally:
        # Attack: ask for much and hang up, so that the target goes on answering until somebody collects the garbage.
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
