"""What a run of a retriever must keep to (contract 4.8), and what it breached. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from streams.engines.retrieval.stages.stage import Row
from streams.engines.retrieval.stages.values import number, value

KNOWN_RUNS: Final = 5
"""Earlier runs of a stage before its usual latency is known."""
SLOWER: Final = 2.0
NOTICEABLE_MS: Final = 10.0
"""A stage is slow that takes :data:`SLOWER` times its median over earlier runs, and at least so much longer."""
_PASSED: Final = frozenset(("pass", "passed", "true", "yes", "ok"))


def breaches(
    acceptance: Mapping[str, Any],
    rows: Sequence[Row],
    statistics: Mapping[str, Any],
    earlier: Mapping[str, Sequence[float]],
) -> list[str]:
    """What a run breached, in words. ``statistics`` are its ``stage_statistics``; ``earlier`` the milliseconds of
    each stage in runs before it."""
    found: list[str] = []
    total, most = statistics["total_time_ms"], acceptance.get("max_total_time_ms")
    if most is not None and total > most:
        found.append(f"it took {total:.0f} ms, at most {most:g} ms were accepted")
    least = acceptance.get("min_results")
    if least is not None and len(rows) < least:
        found.append(f"it found {len(rows)} results, at least {least} were wanted")
    if (allowed := acceptance.get("max_stage_latency_breaches")) is not None:
        slow = slow_stages(statistics["stages"], earlier)
        if len(slow) > allowed:
            found.append(f"slow stages: {len(slow)}, at most {allowed} were accepted ({'; '.join(slow)})")
    ratio, field = acceptance.get("min_pass_ratio"), acceptance.get("judge_field")
    if ratio is not None and field is not None and (passed := pass_ratio(rows, field)) < ratio:
        found.append(f"{passed:.3g} of the results pass by {field}, at least {ratio:g} had to")
    return found


def slow_stages(stages: Mapping[str, Any], earlier: Mapping[str, Sequence[float]]) -> list[str]:
    """The stages that took much longer than they usually do, in words."""
    slow: list[str] = []
    for name, stat in stages.items():
        known = earlier.get(name, ())
        if len(known) < KNOWN_RUNS:
            continue
        usual, took = median(known), stat["duration_ms"]
        if took > SLOWER * usual and took > usual + NOTICEABLE_MS:
            slow.append(f"{name} took {took:.0f} ms, usually {usual:.0f} ms")
    return slow


def pass_ratio(rows: Sequence[Row], field: str) -> float:
    """The share of results that pass by a field: true, a positive number, or a word such as ``passed``. 0 where
    there are no results."""
    return sum(_passes(value(row, field)) for row in rows) / len(rows) if rows else 0.0


def _passes(found: Any) -> bool:
    if isinstance(found, bool):
        return found
    if isinstance(found, str):
        return found.strip().casefold() in _PASSED
    measured = number(found)
    return measured is not None and measured > 0
