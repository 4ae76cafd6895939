"""An explanation as a tree on a terminal."""

from typing import Any

from rich.markup import escape
from rich.tree import Tree

from streams.engines.retrieval.explain.explanation import Explanation, Tested

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
    if found.tail is not None:
        _add_stages(top, found.tail.to_json())
    elif found.later_stages:
        top.add(f"not run: {escape(', '.join(found.later_stages))}")
    if found.verdict is not None:
        top.add(f"{_mark(found.verdict.fired is not None)} {escape(found.verdict.reason)}")
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


def _add_stages(above: Tree, ran: dict[str, Any]) -> None:
    for stage in ran["stages"]:
        if not stage["executed"]:
            above.add(f"not run: {escape(stage['stage_name'])}")
            continue
        below = above.add(f"then {escape(stage['stage_name'])} left {stage['output_count']}")
        for row in stage["rows"]:
            changed = [f"{name}={text}" for name, text in row["fields"].items()]
            changed += [f"without {name}" for name in row["removed_fields"]]
            below.add(f"[dim]{escape(', '.join(changed) or 'as it came')}[/]")
        if "error" in stage:
            below.add(f"[bold red]{escape(stage['error'])}[/]")
    for warning in ran["warnings"]:
        above.add(escape(warning))


def _mark(holds: bool) -> str:
    return "[green]true [/]" if holds else "[red]false[/]"
