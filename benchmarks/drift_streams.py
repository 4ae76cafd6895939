"""Streams of documents in time buckets for ``benchmarks.drift``: generated ones, and real ones when there are.

Real ones, from a folder with ``huffpost_2018_2020``, ``healthtweets`` and ``agnews`` (``.jsonl.gz``), embedded by
the built-in hashing embedder:

- ``huffpost``: headlines; the baseline is 2018, windows of 30 days, a check every day. The year 2019 is quiet; the
  change is the coronavirus, from 2020-01-21 (the first case in the United States).
- ``health tweets``: health news on Twitter; the baseline is 2013, windows and checks as above. The change is Ebola
  in the United States, from 2014-09-30; that nothing else changes before is not known.
- ``ag news, shuffled``: four topics, mixed; nothing changes. Buckets of 50 documents, windows of 4, a check a
  bucket; the baseline is the first 30 buckets.
- ``ag news, by topic``: the same documents sorted by topic; the second begins 400 documents after the baseline.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sets import find, rows
from streams.engines.retrieval.vectors.embedder import HashingEmbedder

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stream:
    """Documents in time order, and what happens to them."""

    name: str
    vectors: Vectors
    buckets: NDArray[np.int64]
    """The bucket of each document, from 0, rising."""
    baseline: int
    """Buckets of the baseline."""
    window: int
    """Buckets of a window."""
    change: int | None
    """The first bucket after the change; ``None`` where nothing changes."""
    start: date | None = None
    """The day of bucket 0, where buckets are days."""

    @property
    def first(self) -> int:
        """The first document after the baseline."""
        return int(np.searchsorted(self.buckets, self.baseline))

    @property
    def changed(self) -> int:
        """The first document after the change; their number where nothing changes."""
        last = len(self.buckets)
        return last if self.change is None else int(np.searchsorted(self.buckets, self.change))

    def when(self, bucket: int) -> str | int:
        """A bucket as people say it."""
        return bucket if self.start is None else date.fromordinal(self.start.toordinal() + bucket).isoformat()


def generated(documents: int) -> Iterator[Stream]:
    """Topics that come and go within days, first without, then with a new mixture of them in the last eighth."""
    dimensions, per, window = 64, 25, 8
    days = max(documents // per, 24 * window)
    for changes in (False, True):
        rng = np.random.default_rng(1)
        topics = rng.normal(size=(12, dimensions))
        topics /= np.linalg.norm(topics, axis=1, keepdims=True)
        usual, new = rng.dirichlet(np.ones(12)), rng.dirichlet(np.ones(12))
        change = days * 7 // 8
        vectors = np.empty((days * per, dimensions), dtype=np.float32)
        for day in range(days):
            mixture = new if changes and day >= change else usual
            shares = rng.dirichlet(40 * mixture + 0.05)
            part = topics[rng.choice(12, size=per, p=shares)] + 0.15 * rng.normal(size=(per, dimensions))
            vectors[day * per : (day + 1) * per] = part / np.linalg.norm(part, axis=1, keepdims=True)
        buckets = np.repeat(np.arange(days, dtype=np.int64), per)
        name = "generated, new topics" if changes else "generated, nothing new"
        yield Stream(name, vectors, buckets, days // 2, window, change if changes else None)


def real(data: Path) -> Iterator[Stream]:
    """The streams of a folder with the real sets."""
    embed = HashingEmbedder().embed
    news = [
        (date.fromisoformat(row["date"]), row["headline"])
        for row in rows(find(data, "huffpost_2018_2020.jsonl.gz"))
    ]
    yield _dated("huffpost", news, embed, date(2018, 1, 1), date(2019, 1, 1), date(2020, 1, 21))
    tweets = [
        (datetime.fromisoformat(row["ts"]).date(), row["text"])
        for row in rows(find(data, "healthtweets.jsonl.gz"))
    ]
    yield _dated("health tweets", tweets, embed, date(2013, 1, 1), date(2014, 1, 1), date(2014, 9, 30))
    articles = list(rows(find(data, "agnews.jsonl.gz")))
    order = np.random.default_rng(1).permutation(len(articles))
    yield _counted("ag news, shuffled", [articles[place]["text"] for place in order], embed, None)
    by_topic = sorted(articles, key=lambda article: article["label"])
    first = sum(article["label"] == by_topic[0]["label"] for article in articles)
    yield _counted("ag news, by topic", [article["text"] for article in by_topic], embed, first)


Embed = Callable[[Sequence[str]], Vectors]


def _dated(
    name: str, documents: Sequence[tuple[date, str]], embed: Embed, begin: date, end: date, change: date
) -> Stream:
    """The baseline is from ``begin`` (or the first document) to ``end``."""
    held = sorted((item for item in documents if item[0] >= begin), key=lambda item: item[0])
    start = held[0][0]
    buckets = np.array([day.toordinal() - start.toordinal() for day, _ in held], dtype=np.int64)
    vectors = embed([text for _, text in held])
    return Stream(name, vectors, buckets, (end - start).days, 30, (change - start).days, start)


def _counted(name: str, texts: Sequence[str], embed: Embed, change: int | None) -> Stream:
    buckets = np.arange(len(texts), dtype=np.int64) // 50
    return Stream(name, embed(texts), buckets, 30, 4, None if change is None else change // 50)
