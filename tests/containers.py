"""Kafka and PostgreSQL as containers, where a Docker engine answers."""

import asyncio
import os
import tarfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Self

KAFKA_IMAGE = "apache/kafka:4.3.0"
POSTGRES_IMAGE = "pgvector/pgvector:pg18"


def docker_answers() -> str | None:
    """Why containers cannot be used, or ``None`` if a Docker engine answers."""
    if os.environ.get("TIDEWATCH_TEST_CONTAINERS") == "no":
        return "containers are switched off by TIDEWATCH_TEST_CONTAINERS=no"
    try:
        import docker
    except ImportError:
        return "the docker package is not installed"
    try:
        client = docker.from_env(timeout=3)
    except docker.errors.DockerException:
        return "no Docker engine answers"
    try:
        client.ping()
    except (docker.errors.DockerException, OSError):
        return "no Docker engine answers"
    finally:
        client.close()
    return None


def _apache_kafka() -> Any:
    """A container class for ``apache/kafka``: testcontainers has one only for Confluent's image.

    The advertised address holds the mapped port, which is known only after the start; so the container waits
    for a script that is copied in then.
    """
    from testcontainers.core.container import DockerContainer

    class ApacheKafkaContainer(DockerContainer):
        _script = "/tmp/tidewatch-start.sh"
        _port = 9092

        def __init__(self) -> None:
            super().__init__(KAFKA_IMAGE)
            self.with_exposed_ports(self._port)
            settings = {
                "NODE_ID": "1",
                "PROCESS_ROLES": "broker,controller",
                "CONTROLLER_QUORUM_VOTERS": "1@localhost:9094",
                "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
                "LISTENERS": f"PLAINTEXT://:{self._port},BROKER://:9093,CONTROLLER://:9094",
                "LISTENER_SECURITY_PROTOCOL_MAP": ("PLAINTEXT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"),
                "INTER_BROKER_LISTENER_NAME": "BROKER",
                "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
                "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
                "TRANSACTION_STATE_LOG_MIN_ISR": "1",
                "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
                "AUTO_CREATE_TOPICS_ENABLE": "false",
            }
            for name, value in settings.items():
                self.with_env(f"KAFKA_{name}", value)
            self.with_kwargs(entrypoint="sh")
            self.with_command(f"-c 'while [ ! -f {self._script} ]; do sleep 0.1; done; exec sh {self._script}'")

        def bootstrap(self) -> str:
            return f"{self.get_container_host_ip()}:{self.get_exposed_port(self._port)}"

        def start(self) -> Self:
            super().start()
            advertised = f"PLAINTEXT://{self.bootstrap()},BROKER://localhost:9093"
            script = f"export KAFKA_ADVERTISED_LISTENERS={advertised}\nexec /etc/kafka/docker/run\n".encode()
            buffer = BytesIO()
            with tarfile.open(fileobj=buffer, mode="w") as archive:
                entry = tarfile.TarInfo(self._script.rsplit("/", 1)[1])
                entry.size, entry.mode, entry.mtime = len(script), 0o755, int(time.time())
                archive.addfile(entry, BytesIO(script))
            buffer.seek(0)
            self.get_wrapped_container().put_archive("/tmp", buffer)
            self._wait_for_log()
            return self

        def _wait_for_log(self) -> None:
            deadline = time.monotonic() + 60
            while b"Kafka Server started" not in self.get_wrapped_container().logs():
                if time.monotonic() > deadline:
                    raise TimeoutError("the Kafka container did not start within 60 s")
                time.sleep(0.1)

    return ApacheKafkaContainer()


@asynccontextmanager
async def kafka_container() -> AsyncIterator[str]:
    """Bootstrap address of a Kafka that lives as long as the context."""
    container = _apache_kafka()
    await asyncio.to_thread(container.start)
    try:
        yield container.bootstrap()
    finally:
        await asyncio.to_thread(container.stop)


@asynccontextmanager
async def postgres_container() -> AsyncIterator[str]:
    """Address of a PostgreSQL with pgvector that lives as long as the context."""
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(POSTGRES_IMAGE, driver=None)
    await asyncio.to_thread(container.start)
    try:
        yield container.get_connection_url()
    finally:
        await asyncio.to_thread(container.stop)
