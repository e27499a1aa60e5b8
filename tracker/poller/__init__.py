"""Watching: which tasks are ours, when each is due, asking their upstreams, writing down what changed."""

from tracker.poller.adoption import Adoption
from tracker.poller.lane import Lane

__all__ = ["Adoption", "Lane"]
