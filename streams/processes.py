"""A station in processes of its own, supervised by the process that began them.

One interpreter runs on one processor. Of ``match`` a worker may have one process for each processor; of ``query``
the service has one beside the HTTP server, so that whoever reads does not wait while the view is filled. The
processes are members of the station's consumer group, so Kafka divides the partitions among them, as among workers
on several machines; more processes than partitions have nothing to do. They end when their supervisor does,
however it does, and when one of them ends, the supervisor ends with the reason.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

import structlog

from streams.runtime.children import ChildFailedError, die_with_parent
from streams.settings import Settings

log = structlog.get_logger(__name__)

PATIENCE_SECONDS: Final = 5.0
"""How long processes may take to end when they are asked to; then they are killed, which is as safe as a crash."""


class Processes:
    """An agent that runs a station in ``count`` processes. Settings are taken from the environment, as the
    supervisor's own are."""

    def __init__(self, settings: Settings, station: str, count: int) -> None:
        self.name = station
        self._settings = settings
        self._count = count
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Pass it on."""
        self._stopping.set()

    async def run(self) -> None:
        """Run until :meth:`stop`. Raises :class:`ChildFailedError` when a process ends by itself."""
        processes: list[asyncio.subprocess.Process] = []
        try:
            for environment in map(self._environment, range(1, self._count + 1)):
                process = await _start(self.name, environment)
                processes.append(process)
            log.info("processes", station=self.name, pids=[process.pid for process in processes])
            ends = {asyncio.create_task(process.wait()): process for process in processes}
            asked = asyncio.create_task(self._stopping.wait())
            try:
                done, _ = await asyncio.wait({asked, *ends}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                asked.cancel()
            if asked not in done:
                ended = [process for end, process in ends.items() if end in done]
                raise ChildFailedError("; ".join(map(_words, ended)))
        finally:
            # Also when this agent is cancelled, because it took too long.
            await _stop(processes)

    def _environment(self, number: int) -> dict[str, str]:
        environment = {**os.environ, **own_settings(self._settings, number)}
        if self._settings.metrics_port is None:
            # Though there may be one in the environment: a supervisor that serves the metrics of all has taken it
            # out of the settings.
            environment.pop("TIDEWATCH_METRICS_PORT", None)
        return environment


def own_settings(settings: Settings, number: int) -> Mapping[str, str]:
    """The variables in which processes of one supervisor must differ, counted from 1: the name of a static member
    of the group, and the port of the metrics."""
    own: dict[str, str] = {}
    if settings.instance is not None:
        own["TIDEWATCH_INSTANCE"] = f"{settings.instance}-{number}"
    if settings.metrics_port is not None:
        own["TIDEWATCH_METRICS_PORT"] = str(settings.metrics_port + number)
    return own


async def _start(station: str, environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    parent = os.getpid()
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli.main", "worker", "--stations", station),
        stdin=asyncio.subprocess.DEVNULL,
        env=environment,
        # A terminal's Ctrl-C reaches only the supervisor, which passes it on.
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(parent),
    )


async def _stop(processes: list[asyncio.subprocess.Process]) -> None:
    for process in processes:
        _signal(process, signal.SIGTERM)
    everyone = asyncio.gather(*(process.wait() for process in processes))
    try:
        await asyncio.wait_for(asyncio.shield(everyone), PATIENCE_SECONDS)
    except (TimeoutError, asyncio.CancelledError):
        for process in processes:
            _signal(process, signal.SIGKILL)
        await everyone


def _signal(process: asyncio.subprocess.Process, sent: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(sent)


def _words(process: asyncio.subprocess.Process) -> str:
    code = process.returncode or 0
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"process {process.pid} {how}; what it wrote before says why"
