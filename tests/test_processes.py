"""Several processes of one worker, as the command runs them."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from streams.processes import own_settings
from streams.runtime.agent import Context
from streams.runtime.children import free_port
from streams.settings import Settings
from tests.cli.processes import alive, descendants, environment, running
from tests.support import eventually


async def _matching(process: "subprocess.Popen[bytes]", log: Path) -> list[int]:
    """The two processes, once both match."""

    async def both() -> bool:
        assert process.poll() is None, log.read_text()
        return log.read_text().count('["match"]') >= 3

    await eventually(both, timeout=60)
    found = descendants(process.pid)
    assert len(found) == 2
    return found


@pytest.mark.parametrize("way", ["asked", "supervisor killed", "process killed"])
async def test_processes_and_their_worker_end_together(context: Context, tmp_path: Path, way: str) -> None:
    log = tmp_path / "worker.log"
    arguments = ("worker", "--stations", "match", "--processes", "2")
    with running(*arguments, variables=environment(context.settings), log=log) as process:
        found = await _matching(process, log)
        match way:
            case "asked":
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0, log.read_text()
            case "supervisor killed":
                process.kill()
            case _:
                os.kill(found[0], signal.SIGKILL)
                assert process.wait(10) == 1
                assert (
                    f"error: station match failed: ChildFailedError: process {found[0]} was killed by SIGKILL"
                    in (" ".join(log.read_text().split()))
                )

        async def gone() -> bool:
            return not alive(found)

        await eventually(gone, timeout=20)


@pytest.mark.parametrize("way", ["asked", "service killed", "materialiser killed"])
async def test_the_query_service_and_its_materialiser_end_together(
    context: Context, tmp_path: Path, way: str
) -> None:
    port, log = free_port(), tmp_path / "query.log"
    variables = environment(context.settings, TIDEWATCH_API_KEY="sk_x", TIDEWATCH_PORT=str(port))
    with (
        socket.create_server(("127.0.0.1", 0)) as another,
        running(
            "query",
            # As of a worker on the same host, whose first process has the port behind it.
            variables=variables | {"TIDEWATCH_METRICS_PORT": str(another.getsockname()[1] - 1)},
            log=log,
        ) as process,
    ):
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": "Bearer sk_x"}
        ) as api:

            async def materialising() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    # The service tells what its processes count.
                    return 'tidewatch_rebalances_total{station="query"}' in (await api.get("/metrics")).text
                except httpx.TransportError:
                    return False

            await eventually(materialising, timeout=60)
        (materialiser,) = descendants(process.pid)
        match way:
            case "asked":
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0, log.read_text()
            case "service killed":
                process.kill()
            case _:
                os.kill(materialiser, signal.SIGKILL)
                assert process.wait(10) == 1
                assert f"process {materialiser} was killed by SIGKILL" in " ".join(log.read_text().split())

        async def gone() -> bool:
            return not alive([materialiser])

        await eventually(gone, timeout=20)


async def test_a_query_service_may_only_serve(context: Context, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "query.log"
    variables = environment(context.settings, TIDEWATCH_API_KEY="sk_x", TIDEWATCH_PORT=str(port))
    with running("query", "--processes", "0", variables=variables, log=log) as process:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as api:

            async def serving() -> bool:
                assert process.poll() is None, log.read_text()
                try:
                    return (await api.get("/v1/health")).is_success
                except httpx.TransportError:
                    return False

            await eventually(serving, timeout=60)
        assert descendants(process.pid) == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, log.read_text()


def test_processes_are_of_use_to_match_alone() -> None:
    # In a process of its own: a command that has ended sets its process an alarm.
    command = (sys.executable, "-m", "streams.cli.main", "worker", "--stations", "relay", "--processes", "2")
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "--processes is about the station match" in " ".join(result.stderr.split())


def test_what_processes_do_not_share() -> None:
    assert own_settings(Settings(instance=None, metrics_port=None), 1) == {}
    assert own_settings(Settings(instance="a", metrics_port=9_000), 2) == {
        "TIDEWATCH_INSTANCE": "a-2",
        "TIDEWATCH_METRICS_PORT": "9002",
    }
