"""Callers that keep calling a gateway until they are told to stop, whatever happens to it."""

import collections
import http.client
import json
import threading
import time

from support.gate import Gate

BODY = json.dumps({"amount": 1}).encode()


class Load:
    """Each caller has a connection of its own and waits for nobody. `answered` are the calls that got a 200, `refused`
    counts the codes of the others."""

    def __init__(self, gate: Gate, token: str, callers: int = 8, *, pause_s: float = 0.0) -> None:
        self.answered: list[str] = []
        self.refused: collections.Counter[str] = collections.Counter()
        self._port = gate.calls
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._live) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _live(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                while not self._stop.is_set():
                    self._call(connection)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)  # the gateway is gone, or going
            finally:
                connection.close()

    def _call(self, connection: http.client.HTTPConnection) -> None:
        connection.request("POST", "/shop/orders", BODY, self._headers)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status == 200:
            self.answered.append(reply.headers["Funcgate-Call-Id"])
            time.sleep(self._pause_s)
        else:
            self.refused[json.loads(body)["code"]] += 1
            time.sleep(0.02)
