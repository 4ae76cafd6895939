"""``check`` shows which documents count for alerts with a window, and refuses those no window can decide."""

from typing import Any

import pytest
import yaml

from schemas.events.document import UPSERTED, DocumentEvent
from schemas.manifest import ManifestError
from streams.cli.check_definitions import read_alerts
from streams.engines.retrieval.percolate.reference import check as plain
from tests.cli.manifest import parse_manifest
from tests.cli.test_check import NOW

ORDER = {"kind": "alert", "name": "orders", "filter": {"kind": "order"}, "window_seconds": 600}


def counts(alert: dict[str, Any], payload: dict[str, Any]) -> bool:
    (read,) = read_alerts(parse_manifest(yaml.safe_dump(alert), "orders.yaml"))
    return plain(read.plan, DocumentEvent(UPSERTED, "ns", "col", "d", NOW, payload=payload)) is not None


@pytest.mark.parametrize(
    ("fields", "payload", "counted"),
    [
        ({"min_count": 5}, {"kind": "order"}, True),
        ({"trigger_on": "no_results"}, {"kind": "order"}, True),
        ({"trigger_on": "no_results"}, {"kind": "visit"}, False),
        (
            {"threshold": {"field": "sum(amount)", "operator": "gt", "value": 9}},
            {"kind": "order", "amount": 1},
            True,
        ),
        ({"threshold": {"field": "amount", "operator": "gt", "value": 9}}, {"kind": "order", "amount": 1}, False),
    ],
)
def test_which_documents_count(fields: dict[str, Any], payload: dict[str, Any], counted: bool) -> None:
    assert counts({**ORDER, **fields}, payload) is counted


def test_a_window_that_cannot_be_is_refused() -> None:
    with pytest.raises(ManifestError, match="must be whole minutes"):
        counts({**ORDER, "window_seconds": 3_601}, {})
