"""Look-up alerts: the document is the question, reference collections hold the answer (design section 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from schemas.events.document import DocumentEvent
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.budget import least
from streams.engines.retrieval.execution.execute import Execution, NoDefinitions, Watch, execute
from streams.engines.retrieval.execution.prepare import Prepared, prepare
from streams.engines.retrieval.execution.reading import retriever_reads
from streams.engines.retrieval.execution.rows import value_at
from streams.engines.retrieval.execution.run import Definitions
from streams.engines.retrieval.execution.surroundings import Surroundings
from streams.engines.retrieval.execution.without import Without

DOCUMENT_FIELD: Final = "document_field"
SOURCE_BLOB: Final = "source_blob"
_FROM_DOCUMENT: Final = (DOCUMENT_FIELD, SOURCE_BLOB)
_BLOBS: Final = "document_blobs"


@dataclass(frozen=True, slots=True)
class Mapped:
    """One input that comes from the document."""

    input_key: str
    source_type: str
    path: str


@dataclass(frozen=True, slots=True, eq=False)
class LookUp:
    """A retriever to be asked with inputs from each arriving document."""

    retriever: Prepared
    mapped: tuple[Mapped, ...]
    constants: Mapping[str, Any]
    """The alert's inputs and the constants of its mappings."""
    reference_collections: frozenset[str]
    """Ids of every collection that the answer may come from."""

    def inputs_for(self, event: DocumentEvent) -> dict[str, Any]:
        """The inputs a document gives; null where it has nothing at a path. Mapped inputs go before constants."""
        return {**self.constants, **{one.input_key: _found(one, event) for one in self.mapped}}

    def sees(self, event: DocumentEvent) -> bool:
        """Whether the collection a document arrives in is itself looked in, where it must not find itself."""
        return event.collection_id in self.reference_collections

    async def ask(
        self,
        event: DocumentEvent,
        surroundings: Surroundings,
        *,
        seed: str,
        watch: Watch | None = None,
        ceiling_ms: float | None = None,
    ) -> Execution:
        """Look a document up; it never finds itself. ``ceiling_ms`` is the most it may take, whatever the
        retriever's budget allows. Raises :class:`InputError` for what it has not, and :class:`PlanError`."""
        limit = least(self.retriever.max_time_ms, ceiling_ms)
        return await execute(
            replace(self.retriever, max_time_ms=limit),
            self.inputs_for(event),
            Without(surroundings.corpus, event) if self.sees(event) else surroundings.corpus,
            now=surroundings.now,
            clock=surroundings.clock,
            # Never more than it names, whatever other alerts have at hand.
            collections=self.retriever.collections or sorted(self.reference_collections),
            definitions=surroundings.definitions,
            seed=seed,
            watch=watch,
        )


def takes_from_document(application: Mapping[str, Any] | None) -> bool:
    """Whether some input of an alert comes from the arriving document."""
    mappings: Sequence[Mapping[str, Any]] = (application or {}).get("input_mappings") or ()
    return any((mapping.get("source") or {}).get("source_type") in _FROM_DOCUMENT for mapping in mappings)


def prepare_look_up(
    retriever: Mapping[str, Any],
    alert: Mapping[str, Any],
    application: Mapping[str, Any] | None,
    definitions: Definitions | None = None,
) -> LookUp:
    """Read the definitions of a look-up alert. Raises :class:`PlanError` with words for the user.

    ``definitions`` tell the collections of taxonomies and retrievers that the stages name.
    """
    if alert.get("source") == "system":
        raise PlanError("a system alert watches the system, not arriving documents")
    prepared = prepare(retriever)
    constants = dict(alert.get("inputs") or {})
    mapped: list[Mapped] = []
    for mapping in (application or {}).get("input_mappings") or ():
        source = mapping.get("source") or {}
        kind, key = source.get("source_type"), mapping.get("input_key")
        if kind == "constant":
            constants[key] = source.get("value")
            continue
        path = source.get("path")
        if kind not in _FROM_DOCUMENT or not isinstance(path, str) or not path:
            raise PlanError(f"the input {key!r} needs source_type {' or '.join(_FROM_DOCUMENT)}, and a path")
        mapped.append(Mapped(str(key), kind, path))
    references = frozenset(retriever_reads(prepared, definitions or NoDefinitions()))
    if not references:
        raise PlanError(
            "a look-up needs to know its reference collections: give the retriever collection_identifiers"
        )
    return LookUp(prepared, tuple(mapped), constants, references)


def _found(mapped: Mapped, event: DocumentEvent) -> Any:
    if mapped.source_type == SOURCE_BLOB:
        return _blob(mapped.path, event)
    return value_at(mapped.path, event)


def _blob(name: str, event: DocumentEvent) -> Any:
    """The blob property of the document: by key below ``document_blobs``, or the entry that names it."""
    blobs = event.root().get(_BLOBS)
    if isinstance(blobs, Mapping):
        return blobs.get(name)
    for blob in blobs if isinstance(blobs, list) else ():
        if isinstance(blob, Mapping) and name in (blob.get("property"), blob.get("field"), blob.get("name")):
            return blob.get("url", blob.get("data", blob))
    return value_at(name, event)
