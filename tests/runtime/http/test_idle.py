"""A client that never finishes the head of a request is not waited for without end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvicorn
from fastapi import FastAPI

from streams.runtime.http.idle import close_slow
from tests.support import eventually

HEAD = b"GET /slow HTTP/1.1\r\nHost: t\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = FastAPI()

    async def slow() -> dict[str, str]:
        await asyncio.sleep(0.6)
        return {"status": "done"}

    app.add_api_route("/slow", slow)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", timeout_keep_alive=60))
    serving = asyncio.create_task(server.serve())

    async def started() -> bool:
        return server.started

    await eventually(started)
    closing = asyncio.create_task(close_slow(lambda: server.server_state.connections, seconds=0.3, every=0.02))
    yield server.servers[0].sockets[0].getsockname()[1]
    closing.cancel()
    server.should_exit = True
    await serving


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server ends the connection without a word."""
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(1), 5) == b""
    return True


async def test_half_a_head_and_no_head_at_all_are_given_up(port: int) -> None:
    for beginning in (b"", HEAD):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(beginning)
        assert await closed(reader), beginning
        writer.close()


async def test_a_request_that_is_worked_on_longer_is_answered_and_so_is_the_next(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(2):
        writer.write(HEAD + b"\r\n")
        assert b"200 OK" in await asyncio.wait_for(reader.readline(), 5)
        await asyncio.wait_for(reader.readuntil(b'"done"}'), 5)
    # Between requests uvicorn's own timer counts; half a head stops it, and then this one does.
    await asyncio.sleep(0.5)
    writer.write(HEAD)
    assert await closed(reader)
    writer.close()
