"""The receivers of docs/delivery.md take what we sign, and nothing else."""

import shutil

import pytest
from snippets import DOCUMENT, PROGRAMS, forged, genuine, runs

from tracker.config import Settings
from tracker.config.durations import parse_duration

# A machine without PHP or Go says nothing about their snippets: the names of the tests tell which were run.
FOUND = [name for name, (needs, _, _) in PROGRAMS.items() if shutil.which(needs)]


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """One documented receiver, ready to run."""
    _, code, write = PROGRAMS[request.param]
    return write(code, tmp_path_factory.mktemp("snippet"))


def test_python_is_among_the_languages_that_are_run() -> None:
    assert {"python with the library", "python alone"} <= set(FOUND)


@pytest.mark.parametrize("program", FOUND, indirect=True)
@pytest.mark.parametrize("how", genuine())
def test_a_documented_receiver_takes_a_message_that_we_signed(program: list[str], how: str) -> None:
    assert runs(program, genuine()[how])


@pytest.mark.parametrize("program", FOUND, indirect=True)
@pytest.mark.parametrize("how", forged())
def test_a_documented_receiver_refuses_a_message_that_is_not_genuine(program: list[str], how: str) -> None:
    assert not runs(program, forged()[how])


def test_the_documented_schedule_is_the_default() -> None:
    (row,) = (line for line in DOCUMENT.splitlines() if line.startswith("| after the one before"))
    told = [cell.strip().replace("min", "m").replace(" ", "") for cell in row.strip("|").split("|")[1:]]

    waits = [parse_duration("0s" if cell == "atonce" else cell) for cell in told]

    assert waits == list(Settings.model_validate({}).callbacks.retry_schedule)
