"""tracker: turns fetch-by-id calls into webhooks."""

__version__ = "0.1.0"
