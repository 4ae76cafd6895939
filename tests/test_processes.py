"""Several processes of one worker, as the command runs them."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli.commands import app
from streams.processes import own_settings
from streams.runtime.agent import Context
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


def test_processes_are_of_use_to_match_alone() -> None:
    result = CliRunner().invoke(app, ["worker", "--stations", "relay", "--processes", "2"])
    assert result.exit_code == 1
    assert "--processes is about the station match" in result.output


def test_what_processes_do_not_share() -> None:
    assert own_settings(Settings(instance=None, metrics_port=None), 1) == {}
    assert own_settings(Settings(instance="a", metrics_port=9_000), 2) == {
        "TIDEWATCH_INSTANCE": "a-2",
        "TIDEWATCH_METRICS_PORT": "9002",
    }
