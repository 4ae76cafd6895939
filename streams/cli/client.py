"""A client of the HTTP API for commands: key, namespace, and errors as the server words them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson

from streams.cli.process import CommandError


class ApiRefusedError(CommandError):
    """The server answered with an error; ``status`` is the HTTP status, ``location`` where in the request the
    first problem is, as far as it was said."""

    def __init__(self, status: int, message: str, location: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.location = tuple(location)


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer."""

    body: Any
    headers: Mapping[str, str]


class ApiClient:
    """``async with ApiClient(url, key, namespace) as api``."""

    def __init__(self, url: str, api_key: str | None, namespace: str | None = None) -> None:
        self._url = url.rstrip("/")
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        if namespace is not None:
            headers["X-Namespace"] = namespace
        self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30))

    async def __aenter__(self) -> "ApiClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        """One request. ``path`` is below the server's address and already quoted. Raises
        :class:`ApiRefusedError`, and :class:`CommandError` when nothing answers."""
        data = None if body is None else orjson.dumps(body)
        headers = {} if data is None else {"Content-Type": "application/json"}
        try:
            async with self._session.request(method, self._url + path, data=data, headers=headers) as answer:
                raw = await answer.read()
                found = _json(raw)
                if answer.status >= 400:
                    raise ApiRefusedError(answer.status, _message(answer.status, found), _location(found))
                return Answer(found, answer.headers.copy())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise CommandError(f"nothing answers at {self._url}: {error or type(error).__name__}") from error

    async def get(self, *path: str) -> Answer:
        """``GET`` of a path given as its segments, which are quoted here."""
        return await self.call("GET", "".join("/" + quote(segment, safe="") for segment in path))


def server_url() -> str | None:
    """Where commands find the API: ``TIDEWATCH_URL``."""
    return os.environ.get("TIDEWATCH_URL") or None


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return None


def _location(body: Any) -> Sequence[str | int]:
    try:
        found = body["error"]["details"]["validation_errors"][0]["location"]
    except (TypeError, LookupError):
        return ()
    return found if isinstance(found, list) else ()


def _message(status: int, body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message) if message else f"the server answered with status {status}"
