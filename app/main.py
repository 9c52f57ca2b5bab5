"""The web application around a container's services."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app.access.declaring import open_paths
from app.access.describing import describe_access
from app.access.door import Door
from app.access.endpoints import router as api_keys
from app.audit.endpoints import router as audit
from app.bulk.endpoints import router as bulk
from app.collection.endpoints import router as collections
from app.compat.dialects import Dialects
from app.compat.openai.endpoints import router as openai_routes
from app.compat.tei.endpoints import router as tei_routes
from app.container import Container
from app.encoder.endpoints import router as encoders
from app.feedback.endpoints import router as feedback
from app.group.endpoints import router as groups
from app.health.endpoints import router as health
from app.hot_routes import HotRoutes
from app.http import errors, openapi
from app.http.headers import cors_options
from app.job.endpoints import router as jobs
from app.middleware import ServiceMiddleware
from app.record.endpoints import put_record
from app.record.endpoints import router as records
from app.release.endpoints import router as releases
from app.search import endpoints as search_endpoints
from app.training.endpoints import router as trainings


def create_app(container: Container) -> FastAPI:
    """The app that serves this container, starting it with the first and stopping it after the last request.

    Raises:
        UndeclaredRouteError: A route does not say who may use it.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        container.start()
        try:
            yield
        finally:
            await asyncio.to_thread(container.stop)

    app = bare_app(lifespan)
    app.state.services = container.services
    settings = container.settings
    hot = {"search": search_endpoints.search, "classify": search_endpoints.classify}
    app.add_middleware(HotRoutes, verbs=hot, put_record=put_record)
    app.add_middleware(
        ServiceMiddleware,
        metrics=container.metrics,
        door=Door(container.keyring, container.metrics.refused, open_paths(app), settings.cors_origins),
        max_body_bytes=settings.max_body_bytes,
        max_bodies_bytes=settings.max_bodies_bytes,
        max_upload_bytes=settings.max_upload_bytes,
    )
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, **cors_options(settings.cors_origins))
    app.add_middleware(Dialects)
    return app


def bare_app(lifespan: Any = None) -> FastAPI:
    """The routes and their errors, without services: enough for the OpenAPI document."""
    app = FastAPI(
        title="samesay",
        version=metadata.version("samesay"),
        description="Nearest sentences, groups and decisions, by an encoder that was trained on your own groups.",
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.openapi = lambda: openapi.document(app, partial(describe_access, app))  # type: ignore[method-assign]  # FastAPI's documented way
    errors.install(app)
    for router in (
        search_endpoints.router,
        records,
        groups,
        feedback,
        releases,
        trainings,
        bulk,
        jobs,
        collections,
        encoders,
        api_keys,
        audit,
        health,
        openai_routes,
        tei_routes,
    ):  # the hottest first
        app.include_router(router)
    return app
