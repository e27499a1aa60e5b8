"""What each of thousands of tests would compile again, and is the same for all of them: statements and templates.

Both are compiled by the same code as ever, once in each process; a daemon does no other.
"""

from functools import cache
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.util import LRUCache

from tracker.store import engines
from tracker.web import app
from tracker.web.rendering import Renderer


class _Statements(LRUCache[Any, Any]):
    """Compiled statements by the kind of database; SQLAlchemy keeps them for each engine, and a test has several."""

    def get(self, key: Any, default: Any = None) -> Any:  # noqa: ANN401 - as it is there
        return super().get(_of_kind(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401 - as it is there
        super().__setitem__(_of_kind(key), value)


def _of_kind(key: tuple[Any, ...]) -> tuple[Any, ...]:
    dialect, *statement = key
    return dialect.name, dialect.driver, *statement


def compile_once(patch: pytest.MonkeyPatch) -> None:
    """Have all engines share their statements, and all pages their templates."""
    statements = _Statements(10_000)

    def create(*arguments: Any, **options: Any) -> Engine:  # noqa: ANN401 - whatever is asked for
        return create_engine(*arguments, execution_options={"compiled_cache": statements}, **options)

    patch.setattr(engines, "create_engine", create)
    patch.setattr(app, "Renderer", cache(Renderer))
