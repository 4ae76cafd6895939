import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from streams.cli.dev import write_environment
from streams.runtime.children import free_port
from tests.cli.processes import alive, descendants, running
from tests.support import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and the parent's death is Linux's")


def read_environment(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


async def wait_for(path: Path, process: "subprocess.Popen[bytes]", log: Path) -> dict[str, str]:
    async def there() -> bool:
        assert process.poll() is None, log.read_text()
        return path.exists()

    await eventually(there, timeout=90)
    return read_environment(path)


async def none_left(pids: list[int]) -> bool:
    return not alive(pids)


async def test_dev_answers_and_leaves_nothing_behind(tmp_path: Path) -> None:
    env_file, log = tmp_path / "dev.env", tmp_path / "dev.log"
    env_file.write_text("TIDEWATCH_URL=http://of.an.earlier.run\n")
    port = free_port()
    options = ("--port", str(port), "--env-file", str(env_file), "--api-key", "sk_chosen", "--partitions", "2")
    with running("dev", *options, variables={}, log=log) as process:

        async def old_file_is_gone() -> bool:
            return not env_file.exists()

        await eventually(old_file_is_gone)
        found = await wait_for(env_file, process, log)
        assert found["TIDEWATCH_URL"] == f"http://127.0.0.1:{port}"
        assert found["TIDEWATCH_API_KEY"] == "sk_chosen"
        assert {"TIDEWATCH_NAMESPACE", "TIDEWATCH_KAFKA", "TIDEWATCH_DATABASE"} <= found.keys()
        headers = {"Authorization": "Bearer sk_chosen"}
        async with aiohttp.ClientSession(found["TIDEWATCH_URL"], headers=headers) as client:
            async with client.get("/v1/health/deep") as answer:
                health = await answer.json()
            assert (answer.status, health["status"], health["errors"]) == (200, "OK", None)
            assert answer.headers["X-Definitions-Version"] == health["meta"]["definitions_version"]
            async with client.get(f"/v1/namespaces/{found['TIDEWATCH_NAMESPACE']}") as answer:
                assert (await answer.json())["namespace_name"] == found["TIDEWATCH_NAMESPACE"]
        children = descendants(process.pid)
        assert len(children) >= 4
        data = Path(found["TIDEWATCH_DATABASE"].rpartition("host=")[2])
        assert data.exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(25) == 0, log.read_text()
        await eventually(lambda: none_left(children))
        assert not data.exists()
    said = log.read_text()
    assert "sk_chosen" in said
    assert not Path(next(line.split()[2] for line in said.splitlines() if " logs " in line)).exists()


async def test_a_killed_dev_leaves_no_orphans(tmp_path: Path) -> None:
    env_file, log = tmp_path / "dev.env", tmp_path / "dev.log"
    options = ("--port", str(free_port()), "--env-file", str(env_file))
    with running("dev", *options, variables={}, log=log) as process:
        await wait_for(env_file, process, log)
        children = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert len(children) >= 4
        await eventually(lambda: none_left(children), timeout=30)


async def test_a_dead_child_ends_dev_with_its_last_words(tmp_path: Path) -> None:
    env_file, log = tmp_path / "dev.env", tmp_path / "dev.log"
    options = ("--port", str(free_port()), "--env-file", str(env_file))
    with running("dev", *options, variables={}, log=log) as process:
        await wait_for(env_file, process, log)
        children = descendants(process.pid)
        worker = next(p for p in children if b"\0worker\0" in Path(f"/proc/{p}/cmdline").read_bytes())
        os.kill(worker, signal.SIGKILL)
        assert process.wait(25) == 1
        said = log.read_text()
        assert "worker ended with exit code -9" in said
        assert Path(said.partition("its log ")[2].partition(" ends:")[0]).exists()
        await eventually(lambda: none_left(children))


def test_a_port_in_use_is_said_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        log = tmp_path / "dev.log"
        with running("dev", "--port", port, variables={}, log=log) as process:
            assert process.wait(30) == 1
        assert f"port {port} cannot be used" in log.read_text()


def test_the_environment_file_is_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    write_environment(path, {"A": "1", "B": "x y"})
    assert path.read_text() == "A=1\nB=x y\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
