"""Where PostgreSQL callers connect: TLS, the startup packet, the password that is a token; cancel requests; drain."""

import asyncio
import hmac
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from funcgate.core.budget import Accounts, Spending
from funcgate.core.meter import Meter
from funcgate.core.principal import RawToken
from funcgate.core.refusal import Code
from funcgate.gateway import Gateway
from funcgate.wire.postgres import backend, frames, frontend, oauthbearer
from funcgate.wire.postgres.frames import Malformed

from .channel import Channel, Ended
from .exchange import Sites
from .session import Session
from .target import OauthLogin, PostgresSite, PostgresTarget, SessionLimits

_MAX_TOKEN = 16 << 10
_MOST_PACKETS = 3  # before the startup packet: TLS, GSSAPI


class PostgresListener(Sites):
    """Serves callers. Assign `site` to swap everything that a configuration decides.

    Of several processes with a listener each, `share` is this one's number and how many there are: what it numbers its sessions
    by; `elsewhere` gets the cancel requests for sessions of the others.
    """

    def __init__(self, gateway: Gateway, meter: Meter, limits: SessionLimits, site: PostgresSite) -> None:
        self.limits = limits
        self.site = site
        self.draining = False
        self.accounts: Spending = Accounts()
        self.port = 0
        self.share = (0, 1)
        self.elsewhere: Callable[[int, bytes], Awaitable[None]] = self.cancel
        self.on_closed: Callable[[], None] = lambda: None
        self._gateway = gateway
        self._meter = meter
        self._tls: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None
        self._sessions: dict[int, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._detached: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Begin to accept. Raises `OSError` when the address cannot be had."""
        self._tls = tls
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accepted, host, port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def take(self, connected: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve a connection that was accepted elsewhere. Raises `OSError`."""
        self._tls = tls
        await asyncio.get_running_loop().connect_accepted_socket(self._accepted, connected)

    @property
    def open(self) -> int:
        """Connections that are open. `on_closed` is called whenever there are fewer."""
        return len(self._tasks)

    def detach(self, work: Coroutine[Any, Any, None]) -> None:  # type: ignore[override]
        task = asyncio.ensure_future(work)
        self._detached.add(task)
        task.add_done_callback(self._detached.discard)

    async def drain(self, timeout_s: float) -> bool:
        """Stop accepting, let open statements and transactions end. True when all ended in time; else the rest is cut."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for session in self._sessions.values():
            session.caller.wake()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        ended = not self._tasks
        self.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        return ended

    def close(self) -> None:
        """Cut everything that is open."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    def _accepted(self) -> Channel:
        caller = Channel({frontend.PASSWORD[0]: _MAX_TOKEN})
        task = asyncio.ensure_future(self._serve(caller))
        self._tasks.add(task)
        task.add_done_callback(self._over)
        caller.on_lost.add_done_callback(lambda _: task.cancel())
        self._meter.open_connections += 1
        return caller

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.on_closed()

    async def _serve(self, caller: Channel) -> None:
        session: Session | None = None
        try:
            if self.draining or len(self._tasks) > self.limits.max_connections:
                self._meter.count("", "none", Code.GATEWAY_OVERLOADED)
                caller.write(backend.error("FATAL", "53300", "too many connections"))
                return
            async with asyncio.timeout(self.limits.login_timeout_s):
                opened = await self._open(caller)
            if opened is not None:
                session, parameters = opened
                self._sessions[session.key[0]] = session
                await session.run(parameters)
        except Malformed as malformed:
            self._say(caller, "08P01", str(malformed))
        except TimeoutError:
            self._say(caller, "57014", "the connection was silent for too long")
        except (Ended, OSError, asyncio.CancelledError):
            pass
        except Exception:
            self._meter.count("", "none", Code.GATEWAY_ERROR)
            self._say(caller, "58000", "the session could not be carried on")
        finally:
            self._meter.open_connections -= 1
            if session is not None:
                self._sessions.pop(session.key[0], None)
            caller.close()

    def _say(self, caller: Channel, sqlstate: str, text: str) -> None:
        try:
            caller.write(backend.error("FATAL", sqlstate, text))
        except Ended:
            return

    async def _open(self, caller: Channel) -> tuple[Session, dict[str, str]] | None:
        """The session that a caller asks for; None when it asks for none. Raises `Malformed`, `Ended`."""
        secure = False
        for _ in range(_MOST_PACKETS):
            packet = await caller.packet()
            code = frames.packet_code(packet)
            if code == frames.CANCEL_REQUEST:
                pid, secret = frames.read_cancel(packet)
                await (self.cancel if self._is_mine(pid) else self.elsewhere)(pid, secret)
                return None
            if code == frames.GSSENC_REQUEST:
                caller.write(b"N")
            elif code == frames.SSL_REQUEST and not secure:
                secure = await self._secure(caller)
            else:
                return await self._start(caller, frames.read_startup(packet), secure=secure)
        raise Malformed("no startup packet came")

    async def _secure(self, caller: Channel) -> bool:
        # Attack: bytes sent in clear behind the request, to be taken for the first ones inside TLS (CVE-2021-23214).
        if not caller.empty:
            raise Malformed("bytes came before TLS began")
        if self._tls is None:
            caller.write(b"N")
            return False
        caller.write(b"S")
        await caller.secure(self._tls, server_name=None, timeout_s=self.limits.tls_handshake_timeout_s)
        return True

    async def _start(
        self, caller: Channel, startup: frames.Startup, *, secure: bool
    ) -> tuple[Session, dict[str, str]] | None:
        parameters = dict(startup.parameters)
        options = [name for name in parameters if name.startswith("_pq_.")]
        if startup.minor or options:
            caller.write(backend.negotiate(options))
        if not secure and not _is_loopback(caller):
            # Attack: read the token off the wire. On a loopback address there is no wire.
            raise Malformed("a token may only be sent over TLS; connect with sslmode=require")
        target = self.site.targets.get(parameters.get("database") or parameters.get("user", ""))
        if target is not None and target.oauth is not None and target.oauth.asks(parameters.get("user", "")):
            token = await self._bearer(caller, target.oauth)
            if not token:
                return None
        else:
            caller.write(backend.AUTH_CLEARTEXT)
            token = frontend.read_password(await _response(caller))
        if target is None:
            caller.write(backend.error("FATAL", "3D000", "there is no such database"))
            self._meter.count("", "none", Code.FUNCTION_UNKNOWN)
            return None
        there = sum(1 for session in self._sessions.values() if session.target.name == target.name)
        if there >= target.limits.max_connections:
            caller.write(backend.error("FATAL", "53300", "too many connections"))
            self._meter.count(target.name, "none", Code.GATEWAY_OVERLOADED)
            return None
        caller.expect(frontend.limits_of(max(target.limits.max_request, 1 << 10)))
        return self._session(caller, target, token), parameters

    async def _bearer(self, caller: Channel, login: OauthLogin) -> bytes:
        """The token by OAUTHBEARER; b"" for a client that has none yet, and was told where to get one."""
        caller.write(backend.sasl(oauthbearer.MECHANISM))
        mechanism, data = frontend.read_sasl_initial(await _response(caller))
        if mechanism != oauthbearer.MECHANISM:
            raise Malformed("a way to log in that was not offered")
        token = oauthbearer.read_token(data)
        if not token:
            caller.write(backend.sasl_continue(oauthbearer.failure(login.openid_configuration, login.scope)))
            if await _response(caller) != oauthbearer.ABORTED:
                raise Malformed("a message of OAUTHBEARER that cannot be read")
            caller.write(backend.error("FATAL", "28000", "a token is needed"))
            self._meter.count("", "none", Code.IDENTITY_MISSING)
        return token

    def _session(self, caller: Channel, target: PostgresTarget, token: bytes) -> Session:
        session = Session(self._gateway, self, caller, _peer(caller), target, RawToken(token) if token else None)
        while session.key[0] in self._sessions or not self._is_mine(session.key[0]):
            session.renew_key()
        return session

    def _is_mine(self, pid: int) -> bool:
        number, of = self.share
        return pid % of == number

    async def cancel(self, pid: int, secret: bytes) -> None:
        """Cancel what runs in the session with this key, if there is one. Returns once the database was asked."""
        # Attack: guess the key of somebody else's session and cancel its statements.
        session = self._sessions.get(pid)
        if session is not None and hmac.compare_digest(session.key[1], secret):
            await session.cancel()


async def _response(caller: Channel) -> bytes:
    """What the caller answers to being asked who it is. Raises `Malformed`, `Ended`."""
    found = await caller.next()
    if found.kind != frontend.PASSWORD:
        raise Malformed("a password was expected")
    return found.payload


def _peer(caller: Channel) -> str:
    peer = caller.transport.get_extra_info("peername") if caller.transport is not None else None
    return str(peer[0]) if isinstance(peer, tuple) else "local"


def _is_loopback(caller: Channel) -> bool:
    """Whether the caller reached us at a loopback address of ours."""
    own = caller.transport.get_extra_info("sockname") if caller.transport is not None else None
    return isinstance(own, tuple) and ipaddress.ip_address(str(own[0]).partition("%")[0]).is_loopback
