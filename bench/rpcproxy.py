"""The Python baseline for gRPC: a generic grpc.aio proxy that verifies the token (cached) and compares group and method.

Run as `python -m bench.rpcproxy PORT UPSTREAM_PORT JWKS_FILE`. It masks nothing and records nothing.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from joserfc.jwk import KeySet

from .aiohttp_proxy import Proxy as Tokens
from .rpcwork import METHOD
from .workload import GROUP


class Generic(grpc.GenericRpcHandler):  # type: ignore[misc,unused-ignore]
    """Every method, its messages as bytes."""

    def __init__(self, channel: Any, tokens: Tokens) -> None:
        self._tokens = tokens
        self._ask = channel.unary_unary(METHOD)

    def service(self, details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._carry if details.method == METHOD else self._unknown)

    async def _unknown(self, _request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "")
        return b""

    async def _carry(self, request: bytes, context: Any) -> bytes:
        token = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        claims = self._tokens.claims(token)
        if claims is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "")
        elif GROUP not in claims["groups"]:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "")
        return bytes(await self._ask(request))


async def _serve(port: int, upstream_port: int, keys: KeySet) -> None:
    channel = grpc.aio.insecure_channel(f"127.0.0.1:{upstream_port}")
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Generic(channel, Tokens(upstream_port, keys)),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


def main() -> None:
    port, upstream_port, jwks = int(sys.argv[1]), int(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(port, upstream_port, KeySet.import_key_set(jwks)))


if __name__ == "__main__":
    main()
