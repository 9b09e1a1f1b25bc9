"""The life of a connection, by a client that is not ours: Python's grpcio.

    python3 lifecycle.py ADDRESS TOKEN GENERATED-CODE

Runs against any gateway, also one before a real Chartbrew; makes its connections in team 1 and deletes
them. It expects that Chartbrew can reach no database at 127.0.0.1:1.
"""

import sys
import time
import uuid

ADDRESS, TOKEN, GENERATED = sys.argv[1:]
sys.path.insert(0, GENERATED)

import grpc
from google.protobuf import field_mask_pb2, struct_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from chartbrew.connection.v1 import connection_service_pb2 as pb
from chartbrew.connection.v1 import connection_service_pb2_grpc as pb_grpc

TEAM = 1
METADATA = [("authorization", f"Bearer {TOKEN}")]
PEM = b"-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----\n"
NAME = f"lifecycle {uuid.uuid4()}"

service = pb_grpc.ConnectionServiceStub(grpc.insecure_channel(ADDRESS))


def call(method, message, **options):
    began = time.monotonic()
    try:
        return getattr(service, method)(message, metadata=METADATA, timeout=60, **options)
    finally:
        print(f"{method:12} {(time.monotonic() - began) * 1000:7.1f} ms")


def refused(method, message):
    """The code of a call that must fail, the reason of its ErrorInfo and its fields."""
    try:
        call(method, message)
    except grpc.RpcError as error:
        reason, fields = None, []
        for detail in rpc_status.from_call(error).details:
            for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest):
                found = kind()
                if detail.Unpack(found):
                    reason = getattr(found, "reason", reason)
                    fields += [v.field for v in getattr(found, "field_violations", [])]
        return error.code(), reason, fields
    raise AssertionError(f"{method} was not refused")


def same(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


def ref(id, **fields):
    return dict(team_id=TEAM, connection_id=id, **fields)


def get(id, view=pb.CONNECTION_VIEW_FULL):
    return call("Get", pb.GetRequest(**ref(id, view=view))).connection


def update(id, paths, **fields):
    mask = field_mask_pb2.FieldMask(paths=paths)
    connection = pb.NewConnection(**fields)
    message = pb.UpdateRequest(**ref(id, connection=connection, update_mask=mask))
    return call("Update", message).connection


# Create, twice with one request_id: one connection.
create = pb.CreateRequest(
    team_id=TEAM,
    request_id=str(uuid.uuid4()),
    connection=pb.NewConnection(
        name=NAME, type=pb.CONNECTION_TYPE_MYSQL, host="127.0.0.1", port="1",
        username="reader", password="old-password", db_name="orders",
        options=struct_pb2.Value(struct_value={"pool": 5}),
        ssh=pb.SshTunnel(host="bastion", username="tunnel", password="tunnel-password"),
    ),
    files=pb.ConnectionFiles(ssl_ca=PEM),
)
made = call("Create", create).connection
same(call("Create", create).connection.id, made.id)
id = made.id
first_path = get(id).ssl_ca
assert first_path, "the certificate was not uploaded"

# Read: secrets only where they are asked for.
basic = get(id, pb.CONNECTION_VIEW_UNSPECIFIED)
same((basic.name, basic.username, basic.password, basic.HasField("options")), (NAME, "reader", "", False))
full = get(id)
same((full.password, full.options.struct_value["pool"]), ("old-password", 5))
ours, pages, token = [], 0, ""
while True:
    page = call("List", pb.ListRequest(team_id=TEAM, page_size=2, page_token=token))
    ours += [c.id for c in page.connections if c.name == NAME]
    assert not any(c.password or c.connection_string for c in page.connections)
    pages, token = pages + 1, page.next_page_token
    if not token:
        break
same(ours, [id])

# Test, stored and not: a test that fails is a response, without secrets.
tested = call("Test", pb.TestRequest(**ref(id)))
assert not tested.success and "old-password" not in tested.message, tested
assert "ECONNREFUSED" in tested.message or "SSH" in tested.message, tested.message
new = pb.NewConnection(name=NAME, type=pb.CONNECTION_TYPE_MYSQL, host="127.0.0.1", port="1", password="hush-hush")
for files in (None, pb.ConnectionFiles(ssl_ca=PEM)):
    tested = call("TestNew", pb.TestNewRequest(team_id=TEAM, connection=new, files=files))
    same((tested.success, tested.message), (False, "connect ECONNREFUSED 127.0.0.1:1"))

# Update: rename, rotate the password, clear; nothing else changes.
changed = update(id, ["name", "password"], name=NAME + " renamed", password="new-password", host="ignored")
same((changed.name, changed.password, changed.host), (NAME + " renamed", "new-password", "127.0.0.1"))
same(update(id, ["options"]).HasField("options"), False)
same(update(id, ["ssh.host"], ssh=pb.SshTunnel(host="bastion2")).ssh.host, "bastion2")
after = get(id)
same((after.db_name, after.port, after.ssh.username, after.ssh.has_password), ("orders", "1", "tunnel", True))
keeps = pb.UpdateRequest(**ref(id, connection=pb.NewConnection(), update_mask=field_mask_pb2.FieldMask(paths=["host", "*"])))
same(refused("Update", keeps), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ["update_mask.paths[1]", "connection.host"]))

# Replace the certificate.
uploaded = call("UploadFiles", pb.UploadFilesRequest(**ref(id, files=pb.ConnectionFiles(ssl_ca=PEM, ssl_cert=PEM))))
assert uploaded.connection.ssl_ca not in ("", first_path) and uploaded.connection.ssl_cert
same(uploaded.connection.password, "")

# Delete.
call("Delete", pb.DeleteRequest(**ref(id)))
gone = (grpc.StatusCode.NOT_FOUND, "CONNECTION_NOT_FOUND", [])
for method, message in (
    ("Get", pb.GetRequest), ("Delete", pb.DeleteRequest), ("Test", pb.TestRequest),
):
    same(refused(method, message(**ref(id))), gone)
same(refused("UploadFiles", pb.UploadFilesRequest(**ref(id, files=pb.ConnectionFiles(ssl_ca=PEM)))), gone)
print(f"connection {id}: created, read, tested, changed and deleted; {pages} pages")
