"""Creates, tests, updates and deletes a connection of a Chartbrew team."""

import os
import sys
import uuid
from pathlib import Path

import grpc
from chartbrew.connection.v1 import connection_service_pb2 as pb
from chartbrew.connection.v1 import connection_service_pb2_grpc as pb_grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import Parse
from google.protobuf.struct_pb2 import Value

from repeat import FIRST_WAIT, Caller, print_failure

TEAM = 1
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
    """Connect with TLS if there is a file with the authority to trust."""
    if ca_file:
        credentials = grpc.ssl_channel_credentials(Path(ca_file).read_bytes())
        return grpc.secure_channel(address, credentials, OPTIONS)
    return grpc.insecure_channel(address, OPTIONS)


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
    print(f"created {response.connection.id}")
    return response.connection.id


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
    updated = caller.call(service.Update, update, is_repeatable=True).connection
    print(f"updated {updated.id} host={updated.host}")

    delete = pb.DeleteRequest(team_id=TEAM, connection_id=id_)
    caller.call(service.Delete, delete, is_repeatable=True)
    print(f"deleted {id_}")


def main() -> int:
    """Do what the arguments say."""
    address = os.environ.get("CLIENT_ADDRESS", "127.0.0.1:50051")
    with connect(address, os.environ.get("CLIENT_CA_FILE")) as channel:
        service = pb_grpc.ConnectionServiceStub(channel)
        caller = Caller(
            token=os.environ.get("CLIENT_TOKEN", "sandbox-token"),
            timeout=float(os.environ.get("CLIENT_TIMEOUT_SECONDS", "60")),
        )
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
