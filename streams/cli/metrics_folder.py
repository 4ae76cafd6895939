"""The folder in which processes of one service count together, removed when they have ended, however they end."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PREFIX: Final = "tidewatch-metrics-"
_LOCK: Final = "lock"


@contextlib.contextmanager
def metrics_folder() -> Iterator[Path]:
    """A folder of this process's own. A process that was killed could not remove its folder: those that nobody
    holds any more are removed first."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    # Locked before it has the name by which others find it.
    made = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}"))
    with (made / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = made.rename(parent / made.name.removeprefix("."))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_left(folder: Path) -> None:
    # Another user's, or gone meanwhile: not ours to remove.
    with contextlib.suppress(OSError):
        if folder.stat().st_uid != os.getuid():
            return
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
