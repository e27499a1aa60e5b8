"""What the documentation says is true."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from tracker.store.database import Connection, Database

ROOT = Path(__file__).parent.parent
QUERIES = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "sql.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_every_documented_query_runs_on_both_databases(database: Database, query: str) -> None:
    def run(connection: Connection) -> None:
        connection.execute(text(query.rstrip().rstrip(";")))

    database.write_now(run)


def test_there_are_twelve_questions_and_one_insert() -> None:
    assert len(QUERIES) == 13


def test_the_readme_counts_them_too() -> None:
    words = {10: "ten", 11: "eleven", 12: "twelve", 13: "thirteen"}

    assert f"and {words[len(QUERIES) - 1]} queries" in (ROOT / "README.md").read_text()


CONTRACTS = ["task_overview", "task_history", "delivery_log", "daily_tasks", "daily_durations", "daily_deliveries"]


@pytest.mark.parametrize("view", CONTRACTS)
def test_the_documented_columns_are_the_views_columns(database: Database, view: str) -> None:
    row = re.search(rf"\| `{view}` \|[^|]*\| `([^`]*)` \|", (ROOT / "docs" / "sql.md").read_text())
    assert row is not None

    columns = database.read_now(lambda connection: list(connection.execute(text(f"SELECT * FROM {view}")).keys()))

    assert columns == row[1].split(", ")


def test_links_between_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]

    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
