"""Equality witnesses by hash: one look-up per value of a document's field, however many alerts ask."""

from collections import defaultdict
from collections.abc import Hashable, Iterator

from streams.engines.retrieval.filters.paths import Path
from streams.engines.retrieval.filters.values import fold
from streams.engines.retrieval.percolate.view import View
from streams.engines.retrieval.percolate.witness import Equality


class EqualityIndex:
    """Folded key of a field's value → the predicates it is a witness of."""

    def __init__(self) -> None:
        self._fields: dict[Path, dict[Hashable, list[int]]] = {}

    def add(self, witness: Equality, predicate: int) -> None:
        """Let the witness nominate a predicate."""
        self._fields.setdefault(witness.path, defaultdict(list))[witness.key].append(predicate)

    def nominate(self, view: View) -> Iterator[list[int]]:
        """Predicates with a true witness, in lists."""
        for path, predicates in self._fields.items():
            for value in view.values(path):
                if (found := predicates.get(fold(value))) is not None:
                    yield found
                if type(value) is list:
                    for item in value:
                        if (found := predicates.get(fold(item))) is not None:
                            yield found
