"""A batch that is done in part. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from aiokafka import ConsumerRecord, TopicPartition

from streams.runtime.loop import Batch


def put_off(left: dict[int, int], records: Iterable[ConsumerRecord]) -> None:
    """Note in ``left`` (partition → first offset that is not done) that records are not done either, which come
    after those noted."""
    for record in records:
        left.setdefault(record.partition, record.offset)


def divided(batch: Batch, left: Mapping[int, int]) -> tuple[Batch, Batch]:
    """What of a batch is done, and what is left of it; ``left`` is partition → first offset that is not done."""
    if not left:
        return batch, {}
    done: dict[TopicPartition, Sequence[ConsumerRecord]] = {}
    rest: dict[TopicPartition, Sequence[ConsumerRecord]] = {}
    for tp, records in batch.items():
        first = left.get(tp.partition)
        before = [record for record in records if first is None or record.offset < first]
        if before:
            done[tp] = before
        if len(before) < len(records):
            rest[tp] = records[len(before) :]
    return done, rest
