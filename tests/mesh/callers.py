"""Callers of Create, by Python's grpcio, and what they are told."""

import asyncio
import time
import uuid
from collections import Counter
from typing import NamedTuple

import grpc
from google.rpc import error_details_pb2, status_pb2

from chartbrew.connection.v1 import connection_service_pb2 as pb
from chartbrew.connection.v1 import connection_service_pb2_grpc as pb_grpc

DOMAIN = "gateway.chartbrew.com"
# Of one call.
TIMEOUT = 60
# After this a caller stops to repeat its call. Longer than a lease in Redis.
PATIENCE = 60
# Where there is no RetryInfo: the failure is that of a library or a proxy.
PAUSE = 0.2


class Create(NamedTuple):
    """What is to be created."""

    name: str
    # The way through Envoy.
    route: str
    request_id: str | None = None

    def message(self) -> pb.CreateRequest:
        connection = pb.NewConnection(name=self.name, type=pb.CONNECTION_TYPE_MONGODB)
        return pb.CreateRequest(team_id=1, connection=connection, request_id=self.request_id)


class Told(NamedTuple):
    """What a caller is told by one call."""

    code: str
    # The connection, if there is one.
    id: int | None = None
    # That of our ErrorInfo. None: the failure was not made by a gateway.
    reason: str | None = None
    # Seconds, as RetryInfo says.
    retry_in: float | None = None
    text: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.id or self.text}"

    @classmethod
    def by(cls, error: grpc.aio.AioRpcError):
        reason = retry_in = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                for detail in status_pb2.Status.FromString(value).details:
                    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
                    if detail.Unpack(info) and info.domain == DOMAIN:
                        reason = info.reason
                    if detail.Unpack(retry):
                        retry_in = retry.retry_delay.ToTimedelta().total_seconds()
        return cls(error.code().name, None, reason, retry_in, error.details() or "")

    @property
    def is_ok(self) -> bool:
        return self.code == "OK"

    @property
    def name(self) -> str:
        return self.code if self.is_ok else f"{self.code} {self.reason or '(not by a gateway)'}"

    @property
    def is_unknown_for_good(self) -> bool:
        """It was sent long ago and is not there: a repetition would not help."""
        return self.reason == "OUTCOME_UNKNOWN" and self.retry_in is None

    @property
    def proves_that_nothing_was_created(self) -> bool:
        """By docs/errors.md."""
        return self.code == "UNAVAILABLE" and self.reason is not None

    @property
    def may_be_repeated(self) -> bool:
        """By docs/errors.md, for a call with a request_id."""
        if self.reason is None:
            return self.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")
        return self.retry_in is not None


class Caller:
    """A program with a connection of its own for each way."""

    def __init__(self, addresses: dict[str, str], token: str):
        # What repeats is Envoy, not the library.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        self.channels = {way: grpc.aio.insecure_channel(address, options) for way, address in addresses.items()}
        self.services = {way: pb_grpc.ConnectionServiceStub(channel) for way, channel in self.channels.items()}
        self.metadata = [("authorization", f"Bearer {token}")]

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for channel in self.channels.values():
            await channel.close()

    async def call(self, method: str, message, route: str, timeout: float = TIMEOUT, metadata: list = ()):
        """The response, or what was told instead."""
        call = getattr(self.services[route], method)
        try:
            return await call(message, metadata=[*self.metadata, *metadata], timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return Told.by(error)

    async def create(self, create: Create, **options) -> Told:
        response = await self.call("Create", create.message(), create.route, **options)
        return response if isinstance(response, Told) else Told("OK", response.connection.id)

    async def pursue(self, create: Create) -> list[Told]:
        """All that a caller is told who goes by docs/errors.md. A create without a request_id is not repeated.
        One with it is repeated, unchanged, until its outcome is known. If the request was sent long ago and
        has not arrived, the caller looks for the connection, then uses a new request_id."""
        told, give_up_at = [], time.monotonic() + PATIENCE
        while True:
            told.append(await self.create(create))
            last = told[-1]
            if last.is_ok or create.request_id is None or time.monotonic() > give_up_at:
                return told
            if last.may_be_repeated:
                await asyncio.sleep(last.retry_in or PAUSE)
            elif not last.is_unknown_for_good:
                return told
            elif (id := await self.look_for(create)) is not None:
                return [*told, Told("OK", id)]
            else:
                create = create._replace(request_id=new_id())

    async def look_for(self, create: Create) -> int | None:
        request = pb.ListRequest(team_id=1, page_size=1_000)
        while True:
            page = await self.call("List", request, create.route)
            assert not isinstance(page, Told), f"List: {page}"
            for connection in page.connections:
                if connection.name == create.name:
                    return connection.id
            if not page.next_page_token:
                return None
            request.page_token = page.next_page_token


class Load:
    """Many creates by several callers, until so many are done and what happens meanwhile is over."""

    def __init__(self, calls: int, callers: int, at_once: int, make, repeats: bool):
        self.calls, self.callers, self.at_once, self.make, self.repeats = calls, callers, at_once, make, repeats
        self.over = asyncio.Event()
        self.begun = 0
        # What each create was told, call by call.
        self.told: dict[Create, list[Told]] = {}
        self.progress = asyncio.Condition()
        self.seconds = 0.0

    async def run(self, mesh):
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.callers):
                group.create_task(self.be_a_caller(mesh))
        self.seconds = time.monotonic() - began

    async def be_a_caller(self, mesh):
        async with Caller(mesh.envoy.addresses, mesh.chartbrew.token) as caller, asyncio.TaskGroup() as group:
            for _ in range(self.at_once):
                group.create_task(self.call(caller))

    async def call(self, caller: Caller):
        while self.begun < self.calls or not self.over.is_set():
            create = self.make(self.begun)
            self.begun += 1
            told = await caller.pursue(create) if self.repeats else [await caller.create(create)]
            async with self.progress:
                self.told[create] = told
                self.progress.notify_all()

    async def done(self, calls: int):
        """Waits until so many have ended."""
        async with self.progress:
            await self.progress.wait_for(lambda: len(self.told) >= calls)

    @property
    def figures(self) -> str:
        return f"{len(self.told):,} creates by {self.callers} callers, {len(self.told) / self.seconds:.0f} a second"

    def names(self) -> Counter:
        return Counter(told.name for calls in self.told.values() for told in calls)


def new_id() -> str:
    return str(uuid.uuid4())
