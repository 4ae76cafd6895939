"""What ``tidewatch check`` reads, and what becomes of the files that it writes."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_check import run, written


@pytest.mark.parametrize(
    ("conditions", "matching"),
    [
        ({"tag": "Flu"}, {"1", "2"}),
        ({"tag": "Flu", "case_sensitive": True}, {"1"}),
        ({"AND": [{"field": "tag", "operator": "eq", "value": "Flu", "case_sensitive": True}]}, {"1"}),
        ({"case_sensitive": True, "OR": [{"AND": [{"tag": {"contains": "Flu"}}]}]}, {"1"}),
        ({"field": "tag", "operator": "phrase", "value": "FLU", "case_sensitive": True}, {"1", "2"}),
        ({"field": "tag", "operator": "words", "value": "FLU", "case_sensitive": True}, {"1", "2"}),
    ],
)
def test_a_filter_compares_in_any_case_unless_it_says_otherwise(
    tmp_path: Path, conditions: dict[str, Any], matching: set[str]
) -> None:
    definitions = written(tmp_path / "a.jsonl", [{"kind": "alert", "name": "a", "filter": conditions}])
    documents = written(tmp_path / "d.jsonl", [{"tag": "Flu"}, {"tag": "fLU"}, {"tag": "rain"}])
    assert {item["document_id"] for item in run(definitions, documents)[1]} == matching
