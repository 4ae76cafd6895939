"""The commands as processes, against the run's broker and database."""

import gzip
import os
import signal
import time
from pathlib import Path

import orjson
import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import DEFINITIONS, DOCUMENTS, TOPICS
from streams.app import STATIONS
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.children import free_port
from streams.settings import Settings
from tests.cli.processes import environment, running, tidewatch
from tests.runtime.test_publisher import everything
from tests.support import eventually

INGEST = ("ingest", "--collection", "col_1", "--namespace", "ns_1")


def test_agents_lists_every_station_in_flow_order() -> None:
    answer = tidewatch("agents", variables={"COLUMNS": "400"})
    assert answer.returncode == 0
    text = answer.stdout.decode()
    rows = [line.split()[0] for line in text.splitlines() if line.strip()][1:]
    assert rows == [station.name for station in STATIONS]
    for station in STATIONS:
        assert station.does in text


async def test_topics_create_makes_them_all_and_is_repeatable(settings: Settings) -> None:
    variables = environment(settings, COLUMNS="200")
    assert b"missing" in tidewatch("topics", "list", variables=variables).stdout
    first = tidewatch("topics", "create", variables=variables)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count(b"created topic") == len(TOPICS)
    again = tidewatch("topics", "create", variables=variables)
    assert (again.returncode, again.stdout.count(b"created topic")) == (0, 0)
    admin: AIOKafkaAdminClient = Broker(settings).admin()
    await admin.start()
    names = {topic.named(settings.topic_prefix) for topic in TOPICS}
    try:
        described = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics(sorted(names))}
        listed = tidewatch("topics", "list", variables=variables).stdout.decode()
    finally:
        await admin.delete_topics(sorted(names))
        await admin.close()
    assert described.keys() == names
    assert described[DOCUMENTS.named(settings.topic_prefix)] == 3
    assert described[DEFINITIONS.named(settings.topic_prefix)] == 1
    assert all(name in listed for name in names)
    assert "missing" not in listed


async def test_ingest_sends_every_line_and_says_so(context: Context, tmp_path: Path) -> None:
    source = tmp_path / "news.jsonl.gz"
    lines = [orjson.dumps({"id": number, "title": f"t{number}", "timestamp": number}) for number in range(2000)]
    source.write_bytes(gzip.compress(b"\n".join(lines)))
    answer = tidewatch(*INGEST, str(source), variables=environment(context.settings))
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert answer.stdout.startswith(b"2,000 documents acknowledged in ")
    found = [event for records in (await everything(context.broker)).values() for event, _ in records]
    documents = {event.document_id: event.payload for event in found if event.type == "document.upserted"}
    assert documents == {str(number): orjson.loads(line) for number, line in enumerate(lines)}
    assert len({event.type for event in found}) == 2, "every partition was told the end"


async def test_ingest_names_the_bad_line_and_keeps_what_came_before(context: Context) -> None:
    answer = tidewatch(*INGEST, "-", variables=environment(context.settings), stdin=b'{"id":1}\n\n{"id":"x"\n{}\n')
    assert answer.returncode == 1
    assert b"error: - line 3: not JSON" in answer.stderr
    assert answer.stdout.startswith(b"1 documents acknowledged")


