"""Running ``tidewatch`` as its users do: as a process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from streams.settings import Settings


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The variables that give a process the settings of a test."""
    assert settings.secret_key is not None
    given = {
        "kafka": settings.kafka,
        "kafka_idempotence": settings.kafka_idempotence,
        "kafka_fetch_max_wait_ms": settings.kafka_fetch_max_wait_ms,
        "topic_prefix": settings.topic_prefix,
        "partitions": settings.partitions,
        "replication": settings.replication,
        "database": settings.database,
        "secret_key": settings.secret_key.get_secret_value(),
    }
    return {f"TIDEWATCH_{name.upper()}": str(value) for name, value in given.items() if value is not None} | more


def tidewatch(
    *arguments: str, variables: Mapping[str, str] | None = None, stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "streams.cli.main", *arguments],
        env={**clean(), **(variables or {})},
        input=stdin,
        capture_output=True,
        timeout=90,
        check=False,
    )


@contextmanager
def running(
    *arguments: str, variables: Mapping[str, str], log: Path, stdin: int = subprocess.DEVNULL
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a command until the block ends; its output goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli.main", *arguments],
            env={**clean(), **variables},
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(20)


def clean() -> dict[str, str]:
    """This environment without settings of the developer's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TIDEWATCH_")}


def descendants(pid: int) -> list[int]:
    """Children of a process and theirs."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found += [int(entry.name), *descendants(int(entry.name))]
    return found


def alive(pids: list[int]) -> list[int]:
    """Those that still run (a zombie does not)."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found
