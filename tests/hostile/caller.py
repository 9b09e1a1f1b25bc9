"""The well-behaved caller: grpcio, one call after the other, on a connection that stays and on new ones.

    python3 caller.py ADDRESS TOKEN GENERATED-CODE OUTPUT [CA [CERT KEY]]

Writes a line for each call: which connection, when it began (monotonic, in seconds), how long it took,
and `ok` or what went wrong.
"""

import sys
import threading
import time

ADDRESS, TOKEN, GENERATED, OUTPUT, *TLS = sys.argv[1:]
sys.path.insert(0, GENERATED)

import grpc

from chartbrew.connection.v1 import connection_service_pb2 as pb
from chartbrew.connection.v1 import connection_service_pb2_grpc as pb_grpc

TEAM = 1
METADATA = [("authorization", f"Bearer {TOKEN}")]
PAUSE = 0.005
# Seconds. Far more than a call takes: who waits that long is not served.
TIMEOUT = 20
NEW = pb.NewConnection(name="hostile", type=pb.CONNECTION_TYPE_MYSQL, host="127.0.0.1", port="1")

output = open(OUTPUT, "w", buffering=1)
lock = threading.Lock()


def channel():
    # Else channels to one address share a connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    if not TLS:
        return grpc.insecure_channel(ADDRESS, options)
    files = [open(name, "rb").read() for name in TLS]
    ca, cert, key = files + [None] * (3 - len(files))
    options.append(("grpc.ssl_target_name_override", "localhost"))
    return grpc.secure_channel(ADDRESS, grpc.ssl_channel_credentials(ca, key, cert), options)


def call(kind, method, message):
    began = time.monotonic()
    response, outcome = None, "ok"
    try:
        response = method(message, metadata=METADATA, timeout=TIMEOUT)
    except grpc.RpcError as error:
        outcome = f"{error.code().name} {error.details()}".replace("\n", " ")
    with lock:
        print(kind, began, time.monotonic() - began, outcome, file=output)
    return response


def stays():
    service = pb_grpc.ConnectionServiceStub(channel())
    while True:
        made = call("stays", service.Create, pb.CreateRequest(team_id=TEAM, connection=NEW))
        if made:
            ref = dict(team_id=TEAM, connection_id=made.connection.id)
            call("stays", service.Get, pb.GetRequest(**ref))
            call("stays", service.Delete, pb.DeleteRequest(**ref))
        time.sleep(PAUSE)


def new():
    with channel() as one:
        made = pb_grpc.ConnectionServiceStub(one).Create(
            pb.CreateRequest(team_id=TEAM, connection=NEW), metadata=METADATA, timeout=TIMEOUT
        )
    while True:
        with channel() as one:
            get = pb_grpc.ConnectionServiceStub(one).Get
            call("new", get, pb.GetRequest(team_id=TEAM, connection_id=made.connection.id))
        time.sleep(PAUSE)


threading.Thread(target=new, daemon=True).start()
threading.Thread(target=stays, daemon=True).start()
# The script that started it holds the other end.
sys.stdin.read()