async def test_skip_bad_puts_the_lines_away_as_they_came(context: Context, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    stdin = b'{"id":1}\nnonsense\n{"id":2}\n[1]\n'
    answer = tidewatch(*INGEST, "-", "--skip-bad", str(bad), variables=environment(context.settings), stdin=stdin)
    assert answer.returncode == 0, answer.stderr
    assert bad.read_bytes() == b"nonsense\n[1]\n"
    assert answer.stdout.startswith(b"2 documents acknowledged")
    assert b"2 bad lines in" in answer.stdout
    assert answer.stderr.count(b"skipped") == 2


def test_ingest_into_a_broker_without_topics_says_what_to_do(settings: Settings) -> None:
    answer = tidewatch(*INGEST, "-", variables=environment(settings), stdin=b'{"id":1}\n')
    assert answer.returncode == 1
    assert b"run `tidewatch topics create` first" in answer.stderr


def test_rate_is_a_limit(context: Context) -> None:
    stdin = b'{"a":1}\n' * 30
    started = time.monotonic()
    answer = tidewatch(*INGEST, "-", "--rate", "20", variables=environment(context.settings), stdin=stdin)
    assert answer.returncode == 0
    assert time.monotonic() - started > 1.4


async def test_an_interrupted_ingest_says_what_was_acknowledged(context: Context, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log = tmp_path / "ingest.log"
    arguments, variables = (*INGEST, "-"), environment(context.settings)
    with running(*arguments, variables=variables, log=log, stdin=reading) as process:
        os.write(writing, b'{"id":1}\n{"id":2}\n{"id":')

        async def both_are_there() -> bool:
            found = await everything(context.broker)
            return sum(map(len, found.values())) == 2

        await eventually(both_are_there, timeout=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    os.close(reading)
    os.close(writing)
    assert log.read_text().splitlines()[0] == "error: interrupted"
    assert "2 documents acknowledged in" in log.read_text().splitlines()[1]
    assert len(log.read_text().splitlines()) == 2


async def test_names_are_resolved_through_the_api_and_the_version_goes_along(
    context: Context, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "query.log"
    url = f"http://127.0.0.1:{port}"
    variables = environment(
        context.settings, TIDEWATCH_API_KEY="sk_x", TIDEWATCH_PORT=str(port), TIDEWATCH_URL=url
    )
    with running("query", variables=variables, log=log) as service:

        async def listening() -> bool:
            assert service.poll() is None, log.read_text()
            return "listening" in log.read_text()

        await eventually(listening, timeout=60)
        manifest = tmp_path / "m.yaml"
        manifest.write_text("kind: collection\ncollection_name: news\n")
        made = tidewatch("apply", str(manifest), variables=variables)
        assert made.returncode == 0, made.stderr
        answer = tidewatch("ingest", "-", "--collection", "news", variables=variables, stdin=b'{"id":1}\n')
        assert answer.returncode == 0, answer.stderr
        unknown = tidewatch("ingest", "-", "--collection", "old", variables=variables, stdin=b'{"id":1}\n')
        assert (unknown.returncode, unknown.stdout) == (1, b"")
        assert b"not found: old" in unknown.stderr
        service.send_signal(signal.SIGTERM)
        assert service.wait(10) == 0, log.read_text()
    event, headers = next(
        (event, dict(headers))
        for records in (await everything(context.broker)).values()
        for event, headers in records
        if event.document_id
    )
    assert event.namespace_id.startswith("ns_")
    assert event.collection_id.startswith("col_")
    async with context.database.connection() as connection:
        row = await (
            await connection.execute("SELECT epoch::text, definitions_version FROM stream_identity")
        ).fetchone()
    assert row is not None
    assert headers["x-definitions-version"].decode() == f"{row[0]}:{row[1]}"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_stops_when_it_is_asked_to(
    context: Context, tmp_path: Path, number: signal.Signals
) -> None:
    port, log = free_port(), tmp_path / "worker.log"
    variables = environment(context.settings, TIDEWATCH_METRICS_PORT=str(port))
    with running("worker", variables=variables, log=log) as process:

        async def started() -> bool:
            assert process.poll() is None, log.read_text()
            return '"started"' in log.read_text()

        await eventually(started, timeout=60)
        process.send_signal(number)
        asked = time.monotonic()
        assert process.wait(10) == 0, log.read_text()
        assert time.monotonic() - asked < 5, "promised are two seconds; the machine may be busy"


async def test_a_station_that_cannot_go_on_ends_the_worker_with_its_reason(
    context: Context, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with psycopg.connect(context.settings.database, autocommit=True) as connection:
        # A position in a log that no longer holds it, as after a topic was recreated.
        connection.execute(
            "INSERT INTO positions (station, topic, partition, next_offset, last_timestamp, last_key)"
            " VALUES ('collect', %s, 0, 500, 1, NULL)",
            (context.broker.topic(DOCUMENTS),),
        )
    with running(
        "worker", "--stations", "collect,relay", variables=environment(context.settings), log=log
    ) as process:
        assert process.wait(60) == 1
    assert "error: station collect failed: LogMismatchError: " in log.read_text()
    assert "the topic was recreated" in log.read_text().lower()


def test_wrong_ways_to_start_are_said_in_one_line() -> None:
    for arguments, variables, code, says in (
        (("worker",), {"TIDEWATCH_PORT": "x"}, 2, "TIDEWATCH_PORT"),
        (("worker", "--stations", "math"), {}, 1, "unknown station math; there are match, collect"),
        (("worker",), {"TIDEWATCH_DATABASE": "postgresql://nobody@127.0.0.1:1/x"}, 1, "TIDEWATCH_DATABASE"),
        (("ingest", "nowhere.jsonl"), {}, 2, "nowhere.jsonl: no such file"),
    ):
        answer = tidewatch(*arguments, variables=variables)
        assert (answer.returncode, answer.stderr.count(b"Traceback")) == (code, 0), answer.stderr
        assert says in answer.stderr.decode()
