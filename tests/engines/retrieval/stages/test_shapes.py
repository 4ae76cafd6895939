from copy import deepcopy
from typing import Any

import jsonschema_rs
import pytest
from pydantic import ValidationError

from schemas.api.base import SHAPE
from schemas.api.filters import filter_shapes
from schemas.api.retriever import STAGE_CONFIG
from streams.engines.retrieval.stages.parameters import StageParameters
from streams.engines.retrieval.stages.registry import STAGES
from streams.engines.retrieval.stages.shapes import stage_shapes
from streams.engines.retrieval.stages.validation import accepted
from streams.runtime.http.openapi.shapes import put_references

MODELS = {f"{model.__module__}.{model.__name__}": model for model in StageParameters.__subclasses__()}


@pytest.mark.parametrize("name", sorted(name for name in MODELS if name.startswith("streams.")))
def test_what_is_said_beside_a_model_is_of_fields_that_it_has(name: str) -> None:
    model = MODELS[name]
    assert set(model.checked.get("properties", {})) <= set(accepted(model))


def config(**written: Any) -> bool:
    """Whether the shape of a stage allows this."""
    named = deepcopy({**filter_shapes(), **stage_shapes(), "Stage": True})
    schema = {SHAPE: STAGE_CONFIG, "components": {"schemas": named}}
    put_references(schema)
    return jsonschema_rs.is_valid(schema, written)


@pytest.mark.parametrize("stage_id", sorted(STAGES))
def test_a_stage_that_needs_parameters_says_so(stage_id: str) -> None:
    stage = STAGES[stage_id]
    try:
        stage.parameters.model_validate({})
    except ValidationError:
        assert not config(stage_id=stage_id)
    else:
        assert config(stage_id=stage_id) is (stage.needs_filter is None)


def test_an_empty_search_needs_a_filter() -> None:
    assert not config(stage_id="feature_search", parameters={"searches": []})
    assert not config(stage_id="feature_search", pre_filters={"AND": []})
    assert config(stage_id="feature_search", pre_filters={"field": "a", "operator": "eq", "value": 1})


def test_what_the_model_checks_in_code_the_shape_says() -> None:
    assert config(stage_id="sample", parameters={"strategy": "stratified", "stratify_by": "lang"})
    assert not config(stage_id="sample", parameters={"strategy": "stratified"})
    assert not config(stage_id="aggregate", parameters={"aggregations": [{"function": "sum", "alias": "x"}]})
    assert config(stage_id="limit", parameters={"limit": "{{INPUT.many}}"})
    assert not config(stage_id="limit", parameters={"limit": "many"})
    assert not config(stage_id="attribute_filter", parameters={"AND": []})
