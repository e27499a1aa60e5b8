"""Pages for people: the same reads as the API's, in other clothes."""

from tracker.web.app import create_pages

__all__ = ["create_pages"]
