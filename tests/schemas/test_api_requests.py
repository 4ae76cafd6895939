"""Parts of requests."""

from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from schemas.api.base import ApiRequest

Positive = Annotated[int, Field(ge=1)]


class Asked(ApiRequest):
    plain: int = 0
    bounded: Positive = 1
    maybe: int | None = None
    maybe_bounded: Positive | None = None


@pytest.mark.parametrize("name", Asked.model_fields)
def test_one_is_as_whole_with_a_point_as_without(name: str) -> None:
    assert repr(Asked.model_validate({name: 1.0}).given()) == repr({name: 1})
    for wrong in (1.5, "1", True):
        with pytest.raises(ValidationError, match="valid integer"):
            Asked.model_validate({name: wrong})
