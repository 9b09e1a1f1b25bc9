"""The methods that are measured: one line each. Its request is in `bench/src/lib.rs`, its route in
the contract for Envoy (`bench/proto`), and the bare pass-through needs it too.
"""

from typing import NamedTuple

SERVICE = "/chartbrew.connection.v1.ConnectionService/"


class Operation(NamedTuple):
    # Who is measured, by their names in `subjects.py`.
    subjects: tuple
    # What a reader of its table must know.
    note: str = ""


OPERATIONS = {
    "Create": Operation(("gateway", "envoy", "bare", "fresh")),
    "Get": Operation(("gateway", "envoy", "bare")),
    "List": Operation(("gateway", "bare"), note="A page of 20, of a team that has 20. Without Envoy: its reverse transcoder makes no message of the array that Chartbrew returns."),
}

# What the parts measure that would take too long with all of them.
MAIN = ("Create",)
