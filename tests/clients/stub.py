"""A server that answers a call as the call's token says: see `answer`. It prints each call's token and time."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

UNAVAILABLE, NOT_FOUND = 14, 5

seen = set()


class Handler(grpc.GenericRpcHandler):
    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(answer)


def answer(_, context: grpc.ServicerContext) -> bytes:
    """`pushback=VALUE`: UNAVAILABLE with this pushback and another time in RetryInfo, once; then ABORTED.
    `garbled`: UNAVAILABLE with details that are none. `other-code`: with those of NOT_FOUND. `empty`: an
    empty response."""
    token = dict(context.invocation_metadata())["authorization"].removeprefix("Bearer ")
    print(token, time.monotonic(), flush=True)
    if token == "empty":
        return b""
    if token in seen:
        context.abort(grpc.StatusCode.ABORTED, "again")
    seen.add(token)
    details = Any()
    details.Pack(RetryInfo(retry_delay=Duration(nanos=600_000_000)))
    code = NOT_FOUND if token == "other-code" else UNAVAILABLE
    packed = Status(code=code, message="stub", details=[details]).SerializeToString()
    trailers = [("grpc-status-details-bin", b"\xff\xff\xff" if token == "garbled" else packed)]
    if token.startswith("pushback="):
        trailers.append(("grpc-retry-pushback-ms", token.removeprefix("pushback=")))
    context.set_trailing_metadata(trailers)
    context.abort(grpc.StatusCode.UNAVAILABLE, "stub")


server = grpc.server(ThreadPoolExecutor(), [Handler()])
print("port", server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
server.wait_for_termination()
