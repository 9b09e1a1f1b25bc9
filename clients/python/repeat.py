"""Which calls are repeated, and when; and what a failure says."""

import random
import sys
import time
from dataclasses import dataclass, field
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status

DOMAIN = "gateway.chartbrew.com"
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0

Request = TypeVar("Request")
Response = TypeVar("Response")
Detail = TypeVar("Detail", bound=Message)


@dataclass
class Caller:
    """Makes calls with a token, each within a time that includes its repetitions."""

    token: str = field(repr=False)
    timeout: float

    def call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        is_repeatable: bool,
    ) -> Response:
        """Make a call until it ends with something else than UNAVAILABLE, or its time is over.

        Create may be repeated only with a request_id, all other methods always.
        """
        deadline = time.monotonic() + self.timeout
        limit = FIRST_WAIT
        while True:
            try:
                return method(
                    request,
                    metadata=(("authorization", f"Bearer {self.token}"),),
                    timeout=deadline - time.monotonic(),
                )
            except grpc.RpcError as error:
                assert isinstance(error, grpc.Call)
                if not is_repeatable or error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                wait = told(error)
                if wait is None:
                    wait = random.uniform(limit / 2, limit)  # noqa: S311 not for secrets
                if wait < 0 or time.monotonic() + wait >= deadline:
                    raise
            time.sleep(wait)
            print(f"repeated after {wait:.1f} s: UNAVAILABLE", file=sys.stderr)
            limit = min(2 * limit, LONGEST_WAIT)


def told(error: grpc.Call) -> float | None:
    """Return how long the server says to wait, at least FIRST_WAIT. Less than 0: do not repeat."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-retry-pushback-ms":
            # Negative or no number: do not repeat, as gRPC's A6 says.
            return max(int(value) / 1000, FIRST_WAIT) if value.isdigit() else -1
    for retry in details(error, RetryInfo):
        return max(seconds(retry), FIRST_WAIT)
    return None


def details(error: grpc.Call, kind: type[Detail]) -> list[Detail]:
    """Return the details of this type; none if they cannot be read."""
    found = []
    try:
        status = rpc_status.from_call(error)
        for packed in status.details if status else ():
            detail = kind()
            if packed.Unpack(detail):
                found.append(detail)
    except (DecodeError, ValueError):
        return []
    return found


def reason(error: grpc.Call) -> str:
    """Return the gateway's reason of a failure, or "-"."""
    reasons = [info.reason for info in details(error, ErrorInfo) if info.domain == DOMAIN]
    return reasons[0] if reasons else "-"


def print_failure(error: grpc.Call) -> None:
    """Print what a program decides by: code, reason and details. Never print a request."""
    print(f"failed {error.code().name} {reason(error)}: {error.details()}", file=sys.stderr)
    for bad in details(error, BadRequest):
        for violation in bad.field_violations:
            print(f"  {violation.field}: {violation.description}", file=sys.stderr)
    for retry in details(error, RetryInfo):
        print(f"  may be repeated after {seconds(retry):.1f} s", file=sys.stderr)


def seconds(retry: RetryInfo) -> float:
    """Return how long to wait."""
    return float(retry.retry_delay.ToTimedelta().total_seconds())
