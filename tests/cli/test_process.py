"""What long-running processes have in common."""

import subprocess
import sys

import pytest

# Like the batches of a station: many bytes for a moment, again and again.
_BATCHES = """
import resource
from streams.cli.process import settle_in

def faults_of_batches():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        batch = [bytes(1024 * 1024) for _ in range(24)]
        del batch
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

settle_in()
faults_of_batches()
print(faults_of_batches())
"""
_GLIBC = """
import ctypes
raise SystemExit(0 if hasattr(ctypes.CDLL(None), "gnu_get_libc_version") else 1)
"""


def test_memory_of_one_batch_is_there_for_the_next() -> None:
    if subprocess.run([sys.executable, "-c", _GLIBC], check=False).returncode:
        pytest.skip("memory is not glibc's here")
    done = subprocess.run([sys.executable, "-c", _BATCHES], capture_output=True, text=True, check=True)
    # A batch is 6,144 pages.
    assert int(done.stdout) < 6_144
