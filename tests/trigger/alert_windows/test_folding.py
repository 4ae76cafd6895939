"""Contributions are added up once, however they are told again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from schemas.events.alert_result import AlertResultRecord
from streams.engines.rules.totals import Totals
from streams.trigger.alert_windows.folding import Folded, Source, events, fold, unread
from tests.trigger.alert_windows.test_deciding import adding

START = datetime(2024, 3, 25, 12, tzinfo=UTC)
logs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50), st.none() | st.integers(0, 5)), max_size=20)


def record(offset: int, partition: int, second: int, event: int | None) -> AlertResultRecord:
    moment = START + timedelta(seconds=second)
    return adding("s", offset, moment, partition=partition, event_id=None if event is None else str(event))


def total(folded: Folded) -> int:
    return sum(totals.documents for totals in folded.buckets.values())


@given(logs, st.data())
def test_repeats_after_a_crash_and_of_producers_count_once(
    log: list[tuple[int, int, int | None]], data: st.DataObject
) -> None:
    records = [record(number, *item) for number, item in enumerate(log)]
    expected = fold(records, ())
    # Of each partition match tells from some place on again, as often as it is killed.
    told: list[AlertResultRecord] = []
    for partition in range(3):
        mine = [one for one in records if one.source_partition == partition]
        told += mine
        for _ in range(data.draw(st.integers(0, 2))):
            told += mine[data.draw(st.integers(0, len(mine))) :]
    cut = data.draw(st.integers(0, len(told)))
    reached: dict[Source, int] = {}
    known: set[bytes] = set()
    buckets: dict[object, Totals] = {}
    for batch in (told[:cut], told[cut:]):
        fresh = unread(batch, reached)
        folded = fold(fresh, known)
        known |= set(events(fresh))
        reached.update(folded.next_offsets)
        for bucket, totals in folded.buckets.items():
            buckets[bucket] = buckets.get(bucket, Totals()).plus(totals)
    assert sum(totals.documents for totals in buckets.values()) == total(expected)
    assert reached == expected.next_offsets
    keyed = {item[2] for item in log if item[2] is not None}
    assert total(expected) == sum(1 for item in log if item[2] is None) + len(keyed)


@given(st.integers(-5_000, 5_000))
def test_a_bucket_holds_what_began_in_it(second: int) -> None:
    (bucket,) = fold([record(0, 0, second, None)], ()).buckets
    assert bucket.start == int(START.timestamp()) + second
