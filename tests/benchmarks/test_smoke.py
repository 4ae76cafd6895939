"""Every benchmark that needs no broker runs, at sizes that say nothing about speed, and its answers are right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        "attributes --rounds 1 --alerts 300 --documents 300",
        "text --rounds 1 --alerts 300 --documents 200",
        "sigma --rounds 1 --alerts 300 --documents 300",
        "vectors --rounds 1 --largest 1000 --documents 600",
        "scale --largest 1000 --documents 200",
        "definitions --alerts 500 --additions 5",
        "collect --rounds 1 --documents 2000 --indexed 50",
        "schedule --triggers 600 --due 300 --ticks 2",
        "drift --rounds 1 --documents 5000 --largest 10000",
        "totals --rows 3000 --written 50 --rounds 2",
    ],
    ids=lambda command: command.split()[0],
)
def test_it_runs_and_is_right(command: str) -> None:
    name, *options = command.split()
    run = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["ratio"] > 0
    assert result["mismatches"] == 0
    assert all(part["mismatches"] == 0 for part in result["sets"].values())
