"""Makes a recording fit under a size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from capture.errors import UsageError

__all__ = ["AIM", "ENOUGH", "TRIES", "even", "too_small"]

#: A result in this share of the limit is as good as it gets; the aim lies in the middle.
ENOUGH: Final = 0.98
AIM: Final = 0.99
TRIES: Final = 8


def too_small(path: Path, limit_bytes: int, smallest: float) -> UsageError:
    return UsageError(
        f"{path} cannot be made as small as {limit_bytes} bytes", f"{math.ceil(smallest / 1000)}KB is possible"
    )


def even(length: float) -> int:
    return max(2, 2 * round(length / 2))
