"""Which methods a path has. Starlette tells those of the first route that fits, which may be one of several."""

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """The methods of every route of the resource at ``path``, in alphabetical order. Where several patterns fit,
    the resource is that of the one with the fewest identifiers: a literal segment wins (contract 1.1).
    Routes that only refuse are not told."""
    fitting = [
        (str(route.path_format).count("{"), set(route.methods or ()))
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute) and route.include_in_schema and route.path_regex.match(path)
    ]
    fewest = min((identifiers for identifiers, _ in fitting), default=0)
    return sorted(set().union(*(methods for identifiers, methods in fitting if identifiers == fewest)))
