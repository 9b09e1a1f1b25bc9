"""Creates, tests, updates and deletes a connection of a Chartbrew team."""

import os
import re
import sys
import uuid
from pathlib import Path

import grpc
from chartbrew.connection.v1 import connection_service_pb2 as pb
from chartbrew.connection.v1 import connection_service_pb2_grpc as pb_grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import Parse
from google.protobuf.struct_pb2 import Value

from repeat import FIRST_WAIT, Caller, print_failure, reason

TEAM = 1
LONGEST_TIMEOUT = 86_400  # in seconds
LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\]):\d+", re.ASCII)
USAGE = "usage: client.py lifecycle | client.py create NAME [REQUEST_ID]"

# Only `Caller` repeats calls. What is left on, gRPC's transparent retry, sends a call again only if
# the gateway certainly has not begun it.
OPTIONS = [
    ("grpc.service_config_disable_resolution", 1),
    # Without this, the wait between two attempts to connect grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", int(FIRST_WAIT * 1000)),
    ("grpc.min_reconnect_backoff_ms", int(FIRST_WAIT * 1000)),
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


def connect(address: str, ca_file: str | None) -> grpc.Channel:
    """Connect, with TLS unless this cannot be read by others.

    Without a file with the authorities to trust, TLS trusts those that the library has.
    """
    if not ca_file and (LOOPBACK.fullmatch(address) or setting("CLIENT_PLAINTEXT", "") == "1"):
        return grpc.insecure_channel(address, OPTIONS)
    authorities = Path(ca_file).read_bytes() if ca_file else None
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(authorities), OPTIONS)


def setting(name: str, otherwise: str) -> str:
    """Return a variable of the environment."""
    return os.environ.get(name) or otherwise


def settings() -> Caller:
    """Return the caller that the environment describes."""
    try:
        timeout = float(setting("CLIENT_TIMEOUT_SECONDS", "60"))
    except ValueError:
        timeout = 0
    if not 0 < timeout <= LONGEST_TIMEOUT:
        msg = f"CLIENT_TIMEOUT_SECONDS must be a number above 0, at most {LONGEST_TIMEOUT}"
        raise SystemExit(msg)
    # Checked here, since a library may print a token that it cannot send.
    token = setting("CLIENT_TOKEN", "sandbox-token")
    if not re.fullmatch("[!-~]+", token):
        raise SystemExit("CLIENT_TOKEN has characters that no header may have")
    return Caller(token, timeout)


def present(response: pb.CreateResponse | pb.UpdateResponse) -> pb.Connection:
    """Return the connection of a response."""
    if not response.HasField("connection"):
        raise SystemExit("a response without its connection")
    return response.connection


def create(
    service: pb_grpc.ConnectionServiceStub, caller: Caller, name: str, request_id: str | None
) -> int:
    """Return the id of the new connection.

    Without a request_id the call is made once: a second one could make a second connection.
    """
    request = pb.CreateRequest(
        team_id=TEAM,
        request_id=request_id,
        connection=pb.NewConnection(
            name=name,
            type=pb.CONNECTION_TYPE_POSTGRES,
            host="db.example.com",
            port="5432",
            username="reader",
            password="old-password",
            options=Parse('[{"application_name": "example"}]', Value()),
        ),
        files=pb.ConnectionFiles(
            ssl_ca=b"-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n"
        ),
    )
    response = caller.call(service.Create, request, is_repeatable=request_id is not None)
    created = present(response)
    print(f"created {created.id}")
    return created.id


def lifecycle(service: pb_grpc.ConnectionServiceStub, caller: Caller) -> None:
    """Create a connection, test, change and delete it."""
    id_ = create(service, caller, "orders", str(uuid.uuid4()))

    # A test that fails is a response, not an error.
    test = pb.TestRequest(team_id=TEAM, connection_id=id_)
    tested = caller.call(service.Test, test, is_repeatable=True)
    print("tested success=true" if tested.success else f"tested success=false: {tested.message}")

    # Exactly the fields that the mask names are changed.
    update = pb.UpdateRequest(
        team_id=TEAM,
        connection_id=id_,
        connection=pb.NewConnection(host="replica.example.com", password="new-password"),
        update_mask=FieldMask(paths=["host", "password"]),
    )
    updated = present(caller.call(service.Update, update, is_repeatable=True))
    print(f"updated {updated.id} host={updated.host}")

    delete = pb.DeleteRequest(team_id=TEAM, connection_id=id_)
    try:
        caller.call(service.Delete, delete, is_repeatable=True)
    except grpc.RpcError as error:
        assert isinstance(error, grpc.Call)
        # Gone is what it shall be: an attempt whose response was lost may have deleted it.
        if reason(error) != "CONNECTION_NOT_FOUND":
            raise
    print(f"deleted {id_}")


def main() -> int:
    """Do what the arguments say."""
    caller = settings()
    address = setting("CLIENT_ADDRESS", "127.0.0.1:50051")
    with connect(address, os.environ.get("CLIENT_CA_FILE")) as channel:
        service = pb_grpc.ConnectionServiceStub(channel)
        try:
            match sys.argv[1:]:
                case ["lifecycle"]:
                    lifecycle(service, caller)
                case ["create", name]:
                    create(service, caller, name, None)
                case ["create", name, request_id]:
                    create(service, caller, name, request_id)
                case _:
                    print(USAGE, file=sys.stderr)
                    return 1
        except grpc.RpcError as error:
            assert isinstance(error, grpc.Call)
            print_failure(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
