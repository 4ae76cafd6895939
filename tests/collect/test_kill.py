"""SIGKILL at the worst moments: nothing is lost and nothing is counted twice."""

import pytest

from streams.engines.retrieval.vectors.embedder import HashingEmbedder
from streams.runtime.agent import Context
from tests.collect.harness import (
    DRIFT,
    assert_equal_to_recomputation,
    assert_same_sketches,
    caught_up,
    collecting,
    define_trigger,
    fetch,
    plain_sketches,
    stored_sketches,
)
from tests.collect.test_station import CATEGORY, NUMBER, workload
from tests.log import send
from tests.victim import killed


@pytest.mark.kill
@pytest.mark.parametrize("point", ["before-commit@3", "after-commit@3"])
async def test_a_kill_beside_the_commit_loses_and_doubles_nothing(context: Context, point: str) -> None:
    await define_trigger(context, "trig_words", "conditional", DRIFT)
    await define_trigger(context, "trig_number", "conditional", DRIFT | NUMBER)
    await define_trigger(context, "trig_category", "conditional", DRIFT | CATEGORY)
    await define_trigger(context, "trig_volume", "conditional", DRIFT | {"condition_type": "volume"})
    await define_trigger(context, "trig_added", "event", {"event_type": "documents_added", "event_threshold": 7})
    await send(context, workload(11, 400))
    await killed(context.settings, "collect", f"collect:{point}", batch_documents="50")
    done = await fetch(context, "SELECT sum(next_offset)::int FROM positions")
    assert 0 < done[0][0] < 400
    async with collecting(context):
        await caught_up(context, timeout=60)
    truth = await assert_equal_to_recomputation(context)
    for feature in (HashingEmbedder.URI, "number:n", "category:of.word"):
        assert_same_sketches(await stored_sketches(context, feature), plain_sketches(truth, feature))
    written = sum(collection == "col_a" for collection, *_ in truth.arrivals)
    counted = "SELECT sum(documents)::int FROM drift_sketches WHERE feature = 'document:' GROUP BY width_seconds"
    assert await fetch(context, counted) == [(written,), (written,)]
    added = sum(count["added"] for (collection, _), count in truth.counts.items() if collection == "col_a")
    rows = await fetch(
        context, "SELECT event_counter, fire_sequence FROM trigger_state WHERE trigger_type = 'event'"
    )
    assert rows == [(added % 7, added // 7)]
    assert await fetch(context, "SELECT count(*), count(DISTINCT job_id) FROM jobs") == [(added // 7, added // 7)]
