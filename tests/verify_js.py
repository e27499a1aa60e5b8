"""The official JavaScript library, fetched from npm, against messages signed by us. Run by `make verify-js`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from snippets import LIBRARY_JS, forged, genuine, runs, write_javascript


def main() -> int:
    """0 when the library takes what is genuine and refuses what is not."""
    with tempfile.TemporaryDirectory(prefix="tracker-verify-js-") as name:
        folder = Path(name)
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", name, "standardwebhooks"]
        subprocess.run(install, check=True)
        command = write_javascript(LIBRARY_JS, folder)
        outcomes = {
            **{how: runs(command, one) for how, one in genuine().items()},
            **{how: not runs(command, one) for how, one in forged().items()},
        }
    for what, is_right in outcomes.items():
        sys.stdout.write(f"{what}: {'as it should be' if is_right else 'WRONG'}\n")
    return 0 if all(outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
