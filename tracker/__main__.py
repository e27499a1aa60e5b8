"""Runs the `tracker` command."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from tracker.cli import cli

        cli(prog_name="tracker")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
