"""JSON answers."""

import json

from pydantic_core import PydanticSerializationError, from_json, to_json
from starlette.responses import JSONResponse


class Answer(JSONResponse):
    """A JSON answer, whatever people have written into the database."""

    def render(self, content: object) -> bytes:
        """JSON in UTF-8."""
        try:
            return to_json(content, inf_nan_mode="null")
        except (PydanticSerializationError, ValueError):
            # Half a character, which no UTF-8 can carry, becomes a question mark.
            text = json.dumps(content, ensure_ascii=False).encode(errors="replace")
            return to_json(from_json(text), inf_nan_mode="null")
