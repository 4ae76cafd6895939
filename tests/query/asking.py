"""What is asked of the read endpoints, and read as the official SDK reads it."""

from typing import Any

import httpx

from schemas.events.alert_result import AlertResultRecord, encode_alert_result
from schemas.topics import ALERT_RESULTS
from streams.runtime.agent import Context
from tests.query.support import apply

URI = "mixpeek://hashing@v1/words"


async def put(context: Context, *records: AlertResultRecord) -> None:
    await apply(context, ALERT_RESULTS, *(encode_alert_result(record) for record in records))


async def body(http: httpx.AsyncClient, path: str, **query: Any) -> Any:
    response = await http.get(path, params=query)
    assert response.status_code == 200, response.text
    return response.json()


def parsed(model: Any, raw: Any) -> Any:
    """``raw`` as the SDK reads it."""
    found = model.from_dict(raw)
    assert found is not None
    return found


async def missing(http: httpx.AsyncClient, path: str, headers: dict[str, str] | None = None) -> bool:
    response = await http.get(path, headers=headers)
    if response.status_code != 404:
        return False
    error = response.json()
    return error["success"] is False and error["error"]["type"] == "NotFoundError"
