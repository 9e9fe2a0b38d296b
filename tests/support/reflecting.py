"""A real gRPC server that says what it has: server reflection in one version or the other, with or without TLS and a token."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2


class Guard(grpc.ServerInterceptor):
    """Lets in only whoever brings the token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if ("authorization", self._token) in [(key, value) for key, value in details.invocation_metadata]:
            return continuation(details)
        return grpc.stream_stream_rpc_method_handler(
            lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "bring a token")
        )


class Reflecting:
    """Serves until `stop`. `names` are services that it lists."""

    def __init__(
        self, pool: DescriptorPool, *names: str, version: str = "v1", tls: tuple[Path, Path] | None = None, token: str = ""
    ) -> None:  # fmt: skip
        self._server = grpc.server(ThreadPoolExecutor(4), interceptors=[Guard(token)] if token else [])
        servicer = reflection.ReflectionServicer(list(names), pool=pool)
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        service = f"grpc.reflection.{version}.ServerReflection"
        found = grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler})
        self._server.add_generic_rpc_handlers((found,))
        if tls is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            cert, key = (path.read_bytes() for path in tls)
            credentials = grpc.ssl_server_credentials([(key, cert)])
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait(10)
