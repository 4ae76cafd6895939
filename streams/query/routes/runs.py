"""Lists of runs by any field of their results, in memory as far as it is meant to go (contract 1.7, 2.2, 2.5)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from schemas.api.pages import Sort
from streams.query.routes.bodies import RunListRequest
from streams.retrieval.sifting import Item, Sifted, read_filter, searcher
from streams.runtime.http.errors import conflict, invalid
from streams.runtime.http.pages import PageRequest

NEWEST: Final = Sort(field="created_at", direction="desc")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a list asks for beside its page."""

    sifted: Sifted
    found: Callable[[str], bool] | None
    """Whether a text holds what is searched for."""

    def page(
        self, items: Sequence[tuple[Item[dict[str, Any]], Sequence[str]]], page: PageRequest
    ) -> tuple[list[dict[str, Any]], tuple[Any, ...] | None, int]:
        """One page of the results that fit, where the next begins, and how many fit. Each item comes with the
        texts in which it is searched."""
        wanted = [item for item, texts in items if self.found is None or any(map(self.found, texts))]
        return self.sifted.page(wanted, page)


def asked_of(body: RunListRequest, result: type[BaseModel]) -> Asked | None:
    """What a body asks for; ``None`` for all, newest first. Raises 422 for a field that results do not have."""
    sorts = [*([body.sort] if body.sort else []), *(body.sorts or [])]
    if not (body.filters or sorts or body.search):
        return None
    for sort in sorts:
        if sort.field.partition(".")[0] not in result.model_fields:
            fields = ", ".join(result.model_fields)
            raise invalid(
                f"There is no field {sort.field[:100]!r} to sort by. Fields: {fields}", "body", "sort", "field"
            )
    wanted = read_filter(body.filters, case_sensitive=body.case_sensitive) if body.filters else None
    return Asked(Sifted(wanted, sorts or [NEWEST]), searcher(body.search) if body.search else None)


def refuse_more_than(most: int, among: int, what: str) -> None:
    """Raises 409 where more than ``most`` would be looked through."""
    if among > most:
        raise conflict(
            f"filters, sort and search are for at most {most:,} {what}, and there are {among:,};"
            " list them by cursor"
        )
