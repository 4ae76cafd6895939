"""Clustering documents by their attributes: no vectors, no model, one group per combination of values."""

from contextlib import aclosing
from typing import Any

from streams.act.actions.cluster_vectors import Run
from streams.act.actions.documents import Name, Selection, positions, roots
from streams.act.clustering.attributes import Grouping, values_of
from streams.act.clustering.plan import AttributePlan
from streams.act.clustering.run import NOISE
from streams.act.failures import ActionError
from streams.act.runs import add_members, store
from streams.act.work import Work


async def group_documents(work: Work, run: Run, plan: AttributePlan) -> dict[str, Any]:
    """Group every document by the plan's attributes; one that has none of them is noise."""
    if work.checkpoint is not None:
        return dict(work.checkpoint["facts"])
    command = work.job.command
    selection = Selection(command.namespace_id, plan.source.collection_ids, command.until, plan.source.filter)
    grouping = Grouping(plan.attributes)
    found: list[Name] = []
    numbers: list[int] = []
    async with work.read() as connection:
        where = await positions(connection, selection)
        async with aclosing(roots(connection, selection)) as documents:
            async for name, root in documents:
                values = values_of(root, plan.attributes)
                found.append(name)
                numbers.append(NOISE if values is None else grouping.number(values))
    if not any(number != NOISE for number in numbers):
        raise ActionError(
            f"no document in {', '.join(plan.source.collection_ids)} has {' or '.join(plan.attributes)}"
        )
    groups, places = grouping.groups(plan.hierarchical)
    facts = {"method": "attribute_based", "num_documents": len(found), "positions": where}
    centroids: list[dict[str, Any]] = [
        {
            "cluster_id": group.id,
            "parent_cluster_id": group.parent,
            "level": group.level,
            "num_members": 0,
            "label": group.label,
            "summary": ", ".join(f"{name}: {value}" for name, value in group.values.items()),
            "keywords": [],
            "attributes": group.values,
        }
        for group in groups
    ]
    async with work.step({"facts": facts}, 1.0, f"stored {len(groups):,} groups") as connection:
        await store(connection, run.run_id, run.mode, centroids, None, where, {})
        labels = [NOISE if number == NOISE else places[number] for number in numbers]
        await add_members(connection, run.run_id, found, labels)
    return facts
