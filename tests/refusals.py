"""What a mistake in a call gets: one line with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from capture.cli.main import main
from capture.errors import UsageError

__all__ = ["Refused", "refusal", "refused"]


def refusal(call: Callable[[], object]) -> str:
    """Assert that `call` raises a `UsageError` of one line with a remedy, and return its text."""
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Refused:
    """Runs `main` with some arguments and keeps its exit code and output."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            self.exit_code = main(arguments)
        self.stdout, self.stderr = out.getvalue(), err.getvalue()

    @property
    def message(self) -> str:
        """The one line on standard error, without its prefix."""
        assert self.stderr.startswith("capture: "), self.stderr
        assert self.stderr.endswith("\n")
        assert self.stderr.count("\n") == 1, self.stderr
        assert "Traceback" not in self.stderr
        return self.stderr[len("capture: ") : -1]


def refused(*arguments: str) -> str:
    """Assert that the call is refused as a usage error, and return the message."""
    result = Refused(arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.message
