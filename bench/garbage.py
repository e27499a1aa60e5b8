"""Python's search for garbage, as it is in the daemon."""

import gc


def keep_what_is_there() -> None:
    """As the daemon does at its start: nobody waits while all that is loaded by now is looked through for garbage."""
    gc.collect()
    gc.freeze()
