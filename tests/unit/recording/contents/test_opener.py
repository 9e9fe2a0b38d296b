"""Entries come back as they were, or it is said what is gone and why. Nothing that was tampered with is shown."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from funcgate.core.entry import Entry, Kind, Sealed, Who
from funcgate.recording.contents import Contents, ContentStore, KeyStore, Opener, WrongKey
from funcgate.stores.memory import MemoryJournal
from support.quick import examples

Make = Callable[..., Entry]
INLINE = 60
KEY = bytes(range(32))
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
raws = st.recursive(
    st.none() | st.booleans() | st.integers() | text, lambda one: st.lists(one) | st.dictionaries(text, one)
)
whos = st.builds(
    Who, issuer=text, subject=text, groups=st.lists(text, max_size=3).map(tuple), acts_for=st.none() | text
)


def as_raw(value: Any) -> Raw:
    return Raw(json.dumps(value, ensure_ascii=False).encode())


entries_made = st.builds(
    Entry, kind=st.sampled_from([kind for kind in Kind if kind is not Kind.ADMIN]), call=text, session=text, function=text,
    target=text, principal=st.none() | whos, args=st.none() | raws.map(as_raw), client=text, trace=text, reason=text,
    detail=text, body=st.none() | text | st.dictionaries(text, raws).map(as_raw), piece=st.integers(0, 9),
    status=st.integers(0, 599), outcome=text, approval=text,
)  # fmt: skip


def shown(entry: Entry) -> dict[str, Any]:
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name not in ("seq", "at", "crc")}
    for name in ("args", "body"):
        fields[name] = bytes(fields[name]) if isinstance(fields[name], Raw) else fields[name]
    return fields


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(entries=st.lists(entries_made, min_size=1, max_size=4), key=st.none() | st.just(KEY))
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry], key: bytes | None
) -> None:
    """Also with several entries in one append, large ones among them."""
    folder = tmp_path_factory.mktemp("data")

    async def play() -> list[Entry]:
        inner = MemoryJournal()
        contents = Contents(inner, folder, inline_bytes=INLINE, key=key)
        await contents.append(*map(replace, entries))
        await contents.close()
        return inner.entries

    opener = Opener(folder, key)
    for given_one, written in zip(entries, asyncio.run(play()), strict=True):
        looked = opener.look(written)
        assert looked.lost == ()
        assert shown(replace(looked.entry, object="", args_object="")) == shown(given_one)
        if key is not None:
            hidden = (written.args, written.body, written.principal, written.client, written.reason, written.detail)
            assert not any(hidden)
    opener.close()


@pytest.fixture
def sealed(record: Callable[..., list[Entry]], arrived: Make, chunk: Make, key: bytes) -> list[Entry]:
    """An arrival, a small answer, a large one; all sealed."""
    large = Raw(b'{"large":"%b"}' % (b"x" * 500))
    return record(arrived(), chunk("small", piece=1), chunk(large, piece=2), inline_bytes=100, key=key)


def test_without_the_key_all_stays_sealed_and_says_so(sealed: list[Entry], tmp_path: Path) -> None:
    opener = Opener(tmp_path)
    for entry in sealed:
        looked = opener.look(entry)
        assert {one.why for one in looked.lost} == {"locked"}
        assert looked.entry == entry
        assert looked.expired == ()


def test_another_key_is_refused_by_name(sealed: list[Entry], tmp_path: Path) -> None:
    with pytest.raises(WrongKey, match=r"configure that one again.*Nothing was changed"):
        Opener(tmp_path, b"x" * 32)


def test_a_shredded_key_takes_its_class_along_and_no_other(sealed: list[Entry], tmp_path: Path, key: bytes) -> None:
    opener = Opener(tmp_path, key)
    assert [opener.look(entry).lost for entry in sealed] == [(), (), ()]  # its keys are cached now
    for info in KeyStore(tmp_path).list():
        if info.cls == "content":
            assert KeyStore(tmp_path).shred(info.name)
    first, second, third = (opener.look(entry) for entry in sealed)
    assert first.expired == second.expired == third.expired == ("content",)
    assert (first.entry.args, second.entry.body, third.entry.body) == (None, None, None)
    assert first.entry.principal is not None
    assert (first.entry.client, first.entry.function) == ("10.0.0.1", "shop.buy")
    assert first.entry.sealed == Sealed(content=sealed[0].sealed.content, content_key=sealed[0].sealed.content_key)  # type: ignore[union-attr]
    for info in list(KeyStore(tmp_path).list()):
        KeyStore(tmp_path).shred(info.name)
    assert opener.look(sealed[0]).expired == ("content", "metadata")


def test_keys_that_are_gone_altogether_have_expired(sealed: list[Entry], tmp_path: Path, key: bytes) -> None:
    for path in (tmp_path / "keys").glob("*.jsonl"):
        path.unlink()
    assert Opener(tmp_path, key).look(sealed[0]).expired == ("content", "metadata")


def flipped(encoded: str, at: int) -> str:
    data = bytearray(base64.b64decode(encoded))
    data[at % len(data)] ^= 1
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("at", [0, 5, 11, 12, 20, -17, -16, -1])
@pytest.mark.parametrize("part", ["content", "meta"])
def test_what_was_tampered_with_is_told_and_not_shown(
    sealed: list[Entry], tmp_path: Path, key: bytes, part: str, at: int
) -> None:
    entry = sealed[0]
    assert entry.sealed is not None
    entry.sealed = replace(entry.sealed, **{part: flipped(getattr(entry.sealed, part), at)})
    looked = Opener(tmp_path, key).look(entry)
    (lost,) = looked.lost
    assert (lost.why, lost.cls) == ("altered", "content" if part == "content" else "metadata")
    assert "does not authenticate" in lost.text
    assert (looked.entry.args is None) == (part == "content")
    assert (looked.entry.principal is None) == (part == "meta")


@pytest.mark.parametrize("junk", ["", "!", "AAAA", "A" * 40])
def test_junk_in_place_of_what_was_sealed(sealed: list[Entry], tmp_path: Path, key: bytes, junk: str) -> None:
    assert sealed[0].sealed is not None
    for part in ("content", "meta"):
        entry = replace(sealed[0], sealed=replace(sealed[0].sealed, **{part: junk or "="}))
        assert [one.why for one in Opener(tmp_path, key).look(entry).lost] == ["altered"]


@pytest.mark.parametrize("change", [{"call": "c2"}, {"kind": Kind.DENIED}, {"piece": 7}])
def test_what_is_sealed_belongs_to_its_entry(sealed: list[Entry], tmp_path: Path, key: bytes, change: Any) -> None:
    for entry in sealed:
        assert "altered" in {one.why for one in Opener(tmp_path, key).look(replace(entry, **change)).lost}


def test_classes_are_not_exchanged(sealed: list[Entry], tmp_path: Path, key: bytes) -> None:
    was = sealed[0].sealed
    assert was is not None
    swapped = Sealed(content=was.meta, content_key=was.meta_key, meta=was.content, meta_key=was.content_key)
    looked = Opener(tmp_path, key).look(replace(sealed[0], sealed=swapped))
    assert [one.why for one in looked.lost] == ["altered", "altered"]


def test_an_object_that_is_gone_or_altered(sealed: list[Entry], tmp_path: Path, key: bytes) -> None:
    store, large = ContentStore(tmp_path), sealed[2]
    whole = store.read(large.object)
    altered = whole[:-1] + bytes([whole[-1] ^ 1])
    store.path(large.object).write_bytes(altered)
    assert [one.why for one in Opener(tmp_path, key).look(large).lost] == ["altered"]
    other = store.write(altered)  # what matches its name, and was never sealed
    assert [one.why for one in Opener(tmp_path, key).look(replace(large, object=other)).lost] == ["altered"]
    store.path(large.object).unlink()
    looked = Opener(tmp_path, key).look(large)
    assert [(one.cls, one.why) for one in looked.lost] == [("content", "missing")]
    assert (looked.entry.body, looked.entry.object) == (None, large.object)
    store.path(large.object).write_bytes(whole)
    store.delete(large.object)
    assert Opener(tmp_path, key).look(large).expired == ("content",)


def test_plain_entries_are_handed_back_as_they_are(tmp_path: Path, arrived: Make) -> None:
    entry = arrived()
    assert Opener(tmp_path).open(entry) is entry


def test_arguments_stay_where_only_the_answer_is_gone(
    record: Callable[..., list[Entry]], chunk: Make, tmp_path: Path
) -> None:
    (entry,) = record(chunk("x" * 500, args=Raw(b"{}")), inline_bytes=100)
    ContentStore(tmp_path).delete(entry.object)
    looked = Opener(tmp_path).look(entry)
    assert (bytes(looked.entry.args or b""), looked.entry.body, looked.expired) == (b"{}", None, ("content",))


@pytest.mark.parametrize("inline", [1, 1000])
@pytest.mark.parametrize("odd", [b'1,"body":"forged"', b'{"a":1}}', b'"\xff"', b"[" * 2000 + b"]" * 2000, b"nul"])
def test_what_is_no_json_comes_back_as_text(
    record: Callable[..., list[Entry]], arrived: Make, tmp_path: Path, inline: int, odd: bytes
) -> None:
    """No maker of entries gives such a thing; if one ever did, nothing is lost and nothing forged."""
    (entry,) = record(arrived(args=odd), inline_bytes=inline, key=KEY)
    looked = Opener(tmp_path, KEY).look(entry)
    assert looked.lost == ()
    assert looked.entry.body is None
    args = bytes(looked.entry.args or b"")
    assert json.loads(args) if args != odd else odd.startswith(b"[")


def test_text_that_is_no_unicode_comes_back_with_escapes(record: Callable[..., list[Entry]], tmp_path: Path) -> None:
    odd = Entry(
        kind=Kind.DENIED, call="c", principal=Who("corp", "x\udfff", ("g\ud800",)), detail="\ud800", body="\ud800 body"
    )
    (entry,) = record(odd, key=KEY)
    looked = Opener(tmp_path, KEY).look(entry)
    assert (looked.lost, looked.entry.detail, looked.entry.body) == ((), "\\ud800", "\\ud800 body")
    assert looked.entry.principal == Who("corp", "x\\udfff", ("g\\ud800",))


def test_what_an_opened_entry_lacks_is_told(sealed: list[Entry], tmp_path: Path, key: bytes) -> None:
    opener = Opener(tmp_path, key)
    assert [opener.lacking(opener.open(entry)) for entry in sealed] == [(), (), ()]
    ContentStore(tmp_path).delete(sealed[2].object)
    assert [one.why for one in opener.lacking(opener.open(sealed[2]))] == ["expired"]
    for info in list(KeyStore(tmp_path).list()):
        KeyStore(tmp_path).shred(info.name)
    assert [one.cls for one in opener.lacking(opener.open(sealed[0]))] == ["content", "metadata"]
