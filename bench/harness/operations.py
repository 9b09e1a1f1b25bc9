"""The methods that are measured: one line each. Its request is in `bench/src/lib.rs`, its route in
the contract for Envoy (`bench/proto`), and the bare pass-through needs it too.
"""

SERVICE = "/chartbrew.connection.v1.ConnectionService/"

OPERATIONS = [
    "Create",
]
