"""Changes of all documents that fit, done by a task: whatever was answered before is among them, stored or not."""

from typing import Any

import pytest

from streams.act.station import Act
from streams.api import document_batches
from streams.settings import Settings
from tests.act.stations import ended, running
from tests.act.writing import Inline
from tests.api import make
from tests.api.documents_world import World, fields_of
from tests.support import eventually

PATH = "/v1/collections/news/documents"


async def done(world: World, answer: Any) -> Any:
    """The task of a bulk request, run to its end."""
    assert answer["status"] == "PENDING", answer
    act = Act(world.context)
    act.pool = Inline()
    async with running(act):
        await eventually(ended(world.context, answer["task_id"]), timeout=60)
    task = (await world.http.get(f"/v1/tasks/{answer['task_id']}")).json()
    assert task["status"] == "COMPLETED", task
    return task["outputs"][0]


async def shown(world: World) -> dict[str, Any]:
    answer = (await world.http.post(f"{PATH}/list", json={"limit": 100})).json()
    return {one["document_id"]: fields_of(one) for one in answer["results"]}


async def taken_in(world: World) -> None:
    await world.relay()
    await world.collect()


@pytest.mark.parametrize("collected_meanwhile", [False, True])
async def test_what_was_answered_before_is_changed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, collected_meanwhile: bool
) -> None:
    monkeypatch.setattr(document_batches, "MAX_AT_ONCE", 0)
    async with World(settings) as world:
        await make.collection(world.http)
        vectors = {"embedding": [1.0, 0.0]}
        for name, number in (("a", 1), ("b", 2), ("c", 1)):
            await make.made(world.http, PATH, {"document_id": name, "n": number})
        await taken_in(world)
        # Answered, and neither published nor stored when the change of all is asked for.
        await world.http.delete(f"{PATH}/a")
        await world.http.patch(f"{PATH}/b", json={"n": 1})
        await world.http.patch(f"{PATH}/c", json={"n": 3})
        await make.made(world.http, PATH, {"document_id": "d", "n": 1, "vectors": vectors})
        await make.made(world.http, PATH, {"document_id": "e", "n": 2})
        bulk = {"filters": {"n": 1}, "update_data": {"found": True}}
        answer = (await world.http.patch(f"{PATH}/bulk", json=bulk)).json()
        if collected_meanwhile:
            await taken_in(world)
        told = await done(world, answer)
        assert (told["documents_selected"], told["documents_written"]) == (2, 2)
        await taken_in(world)
        assert await shown(world) == {
            "b": {"n": 1, "found": True},
            "c": {"n": 3},
            "d": {"n": 1, "found": True},
            "e": {"n": 2},
        }
        kept = (await world.http.get(f"{PATH}/d", params={"return_vectors": True})).json()
        assert list(kept["vectors"].values()) == [[1.0, 0.0]]

        await make.made(world.http, PATH, {"document_id": "f", "n": 1})
        # What the server knows of documents is asked of in the task as in the request.
        stamped = {"field": "_internal.created_at", "operator": "exists", "value": True}
        two = {"AND": [stamped, {"field": "n", "operator": "eq", "value": 2}]}
        answer = await world.http.patch(f"{PATH}/bulk", json={"filters": two, "update_data": {"two": True}})
        assert (await done(world, answer.json()))["documents_written"] == 1
        gone = (await world.http.request("DELETE", f"{PATH}/batch", json={"filters": {"n": 1}})).json()
        assert (await done(world, gone))["documents_written"] == 3
        await taken_in(world)
        assert sorted(await shown(world)) == ["c", "e"]
