"""The development OpenID provider on a port of its own, for as long as a test runs."""

import socket
import threading
from collections.abc import Mapping

from funcgate.demo.loopback import server
from funcgate.demo.provider import Person, make_provider

PEOPLE: Mapping[str, Person] = {
    "bob": Person(groups=("finance",), email="bob@corp.example"),
    "eve": Person(groups=("marketing",), email="eve@corp.example"),
    "agent-7": Person(groups=("agents",)),
    "root": Person(groups=("platform",)),
}


class Provider:
    """Serves until `stop`."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = server(make_provider(self.url, PEOPLE), 0)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def start(self) -> "Provider":
        self._thread.start()
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()
