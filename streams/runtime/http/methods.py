"""Which methods a path has. Starlette tells those of the first route that fits, which may be one of several."""

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """The methods of every route of the resource at ``path``, in alphabetical order. Where several patterns fit,
    the resource is that of the one with the fewest identifiers: a literal segment wins (contract 1.1)."""
    fitting = [
        (str(route.path_format).count("{"), set(route.methods or ()))
        for route in iter_route_contexts(app.routes)
        if getattr(route, "path_regex", None) is not None and route.path_regex.match(path)
    ]
    fewest = min((identifiers for identifiers, _ in fitting), default=0)
    return sorted(set().union(*(methods for identifiers, methods in fitting if identifiers == fewest)))
