"""What a call can be found by, as numbers: a kind of fact and a keyed hash of its value. Pure.

The index holds no name of a person, group, session or address: with a secret of its own nobody can guess them either.
"""

import hmac
import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from hashlib import blake2b
from ipaddress import IPv4Network, ip_network

from funcgate.core.entry import Decided, Who
from funcgate.recording.addresses import Address, Network, address_of, spelling

_BITS = 58
_VALUE = (1 << _BITS) - 1
_REMEMBERED = 20_000
_LEVELS = {4: (8, 16, 24, 32), 6: (16, 24, 32, 40, 48, 56, 64, 128)}
MAX_SUBNETS = 256
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN_IPV4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET.replace('(', '(?:')}")


def secret_of(key: bytes | None) -> bytes:
    """What the index is keyed by, of the journal's own key; nothing where there is none."""
    return b"" if key is None else hmac.digest(key, b"funcgate index", "sha256")


class Fact(IntEnum):
    WHO = 1  # ISSUER/SUBJECT
    SUBJECT = 2
    ACTS_FOR = 3
    GROUP = 4
    FUNCTION = 5
    FAMILY = 6  # the function's name up to the first dot, with it
    TARGET = 7
    DECISION = 8
    CODE = 9
    POLICY = 10
    SESSION = 11
    CLIENT = 12  # an address, and the networks around it
    APPROVER = 13
    KIND = 14
    OBJECT = 15  # content beside the journal
    ELSEWHERE = 16  # content in another folder: its words are not here


METADATA = frozenset({Fact.WHO, Fact.SUBJECT, Fact.ACTS_FOR, Fact.GROUP, Fact.CLIENT, Fact.APPROVER})


def fact_of(key: int) -> int:
    """Which kind of fact a key is of."""
    return key >> _BITS


def keys_of(fact: Fact) -> tuple[int, int]:
    """The least and the greatest key of a kind of fact."""
    return fact << _BITS, fact << _BITS | _VALUE


def token(key: int) -> str:
    """The key as a word."""
    return f"{key:016x}"


class Keys:
    """Facts to keys. `secret` is empty where the journal is not encrypted."""

    def __init__(self, secret: bytes = b"") -> None:
        self._secret = secret
        self._begun = blake2b(digest_size=8, key=secret)
        self._known: dict[tuple[int, str], int] = {}
        self._words: dict[str, str] = {}

    def key(self, fact: Fact, value: str) -> int:
        """A positive number of 63 bits."""
        known = self._known.get((fact, value))
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            digest = self._digest(b"%d %b" % (fact, value.encode("utf-8", "surrogatepass")))
            known = self._known[fact, value] = fact << _BITS | int.from_bytes(digest, "big") & _VALUE
        return known

    def words(self, text: str) -> str:
        """The words as the index holds them: as they are, or each one hashed."""
        if not self._secret:
            return text
        if len(self._words) > _REMEMBERED:
            self._words.clear()
        return " ".join([self._words.get(word) or self._word(word) for word in text.split()])

    def said(self, text: bytes, keys: Iterable[int]) -> str:
        """What the words' index holds of a call: its words, and its facts as words more, so that it can cut one with the
        other itself. In the same order each time."""
        words = self.words(text.decode("utf-8", "ignore"))  # the last character may be cut
        return " ".join([words, *(token(key) for key in sorted(keys) if fact_of(key) != Fact.KIND)])

    def _word(self, word: str) -> str:
        hashed = self._words[word] = self._digest(b"word " + word.encode()).hex()
        return hashed

    @property
    def hashes(self) -> bool:
        """Whether words are hashed."""
        return bool(self._secret)

    def check(self) -> str:
        """Tells this secret from another one, and nothing else."""
        return self._digest(b"check").hex() if self._secret else ""

    def _digest(self, value: bytes) -> bytes:
        """8 bytes. BLAKE2b (RFC 7693) is keyed of itself, and takes a third of the time of an HMAC."""
        begun = self._begun.copy()  # half the time of a new one
        begun.update(value)
        return begun.digest()

    def who(self, who: Who) -> Iterator[int]:
        yield self.key(Fact.WHO, f"{who.issuer}/{who.subject}")
        yield self.key(Fact.SUBJECT, who.subject)
        if who.acts_for is not None:
            yield self.key(Fact.ACTS_FOR, who.acts_for)
        for group in who.groups:
            yield self.key(Fact.GROUP, group)

    def approver(self, who: Who) -> Iterator[int]:
        yield self.key(Fact.APPROVER, who.subject)
        yield self.key(Fact.APPROVER, f"{who.issuer}/{who.subject}")
        if who.acts_for is not None:
            yield self.key(Fact.APPROVER, who.acts_for)
        for group in who.groups:
            yield self.key(Fact.APPROVER, f"group:{group}")

    def function(self, name: str) -> Iterator[int]:
        yield self.key(Fact.FUNCTION, name)
        family, dot, _ = name.partition(".")
        yield self.key(Fact.FAMILY, family + dot)

    def policies(self, decided: Decided) -> Iterator[int]:
        for name in decided.names:
            yield self.key(Fact.POLICY, name)

    def client(self, client: str) -> Iterator[int]:
        if found := _PLAIN_IPV4.fullmatch(client):  # nearly every one; the same as below, in less time
            a, b, c = found.groups()
            yield self.key(Fact.CLIENT, client)
            yield self.key(Fact.CLIENT, f"{a}.0.0.0/8")
            yield self.key(Fact.CLIENT, f"{a}.{b}.0.0/16")
            yield self.key(Fact.CLIENT, f"{a}.{b}.{c}.0/24")
            return
        yield self.key(Fact.CLIENT, spelling(client))
        address = address_of(client)
        if address is not None:
            for length in _LEVELS[address.version][:-1]:
                yield self.key(Fact.CLIENT, str(_around(address, length)))

    def inside(self, network: Network) -> Iterable[int]:
        """Keys that the calls from a network have. Raises `ValueError` for one that would take too many."""
        levels = _LEVELS[network.version]
        length = next(level for level in levels if level >= network.prefixlen)
        if length - network.prefixlen > MAX_SUBNETS.bit_length() - 1:
            raise ValueError(f"{network} is too wide to search for; ask for a /{length - 8} to /{length}")
        whole = length == levels[-1]
        for subnet in network.subnets(new_prefix=length):
            yield self.key(Fact.CLIENT, str(subnet.network_address if whole else subnet))


def _around(address: Address, length: int) -> Network:
    if address.version == 4:
        return IPv4Network((int(address) >> 32 - length << 32 - length, length))
    return ip_network((int(address) >> 128 - length << 128 - length, length))
