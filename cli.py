"""The command line from a checkout: `python cli.py` is the command `capture`."""

from capture.cli.main import main

raise SystemExit(main())
