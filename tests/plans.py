"""What statements cost: how much of the big tables a database goes through for each of them, and by which plan."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

_WAITING = ("task_unwatched", "task_refresh", "delivery_due", "delivery_waiting")
"""Indexes of what waits for somebody: to go through one is to find out what there is to do."""
BIG = ("task", "event", "delivery", "attempt", "callback", "snapshot", "registration")
_ALIASES = {
    "other": "delivery",
    "last": "attempt",
    "t": "task",
    "e": "event",
    "d": "delivery",
    "a": "attempt",
    "c": "callback",
}
_OPERATIONS = 1000


@dataclass
class Cost:
    """One statement, and what it costs."""

    statement: str
    plan: str
    scanned: list[str]
    """Big tables that the plan goes through from one end to the other."""
    visited: int = 0
    """Rows of big tables that were looked at (Postgres), or operations (SQLite)."""


@dataclass
class Costs:
    """The costs of everything that was sent meanwhile."""

    found: list[Cost] = field(default_factory=list)

    def expensive(self, most: int) -> list[str]:
        """What goes through too much, with its plan."""
        return [
            f"{cost.visited} visited, through {cost.scanned or 'no table'}:\n{cost.statement}\n{cost.plan}"
            for cost in self.found
            if cost.scanned or cost.visited > most
        ]


@contextmanager
def costs(connection: Connection) -> Iterator[Costs]:
    """Explain every statement that is sent on this connection meanwhile, as it is sent."""
    found = Costs()
    explain = _explain_sqlite if connection.dialect.name == "sqlite" else _explain_postgres

    def note(sending: Connection, _cursor: object, statement: str, values: object, *_rest: object) -> None:
        word = statement.split(maxsplit=1)[0].upper()
        if sending.engine is connection.engine and word in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
            # A list where it is run many times.
            found.found.append(explain(connection, statement, values[0] if isinstance(values, list) else values))

    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        driver.set_progress_handler(lambda: _count(found), _OPERATIONS)
    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        if connection.dialect.name == "sqlite":
            driver.set_progress_handler(None, 0)


def _count(found: Costs) -> None:
    if found.found:
        found.found[-1].visited += _OPERATIONS


def _explain_sqlite(connection: Connection, statement: str, values: object) -> Cost:
    driver: Any = connection.connection.driver_connection
    lines = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    # Whoever goes through a table in the order asked for, to a limit, is caught by the number of operations.
    has_limit = "LIMIT" in statement
    scanned = [] if has_limit else [table for line in lines if (table := _scanned(line)) in BIG]
    return Cost(statement=statement, plan="\n".join(lines), scanned=scanned)


def _scanned(line: str) -> str:
    said = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", line)
    if said is None or said[2] in _WAITING:
        return ""
    return _ALIASES.get(said[1], said[1])


def _explain_postgres(connection: Connection, statement: str, values: object) -> Cost:
    driver: Any = connection.connection.driver_connection
    # Run for its numbers only where that changes nothing, not even a lock.
    runs = statement.startswith(("SELECT", "WITH")) and " FOR " not in statement
    how = "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON)" if runs else "EXPLAIN (FORMAT JSON)"
    with driver.cursor() as cursor:
        cursor.execute(f"{how} {statement}", values)
        plan = cursor.fetchone()[0]
    tree = (plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]
    nodes = list(_nodes(tree))
    scanned = [node["Relation Name"] for node in nodes if _is_scan(node)]
    return Cost(
        statement=statement,
        plan="\n".join(_line(node) for node in nodes),
        scanned=scanned,
        visited=sum(_visited(node) for node in nodes),
    )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)


def _is_scan(node: dict[str, Any]) -> bool:
    # A month of which nothing is there yet is looked through in no time, and the planner knows.
    return node["Node Type"] == "Seq Scan" and _is_big(node) and node["Plan Rows"] + _removed(node) > _FEW


_FEW = 100


def _is_big(node: dict[str, Any]) -> bool:
    name = node.get("Relation Name", "")
    return name in BIG or name.startswith("event_")


def _removed(node: dict[str, Any]) -> int:
    return int(node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))


def _visited(node: dict[str, Any]) -> int:
    if not _is_big(node) or "Actual Rows" not in node:
        return 0
    return int((node["Actual Rows"] + _removed(node)) * node["Actual Loops"])


def _line(node: dict[str, Any]) -> str:
    parts = (node["Node Type"], node.get("Relation Name"), node.get("Index Name"), node.get("Index Cond"))
    return " ".join(str(part) for part in parts if part)
