"""Tidying: forgets what is old enough in small steps, adds up what happened, and counts what there is."""

from tracker.janitor.janitor import Janitor

__all__ = ["Janitor"]
