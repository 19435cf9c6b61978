"""`python -m chainrule`; see cli.py."""

import sys

from chainrule.cli import main

if __name__ == "__main__":
    sys.exit(main())
