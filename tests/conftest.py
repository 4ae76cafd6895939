"""One broker and one PostgreSQL for the whole run; a database and a topic prefix of its own for each test."""

import itertools
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from schemas.topics import TOPICS
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database, migrate
from streams.settings import Settings
from tests.support import BackgroundLoop, TestBroker, chosen_broker, chosen_database

_numbers = itertools.count()

# The machine may be busy with servers; an example that takes long once is no fault of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
TEMPLATE = f"tidewatch_template_{os.getpid()}"
SECRET_KEY = "dGlkZXdhdGNoLXRlc3RzLXVzZS10aGlzLWtleS1vayE="  # 32 bytes, of no use elsewhere


@pytest.fixture(scope="session")
def servers() -> Iterator[BackgroundLoop]:
    """The loop the servers of the run live in."""
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def broker_server(servers: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBroker]:
    """The broker of the run."""
    manager = chosen_broker(tmp_path_factory.mktemp("broker"))
    yield servers.enter(manager)
    servers.leave(manager)


@pytest.fixture(scope="session")
def database_server(servers: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the PostgreSQL of the run, with a migrated database that is copied for each test."""
    manager = chosen_database(tmp_path_factory.mktemp("database"))
    dsn = servers.enter(manager)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}".encode())
        servers.run(migrate(_named(dsn, TEMPLATE)))
        yield dsn
        connection.execute(f"DROP DATABASE {TEMPLATE} WITH (FORCE)".encode())
    servers.leave(manager)


def _named(dsn: str, database: str) -> str:
    return make_conninfo("", **{**conninfo_to_dict(dsn), "dbname": database})


@pytest.fixture
def database_url(database_server: str) -> Iterator[str]:
    """A fresh migrated database."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(database_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}".encode())
        dsn = _named(database_server, name)
        with psycopg.connect(dsn, autocommit=True) as fresh:
            # The template's identity was copied with it: a stream of its own for each test.
            fresh.execute("UPDATE stream_identity SET epoch = gen_random_uuid()")
        yield dsn
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def settings(database_url: str, broker_server: TestBroker) -> Settings:
    """Settings for this test's database and the run's broker, with a topic prefix of its own."""
    return Settings(
        kafka=broker_server.bootstrap,
        kafka_idempotence=broker_server.idempotence,
        kafka_fetch_max_wait_ms=broker_server.fetch_max_wait_ms,
        topic_prefix=f"t{secrets.token_hex(4)}-",
        partitions=3,
        database=database_url,
        secret_key=SecretStr(SECRET_KEY),
        port=0,
    )


@pytest.fixture
async def context(settings: Settings) -> AsyncIterator[Context]:
    """An open context: topics created, database migrated."""
    broker = Broker(settings)
    await broker.create_topics()
    async with Database(settings) as database:
        yield Context(settings, broker, database)
    await _drop_topics(broker)


async def _drop_topics(broker: Broker) -> None:
    admin: AIOKafkaAdminClient = broker.admin()
    await admin.start()
    try:
        await admin.delete_topics([broker.topic(topic) for topic in TOPICS])
    finally:
        await admin.close()


@pytest.fixture
def real_kafka(broker_server: TestBroker) -> TestBroker:
    """The run's broker, if it is Apache Kafka; else the test is skipped by name and reason, or fails where
    ``TIDEWATCH_REQUIRE_KAFKA`` says that a real one must be there."""
    if broker_server.not_real_because is not None:
        message = f"needs a real Kafka: {broker_server.not_real_because}"
        if os.environ.get("TIDEWATCH_REQUIRE_KAFKA"):
            pytest.fail(message)
        pytest.skip(message)
    return broker_server


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A folder for the logs of child processes."""
    return tmp_path / "logs"
