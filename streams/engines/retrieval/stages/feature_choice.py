"""Which feature a stage compares documents by when its parameters name none (contract section 6)."""

from collections.abc import Sequence

from streams.engines.retrieval.errors import StageError
from streams.engines.retrieval.execution.run import Run
from streams.engines.retrieval.stages.stage import Row


async def only_feature(rows: Sequence[Row], run: Run, parameter: str) -> str:
    """The one feature that the searches before found the documents by, else the one feature the documents have.
    Raises :class:`StageError` when there is none or there are several."""
    names = {uri for row in rows for uri in row.matched} or {name for row in rows for name in row.features}
    if not names:
        names = set(await run.corpus.features(tuple(sorted({row.collection_id for row in rows}))))
    if len(names) != 1:
        found = f"they have {', '.join(sorted(names))}" if names else "they have none"
        raise StageError(f"{run.place}: {parameter} says by which feature to compare documents; {found}")
    return names.pop()
