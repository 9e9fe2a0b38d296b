"""grpc-js, which speaks HTTP/2 by Node's own stack, through the gateway: all kinds of calls, plain and compressed."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.grpc_gate import GrpcGate
from support.ledger import PROTO, SERVICE, LedgerTarget
from support.node import modules

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")]
SCRIPT = Path(__file__).parents[1] / "support" / "grpc_client.cjs"
POLICIES = [
    {
        "name": "p", "effect": "allow", "functions": [f"ledger.{SERVICE}/Transfer"], "principals": ["group:agents"],
        "when": "args.note != 'denied'",
    },
    {
        "name": "q", "effect": "allow", "principals": ["group:agents"],
        "functions": [f"ledger.{SERVICE}/{name}" for name in ("History", "Chat", "Import")],
    },
]  # fmt: skip


def test_all_kinds_of_calls(make_grpc_gate: Callable[..., GrpcGate], ledger: LedgerTarget) -> None:
    folder = modules("@grpc/grpc-js", "@grpc/proto-loader")
    gate = make_grpc_gate(policies=POLICIES).start()
    done = subprocess.run(
        ["node", str(SCRIPT), f"127.0.0.1:{gate.calls}", str(PROTO), gate.authority.token()],
        env=os.environ | {"NODE_PATH": str(folder / "node_modules")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for found in json.loads(done.stdout).values():
        assert (found["unary"]["id"], found["unary"]["note"]) == ("t-5", "n" * 5000)
        assert len(found["unary"]["head"]) == 26
        assert found["refused"]["code"] == 7
        assert "grpc-status-details-bin" in found["refused"]["names"]
        assert found["stream"] == {"numbers": [0, 1, 2, 3], "code": 0}
        assert found["failing"] == {"numbers": [0, 1], "code": 11}
        assert found["chat"] == [1, 2, 3, 4, 5]
        assert found["importing"]["text"] == "t0,t1,t2"
        assert found["cancelled"] == 1
    assert ledger.ledger[0].header("x-raw-bin") == b"\x00\xff"
