"""A data folder with a real journal, tree, content keys and objects, in which days pass; and the chore that lets it expire."""

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Raw

from funcgate.core.entry import Decided, Entry, Kind, Sealed, Who
from funcgate.core.ids import new_id
from funcgate.recording.contents.forms import CONTENT, METADATA, Content, Metadata, encode, encode_salted, encrypt
from funcgate.recording.contents.keystore import DayFile, KeyInfo, KeyStore
from funcgate.recording.contents.objects import ContentStore
from funcgate.recording.contents.opener import Opener
from funcgate.recording.contents.places import Places, write_to
from funcgate.recording.contents.wrapping import Wrapping, begin_with
from funcgate.recording.folder import Line, lines
from funcgate.recording.keeper.settings import KeepRule
from funcgate.recording.proof.chore import ProofChore
from funcgate.recording.retention.chore import RetentionChore
from funcgate.recording.retention.rules import day_of, time_of
from funcgate.stores.journal_files import FileJournal

T0 = 1_790_000_000.0  # 2026-09-21T14:13:20Z
DAY = 86400.0
KEY = bytes(range(32))
RULES = (KeepRule(targets=("*",), content_s=30 * DAY, metadata_s=60 * DAY, decisions_s=90 * DAY),)


class House:
    """`now` is the clock of the gateway and of the keeper. `ask` may be replaced, to let something go wrong there."""

    def __init__(
        self, data: Path, rules: tuple[KeepRule, ...] = RULES, segment_bytes: int = 300, unused_s: float = 0.0
    ) -> None:
        self.data = data
        self.journal = data / "journal"
        self.now = T0
        self.rules = rules
        self.unused_s = unused_s
        self.keys = KeyStore(data)
        self.objects = ContentStore(data)
        data.mkdir(mode=0o700)
        begin_with(data, Wrapping(KEY))
        self._runner = asyncio.Runner()
        self._gateway = FileJournal(self.journal, min_free_bytes=0, segment_bytes=segment_bytes, now=lambda: self.now)
        self._runner.run(self._gateway.start())
        self.ask: Callable[[Mapping[str, Any]], None] = self.record
        self._ciphers: dict[tuple[str, str, str, str], tuple[KeyInfo, AESGCM]] = {}
        self._files: dict[str, DayFile] = {}
        self.chore = self.new_chore()

    # -- the gateway's side

    def write(self, *entries: Entry) -> None:
        """Into the journal of the running gateway, in one batch."""

        async def run() -> None:
            await self._gateway.append(*entries)

        self._runner.run(run())

    def close(self) -> None:
        self._runner.run(self._gateway.close())
        self._runner.close()
        self.chore.close()

    def record(self, change: Mapping[str, Any]) -> None:
        """What the keeper asks for."""
        by = {"via": "keeper", "chore": "retention"}
        self.write(Entry(kind=Kind.ADMIN, call="", outcome="complete", change={**change, "by": by}))

    def admin(self, **change: Any) -> str:
        """An administrator's order, as the gateway records it; its id."""
        order = str(change.pop("order", "")) or new_id(self.now)
        by = {"via": "inbox", "user": "root", "uid": 0}
        self.write(Entry(kind=Kind.ADMIN, call="", change={**change, "order": order, "by": by}))
        return order

    def call(
        self, session: str, who: str = "ada", *, target: str = "shop", function: str = "buy", body: str = "",
        large: bool = False, sealed: bool = True, ends: bool = True, folder: Path | None = None,
    ) -> str:  # fmt: skip
        """One call, a second long. Its content is sealed; `large` puts its answer into an object, `folder` all of its content
        into objects there."""
        self.now += 1
        call, name = new_id(self.now), f"{target}.{function}"
        arrived = Entry(
            kind=Kind.ARRIVED, call=call, session=session, principal=Who("corp", who), function=name, target=target,
            args=Raw(b'{"amount":5}'), client="10.0.0.1:5",
        )  # fmt: skip
        allowed = Entry(kind=Kind.ALLOWED, call=call, session=session, function=name, policy=Decided(("p",), "v"))
        chunk = Entry(
            kind=Kind.CHUNK, call=call, session=session, function=name, body=body or "the answer", media="text/plain"
        )
        ended = Entry(kind=Kind.ENDED, call=call, session=session, function=name, outcome="complete", status=200)
        for entry in (arrived, chunk):
            if folder is not None:
                self._lay(entry, folder, session, target, sealed=sealed)
            if sealed:
                self._seal(entry, session, target, large=large and entry is chunk)
            elif large and entry is chunk:
                entry.object, entry.body = self.objects.write(encode(entry.body)), None
        self.write(arrived, allowed, chunk, *([ended] if ends else []))
        return call

    def end(self, call: str, session: str) -> None:
        self.write(
            Entry(kind=Kind.ENDED, call=call, session=session, function="shop.buy", outcome="complete", status=200)
        )

    def _lay(self, entry: Entry, folder: Path, session: str, target: str, *, sealed: bool) -> None:
        data = encode_salted(entry.args, entry.body, entry.fields)
        if sealed:
            data = encrypt(self._cipher(session, target, CONTENT)[1], data, entry, CONTENT)
        written = write_to(Places(self.data).begin(folder), data)
        entry.where, entry.object, entry.object_bytes = written.where, written.digest, len(data)
        entry.args = entry.body = None

    def _seal(self, entry: Entry, session: str, target: str, *, large: bool) -> None:
        content, cipher = self._cipher(session, target, CONTENT)
        meta, over = self._cipher(session, target, METADATA)
        sealed = {"content_key": content.name, "meta_key": meta.name}
        if entry.where:
            pass
        elif large:
            entry.object = self.objects.write(encrypt(cipher, encode(entry.body), entry, "body"))
        else:
            data = encode(Content(entry.args, entry.body))
            sealed["content"] = base64.b64encode(encrypt(cipher, data, entry, CONTENT)).decode()
        found = Metadata(entry.principal, entry.client, entry.trace, entry.reason, entry.detail)
        sealed["meta"] = base64.b64encode(encrypt(over, encode(found), entry, METADATA)).decode()
        entry.args = entry.body = entry.principal = None
        entry.client = ""
        entry.sealed = Sealed(**sealed)

    def _cipher(self, session: str, target: str, cls: str) -> tuple[KeyInfo, AESGCM]:
        day = day_of(time_of(self.now))
        if (session, target, day, cls) not in self._ciphers:
            file = self._files.setdefault(day, DayFile(self.keys.folder, day))
            info, key = file.add(session, target, cls), secrets.token_bytes(32)
            file.put(info, Wrapping(KEY).wrap(info, key))
            file.write()
            self._ciphers[session, target, day, cls] = info, AESGCM(key)
        return self._ciphers[session, target, day, cls]

    # -- the keeper's side

    def new_chore(self, key: bytes | None = KEY) -> RetentionChore:
        def ask(change: Mapping[str, Any]) -> None:
            self.ask(change)

        return RetentionChore(
            self.data, self.rules, ask, key=key, clock=lambda: self.now, every_s=0, unused_s=self.unused_s
        )

    def restart(self, *, forget: bool = False) -> None:
        """The keeper was killed; `forget`: somebody deleted its view of the journal, too."""
        if forget:
            for path in self.data.glob("retention.db*"):
                path.unlink()
        self.chore.close()
        self.chore = self.new_chore()

    def read(self) -> None:
        """The chores take all lines that are there."""
        self.prove()
        if found := self.lines(self.chore.position):
            self.chore.take(found)

    def prove(self) -> None:
        proof = ProofChore(self.data, origin="test/house", every_s=0)
        if found := self.lines(proof.position):
            proof.take(found)
        proof.tick()
        proof.close()

    def keep(self, turns: int = 3) -> None:
        """Let the keeper do what is due: say it, read it, do it."""
        for _ in range(turns):
            self.read()
            self.chore.tick()
        self.read()

    def pass_days(self, days: int) -> None:
        """Days on which somebody calls, once a day, so that the clock is believed."""

        async def run() -> None:
            waiting = []
            for _ in range(days):
                self.now += DAY
                call, of = new_id(self.now), {"session": "daily", "function": "clock.tick"}
                arrived = Entry(kind=Kind.ARRIVED, call=call, target="clock", **of)
                waiting.append(self._gateway.append(arrived, Entry(kind=Kind.ENDED, call=call, **of)))
                await asyncio.sleep(0)
            for done in waiting:
                await done

        self._runner.run(run())

    # -- what can be seen

    def lines(self, after: int = 0) -> list[Line]:
        return list(lines(self.journal, after=after))

    def changes(self, what: str) -> list[dict[str, Any]]:
        from funcgate.recording.reader import read_entries

        return [dict(entry.change) for entry in read_entries(self.journal) if entry.change.get("what") == what]

    def body(self, call: str) -> object:
        """The answer of a call as it can still be read; "(expired)" if it has expired, None if there is none."""
        from funcgate.recording.reader import read_call

        record = read_call(self.journal, call)
        if record is None:
            return None
        opener = Opener(self.data, KEY)
        try:
            for entry in record.entries:
                opened = opener.look(entry)
                if entry.kind is Kind.CHUNK:
                    return "(expired)" if "content" in opened.expired else opened.entry.body
        finally:
            opener.close()
        return None

    def who(self, call: str) -> str:
        """The subject of who called; "" if that has expired."""
        from funcgate.recording.reader import read_call

        record = read_call(self.journal, call)
        assert record is not None
        opened = Opener(self.data, KEY).open(record.entries[0])
        return opened.principal.subject if opened.principal is not None else ""

    def segments(self) -> list[str]:
        return sorted(path.name for path in self.journal.glob("*.jsonl*"))
