"""Copies of checkpoints: a folder, S3 (moto's server), an HTTP server; down, full, and rolled back behind their back."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from funcgate.recording.chore import Complains
from funcgate.recording.proof.checkpoints import Signed
from funcgate.recording.proof.copies import CopyFailed, Destination, destination, fetch, name_of
from funcgate.recording.proof.courier import MAX_WAITING, Courier
from funcgate.recording.proof.note import Checkpoint, Signer
from funcgate.recording.proof.verify import verify
from support.prover import Prover

SIGNER = Signer("acme.example/funcgate", Ed25519PrivateKey.from_private_bytes(bytes(32)))


def signed(size: int, root: int = 0) -> Signed:
    checkpoint = Checkpoint(SIGNER.key.name, size, bytes([root] * 32))
    return Signed(checkpoint, SIGNER.sign(checkpoint.text()).encode())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"proofs-{time.monotonic_ns()}"
    boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket=name)
    return f"s3://{name}/gateways/one"


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/copies/of it" if request.param == "folder" else request.getfixturevalue("bucket")


def test_each_is_kept_and_the_latest_too(url: str) -> None:
    place = destination(url, SIGNER.key)
    for size in (3, 5, 5, 8):
        place.put(signed(size))
    found = dict(fetch(url, SIGNER.key))
    assert {name.rpartition("/")[2]: note for name, note in found.items()} == {
        name_of(3): signed(3).note,
        name_of(5): signed(5).note,
        name_of(8): signed(8).note,
        "latest": signed(8).note,
    }


def test_a_journal_that_was_rolled_back_does_not_overwrite(url: str) -> None:
    """Attack: an older data folder put back, which then grows another way."""
    place = destination(url, SIGNER.key)
    place.put(signed(5))
    place.put(signed(8))
    with pytest.raises(CopyFailed, match="a checkpoint of 8 entries is there, and this journal has 5"):
        destination(url, SIGNER.key).put(signed(5))
    with pytest.raises(CopyFailed, match="another checkpoint of 8 entries"):
        place.put(signed(8, root=1))
    assert dict(fetch(url, SIGNER.key))[f"{url}/latest"] == signed(8).note


def test_copies_of_another_gateway_are_left_alone(url: str) -> None:
    destination(url, SIGNER.key).put(signed(5))
    other = Signer("else.example", Ed25519PrivateKey.generate())
    note = other.sign(Checkpoint(other.key.name, 9, bytes(32)).text()).encode()
    with pytest.raises(CopyFailed, match="not a checkpoint of this journal"):
        destination(url, other.key).put(Signed(Checkpoint(other.key.name, 9, bytes(32)), note))


def test_no_copies_yet(url: str) -> None:
    with pytest.raises(CopyFailed):
        fetch(url, SIGNER.key)


def test_a_bucket_that_is_not_there(bucket: str) -> None:
    with pytest.raises(CopyFailed) as caught:
        destination("s3://no-such-bucket-here/x", SIGNER.key).put(signed(1))
    assert "testing" not in str(caught.value)


@pytest.mark.parametrize("wrong", ["ftp://a/b", "copies", ""])
def test_what_is_no_destination(wrong: str) -> None:
    with pytest.raises(ValueError, match="no copy can be sent"):
        destination(wrong, SIGNER.key)


# -- the webhook


class Hook:
    def __init__(self) -> None:
        self.got: list[tuple[str, str, bytes]] = []
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.path, self.headers["Content-Type"], body))
                status = hook.answers.pop(0) if hook.answers else 204
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


def test_a_webhook_gets_the_note(hook: Hook) -> None:
    destination(hook.url, SIGNER.key).put(signed(7))
    assert hook.got == [("/hook", "text/plain; charset=utf-8", signed(7).note)]


def test_a_webhook_that_does_not_take_it(hook: Hook) -> None:
    hook.answers = [500, 307]
    place = destination(hook.url, SIGNER.key)
    for status in (500, 307):
        with pytest.raises(CopyFailed, match=f"it answered {status}"):
            place.put(signed(7))
    assert [path for path, _, _ in hook.got] == ["/hook", "/hook"]
    hook.server.shutdown()
    hook.server.server_close()
    with pytest.raises(CopyFailed, match="Connect"):
        destination(hook.url, SIGNER.key).put(signed(7))


# -- the courier


class Moody:
    """A destination that fails so many times, or waits until it is let go."""

    def __init__(self, fails: int = 0, gate: threading.Event | None = None) -> None:
        self.fails = fails
        self.gate = gate
        self.got: list[int] = []

    def put(self, signed: Signed) -> None:
        if self.gate is not None:
            self.gate.wait(30)
        if self.fails:
            self.fails -= 1
            raise CopyFailed("not now")
        self.got.append(signed.size)


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.005)


def courier(to: Destination) -> Courier:
    return Courier("somewhere", lambda: to)


def test_tried_again_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcgate.recording.proof.courier.LEAST_PAUSE_S", 0.01)
    moody = Moody(fails=4)
    carrying = courier(moody)
    carrying.offer(signed(1))
    carrying.offer(signed(2))
    until(lambda: carrying.status.size == 2)
    assert moody.got == [1, 2]
    assert carrying.status.problem == ""
    carrying.close(5)


def test_what_fails_is_told_and_the_newest_is_kept() -> None:
    gate = threading.Event()
    moody = Moody(gate=gate)
    carrying = courier(moody)
    for size in range(1, MAX_WAITING + 11):
        carrying.offer(signed(size))
    assert carrying.status.waiting == MAX_WAITING
    assert carrying.status.dropped >= 10
    gate.set()
    until(lambda: carrying.status.size == MAX_WAITING + 10)
    assert moody.got == sorted(moody.got)
    carrying.close(5)
    failing = courier(Moody(fails=1000))
    failing.offer(signed(1))
    until(lambda: failing.status.problem != "")
    assert failing.status.problem == "not now"
    assert failing.status.size == -1
    failing.close(5)
    assert not failing._thread.is_alive()


def test_the_newest_goes_out_at_the_end() -> None:
    gate = threading.Event()
    moody = Moody(gate=gate)
    carrying = courier(moody)
    for size in (1, 2, 3):
        carrying.offer(signed(size))
    closing = threading.Thread(target=carrying.close, args=(10,))
    closing.start()
    gate.set()
    closing.join()
    assert moody.got[-1] == 3


# -- all of it


def test_a_copy_that_fails_stops_nothing(prover: Prover, tmp_path: Path, hook: Hook) -> None:
    (tmp_path / "file").write_text("in the way")
    good, bad = f"file://{tmp_path}/good", f"file://{tmp_path}/file/in/it"
    prover.write(10)
    chore = prover.chore(copies=[bad, "nonsense://x", good, hook.url])
    chore.take(prover.lines())
    chore.tick()
    until(lambda: [copy.size > 0 for copy in chore.status.copies] == [False, False, True, True])
    until(lambda: all(copy.problem or copy.size > 0 for copy in chore.status.copies))
    assert chore.status.problem == ""
    assert isinstance(chore, Complains)
    assert chore.complaint == f"copies to {bad}: Not a directory"
    assert [bool(copy.problem) for copy in chore.status.copies] == [True, True, False, False]
    chore.close()
    verdict = verify(prover.data_dir, checkpoints=[tmp_path / "good"])
    assert verdict.sound
    assert verdict.outside == 2
    assert hook.got[0][2] == (prover.proof / "checkpoint").read_bytes()
    again = prover.chore(copies=[hook.url])  # at least once: what was there at the end is offered again
    assert again.position == len(prover.lines())
    until(lambda: len(hook.got) == 2)
    again.close()
