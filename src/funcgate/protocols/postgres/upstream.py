"""The connection to a database, one for one caller's session: opened with the target's credential, never given to another."""

import asyncio
import contextlib
from collections.abc import Mapping

from funcgate.core.function import Limits
from funcgate.core.lease import Lease
from funcgate.core.refusal import Code, Refused
from funcgate.core.secret import Secret
from funcgate.wire.postgres import backend, frames, frontend
from funcgate.wire.postgres.frames import Frame, Malformed
from funcgate.wire.postgres.scram import MECHANISM, Scram

from .channel import Channel, Ended
from .standing import Linked
from .target import Place

_CANCEL_S = 5.0
_MAX_LOGIN = 200  # messages; a server sends a dozen


class Upstream(Linked):
    """An authenticated connection. `greeting` are the parameters and notices that came before the first ReadyForQuery."""

    def __init__(self, place: Place, channel: Channel) -> None:
        self.channel = channel
        self.greeting: list[Frame] = []
        self.state = b"I"
        self._place = place
        self._key: tuple[int, bytes] | None = None

    async def log_in(self, parameters: Mapping[str, str], lease: Lease, role: str) -> None:
        """With `role`, if it is not "", statements run with it. Raises `Refused(target.unreachable)`, `Ended`, `Malformed`."""
        given = {name.lower(): secret for name, secret in lease.headers}
        user = given.get("user")
        if user is None:
            raise _unreachable("the target has no credential of the type password")
        wanted = {"user": user.reveal(), "database": self._place.database, "client_encoding": "UTF8", **parameters}
        if role:
            wanted["role"] = role  # what RESET ROLE goes back to
        self.channel.write(frames.startup(wanted))
        await _Login(self.channel, given.get("password") or Secret("")).run(clear=self._place.tls is None)
        for _ in range(_MAX_LOGIN):
            found = await self.channel.next()
            if found.kind == backend.READY:
                self.state = backend.read_ready(found.payload)
                if role:
                    await self.take_role(role)
                return
            if found.kind == backend.KEY_DATA and len(found.payload) == 8:
                self._key = int.from_bytes(found.payload[:4], "big"), found.payload[4:]
            elif found.kind == backend.ERROR:
                raise _unreachable(f"the database refuses the session: {_sqlstate(found)}")
            elif found.kind in (backend.PARAMETER_STATUS, backend.NOTICE):
                self.greeting.append(found)
            else:
                raise Malformed("an unexpected message at the beginning of a session")
        raise Malformed("a session that does not begin")

    async def take_role(self, role: str) -> None:
        """Raises `Refused(target.unreachable)`, `Ended`, `Malformed`.

        Attack: a server, or a pooler, that does not know what it was asked for at the beginning, and runs all as the owner."""
        name = role.replace('"', '""')
        self.channel.write(frontend.query(f'SET ROLE "{name}"'))
        done = False
        while (found := await self.channel.next()).kind != backend.READY:
            done = done or (found.kind == backend.COMPLETE and found.payload == b"SET\0")
            if found.kind == backend.ERROR:
                raise _unreachable(f"the database does not let us have the role: {_sqlstate(found)}")
            if found.kind == backend.PARAMETER_STATUS:
                backend.check_status(*backend.read_status(found.payload))
        self.state = backend.read_ready(found.payload)
        if not done:
            raise Malformed("a role that was not taken")

    async def cancel(self) -> None:
        """Ask the server to cancel what runs on this connection. Never raises."""
        if self._key is None:
            return
        channel: Channel | None = None
        try:
            async with asyncio.timeout(_CANCEL_S):
                channel = await _connect(self._place, _CANCEL_S)
                channel.write(frames.cancel(*self._key))
                await channel.more()
        except (OSError, Ended, TimeoutError, Malformed):
            pass
        finally:
            if channel is not None:
                channel.abort()

    def close(self) -> None:
        """Say goodbye; the server rolls back what is open."""
        with contextlib.suppress(Ended):
            self.channel.write(frontend.TERMINATE_FRAME)
        self.channel.close()


