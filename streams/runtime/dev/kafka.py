"""Real Apache Kafka without Docker: Maven fetches the jars once, Java runs one KRaft node."""

import asyncio
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.runtime.children import Child, ChildFailedError, free_port, wait_for_port
from streams.runtime.dev.broker import BrokerAddress

KAFKA_VERSION = "4.3.0"
_JVM = ("-Xmx384m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For a broker that is started to try something out: its optimising compiler would take a processor for the first
minute (docs/decisions/038)."""
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidewatch</groupId><artifactId>kafka-jars</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version></dependency>
  </dependencies>
</project>
"""


def unavailable() -> str | None:
    """Why a JVM Kafka cannot run here, or ``None`` if it can."""
    if shutil.which("java") is None:
        return "no Java on the PATH (17 or later is needed)"
    version = _java_version()
    if version < 17:
        return f"Java {version} is too old for Kafka {KAFKA_VERSION}, which needs 17"
    if shutil.which("mvn") is None and not _jars_ready():
        return "no Maven on the PATH to fetch Kafka's jars"
    return None


def _java_version() -> int:
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)  # noqa: S607
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return int(found.group(1)) if found else 0


def cache_folder() -> Path:
    """Where the jars are kept between runs."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tidewatch" / f"kafka-{KAFKA_VERSION}"


def _jars_ready() -> bool:
    return (cache_folder() / "complete").exists()


async def fetch_jars() -> Path:
    """The folder with Kafka's jars; fetched by Maven when it is not there yet. Of several processes one fetches:
    Maven's own repository is not made for more."""
    target = cache_folder()
    if _jars_ready():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not _jars_ready():
            await _fetch_jars(target)
    return target


async def _fetch_jars(target: Path) -> None:
    work = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        (work / "pom.xml").write_text(_POM)
        process = await asyncio.create_subprocess_exec(
            "mvn",
            "-q",
            "-B",
            "dependency:copy-dependencies",
            "-DoutputDirectory=libs",
            cwd=work,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise ChildFailedError(f"Maven could not fetch Kafka {KAFKA_VERSION}:\n{output.decode()[-2000:]}")
        (work / "complete").touch()
        # What a process left that was killed at this is not whole.
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


async def start_kafka(folder: Path, port: int) -> BrokerAddress:
    """Start one KRaft node on ``port`` over the logs in ``folder``, which is formatted when it is empty. Raises
    :class:`ChildFailedError`."""
    reason = unavailable()
    if reason is not None:
        raise ChildFailedError(f"Kafka cannot run here: {reason}")
    jars = await fetch_jars() / "libs"
    folder.mkdir(parents=True, exist_ok=True)
    controller = free_port()
    settings = folder / "server.properties"
    settings.write_text(
        "\n".join(
            (
                "process.roles=broker,controller",
                "node.id=1",
                f"controller.quorum.voters=1@127.0.0.1:{controller}",
                f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
                f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
                "controller.listener.names=CONTROLLER",
                f"log.dirs={folder / 'kafka-logs'}",
                "auto.create.topics.enable=false",
                "group.initial.rebalance.delay.ms=0",
                "offsets.topic.replication.factor=1",
                "offsets.topic.num.partitions=4",
                "transaction.state.log.replication.factor=1",
                "transaction.state.log.min.isr=1",
                "default.replication.factor=1",
                "num.partitions=3",
                "",
            )
        )
    )
    classpath = str(jars / "*")
    if not (folder / "kafka-logs").exists():
        await _format(classpath, settings)
    child = await Child.start(
        "kafka",
        ["java", *_JVM, "-cp", classpath, "kafka.Kafka", str(settings)],
        log=folder / "kafka.log",
    )
    bootstrap = f"127.0.0.1:{port}"
    try:
        await wait_for_port(child, port, 60)
        await _wait_until_it_answers(child, bootstrap)
    except BaseException:
        await child.stop()
        raise
    return BrokerAddress(bootstrap, idempotence=True, fetch_max_wait_ms=500, child=child)


async def _format(classpath: str, settings: Path) -> None:
    """Prepare an empty log folder for a cluster of its own."""
    # It must not begin with a hyphen, which the tool would take for an option.
    cluster = "T" + urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    formatted = await asyncio.create_subprocess_exec(
        *(
            "java",
            *_JVM,
            "-cp",
            classpath,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster,
            "-c",
            str(settings),
        ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await formatted.communicate()
    if formatted.returncode != 0:
        raise ChildFailedError(f"Kafka's storage could not be formatted:\n{output.decode()[-2000:]}")


async def _wait_until_it_answers(child: Child, bootstrap: str, timeout_seconds: float = 60.0) -> None:
    """The port opens before the node has registered itself: wait for a metadata answer that names it."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            child.check()
            admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
            try:
                await admin.start()
                if (await admin.describe_cluster())["brokers"]:
                    return
            except (KafkaError, OSError):
                await asyncio.sleep(0.1)
            finally:
                await admin.close()
