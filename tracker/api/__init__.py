"""The HTTP API: JSON in and out, problems told in one shape, described by its own OpenAPI document."""

from tracker.api.app import create_app

__all__ = ["create_app"]
