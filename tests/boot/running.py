"""Runs the facts in their order and tells each."""

import time
import traceback
from collections.abc import Callable

import by_hand
import failing
import installing
import keeping
import serving
import starting
from machine import Machine, NotSoError
from roots import cannot_boot
from world import World

Fact = Callable[[World], str | None]

# Each stands on what those before it left: one machine lives through all of them.
FACTS: tuple[Fact, ...] = (
    installing.a_bare_system_takes_the_package_without_a_network,
    installing.nothing_runs_before_there_is_something_to_watch,
    installing.files_have_the_owners_and_modes_that_they_need,
    installing.systemd_finds_no_fault_in_the_units,
    installing.the_sandbox_scores_at_most_one_point_three,
    starting.it_is_active_only_when_it_serves,
    starting.it_is_not_active_while_its_database_is_out_of_reach,
    starting.a_configuration_that_cannot_be_used_is_not_tried_again,
    serving.a_task_is_tracked_and_told_under_the_full_sandbox,
    serving.the_process_can_do_nothing_that_the_sandbox_forbids,
    serving.credentials_are_read_by_the_service_alone,
    serving.an_encrypted_credential_serves_as_well,
    serving.the_doctor_finds_nothing_wrong,
    serving.the_journal_knows_priorities,
    serving.a_reload_puts_a_good_file_in_force,
    serving.a_reload_lasts_until_the_daemon_has_done_it,
    serving.a_reload_refuses_a_bad_file_and_goes_on,
    failing.after_sigkill_it_is_back_and_nothing_is_lost,
    failing.a_frozen_daemon_is_replaced_by_the_watchdog,
    failing.registrations_during_restarts_are_all_answered,
    failing.without_the_socket_some_would_be_refused,
    failing.it_stops_within_ten_seconds_with_messages_under_way,
    keeping.a_backup_is_restored_elsewhere,
    keeping.an_upgrade_migrates_and_loses_nothing,
    keeping.it_is_back_after_the_machine_starts_again,
    keeping.removal_keeps_data_and_a_reinstallation_finds_it,
    keeping.purge_leaves_nothing,
    by_hand.make_install_serves_and_a_second_time_restarts,
    by_hand.make_uninstall_keeps_data_and_may_be_repeated,
)
# Where one of these does not hold, there is nothing to look at.
INDISPENSABLE = (
    installing.a_bare_system_takes_the_package_without_a_network,
    starting.it_is_active_only_when_it_serves,
)
AT_LENGTH = (
    starting.it_is_not_active_while_its_database_is_out_of_reach,
    failing.without_the_socket_some_would_be_refused,
    keeping.an_upgrade_migrates_and_loses_nothing,
    keeping.it_is_back_after_the_machine_starts_again,
    keeping.removal_keeps_data_and_a_reinstallation_finds_it,
    by_hand.make_install_serves_and_a_second_time_restarts,
    by_hand.make_uninstall_keeps_data_and_may_be_repeated,
)
"""What the short form does without: it takes more packages than one, or long."""


def run(machine: Machine, only: str = "", *, is_brief: bool = False) -> bool:
    """Whether all of them held, or of the ones with `only` in their names all."""
    began = time.monotonic()
    try:
        machine.boot()
    except NotSoError as error:
        cannot_boot(f"the container does not boot: {error}")
    print(f"a container with systemd of its own after {time.monotonic() - began:.1f} s\n", flush=True)
    world = World(machine=machine)
    failed = []
    left_out = AT_LENGTH if is_brief else ()
    wanted = [fact for fact in FACTS if fact not in left_out and only in _name(fact)]
    facts = [fact for fact in FACTS if fact in INDISPENSABLE or fact in wanted]
    for fact in facts:
        if name := _failed(fact, world):
            failed.append(name)
            if fact in INDISPENSABLE:
                print("\nwithout it nothing else can be looked at")
                return False
    print(f"\n{len(facts) - len(failed)} of {len(facts)} facts held")
    for name in failed:
        print(f"  not so: {name}")
    return not failed


def _failed(fact: Fact, world: World) -> str | None:
    """Its name, if it did not hold."""
    name = _name(fact)
    began = time.monotonic()
    # What is started as often as here would not be started any more.
    world.machine.try_to("systemctl", "reset-failed", "tracker.service")
    try:
        seen = fact(world)
    except NotSoError as error:
        print(f"NOT SO {time.monotonic() - began:5.1f} s  {name}\n{_indented(str(error))}")
    except Exception:  # noqa: BLE001 - a fact that cannot be looked at is not one that held
        print(f"NOT SO {time.monotonic() - began:5.1f} s  {name}\n{_indented(traceback.format_exc(limit=-6))}")
    else:
        print(f"ok     {time.monotonic() - began:5.1f} s  {name}{f': {seen}' if seen else ''}", flush=True)
        return None
    print(_indented(world.last_words()), flush=True)
    return name


def _name(fact: Fact) -> str:
    return fact.__name__.replace("_", " ")


def _indented(text: str) -> str:
    return "\n".join(f"         {line}" for line in text.splitlines()[-30:])
