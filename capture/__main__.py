"""`python -m capture` is the command `capture`."""

from capture.cli.main import main

raise SystemExit(main())
