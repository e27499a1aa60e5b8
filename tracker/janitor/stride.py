"""How much one step may do, so that whoever has to write meanwhile does not notice."""

from dataclasses import dataclass

MOST_SECONDS = 0.02
"""How long one step may hold up the writer."""
_LEAST, _MOST = 10, 5000


@dataclass(slots=True)
class Stride:
    """The rows of one step, as the steps before were quick or slow: machines differ, and so do rows."""

    rows: int = 100

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a step that did so many rows."""
        if seconds > MOST_SECONDS:
            # In proportion, and a little less: the first long step shall be the only one.
            fitting = int(rows * MOST_SECONDS / seconds * 0.8)
            self.rows = max(_LEAST, min(self.rows, fitting))
        elif seconds < MOST_SECONDS / 2 and rows >= self.rows:
            self.rows = min(_MOST, self.rows + self.rows // 4 + 1)
