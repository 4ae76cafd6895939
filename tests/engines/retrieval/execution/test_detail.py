"""Executions as they are answered and kept (contract 4.6)."""

import pytest

from streams.engines.retrieval.execution import detail
from streams.engines.retrieval.execution.detail import document, kept, outcome
from streams.engines.retrieval.execution.execute import Execution
from streams.engines.retrieval.execution.run import Notes
from streams.engines.retrieval.execution.statistics import Stat
from streams.engines.retrieval.stages.stage import Row

ROW = Row("d", "news", {"title": "flu", "metadata": {"a": 1}}, 0.5, {}, {"x": 0.5})
BUDGET = {"credits_used": 0.001, "credits_remaining": None, "time_used_ms": 2.0}
NOTES = Notes(
    warnings=["slow"],
    limits=[{"name": "scan", "requested": 9, "applied": 5, "ceiling": 5, "stage": "s"}],
    degraded=[{"resource": "feature", "id": "x"}],
    facets=[{"key": "a", "buckets": []}],
)
RUN = Execution([ROW], {"s": Stat(9, 1, 2.0)}, BUDGET, NOTES, 2, position={"0": 7})


def test_an_outcome_says_everything_but_the_documents() -> None:
    found = outcome(RUN, [{"name": "nearest", "requested": 3, "applied": 2, "ceiling": 2}], ["asked twice"])
    assert found["status"] == "completed"
    assert found["error"] is None
    assert found["stage_statistics"] == RUN.statistics()
    assert found["budget"] == BUDGET
    assert (found["degraded"], found["facets"], found["position"]) == (NOTES.degraded, NOTES.facets, {"0": 7})
    assert [limit["name"] for limit in found["limits"]] == ["scan", "nearest"]
    assert found["warnings"] == [
        "asked twice",
        "slow",
        "stage s: scan took 5 of 9 documents (at most 5 of a collection)",
        "nearest took 2 of 3 documents (at most 2 of a collection)",
    ]


def test_what_is_kept_is_the_outcome_its_documents_and_how_far_it_came() -> None:
    found = outcome(RUN)
    detail = kept(RUN, RUN.rows, found, alert_id="alt_1")
    assert detail == {
        **{name: value for name, value in found.items() if name != "status"},
        "documents": [document(ROW)],
        "stages_completed": 1,
        "total_stages": 2,
        "current_stage": None,
        "total_returned": 1,
        "alert_id": "alt_1",
    }
    assert document(ROW)["matched_features"] == {"x": 0.5}
    assert document(ROW)["payload"] == ROW.fields


def test_documents_too_large_for_a_record_are_kept_without_their_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kept(RUN, RUN.rows, outcome(RUN))
    monkeypatch.setattr(detail, "KEPT_BYTES", 100)
    cut = kept(RUN, RUN.rows, outcome(RUN))
    assert cut["documents"] == [{"document_id": "d", "collection_id": "news", "score": 0.5}]
    assert cut["warnings"][:-1] == whole["warnings"]
    assert "without their fields" in cut["warnings"][-1]
    assert cut["total_returned"] == 1
