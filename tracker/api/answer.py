"""JSON answers."""

import json

from pydantic_core import PydanticSerializationError, to_json
from starlette.responses import Response


class Answer(Response):
    """A JSON answer, whatever people have written into the database."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """JSON in UTF-8."""
        try:
            return to_json(content, inf_nan_mode="null")
        except (PydanticSerializationError, ValueError):
            # Half a character, or very deep nesting: plain ASCII carries both.
            return json.dumps(content, separators=(",", ":")).encode()
