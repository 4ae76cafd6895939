"""The rule, against its own table and against what it promises: nothing uncollected occurred before W."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.engines.rules import watermark as rule
from streams.engines.rules.watermark import PartitionProgress, lags, watermark

DAY = datetime(2014, 10, 1, tzinfo=UTC)


def _cell(text: str) -> PartitionProgress:
    mark, _, lag = text.strip().partition(" ")
    moment = None if mark == "none" else DAY.replace(hour=int(mark[:2]), minute=int(mark[3:]))
    return PartitionProgress(moment, lag == "lag")


def _table() -> list[tuple[str, list[PartitionProgress], datetime | None]]:
    """The worked table of the module's docstring, read from it."""
    lines = (rule.__doc__ or "").splitlines()
    borders = [number for number, line in enumerate(lines) if line.startswith("=====")]
    edges = [(start, start + len(run)) for start, run in _runs(lines[borders[0]])]
    rows = []
    for line in lines[borders[1] + 1 : borders[2]]:
        situation, *cells, expected, _ = (
            line[start : end + 1].strip() for start, end in [*edges[:-1], (edges[-1][0], 200)]
        )
        rows.append((situation, [_cell(cell) for cell in cells], _cell(expected).watermark))
    return rows


def _runs(border: str) -> list[tuple[int, str]]:
    found, start = [], 0
    for run in border.split():
        start = border.index(run, start)
        found.append((start, run))
        start += len(run)
    return found


@pytest.mark.parametrize(("situation", "partitions", "expected"), _table())
def test_the_worked_table(situation: str, partitions: list[PartitionProgress], expected: datetime | None) -> None:
    assert watermark(partitions) == expected, situation


def test_the_table_was_read() -> None:
    assert len(_table()) == 8


@pytest.mark.parametrize(
    ("next_offset", "begin", "end", "expected"),
    [
        (None, 0, 0, False),
        (None, 0, 1, True),
        (None, 7, 7, False),
        (None, 7, 8, True),
        (5, 0, 5, False),
        (5, 0, 6, True),
        (5, 9, 9, True),
    ],
)
def test_lag(next_offset: int | None, begin: int, end: int, expected: bool) -> None:
    assert lags(next_offset, begin, end) is expected


@given(st.data())
def test_nothing_uncollected_is_older_than_w(data: st.DataObject) -> None:
    """Producers whose records are in order in each partition; any prefix of each partition is collected."""
    partitions, waiting = [], []
    for _ in range(data.draw(st.integers(1, 5))):
        minutes = sorted(data.draw(st.lists(st.integers(0, 600), max_size=12)))
        read = data.draw(st.integers(0, len(minutes)))
        mark = DAY + timedelta(minutes=minutes[read - 1]) if read else None
        partitions.append(PartitionProgress(mark, lags(read, 0, len(minutes))))
        waiting += [DAY + timedelta(minutes=minute) for minute in minutes[read:]]
    found = watermark(partitions)
    if found is not None:
        assert all(moment >= found for moment in waiting)
    if not waiting:
        assert found == max((p.watermark for p in partitions if p.watermark is not None), default=None)


@given(st.data())
def test_collecting_more_never_moves_w_back(data: st.DataObject) -> None:
    """With a fixed log, W only grows as positions do: a check that was allowed stays allowed."""
    logs = [
        sorted(data.draw(st.lists(st.integers(0, 600), max_size=8))) for _ in range(data.draw(st.integers(1, 4)))
    ]
    read = [0] * len(logs)
    before: datetime | None = None
    while any(position < len(log) for position, log in zip(read, logs, strict=True)):
        number = data.draw(st.sampled_from([n for n, log in enumerate(logs) if read[n] < len(log)]))
        read[number] += 1
        now = watermark(
            PartitionProgress(
                DAY + timedelta(minutes=log[position - 1]) if position else None, position < len(log)
            )
            for position, log in zip(read, logs, strict=True)
        )
        assert before is None or (now is not None and now >= before)
        before = now
