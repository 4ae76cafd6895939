"""The SDK's behaviour under a rate limit: the high-level client waits as long as it is told, the generated classes
raise unless they are given a policy."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import mixpeek as official
import pytest
import urllib3

from streams.http_app import build_http
from streams.runtime.agent import Context
from tests.api.conftest import KEY, served_app

mixpeek: Any = official


def asking(url: str) -> None:
    configuration = mixpeek.Configuration(host=url, access_token=KEY)
    with mixpeek.ApiClient(configuration) as client:
        tasks = mixpeek.TasksApi(client)
        tasks.list_tasks()
        with pytest.raises(mixpeek.exceptions.ApiException) as caught:
            for _ in range(5):
                tasks.list_tasks()
    assert caught.value.status == 429
    assert '"TooManyRequestsError"' in caught.value.body
    assert int(caught.value.headers["retry-after"]) >= 1

    user = mixpeek.Mixpeek(KEY, base_url=f"{url}/v1")
    started = time.monotonic()
    for _ in range(3):
        assert user.tasks.list().results == []
    assert time.monotonic() - started >= 1

    patient = urllib3.Retry(total=3, status_forcelist=[429, 503], allowed_methods=None)
    configuration = mixpeek.Configuration(host=url, access_token=KEY, retries=patient)
    with mixpeek.ApiClient(configuration) as client:
        assert mixpeek.TasksApi(client).list_tasks().results == []


async def test_a_rate_limit_is_waited_for(here: Context) -> None:
    limited = here.settings.model_copy(update={"rate_limit": 1.0, "rate_burst": 2})
    async with served_app(build_http(replace(here, settings=limited))) as url:
        await asyncio.to_thread(asking, url)
