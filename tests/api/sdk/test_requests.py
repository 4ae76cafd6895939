"""What the SDK's models send beside what their user says is accepted: else a call of the SDK could never work."""

import inspect
import typing
from collections.abc import Iterator
from typing import Any, Final

import mixpeek.api
import mixpeek.models as official
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel, ValidationError

from schemas.api.clustering import METHODS
from tests.api.sdk.client import body_of
from tests.api.sdk.endpoints import Endpoint, application, endpoint, sdk_methods

models: Any = official

ELSEWHERE: Final = {
    # Never sent unless said, and about storage and bills that are not here.
    Endpoint("/v1/namespaces/{}", "PATCH"): {
        "adaptive_indexing",
        "auto_create_indexes",
        "cost_cap_override",
        "expires_at",
        "infrastructure",
        "pinned",
        "repair_vectors",
        "spend_budget",
        "tiering",
        "trusted_issuers",
        "ttl_seconds",
    },
}
METHODS_OF_THE_SDK: Final = {
    "kmeans": "KMeansParams",
    "dbscan": "DBSCANParams",
    "hdbscan": "HDBSCANParams",
    "agglomerative": "AgglomerativeParams",
    "spectral": "SpectralParams",
    "gaussian_mixture": "GaussianMixtureParams",
    "mean_shift": "MeanShiftParams",
    "optics": "OPTICSParams",
}


def models_in(hint: Any) -> Iterator[type[BaseModel]]:
    """The models of a type, those of the SDK's unions included."""
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        branches = [field for name, field in hint.model_fields.items() if name.endswith("_validator")]
        if branches:
            for field in branches:
                yield from models_in(field.annotation)
        else:
            yield hint
    else:
        for part in typing.get_args(hint):
            yield from models_in(part)


def keys(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def missing(theirs: Any, ours: Any, place: str, seen: set[Any]) -> Iterator[str]:
    """The keys of the SDK's models, however deep, that none of ours has in their place."""
    candidates = list(models_in(ours))
    for model in models_in(theirs):
        if not candidates or (model, tuple(candidates)) in seen:
            continue
        seen.add((model, tuple(candidates)))
        named = {name: hint for name, hint in keys(model).items() if name != "additional_properties"}
        if not any(candidate.model_config.get("extra") == "allow" for candidate in candidates):
            known = min((named.keys() - keys(candidate).keys() for candidate in candidates), key=len)
            yield from (f"{place}.{name}" for name in sorted(known))
        for name, hint in named.items():
            beneath = tuple(keys(item)[name] for item in candidates if name in keys(item))
            if beneath:
                yield from missing(hint, typing.Union[beneath], f"{place}.{name}", seen)  # noqa: UP007


def test_every_key_of_the_sdks_requests_is_accepted() -> None:
    handlers = {
        endpoint(method, route.path or ""): route.original_route.endpoint
        for route in iter_route_contexts(application().routes)
        if isinstance(route.original_route, APIRoute)
        for method in route.original_route.methods or ()
    }
    checked, refused = 0, []
    for wanted, names in sdk_methods().items():
        if wanted not in handlers or wanted.method == "GET":
            continue
        class_name, _, name = names[0].partition(".")
        found = body_of(getattr(getattr(mixpeek.api, class_name), name))
        if found is None or found[1] is None:
            continue
        checked += 1
        ours = typing.get_type_hints(handlers[wanted])
        body = next((hint for key, hint in ours.items() if key.endswith("body") or key == "question"), None)
        known = ELSEWHERE.get(wanted, set())
        refused += [
            f"{wanted}{place}"
            for place in missing(found[1], body, "", set())
            if place.removeprefix(".") not in known
        ]
    assert checked > 40
    assert refused == []


@pytest.mark.parametrize(("method", "name"), METHODS_OF_THE_SDK.items())
def test_parameters_of_clusterings_are_accepted_as_the_sdk_fills_them_in(method: str, name: str) -> None:
    sent = getattr(models, name)().to_dict()
    assert METHODS[method].model_validate(sent) == METHODS[method]()
    unknown = {**sent, "n_jobs" if method != "kmeans" else "verbose": 8}
    with pytest.raises(ValidationError, match="Accepted keys"):
        METHODS[method].model_validate(unknown)
