"""The read endpoints. Mount them before the definitions' ``{identifier}`` routes: literal segments win."""

from fastapi import APIRouter

from streams.query.routes import alerts, clusters, retrievers, triggers


def routers() -> list[APIRouter]:
    """Every router of this station, with full paths."""
    return [alerts.router(), retrievers.router(), triggers.router(), clusters.router()]
