"""The composition root: builds the parts, wires them, starts, drains and stops them."""

from tracker.daemon.serve import serve

__all__ = ["serve"]
