"""HTTP/2 by hand: frames, header blocks, messages, and a peer that sends what no library would.

Header blocks are written without Huffman code and read not at all: what matters of a response is which
frames it has.
"""

import dataclasses
import functools
import select
import socket
import ssl
import struct
import time
from collections import Counter

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8

HEADER_TABLE_SIZE, _, _, INITIAL_WINDOW_SIZE = range(1, 5)
ERRORS = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED "
    "FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM"
).split()

SERVICE = "/chartbrew.connection.v1.ConnectionService/"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/"


# === Frames ===


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    pairs = (struct.pack(">HI", globals()[name], value) for name, value in values.items())
    return frame(SETTINGS, payload=b"".join(pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, stream=stream, payload=struct.pack(">I", increment))


def reset(stream, code=8):
    return frame(RST_STREAM, stream=stream, payload=struct.pack(">I", code))


BEGIN = PREFACE + settings()


# === Header blocks (RFC 7541) ===


def integer(value, bits, first=0):
    most = (1 << bits) - 1
    if value < most:
        return bytes([first | value])
    out, value = bytearray([first | most]), value - most
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    out.append(value)
    return bytes(out)


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return integer(len(value), 7) + value


def literal(name, value):
    """Not added to the table."""
    return b"\0" + text(name) + text(value)


def block(path, *more, method="POST", token=None, scheme="http"):
    """What a gRPC request begins with, and more headers."""
    out = {"POST": b"\x83", "GET": b"\x82"}[method] + {"http": b"\x86", "https": b"\x87"}[scheme]
    out += b"\x04" + text(path) + b"\x01" + text("gateway")
    out += literal("content-type", "application/grpc") + literal("te", "trailers")
    if token:
        out += literal("authorization", f"Bearer {token}")
    return out + b"".join(literal(*pair) for pair in more)


# === Messages (protobuf) ===


def varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    out.append(value)
    return bytes(out)


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(payload, compressed=False, length=None):
    return struct.pack(">BI", compressed, len(payload) if length is None else length) + payload


# === Peers ===


@dataclasses.dataclass(frozen=True)
class Target:
    host: str
    port: int
    token: str
    # Without TLS: None; else the CA, and a certificate and its key if the gateway asks for one.
    files: tuple | None = None
    protocol: str = "h2"
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3

    @functools.cached_property
    def tls(self):
        if not self.files:
            return None
        made = ssl.create_default_context(cafile=self.files[0])
        made.set_alpn_protocols([self.protocol])
        made.minimum_version = made.maximum_version = self.version
        if self.files[1:]:
            made.load_cert_chain(*self.files[1:])
        return made

    def of_version(self, version):
        return dataclasses.replace(self, version=version)

    def of_protocol(self, protocol):
        return dataclasses.replace(self, protocol=protocol)

    @property
    def scheme(self):
        return "https" if self.tls else "http"

    def block(self, path, *more, **options):
        return block(path, *more, scheme=self.scheme, **options)

    def connect(self, number=0, timeout=10):
        """A TCP connection. On loopback the peers have many addresses: one has too few ports."""
        source = (f"127.0.{1 + number // 4000}.1", 0) if self.host == "127.0.0.1" else None
        sock = socket.create_connection((self.host, self.port), timeout, source)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class Peer:
    """A connection. `ended` says how it ended, once it has."""

    def __init__(self, target, begin=BEGIN, number=0, until=None):
        self.ended = None
        self.until = until or time.monotonic() + 60
        self.seen = Counter()
        self.initial_window = self.window = 65535
        self.windows = {}
        self._came, self._owed = bytearray(), bytearray()
        self.sock = target.connect(number)
        try:
            if target.tls:
                self.sock = target.tls.wrap_socket(self.sock, server_hostname="localhost")
            self.sock.setblocking(False)
        except OSError as error:
            self._end(error)
        # Not before that: what it owes would come before the preface.
        self.send(begin, reads=False)

    def send(self, data, reads=True):
        """Sends all of it, and reads meanwhile. Whether the connection lasts still."""
        if reads:
            self._read()
            data = bytes(self._owed) + data
            self._owed.clear()
        view = memoryview(data)
        while view and not self.ended and time.monotonic() < self.until:
            if reads:
                self._read()
            try:
                view = view[self.sock.send(view):]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                wanted = select.POLLOUT | (select.POLLIN if reads else 0)
                self._wait(wanted, 0.1)
            except OSError as error:
                self._read()
                self._end(error)
        return not self.ended and time.monotonic() < self.until

    def read(self, seconds):
        """Reads for a while. Whether the connection lasts still."""
        end = min(time.monotonic() + seconds, self.until)
        while not self.ended:
            self._wait(select.POLLIN, end - time.monotonic())
            self._read()
            if self._owed:
                owed = bytes(self._owed)
                self._owed.clear()
                self.send(owed, reads=False)
            if time.monotonic() >= end:
                break
        return not self.ended

    def room(self, stream):
        """What may be sent on a stream now."""
        return min(self.window, self.windows.get(stream, 0) + self.initial_window)

    def data(self, stream, payload, flags=0):
        """As much of the payload as the windows allow, in one go. Returns how much that was."""
        sent = payload[: max(0, self.room(stream))]
        if not sent and payload:
            return 0
        self.window -= len(sent)
        self.windows[stream] = self.windows.get(stream, 0) - len(sent)
        pieces = [sent[i : i + 16384] for i in range(0, len(sent), 16384)] or [b""]
        last = len(pieces) - 1 if len(sent) == len(payload) else -1
        self.send(b"".join(frame(DATA, flags if i == last else 0, stream, p) for i, p in enumerate(pieces)))
        return len(sent)

    def close(self):
        self.sock.close()

    def _wait(self, events, seconds):
        poll = select.poll()
        poll.register(self.sock, events)
        poll.poll(max(0, seconds) * 1000)

    def _end(self, how):
        if not self.ended:
            self.ended = type(how).__name__ if isinstance(how, OSError) else how

    def _read(self):
        while not self.ended:
            try:
                came = self.sock.recv(1 << 18)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                return self._end(error)
            if not came:
                return self._end("closed")
            self._came += came
            self._parse()

    def _parse(self):
        at, came = 0, self._came
        while len(came) - at >= 9:
            length = came[at] << 16 | came[at + 1] << 8 | came[at + 2]
            if len(came) - at - 9 < length:
                break
            self._frame(came[at + 3], came[at + 4], int.from_bytes(came[at + 5 : at + 9], "big"), came[at + 9 : at + 9 + length])
            at += 9 + length
        del came[:at]

    def _frame(self, kind, flags, stream, payload):
        self.seen[kind] += 1
        if kind == GOAWAY:
            code = int.from_bytes(payload[4:8], "big")
            # Also one that the end of the connection follows.
            self.seen["goaway", ERRORS[code] if code < len(ERRORS) else code] += 1
        elif kind == RST_STREAM:
            code = int.from_bytes(payload, "big")
            self.seen["reset", ERRORS[code] if code < len(ERRORS) else code] += 1
        elif kind == WINDOW_UPDATE:
            increment = int.from_bytes(payload, "big")
            if stream:
                self.windows[stream] = self.windows.get(stream, 0) + increment
            else:
                self.window += increment
        elif kind == SETTINGS and not flags & ACK:
            for i in range(0, len(payload), 6):
                name, value = struct.unpack_from(">HI", payload, i)
                if name == INITIAL_WINDOW_SIZE:
                    self.initial_window = value
            self._owed += frame(SETTINGS, ACK)
        elif kind == PING and not flags & ACK:
            self._owed += frame(PING, ACK, payload=bytes(payload))
