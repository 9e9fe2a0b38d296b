"""A worker that carries nothing, for tests of those that keep workers: `python -m support.mates HOW LINK CONNECTIONS`.

It answers what it is asked, and says its number to whoever connects, until they go away. `HOW` is what is wrong with it.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path
from types import ModuleType

import funcgate


def _without_what_it_imports(name: str, **names: object) -> None:
    """A module of the gateway with no more in it than these names. Tests start a hundred of these processes; the parts that
    a worker is built of, and this one needs nothing of, take the most of a second to import."""
    module = sys.modules[name] = ModuleType(name)
    module.__path__ = [str(Path(funcgate.__path__[0], *name.split(".")[1:]))]
    vars(module).update(names)


HTTP, POSTGRES = b"h", b"p"
_without_what_it_imports("funcgate.app")
_without_what_it_imports("funcgate.app.listening", HTTP=HTTP, POSTGRES=POSTGRES)

from funcgate.app.workers import messages  # noqa: E402
from funcgate.app.workers.connections import write_closed  # noqa: E402
from funcgate.app.workers.link import Kind, Link  # noqa: E402
from funcgate.app.workers.messages import Begin, Cancel, Done, Drain, Revoke  # noqa: E402


class Mate:
    def __init__(self, how: str, connections: socket.socket) -> None:
        self.how = how
        self.connections = connections
        self.number = -1
        self.closed = 0
        self.held: list[object] = []
        self.link = Link({Kind.WRITTEN: self.ignore, Kind.JOURNAL: self.ignore}, self.answer, lambda: os._exit(0))

    def ignore(self, payload: bytes) -> None:
        pass

    async def answer(self, payload: bytes) -> bytes:
        message = messages.for_worker(payload)
        if isinstance(message, Begin):
            self.number = message.number
            return messages.encode(Done(await self.begin(message)))
        if isinstance(message, Revoke) and self.how == "deaf":
            await asyncio.Event().wait()
        if isinstance(message, Drain) and self.how == "stays":
            await asyncio.Event().wait()
        if isinstance(message, Cancel):
            self.link.send(Kind.COUNTED, b"cancelled by %d" % message.pid)
        return messages.encode(Done())

    async def begin(self, begin: Begin) -> str:
        if self.how == "refuses" or (self.how == "second refuses" and begin.number == 1):
            return "it does not like it"
        if self.how == "dies":
            os._exit(3)
        if self.how == "forges":
            self.link.send(Kind.CLOSED, write_closed({HTTP: 1, POSTGRES: 0}))
        if self.how == "babbles":
            self.link.send(Kind.LINES, b"forged")
        if self.how != "takes nothing":
            asyncio.get_running_loop().add_reader(self.connections, self.take)
        return ""

    def take(self) -> None:
        what, descriptors, _, _ = socket.recv_fds(self.connections, 1, 1)
        for descriptor in descriptors:
            self.held.append(asyncio.create_task(self.serve(what, socket.socket(fileno=descriptor))))

    async def serve(self, what: bytes, caller: socket.socket) -> None:
        caller.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(caller, b"%d %d %s" % (self.number, os.getpid(), what))
        while await loop.sock_recv(caller, 100):
            pass
        caller.close()
        self.closed += 1
        self.link.send(Kind.CLOSED, write_closed({HTTP: self.closed, POSTGRES: 0}))


async def main(how: str, link: int, connections: int) -> None:
    here = socket.socket(fileno=connections)
    here.setblocking(False)
    mate = Mate(how, here)
    await asyncio.get_running_loop().create_unix_connection(lambda: mate.link, sock=socket.socket(fileno=link))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