async def connect(
    place: Place, parameters: Mapping[str, str], lease: Lease, limits: Limits, role: str = ""
) -> Upstream:
    """A new connection, ready for its first statement. Raises `Refused(target.…)`."""
    channel: Channel | None = None
    try:
        async with asyncio.timeout(limits.connect_timeout_s):
            channel = await _connect(place, limits.connect_timeout_s, limits.max_response)
            upstream = Upstream(place, channel)
            await upstream.log_in(parameters, lease, role)
            return upstream
    except TimeoutError:
        why: Refused = Refused(Code.TARGET_TIMEOUT, private_detail="the database did not let us in in time")
    except OSError as error:
        why = _unreachable(error.strerror or type(error).__name__)
    except Ended:
        why = _unreachable("the database closed the connection")
    except Malformed as malformed:
        why = _unreachable(str(malformed))
    except Refused as refused:
        why = refused
    if channel is not None:
        channel.abort()
    raise why


async def _connect(place: Place, timeout_s: float, max_frame: int = 1 << 20) -> Channel:
    loop = asyncio.get_running_loop()
    _, channel = await loop.create_connection(
        lambda: Channel(backend.limits_of(max(max_frame, 1 << 16))), place.host, place.port
    )
    if place.tls is not None:
        channel.write(frames.SSL_PACKET)
        # Attack: somebody in between answers "no TLS here" and reads the session; or sends bytes before TLS begins.
        if await channel.byte() != b"S" or not channel.empty:
            channel.abort()
            raise Malformed("the database does not speak TLS")
        await channel.secure(place.tls, server_name=place.server_name, timeout_s=timeout_s)
    return channel


class _Login:
    """The authentication exchange of one connection."""

    def __init__(self, channel: Channel, secret: Secret) -> None:
        self._channel = channel
        self._secret = secret
        self._scram = Scram()
        self._step = 0
        self._proved = False

    async def run(self, *, clear: bool) -> None:
        """Until the server lets us in. Raises `Refused`, `Malformed`, `Ended`."""
        for _ in range(10):
            found = await self._channel.next()
            if found.kind == backend.ERROR:
                raise _unreachable(f"the database refuses the credential: {_sqlstate(found)}")
            if found.kind == backend.NEGOTIATE:
                continue
            if found.kind != backend.AUTHENTICATION or len(found.payload) < 4:
                raise Malformed("an unexpected message while logging in")
            if self._answer(int.from_bytes(found.payload[:4], "big"), found.payload[4:], clear=clear):
                return
        raise Malformed("a login without an end")

    def _answer(self, code: int, data: bytes, *, clear: bool) -> bool:
        """True when the server has let us in."""
        if code == 0:
            # Attack: a server that skips the end of SCRAM, where it has to prove that it knows the password.
            if self._step and not self._proved:
                raise Malformed("the server did not prove that it knows the password")
            return True
        if code == 10 and self._step == 0 and MECHANISM.encode() in data.split(b"\0"):
            self._channel.write(frontend.sasl_initial(MECHANISM, self._scram.first()))
        elif code == 11 and self._step == 1:
            self._channel.write(frontend.password(self._scram.final(data, self._secret.reveal())))
        elif code == 12 and self._step == 2:
            self._scram.check(data)
            self._proved = True
        elif code == 3 and self._step == 0 and not clear:
            self._channel.write(frontend.password(self._secret.reveal().encode() + b"\0"))
            return False
        else:
            raise _unreachable("the database asks for a way to log in that is not supported; use scram-sha-256")
        self._step += 1
        return False


def _sqlstate(found: Frame) -> str:
    return backend.read_fields(found.payload).get("C", "?")[:5]


def _unreachable(why: str) -> Refused:
    return Refused(Code.TARGET_UNREACHABLE, private_detail=why)
