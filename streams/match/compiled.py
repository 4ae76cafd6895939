"""The percolated alerts of one collection, ready to be checked, and the bytes of their executions. Pure."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import orjson
from numpy.typing import NDArray

from schemas.events.alert_result import ExecutionWriter
from streams.engines.retrieval.percolate.percolator import Begun, Hit, Percolator
from streams.engines.retrieval.percolate.plan import Plan, similarity
from streams.match.alerts import StandingAlert
from streams.match.arrivals import Arrival


class Compiled:
    """A percolator whose hits come as bytes. What an alert that only filters says is the same for every
    document, so it is written once, when it first fires: eighty such hits of a document are eighty references."""

    def __init__(self) -> None:
        self._percolator: Percolator[StandingAlert] = Percolator((), plan_of)
        self._numbers: dict[int, int] = {}
        """Number of an alert → its number in the percolator."""
        self._alerts: list[StandingAlert | None] = []
        """By number in the percolator; ``None`` for those that were removed."""
        self._writers: list[ExecutionWriter | None] = []
        """By number in the percolator; ``None`` for those that have not fired."""
        self._constant: NDArray[np.object_] = np.full(16, None, dtype=object)
        """By number in the percolator the execution that is the same for every document."""
        self._unwritten = np.zeros(16, dtype=np.bool_)
        """By number in the percolator whether that is still to be written."""
        self._ordered = True
        """Alerts were added in the order they are checked, which is then the order of hits."""

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, alerts: Iterable[StandingAlert]) -> None:
        """Check these from now on."""
        for alert in alerts:
            number = self._numbers[alert.number] = self._percolator.add(alert)
            if number < len(self._alerts):
                self._ordered = False
                self._alerts[number] = alert
            else:
                self._ordered = self._ordered and (not self._alerts or self._follows(self._alerts[-1], alert))
                self._alerts.append(alert)
                self._writers.append(None)
                if number == len(self._constant):
                    self._constant = np.concatenate([self._constant, np.full(number, None, dtype=object)])
                    self._unwritten = np.concatenate([self._unwritten, np.zeros(number, dtype=np.bool_)])
            self._unwritten[number] = not plan_of(alert).searches

    def remove(self, alerts: Iterable[StandingAlert]) -> None:
        """Check these no longer."""
        for alert in alerts:
            number = self._numbers.pop(alert.number)
            self._percolator.remove(number)
            self._alerts[number] = self._writers[number] = self._constant[number] = None
            self._unwritten[number] = False

    def begin(self, arrivals: Sequence[Arrival]) -> Begun:
        """Begin to find the executions of documents."""
        return self._percolator.begin([arrival.event for arrival in arrivals])

    def hits(self, begun: Begun) -> list[list[Hit[StandingAlert]]]:
        """For each document its hits, whatever caused it, in the order their alerts are checked."""
        found = self._percolator.hits(self._percolator.finish(begun))
        if self._ordered:
            return found
        return [sorted(hits, key=lambda hit: hit.alert.order) for hits in found]

    def executions(self, arrivals: Sequence[Arrival], begun: Begun) -> list[list[bytes]]:
        """For each document its hits as executions, in the order their alerts are checked. An alert in the chain
        of causes of a write does not fire on it (design section 3, loops)."""
        found = self._percolator.finish(begun)
        unwritten = found.numbers[self._unwritten[found.numbers]]
        if len(unwritten):
            self._write(np.unique(unwritten).tolist())
        pieces: list[bytes] = self._constant[found.numbers].tolist()
        for pair, verdict in found.judged.items():
            writer = self._writer(int(found.numbers[pair]))
            pieces[pair] = writer.write(verdict.score, verdict.reason, verdict.matched_features)
        searched = found.numbers[list(found.similar)].tolist()
        for number, (pair, cosine) in zip(searched, found.similar.items(), strict=True):
            pieces[pair] = self._writer(number).write_similar(*_similarity(cosine))
        fired = [pieces[first:last] for first, last in pairwise(found.bounds)]
        for at, arrival in enumerate(arrivals):
            if fired[at] and (arrival.causes or not self._ordered):
                numbers = found.numbers[found.bounds[at] : found.bounds[at + 1]].tolist()
                fired[at] = self._arranged(numbers, fired[at], arrival.causes)
        return fired

    def _write(self, numbers: Iterable[int]) -> None:
        """Write what alerts that only filter say."""
        for number in numbers:
            hit = self._percolator.hit(number)
            assert hit is not None
            self._constant[number] = self._writer(number).write(hit.score, hit.reason)
            self._unwritten[number] = False

    def _writer(self, number: int) -> ExecutionWriter:
        writer = self._writers[number]
        if writer is None:
            alert = self._alerts[number]
            assert alert is not None
            searches = plan_of(alert).searches
            writer = self._writers[number] = ExecutionWriter(
                alert.number,
                alert.alert_id,
                alert.version,
                alert.retriever_id,
                _as_json(searches[0].feature_uri if searches else ""),
            )
        return writer

    def _arranged(self, numbers: list[int], pieces: list[bytes], causes: Sequence[str]) -> list[bytes]:
        """Executions in order, without those of alerts that caused the write."""
        found = [(self._alerts[number], piece) for number, piece in zip(numbers, pieces, strict=True)]
        pairs = [(alert, piece) for alert, piece in found if alert is not None and alert.alert_id not in causes]
        pairs.sort(key=lambda pair: pair[0].order)
        return [piece for _, piece in pairs]

    @staticmethod
    def _follows(before: StandingAlert | None, alert: StandingAlert) -> bool:
        return before is not None and before.order <= alert.order


# Many alerts search few features.
_as_json = lru_cache(1_024)(orjson.dumps)


def _similarity(cosine: float) -> tuple[bytes, bytes, bytes]:
    """:func:`similarity` of a rounded cosine as JSON, score and words, and the cosine itself."""
    shown = orjson.dumps(cosine)
    if 0.0001 <= cosine < 1.0:
        # It is its own score, and six digits are written in the same way by all.
        return shown, b'"similarity %b"' % shown, shown
    score, words = similarity(cosine)
    return orjson.dumps(score), orjson.dumps(words), shown


def plan_of(alert: StandingAlert) -> Plan:
    """The plan of an alert that is percolated."""
    assert alert.plan is not None
    return alert.plan
