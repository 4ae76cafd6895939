"""Fault hooks: named points where a kill test ends the process, between a step and its record of it.

``TIDEWATCH_FAULT=match:after-produce@3`` kills this process with SIGKILL when the point is passed for the third
time (``@1`` when left out). Without the variable a hook costs one dictionary look-up.
"""

import os
import signal
from collections import Counter

VARIABLE = "TIDEWATCH_FAULT"

_passed: Counter[str] = Counter()


def due(point: str, wanted: str, passed: int) -> bool:
    """Whether the ``passed``-th passing of ``point`` is the one ``wanted`` names."""
    name, _, count = wanted.partition("@")
    return name == point and passed == int(count or 1)


async def fault(point: str) -> None:
    """Die here if the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    _passed[point] += 1
    if due(point, wanted, _passed[point]):
        os.kill(os.getpid(), signal.SIGKILL)
