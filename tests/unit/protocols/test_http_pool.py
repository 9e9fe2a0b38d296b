"""The pool of connections to a target: what is free is had by whoever waits, whatever becomes of the others."""

import asyncio

from funcgate.core.function import Limits
from funcgate.protocols.http.pool import Address, Pool
from funcgate.protocols.http.sweeper import Sweeper
from funcgate.protocols.http.upstream import UpstreamConnection
from funcgate.wire.http1.limits import HeadLimits


def test_a_turn_that_nobody_takes_is_the_next_ones() -> None:
    async def main() -> None:
        gone = asyncio.Event()

        async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            gone.set()

        server = await asyncio.start_server(listens, "127.0.0.1", 0)
        limits = Limits(max_connections=1, connect_timeout_s=2.0)
        port = server.sockets[0].getsockname()[1]
        pool = Pool(Address("127.0.0.1", port), limits, HeadLimits(), Sweeper())
        held = await pool.acquire()
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
        await asyncio.sleep(0)  # both have begun to wait
        assert len(pool._waiting) == 2
        pool.release(held)
        waiting[0].cancel()  # its caller hangs up in the same turn of the loop
        found: list[UpstreamConnection | BaseException] = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1] is held
        pool.discard(held)
        await gone.wait()
        server.close()

    asyncio.run(main())
