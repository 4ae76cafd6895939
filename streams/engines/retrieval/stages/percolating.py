"""What most stages say when a standing alert is made: how one arriving document is decided (design section 4)."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from streams.engines.retrieval.percolate.draft import Draft

DEPENDS_ON_OTHERS: Final = "depends on other documents of the collection"


def in_order(draft: "Draft", parameters: Any, place: str) -> None:
    """One document is always in order."""


def on_the_row(draft: "Draft", parameters: Any, place: str) -> None:
    """The stage changes the document: it runs on it when the rest has matched."""
    draft.to_tail()
