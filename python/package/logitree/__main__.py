"""The ``logitree`` command."""

from __future__ import annotations

import signal
import sys

from . import _logitree


def main() -> int:
    """Does what the arguments ask for; gives the exit code."""
    # Ctrl-C is the command's own: Python would only note it until the command returns.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _logitree.run_cli(["logitree", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
