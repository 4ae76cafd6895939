"""What a channel is sent."""

from typing import Any

import orjson
from mixpeek.models.alert_execution_result import AlertExecutionResult

from streams.notify.payload import slack_body, webhook_body
from streams.notify.policy import Policy, policy
from tests.notify.support import NAMESPACE, hit, id_of, result


def _policy(**config: Any) -> Policy:
    return policy(NAMESPACE, "alt_1", {"name": "Ebola <news>", "notification_config": {"channels": [], **config}})


def _body(**config: Any) -> Any:
    record = result()
    return orjson.loads(webhook_body(record, id_of(record), hit(), _policy(**config)))


def test_the_fields_of_an_execution_result_and_the_name() -> None:
    record = result()
    assert _body() == {
        "alert_id": "alt_1",
        "alert_name": "Ebola <news>",
        "execution_id": id_of(record),
        "collection_id": "col_1",
        "triggered": True,
        "match_count": 1,
        "executed_at": "2026-03-01T12:00:00.000Z",
        "duration_ms": 3,
        "source_documents": ["doc_1"],
        "matches": [
            {
                "document_id": "doc_1",
                "score": 0.75,
                "asset_id": None,
                "matched_features": {"words": 0.75},
                "metadata": {"text": "hello", "document_id": "doc_1"},
            }
        ],
    }


def test_the_sdk_reads_it() -> None:
    read = AlertExecutionResult.from_dict(_body())
    assert read is not None
    assert read.matches is not None
    assert (read.alert_id, read.match_count, read.matches[0].score) == ("alt_1", 1, 0.75)
    assert AlertExecutionResult.from_dict(_body(include_matches=False)) is not None


def test_matches_and_scores_can_be_left_out() -> None:
    assert _body(include_matches=False)["matches"] is None
    assert set(_body(include_scores=False)["matches"][0]) == {"document_id", "asset_id", "metadata"}


def test_slack() -> None:
    record = result(0, document="<!channel> & co")
    config = {"webhook_url": "https://example.com", "channel": "#a", "icon_emoji": None, "username": "tide"}
    body = orjson.loads(slack_body(record, id_of(record), hit(), _policy(), config))
    assert set(body) == {"text", "channel", "username"}
    first, second, _ = body["text"].split("\n")
    assert first == "*Ebola &lt;news&gt;* fired on `&lt;!channel&gt; &amp; co` in `col_1`"
    assert second == "score 0.75 is at least 0.5 (score 0.750)"
    plain = orjson.loads(slack_body(record, id_of(record), hit(), _policy(include_scores=False), {}))
    assert "(score" not in plain["text"]
