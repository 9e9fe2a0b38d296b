"""Callers that send mutated messages over real sockets, many in one write, and tell what became of them.

After each burst comes a text that the gateway itself refuses by its name: who never sees it, nor the end, was left hanging.
"""

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter

from funcgate.wire.postgres import frames
from support.pgwire import Raw
from support.sqlnoise import changed, statement

BURST = 100  # messages in one write
_HANGS_S = 90.0
_NAMES = ("", "", "", "a", "b", "C d", "ü", "x" * 70)
_TYPES = (0, 0, 23, 25, 25, 17, 1700, 1043, 600, 4294967295)
_VALUES = (b"", b"1", b"x", b"value", b"\0\0\0\7", b"\xff\xfe", b"17 years", b"\0" * 8, b"y" * 300, "ü".encode())
_KINDS = b"QPBDECSHXdcfFpZRT!\0"
Message = tuple[bytes, bytes]


def conversation(noise: random.Random) -> list[Message]:
    """The messages of a statement or two: sound in themselves, hostile in what they say."""
    what = noise.random()
    if what < 0.30:
        return [(b"Q", statement(noise).encode() + b"\0")]
    if what < 0.36:
        found = [(b"Q", b"COPY swallow FROM STDIN\0"), *_copying(noise)]
        return found if noise.random() < 0.7 else found[1:]
    if what < 0.39:
        return [
            noise.choice(
                [
                    (b"F", struct.pack("!IHHH", 1598, 0, 0, 0)),
                    (b"F", b"\0"),
                    (b"C", b"Px\0"),
                    (b"D", b"Snone\0"),
                    (b"H", b""),
                ]
            )
        ]
    found = []
    for _ in range(noise.choice((1, 1, 1, 2, 4))):
        found += _extended(noise)
    return found if noise.random() < 0.02 else [*found, (b"S", b"")]


def _extended(noise: random.Random) -> list[Message]:
    name, portal = noise.choice(_NAMES).encode(), noise.choice(_NAMES).encode()
    if noise.random() < 0.5:
        name = portal = b""
    sql = statement(noise)
    count = max([0, *(each for each in (1, 2) if f"${each}" in sql)])
    found: list[Message] = []
    if noise.random() < 0.93:
        types = [noise.choice(_TYPES) for _ in range(noise.choice((0, 0, count)))]
        if name:
            found.append((b"C", b"S" + name + b"\0"))
        found.append((b"P", name + b"\0" + sql.encode() + b"\0" + struct.pack(f"!H{len(types)}I", len(types), *types)))
    if noise.random() < 0.2:
        found.append((b"D", b"S" + name + b"\0"))
    for _ in range(noise.choice((1, 1, 1, 1, 2, 3))):
        found.append((b"B", portal + b"\0" + name + b"\0" + _bound(noise, count)))
        if noise.random() < 0.6:
            found.append((b"D", b"P" + portal + b"\0"))
        if noise.random() < 0.85:
            found.append((b"E", portal + b"\0" + struct.pack("!I", noise.choice((0, 0, 0, 1, 2, 4294967295)))))
        if portal and noise.random() < 0.7:
            found.append((b"C", b"P" + portal + b"\0"))
    if noise.random() < 0.1:
        found.insert(noise.randrange(len(found) + 1), (b"H", b""))
    return found


def _bound(noise: random.Random, count: int) -> bytes:
    count = count if noise.random() < 0.95 else noise.randrange(4)
    given = noise.choice(([], [], [0], [1], [noise.randrange(2) for _ in range(count)]))
    if noise.random() < 0.8:
        given = []
    results = noise.choice(([], [], [], [0], [1], [0, 1]))
    values = b""
    for _ in range(count):
        value = noise.choice((None, *_VALUES)) if noise.random() < 0.6 else b"%d" % noise.randrange(10**6)
        values += struct.pack("!I", 0xFFFFFFFF) if value is None else struct.pack("!I", len(value)) + value
    parts = [struct.pack(f"!H{len(given)}H", len(given), *given), struct.pack("!H", count), values]
    return b"".join([*parts, struct.pack(f"!H{len(results)}H", len(results), *results)])


def _copying(noise: random.Random) -> list[Message]:
    rows = [b"1\tx\n", b"2\t\\N\n", b"not a number\n", b"\\.\n", b"3", b"\xff\n", b"4\t" + b"y" * 2000 + b"\n"]
    found: list[Message] = [
        (b"d", noise.choice(rows[:2] if noise.random() < 0.7 else rows)) for _ in range(noise.randrange(12))
    ]
    if noise.random() < 0.1:
        found.insert(noise.randrange(len(found) + 1), noise.choice([(b"S", b""), (b"H", b""), (b"Q", b"SELECT 1\0")]))
    return [*found, noise.choice([(b"c", b""), (b"c", b""), (b"f", b"no\0")])]


