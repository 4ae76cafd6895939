"""What an application has one of, made when it is first needed."""

from collections.abc import Callable
from typing import TypeVar

from fastapi import FastAPI

T = TypeVar("T")


def held_by(app: FastAPI, kind: type[T]) -> T | None:
    """The one of this kind, if it has been made."""
    found = getattr(app.state, kind.__name__, None)
    assert found is None or isinstance(found, kind)
    return found


def one_of(app: FastAPI, kind: type[T], make: Callable[[], T]) -> T:
    """The one of this kind; made now if it is the first time."""
    found = held_by(app, kind)
    if found is None:
        found = make()
        setattr(app.state, kind.__name__, found)
    return found
