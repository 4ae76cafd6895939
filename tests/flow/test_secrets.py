"""What is secret is nowhere but where it must be: not in topics, tables, logs, answers or errors."""

import httpx
import pytest
import structlog

from schemas.topics import TOPICS
from streams.notify.station import build as notify
from streams.runtime.agent import Context
from streams.runtime.http.cookies import PLAIN
from streams.runtime.keys import create_key
from tests.api import make
from tests.flow.system import EVERYTHING, changed, system
from tests.log import read_topic
from tests.support import eventually

SIGNING = "whsec_c2lnbmluZy1zZWNyZXQtb2YtdGhlLXRlc3Q="
TOKEN = "t0ken-of-the-test"
SLACK = "https://hooks.slack.com/services/T00/B00/slackSecretOfTheTest"
ORGANISATION = "s1gning-of-the-organisation"
HOOK = {
    "channel_type": "webhook",
    "config": {"url": "http://127.0.0.1:9/hook", "headers": {"X-Token": TOKEN}, "signing_secret": SIGNING},
}
SLACKED = {"channel_type": "slack", "config": {"webhook_url": SLACK}}


async def tables(context: Context) -> dict[str, str]:
    """Every table as text, binary columns in hexadecimal and as what they hold."""
    async with context.database.connection() as connection:
        names = await (
            await connection.execute(
                "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p')"
                " AND c.relnamespace = 'public'::regnamespace"
            )
        ).fetchall()
        found: dict[str, str] = {}
        for (name,) in names:
            rows = await (await connection.execute(f"SELECT t::text FROM {name} AS t".encode())).fetchall()
            found[name] = "\n".join(row[0] for row in rows)
    return found


async def refusals(http: httpx.AsyncClient, retriever: str) -> list[httpx.Response]:
    """Requests with secrets in them that are wrong in other places."""
    wrong = {"name": "w", "retriever_id": retriever, "notification_config": {"channels": [HOOK, SLACKED]}}
    return [
        await http.post("/v1/alerts", json={**wrong, "retriever_id": "ret_nobody"}),
        await http.post("/v1/alerts", json={**wrong, "colour": TOKEN}),
        await http.post("/v1/alerts", json={**wrong, "notification_config": {"channels": [SIGNING]}}),
        await http.post("/v1/alerts", json={**wrong, "notification_config": {"channels": [{**HOOK, "x": SLACK}]}}),
        await http.post("/v1/alerts", json={**wrong, "cooldown_seconds": SIGNING}),
        await http.post(
            "/v1/alerts", content=b'{"a": "' + SLACK.encode(), headers={"Content-Type": "application/json"}
        ),
        await http.get("/v1/alerts", headers={"Authorization": f"Bearer {TOKEN}"}),
        await http.get("/v1/alerts", headers={"Authorization": f"Basic {TOKEN}"}),
    ]


async def test_secrets_are_kept(context: Context, capfd: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    async with context.database.connection() as connection:
        _, key = await create_key(connection, "desk", None, ("read", "write", "admin"))
    answers: list[httpx.Response] = []
    async with system(context, [*EVERYTHING, notify]) as http:
        http.headers["Authorization"] = f"Bearer {key}"
        opened = await http.post("/v1/session")
        session = opened.cookies[PLAIN]
        http.cookies.clear()
        collection = (await make.collection(http))["collection_id"]
        retriever = (await make.retriever(http))["retriever_id"]
        alert = (
            await make.alert(
                http, retriever, notification_config={"channels": [HOOK, SLACKED], "include_matches": True}
            )
        )["alert_id"]
        hook = {"channel": "webhook", "configs": {"url": "http://127.0.0.1:9/x", "signing_secret": ORGANISATION}}
        answers.append(
            await http.post(
                "/v1/organizations/webhooks",
                json={"webhook_name": "audit", "event_types": ["alert.triggered"], "channels": [hook]},
            )
        )
        assert answers[-1].status_code == 200, answers[-1].text
        answers += await refusals(http, retriever)
        assert {answer.status_code for answer in answers[1:]} <= {401, 404, 422}
        attachment = {"alert_id": alert, "execution_mode": "on_ingest", "input_mappings": make.CONSTANT}
        await changed(http, f"/v1/collections/{collection}", {"alert_applications": [attachment]})
        await http.post(f"/v1/collections/{collection}/documents", json={"text": "ebola", "document_id": "d1"})

        async with context.database.connection() as connection:

            async def attempted() -> bool:
                row = await (
                    await connection.execute(
                        "SELECT count(*) FROM deliveries WHERE attempts > 0 OR state = 'failed'"
                    )
                ).fetchone()
                return row is not None and row[0] >= 2

            await eventually(attempted, timeout=30, what="both channels are tried")
        answers += [
            await http.get(path)
            for path in (
                f"/v1/alerts/{alert}",
                f"/v1/alerts/{alert}/results",
                f"/v1/alerts/{alert}/executions",
                "/v1/alerts",
                "/v1/session",
                "/metrics",
            )
        ]
        answers += [await http.post("/v1/organizations/webhooks/list"), await http.post("/v1/alerts/list")]
    (metrics,) = (answer.text for answer in answers if answer.url.path == "/metrics")
    assert "tidewatch_records_total" in metrics
    # Labels name no tenant, nor anything of one.
    for name in (collection, alert, retriever, alert.partition("_")[2], '"news"', '"ns_'):
        assert name not in metrics
    hidden = [SIGNING, TOKEN, SLACK.rpartition("/")[2], ORGANISATION, key, session]
    places = {f"the answer to {answer.request.method} {answer.url}": answer.text for answer in answers}
    for topic in TOPICS:
        records = await read_topic(context, topic)
        parts = [part for r in records for part in (r.key, r.value, *(value for _, value in r.headers))]
        places[f"topic {topic.name}"] = b"\n".join(part or b"" for part in parts).decode(errors="replace")
    assert "ebola" in places["topic documents"]
    places |= {f"table {name}": text for name, text in (await tables(context)).items()}
    assert "ebola" in places["table documents"]
    captured = capfd.readouterr()
    places["the log"] = captured.out + captured.err
    assert "relay_leads" in places["the log"]
    for place, text in places.items():
        for secret in hidden:
            assert secret not in text, place
            assert secret.encode().hex() not in text, place
