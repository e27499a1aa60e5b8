"""The Midjourney-proxy dialect: novicezk and trueai proxies, the new-api family, and what resells them."""

from tracker.providers.midjourney.addresses import Addresses, credentials
from tracker.providers.midjourney.answers import Reply
from tracker.providers.midjourney.batching import Batching, BatchMode
from tracker.providers.midjourney.provider import Fetch, Midjourney

__all__ = ["Addresses", "BatchMode", "Batching", "Fetch", "Midjourney", "Reply", "credentials"]
