"""Dialects of upstreams; each speaks for one kind of gateway."""
