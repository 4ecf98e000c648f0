"""``python -m ohmspike``: the command line."""

import sys

from ohmspike.host.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
