"""The definitions in force, folded from a snapshot and the records after it. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from schemas.events.definition import DefinitionRecord, Kind


class Catalog:
    """Definitions by kind and id as they stand at :attr:`version`.

    Folding is idempotent and ignores what is older than what it holds, so a reader may see a record twice,
    and the snapshot and the topic may overlap.
    """

    def __init__(self, epoch: str, version: int = 0, records: Iterable[DefinitionRecord] = ()) -> None:
        self.epoch = epoch
        self.version = version
        """The number of the last definitions write folded in."""
        self._records: defaultdict[str, dict[tuple[str, str], DefinitionRecord]] = defaultdict(dict)
        """Kind → namespace and id → the newest record."""
        for record in records:
            self._records[record.kind][record.namespace_id, record.id] = record

    def fold(self, record: DefinitionRecord) -> bool:
        """Take one record in. Returns whether anything changed."""
        if record.kind == "stream" or record.version.epoch != self.epoch:
            return False
        self.version = max(self.version, record.version.number)
        of_kind, key = self._records[record.kind], (record.namespace_id, record.id)
        held = of_kind.get(key)
        if held is not None and held.version.number >= record.version.number:
            return False
        # A tombstone stays, so that an older record arriving late cannot bring the definition back.
        of_kind[key] = record
        return True

    def merge(self, other: "Catalog") -> list[DefinitionRecord]:
        """Take another catalog of the same stream in. Returns the records that changed something."""
        if other.epoch != self.epoch:
            return []
        records = sorted(
            (record for of_kind in other._records.values() for record in of_kind.values()),
            key=lambda record: record.version.number,
        )
        changed = [record for record in records if self.fold(record)]
        self.version = max(self.version, other.version)
        return changed

    def get(self, kind: Kind, namespace_id: str, identifier: str) -> DefinitionRecord | None:
        """One definition by id; ``None`` when unknown or deleted."""
        record = self._records[kind].get((namespace_id, identifier))
        return None if record is None or record.deleted else record

    def of(self, kind: Kind) -> Iterator[DefinitionRecord]:
        """Every definition of a kind that is not deleted, in all namespaces."""
        for record in list(self._records[kind].values()):
            if not record.deleted:
                yield record
