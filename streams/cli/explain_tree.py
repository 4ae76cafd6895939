"""An explanation as a tree on a terminal."""

from rich.markup import escape
from rich.tree import Tree

from streams.engines.retrieval.explain import Explanation, Tested

_NAMES = {"and": "all of", "or": "any of", "not": "not"}


def tree(alert: str, document: str, found: Explanation) -> Tree:
    """The explanation of an alert on a document."""
    verdict = "[bold green]matches[/]" if found.matches else "[bold red]does not match[/]"
    top = Tree(f"[bold]{escape(alert)}[/] {verdict} [bold]{escape(document)}[/]: {escape(found.reason)}")
    if found.conditions is not None:
        _add(top, found.conditions)
    for search in found.searches:
        top.add(f"{_mark(search.found)} {escape(str(search))}")
    for test in found.score_tests:
        score = "there is no score" if found.score is None else f"score {found.score:g}"
        top.add(f"{_mark(test.holds)} {score} {escape(test.operator)} {test.value:g}")
    if found.later_stages:
        top.add(f"then {escape(', '.join(found.later_stages))} run on the document and decide by what they leave")
    top.add(f"[dim]index: {escape(found.index.words)}[/]")
    return top


def _add(above: Tree, node: Tested) -> None:
    if node.kind == "condition":
        seen = ", ".join(node.values) or "no such field"
        more = f" and {node.more} more" if node.more else ""
        above.add(f"{_mark(node.holds)} {escape(node.condition)}   [dim]saw {escape(seen)}{more}[/]")
        return
    below = above.add(f"{_mark(node.holds)} {_NAMES[node.kind]}")
    for part in node.parts:
        _add(below, part)


def _mark(holds: bool) -> str:
    return "[green]true [/]" if holds else "[red]false[/]"
