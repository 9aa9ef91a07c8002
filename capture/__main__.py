"""`python -m capture` is the command `capture`."""

from cli import main

raise SystemExit(main())
