"""The generated classes of the official SDK, unchanged, called by name; what was called and answered is kept."""

import inspect
import time
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import mixpeek as official
import pytest

from tests.api.sdk.endpoints import Endpoint, endpoint

mixpeek: Any = official  # its models are generated with every field optional
T = TypeVar("T")


class _Recording(mixpeek.ApiClient):  # type: ignore[misc]
    """A client of the SDK that remembers what it asked for and could read the answer to."""

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration)
        self.answered: set[Endpoint] = set()
        self._asked: Endpoint | None = None

    def param_serialize(self, method: str, resource_path: str, *args: Any, **kwargs: Any) -> Any:
        self._asked = endpoint(method, resource_path)
        return super().param_serialize(method, resource_path, *args, **kwargs)

    def response_deserialize(self, *args: Any, **kwargs: Any) -> Any:
        answer = super().response_deserialize(*args, **kwargs)
        assert self._asked is not None
        self.answered.add(self._asked)
        return answer


class Sdk:
    """A user of the SDK in one namespace. ``sdk("AlertsApi.get_alert", "Ebola")``."""

    def __init__(self, url: str, key: str, namespace: str) -> None:
        self.url = url
        self.key = key
        configuration = mixpeek.Configuration(host=url, access_token=key)
        configuration.api_key["NamespaceHeader"] = namespace
        self._client = _Recording(configuration)

    @property
    def answered(self) -> set[Endpoint]:
        """The endpoints whose answers the SDK's models could read."""
        return self._client.answered

    def __call__(self, method: str, *identifiers: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """Call a method; ``body`` becomes the model it takes. Its answer is checked by the SDK's own models."""
        class_name, _, name = method.partition(".")
        function = getattr(getattr(mixpeek, class_name)(self._client), name)
        if body is not None:
            found = body_of(function)
            assert found is not None, f"{method} has no body"
            parameter, model = found
            query[parameter] = dict(body) if model is None else model.from_dict(dict(body))
        return function(*identifiers, **query)

    def refused(
        self, status: int, method: str, *identifiers: str, body: Mapping[str, Any] | None = None, **query: Any
    ) -> Any:
        """Call a method that fails; gives the exception."""
        with pytest.raises(mixpeek.exceptions.ApiException) as caught:
            self(method, *identifiers, body=body, **query)
        assert caught.value.status == status, caught.value.body
        return caught.value


def body_of(function: Callable[..., Any]) -> tuple[str, Any] | None:
    """The parameter of a method that is its body, and the model it takes; no model for a free object."""
    for name, hint in typing.get_type_hints(function).items():
        if name == "return":
            continue
        for candidate in (hint, *typing.get_args(hint)):
            if inspect.isclass(candidate) and hasattr(candidate, "from_dict"):
                return name, candidate
        if name == "request_body":
            return name, None
    return None


def until(read: Callable[[], T], holds: Callable[[T], bool], what: str, timeout: float = 30.0) -> T:
    """Read until it holds; fail with what was read last when the time is up."""
    deadline = time.monotonic() + timeout
    while True:
        found = read()
        if holds(found):
            return found
        assert time.monotonic() < deadline, f"{what} did not come within {timeout:g} s; last: {found!r}"
        time.sleep(0.05)
