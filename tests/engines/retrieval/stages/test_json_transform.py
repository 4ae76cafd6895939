import pytest

from streams.engines.retrieval.errors import PlanError, StageError
from tests.engines.retrieval.stages.rows import row
from tests.engines.retrieval.stages.running import applied

ROWS = [row("a", 0.5, title='Say "flu"', tags=["x", "y"]), row("b", 0.25, title="plain", tags=[])]


def test_the_document_becomes_what_is_rendered() -> None:
    template = '{"id": "{{ DOC.document_id }}", "title": {{ DOC.title | tojson }}, "n": {{ DOC.tags | length }}}'
    found = applied("json_transform", {"template": template}, ROWS)
    assert [one.root() for one in found] == [
        {"document_id": "a", "collection_id": "news", "id": "a", "title": 'Say "flu"', "n": 2, "score": 0.5},
        {"document_id": "b", "collection_id": "news", "id": "b", "title": "plain", "n": 0, "score": 0.25},
    ]
    assert ROWS[0].fields["title"] == 'Say "flu"'


def test_a_document_that_fails_is_left_out_with_a_warning() -> None:
    notes: list[str] = []
    found = applied("json_transform", {"template": '{"t": "{{ DOC.title }}"}'}, ROWS, notes=notes)
    assert [one.document_id for one in found] == ["b"]
    assert len(notes) == 1
    assert "1 of 2 documents left out" in notes[0]
    with pytest.raises(StageError, match="stage json_transform: the template did not make a JSON object"):
        applied("json_transform", {"template": '{"t": "{{ DOC.title }}"}', "fail_on_error": True}, ROWS)
    with pytest.raises(StageError) as caught:
        applied("json_transform", {"template": "{{ 1 / DOC.none }}", "fail_on_error": True}, ROWS)
    assert str(caught.value).count("stage json_transform") == 1
    with pytest.raises(StageError, match="list, not to an object"):
        applied("json_transform", {"template": "[1]", "fail_on_error": True}, ROWS)


def test_inputs_and_scores() -> None:
    template = '{"q": {{ INPUT.q | tojson }}, "score": {{ DOC.score * 2 }}, "document_id": "forged"}'
    (found, _) = applied("json_transform", {"template": template}, ROWS, inputs={"q": "é"})
    assert (found.document_id, found.score, found.fields) == ("a", 1.0, {"q": "é"})


def test_a_template_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(PlanError, match="template"):
        applied("json_transform", {"template": "{% for x in %}"}, ROWS)


def test_what_a_document_says_is_no_template() -> None:
    hostile = row("a", title="{{ INPUT.secret }}")
    (found,) = applied("json_transform", {"template": '{"t": {{ DOC.title | tojson }}}'}, [hostile])
    assert found.fields == {"t": "{{ INPUT.secret }}"}