def mutated(noise: random.Random, messages: list[Message], counts: Counter[str]) -> None:
    """Some of them dropped, doubled, swapped, given another's type, or changed inside where no length and no end is."""
    for _ in range(len(messages) // 8 + 1):
        at, what = noise.randrange(len(messages)), noise.randrange(6)
        kind, payload = messages[at]
        if kind == b"S" and noise.random() < 0.8:
            continue
        if what == 0:
            del messages[at]
            counts["dropped"] += 1
        elif what == 1:
            messages.insert(at, messages[at])
            counts["doubled"] += 1
        elif what == 2:
            other = noise.randrange(len(messages))
            messages[at], messages[other] = messages[other], messages[at]
            counts["swapped"] += 1
        elif kind in (b"Q", b"P") and what < 5:
            cut = payload.find(b"\0") + 1 if kind == b"P" else 0
            end = payload.find(b"\0", cut)
            text = changed(noise, payload[cut:end].decode()).replace("\0", "")
            messages[at] = kind, payload[:cut] + text.encode() + payload[end:]
            counts["texts"] += 1
        elif kind == b"d":
            messages[at] = kind, _flipped(noise, payload)
            counts["copied"] += 1


def broken(noise: random.Random, messages: list[Message], counts: Counter[str]) -> bytes:
    """The bytes of these messages, something in them broken: most often the session ends there."""
    at, what = noise.randrange(len(messages) - 4, len(messages)), noise.randrange(6)
    kind, payload = messages[at]
    raw = frames.frame(kind, payload)
    if what == 0:
        raw = _flipped(noise, raw)
    elif what == 1:
        raw = (
            raw[:1]
            + struct.pack("!I", noise.choice((0, 3, 4, 5, len(raw), len(raw) + 3, 0xFFFFFFFF, 1 << 31)))
            + raw[5:]
        )
    elif what == 2:
        raw = raw[:1] + struct.pack("!I", noise.randrange(2 * len(raw) + 9)) + raw[5:]
    elif what == 3:
        raw = frames.frame(bytes([noise.choice(_KINDS)]), payload)
    elif what == 4:
        raw = frames.frame(kind, payload[: noise.randrange(len(payload) + 1)])
    else:
        raw = frames.frame(kind, payload + noise.choice(_VALUES))
    counts[("flipped", "lengths", "lengths", "types", "cut", "grown")[what]] += 1
    before = b"".join(frames.frame(*each) for each in messages[:at])
    # Zeros fill up whatever length was promised, and are no message: the end is certain.
    return (
        before
        + raw
        + b"".join(frames.frame(*each) for each in messages[at + 1 :])
        + (b"" if what > 3 else b"\0" * 20_000)
    )


def _flipped(noise: random.Random, data: bytes) -> bytes:
    found = bytearray(data or b"\0")
    for _ in range(noise.choice((1, 1, 2, 5))):
        found[noise.randrange(len(found))] = noise.choice((0, 1, 0x7F, 0xFF, noise.randrange(256)))
    return bytes(found)


class Assault:
    """One caller. `trouble` is what must not have happened."""

    def __init__(self, port: int, token: str, seed: str, canary: bytes) -> None:
        self.counts: Counter[str] = Counter()
        self.trouble: list[str] = []
        self._port, self._token, self._canary = port, token, canary
        self._noise = random.Random(seed)
        self._seed = seed
        self._bursts = 0

    def run(self, messages: int) -> None:
        while self.counts["messages"] < messages and len(self.trouble) < 5:
            with contextlib.suppress(OSError), Raw(self._port) as raw:
                self.counts["sessions"] += 1
                if (last := raw.log_in(self._token)[-1:]) and last[0].kind == b"Z":
                    raw.socket.settimeout(_HANGS_S)
                    while self.counts["messages"] < messages and self._burst(raw.socket):
                        pass
                else:
                    self.counts["not let in"] += 1
                    if self.counts["not let in"] > 200:
                        self.trouble.append(f"nobody is let in: {last}")

    def _burst(self, to: socket.socket) -> bool:
        """False when the session is over."""
        noise, messages = self._noise, list[Message]()
        while len(messages) < BURST:
            messages += conversation(noise)
        mutated(noise, messages, self.counts)
        breaking = noise.random() < 0.2
        data = broken(noise, messages, self.counts) if breaking else b"".join(frames.frame(*each) for each in messages)
        self._bursts += 1
        marker = b"marker%d" % self._bursts
        tail = [(b"f", b"\0"), (b"S", b""), (b"Q", b"ROLLBACK\0"), (b"Q", b"COPY t TO STDOUT (" + marker + b" 'x')\0")]
        to.sendall(data + b"".join(frames.frame(*each) for each in tail))
        before = self.counts["cut"]
        goes_on = self._heard(to, b"option " + marker, data)
        # Of a burst that was cut before its end nobody knows how much was read: it does not count.
        self.counts["messages" if goes_on or breaking else "perhaps unread"] += len(messages)
        self.counts["cut early"] += self.counts["cut"] - before if not breaking else 0
        return goes_on

    def _heard(self, to: socket.socket, marker: bytes, sent: bytes) -> bool:
        end, heard = time.monotonic() + _HANGS_S, bytearray()
        try:
            while piece := to.recv(1 << 18):
                heard += piece
                if marker in heard[-600:]:
                    break
                if time.monotonic() > end:
                    raise TimeoutError
        except TimeoutError:
            self.trouble.append(f"{self._seed}: no word for {_HANGS_S} s after {sent[-300:]!r}")
            return False
        self.counts["bytes heard"] += len(heard)
        if self._canary in heard:
            at = heard.index(self._canary)
            self.trouble.append(f"{self._seed}: a hidden value: {bytes(heard[max(0, at - 300) : at + 60])!r}")
        if b"could not be carried on" in heard or b"gateway.error" in heard or b"silent for too long" in heard:
            self.trouble.append(f"{self._seed}: an error of the gateway's own: {bytes(heard[-400:])!r} after {sent!r}")
        if not piece:
            self.counts["cut"] += 1
        return bool(piece)


def assault(
    port: int, token: str, seed: int, messages: int, callers: int, canary: bytes
) -> tuple[Counter[str], list[str]]:
    """Several callers at once, `messages` each; for a process of its own."""
    each = [Assault(port, token, f"{seed}.{number}", canary) for number in range(callers)]
    threads = [threading.Thread(target=one.run, args=(messages,)) for one in each]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum((one.counts for one in each), Counter()), [trouble for one in each for trouble in one.trouble]
