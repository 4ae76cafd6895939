"""Folders of metrics: one for each process, and none left by those that were killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli.metrics_folder import metrics_folder

_HOLD = """
import sys, time
from streams.cli.metrics_folder import metrics_folder
with metrics_folder() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_lives_as_long_as_it_is_held(temporary: Path) -> None:
    with metrics_folder() as first, metrics_folder() as second:
        (first / "counter_1.db").write_bytes(b"x")
        assert {first, second} == set(temporary.iterdir())
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_no_other(temporary: Path) -> None:
    other = temporary / "tidewatch-metrics-of-another-kind"
    other.mkdir()
    with subprocess.Popen([sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with metrics_folder():
            assert held.exists()
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert held.exists()
    with metrics_folder():
        assert not held.exists()
    assert list(temporary.iterdir()) == [other]
