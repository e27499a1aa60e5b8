"""What a callback receives: composed once, signed and sent anew in every attempt."""

from tracker.webhooks.messages import compose, new_message_id
from tracker.webhooks.sender import Sender
from tracker.webhooks.signing import decode_secret, new_secret, sign
from tracker.webhooks.trials import try_url

__all__ = ["Sender", "compose", "decode_secret", "new_message_id", "new_secret", "sign", "try_url"]
