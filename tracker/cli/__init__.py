"""The command line: thin commands over the database or the API, each imported only when it runs."""

from tracker.cli.root import cli

__all__ = ["cli"]
