"""Documents written over HTTP and by a producer at once: nothing is lost, and reads see one's own writes."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.events.document import DocumentEvent
from streams.settings import Settings
from tests.api import make
from tests.api.conftest import NOW
from tests.api.documents_world import World, fields_of

Model = dict[str, dict[str, Any]]
Effect = Callable[[Model], None]

IDS = st.sampled_from(["a", "a", "a", "b"])
SMALL = st.integers(0, 3)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "x": SMALL,
        "text": st.sampled_from(["t", "u"]),
        "metadata": st.dictionaries(st.sampled_from(["k", "l"]), SMALL, max_size=2),
    },
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "x": st.none() | SMALL,
        "y": SMALL,
        "text": st.none() | st.sampled_from(["v", "w"]),
        "metadata": st.none() | st.dictionaries(st.sampled_from(["k", "l", "m"]), st.none() | SMALL, max_size=3),
        "metadata.k": SMALL,
    },
)
NOTHING = st.none()
OVER_HTTP = st.one_of(
    st.tuples(st.sampled_from(["patch", "put"]), IDS, CHANGES),
    st.tuples(st.just("batch"), st.lists(IDS, min_size=1, max_size=3), CHANGES),
    st.tuples(st.just("bulk"), SMALL, CHANGES),
    st.tuples(st.just("create"), IDS, FIELDS),
    st.tuples(st.just("delete"), IDS, NOTHING),
    st.tuples(st.just("batch_delete"), st.lists(IDS, min_size=1, max_size=2), NOTHING),
)
PRODUCED = st.one_of(
    st.tuples(st.just("produce"), IDS, CHANGES),
    st.tuples(st.just("produce"), IDS, CHANGES),
    st.tuples(st.just("tombstone"), IDS, NOTHING),
)
RELAY, COLLECT = ("relay", None, None), ("collect", None, None)
AGAIN = [("put", "a", {"y": None, "text": "v"}), ("batch", ["a", "b", "a"], {"metadata.k": 2})]
ROUND = st.tuples(
    st.lists(OVER_HTTP, min_size=1, max_size=2),
    # Into the log before what was written over HTTP just now.
    st.lists(PRODUCED, max_size=1),
    st.sampled_from([[], [RELAY], [COLLECT], [RELAY, COLLECT]]),
    st.lists(OVER_HTTP | PRODUCED, max_size=1),
    st.sampled_from([[], [RELAY, COLLECT]]),
)
STEPS = st.lists(ROUND, min_size=1, max_size=3).map(
    lambda rounds: [step for parts in rounds for part in parts for step in part]
)


def merged(document: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """What a change makes of a document, said once more and plainly: whole fields first, then what is in them."""
    after = {name: dict(value) if isinstance(value, dict) else value for name, value in document.items()}
    for name, value in sorted(change.items(), key=lambda item: item[0] == "metadata.k"):
        if name == "metadata.k":
            after.setdefault("metadata", {})["k"] = value
        elif value is None:
            after.pop(name, None)
        elif name == "metadata":
            inner = after.setdefault("metadata", {})
            for key, item in value.items():
                if item is None:
                    inner.pop(key, None)
                else:
                    inner[key] = item
        else:
            after[name] = value
    return after


def changing(document_id: str, change: dict[str, Any]) -> Effect:
    def effect(model: Model) -> None:
        if document_id in model:
            model[document_id] = merged(model[document_id], change)

    return effect


def replacing(document_id: str, fields: dict[str, Any]) -> Effect:
    def effect(model: Model) -> None:
        model[document_id] = dict(fields)

    return effect


def removing(document_id: str) -> Effect:
    def effect(model: Model) -> None:
        model.pop(document_id, None)

    return effect


class Walk:
    """One walk: what the log came to, and what the API must show before it has come there."""

    def __init__(self, world: World, collection_id: str) -> None:
        self.world = world
        self.collection_id = collection_id
        self.path = f"/v1/collections/{collection_id}/documents"
        self.stored: Model = {}
        self.log: list[tuple[str, Effect, int | None]] = []
        self.outbox: list[tuple[str, Effect, int | None]] = []
        self.pending: dict[str, tuple[int, dict[str, Any] | None]] = {}
        self.writes = 0

    def shown(self) -> Model:
        """What the API must show."""
        found = dict(self.stored)
        for document_id, (_, fields) in self.pending.items():
            if fields is None:
                found.pop(document_id, None)
            else:
                found[document_id] = fields
        return found

    def wrote(self, document_id: str, effect: Effect) -> None:
        """The API has taken a write."""
        model = self.shown()
        effect(model)
        self.writes += 1
        self.pending[document_id] = (self.writes, model.get(document_id))
        self.outbox.append((document_id, effect, self.writes))

    async def step(self, action: str, target: Any, fields: Any) -> None:
        await getattr(self, f"_{action}")(target, fields)

    async def _create(self, target: str, fields: dict[str, Any]) -> None:
        answer = await self.world.http.post(self.path, json={"document_id": target, **fields})
        assert answer.status_code == 200, answer.text
        self.wrote(target, replacing(target, fields))

    async def _patch(self, target: str, fields: dict[str, Any]) -> None:
        await self._changed(await self.world.http.patch(f"{self.path}/{target}", json=fields), target, fields)

    async def _put(self, target: str, fields: dict[str, Any]) -> None:
        await self._changed(await self.world.http.put(f"{self.path}/{target}", json=fields), target, fields)

    async def _changed(self, answer: httpx.Response, target: str, fields: dict[str, Any]) -> None:
        assert answer.status_code == (200 if target in self.shown() else 404), answer.text
        if answer.status_code == 200 and fields:
            self.wrote(target, changing(target, fields))
        if answer.status_code == 200:
            assert fields_of(answer.json()) == self.shown()[target]

    async def _delete(self, target: str, _: None) -> None:
        answer = await self.world.http.delete(f"{self.path}/{target}")
        assert answer.status_code == (200 if target in self.shown() else 404), answer.text
        if answer.status_code == 200:
            self.wrote(target, removing(target))

    async def _batch(self, targets: list[str], fields: dict[str, Any]) -> None:
        updates = [{"document_id": target, "update_data": fields} for target in targets]
        answer = (await self.world.http.post(f"{self.path}/batch", json={"updates": updates})).json()
        expected = [target in self.shown() for target in targets]
        assert [one["success"] for one in answer["results"]] == expected
        assert (answer["updated_count"], answer["failed_count"]) == (sum(expected), len(expected) - sum(expected))
        for target, there in zip(targets, expected, strict=True):
            if there and fields:
                self.wrote(target, changing(target, fields))

    async def _batch_delete(self, targets: list[str], _: None) -> None:
        answer = await self.world.http.request("DELETE", f"{self.path}/batch", json={"document_ids": targets})
        for target, one in zip(targets, answer.json()["results"], strict=True):
            assert one["success"] == (target in self.shown())
            if one["success"]:
                self.wrote(target, removing(target))

    async def _bulk(self, value: int, fields: dict[str, Any]) -> None:
        fitting = [name for name, found in self.shown().items() if found.get("x") == value]
        body = {"filters": {"x": value}, "update_data": fields}
        answer = (await self.world.http.patch(f"{self.path}/bulk", json=body)).json()
        if fields:
            assert answer["updated_count"] == len(fitting)
            for target in sorted(fitting):
                self.wrote(target, changing(target, fields))

    async def _produce(self, target: str, fields: dict[str, Any]) -> None:
        payload = merged({}, {name: value for name, value in fields.items() if name != "text"})
        text = fields.get("text")
        self.world.produce(self._event("document.upserted", target, payload=payload, text=text))
        whole = {**payload, **({} if text is None else {"text": text})}
        self.log.append((target, replacing(target, whole), None))

    async def _tombstone(self, target: str, _: None) -> None:
        self.world.produce(self._event("document.deleted", target))
        self.log.append((target, removing(target), None))

    def _event(self, kind: Any, target: str, **fields: Any) -> DocumentEvent:
        return DocumentEvent(kind, self.world.namespace_id, self.collection_id, target, NOW, **fields)

    async def _relay(self, *_: None) -> None:
        assert await self.world.relay() == len(self.outbox)
        self.log += self.outbox
        self.outbox = []

    async def _collect(self, *_: None) -> None:
        await self.world.collect()
        for document_id, effect, write in self.log:
            effect(self.stored)
            if write is not None and self.pending.get(document_id, (None,))[0] == write:
                del self.pending[document_id]
        self.log = []

    async def check(self) -> None:
        """The API shows what it must, one by one, in a list and as a number."""
        expected = self.shown()
        answer = (await self.world.http.post(f"{self.path}/list", json={"limit": 100})).json()
        assert {one["document_id"]: fields_of(one) for one in answer["results"]} == expected
        assert len(answer["results"]) == len(expected)
        assert (await self.world.http.get(f"{self.path}/count")).json()["count"] == len(expected)
        for document_id in ("a", "b"):
            found = await self.world.http.get(f"{self.path}/{document_id}")
            assert found.status_code == (200 if document_id in expected else 404)


def test_whatever_comes_in_between_ends_as_in_a_plain_dictionary(settings: Settings) -> None:
    async def enter() -> World:
        return await World(settings).__aenter__()

    with asyncio.Runner() as runner:
        world = runner.run(enter())
        names = iter(range(1_000_000))

        async def walk(steps: list[tuple[str, Any, Any]]) -> None:
            await world.relay()
            await world.collect()
            collection = await make.collection(world.http, f"walk_{next(names)}")
            one = Walk(world, collection["collection_id"])
            # What is interesting begins with a document that is stored.
            for step in [("create", "a", {"x": 1, "text": "t"}), RELAY, COLLECT]:
                await one.step(*step)
            for step in steps:
                await one.step(*step)
            await one.check()
            await one.step("relay", None, None)
            await one.check()
            await one.step("collect", None, None)
            assert one.pending == {}
            await one.check()

        @hypothesis_settings(max_examples=15, suppress_health_check=list(HealthCheck))
        # A producer's write gets into the log between a change and what it was made from.
        @example([("patch", "a", {"y": 2}), ("produce", "a", {"x": 3, "metadata": {"k": 1}})])
        @example([("patch", "a", {"metadata": {"l": 1}}), ("tombstone", "a", None), RELAY, COLLECT, *AGAIN])
        @example([("delete", "a", None), ("produce", "a", {"x": 3}), RELAY, ("produce", "a", {"x": 2})])
        @example([("create", "a", {"x": 2}), ("bulk", 2, {"y": 1}), ("produce", "a", {"x": 0}), *AGAIN])
        @given(STEPS)
        def walked(steps: list[tuple[str, Any, Any]]) -> None:
            runner.run(walk(steps))

        walked()
        runner.run(world.__aexit__(None, None, None))


@pytest.mark.parametrize("relayed", [False, True])
async def test_fifty_patches_at_once_lose_nothing(settings: Settings, relayed: bool) -> None:
    async with World(settings) as world:
        collection = await make.collection(world.http)
        path = "/v1/collections/news/documents/d"
        await world.http.post("/v1/collections/news/documents", json={"document_id": "d", "n": -1})
        if relayed:
            await world.relay()
            await world.collect()

        async def patch(number: int) -> None:
            answer = await world.http.patch(path, json={"metadata": {f"k{number}": number}, "n": number})
            assert answer.status_code == 200, answer.text
            assert answer.json()["metadata"][f"k{number}"] == number

        await asyncio.gather(*(patch(number) for number in range(50)))
        every = {f"k{number}": number for number in range(50)}
        shown = (await world.http.get(path)).json()
        assert shown["metadata"] == every
        # A producer knows nothing of them; its write comes before theirs in the log.
        event = DocumentEvent(
            "document.upserted", world.namespace_id, collection["collection_id"], "d", NOW, {"own": 1}
        )
        world.produce(event)
        await world.relay()
        await world.collect()
        after = fields_of((await world.http.get(path)).json())
        last = shown["n"]
        if relayed:
            assert after == {"own": 1, "n": last, "metadata": every}
        else:
            # The document itself was written after the producer's.
            assert after == {"n": last, "metadata": every}
