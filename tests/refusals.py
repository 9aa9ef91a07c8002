"""What a mistake in a call gets: one line with a remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from capture.errors import UsageError

__all__ = ["refusal"]


def refusal(call: Callable[[], object]) -> str:
    """Assert that `call` raises a `UsageError` of one line with a remedy, and return its text."""
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)
