"""What to save of a replay buffer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from capture.errors import UsageError
from capture.formats import CLIP_FORMATS
from capture.output.naming import EXCERPT, check_name, excerpt
from capture.settings.bounds import MAX_TIME_S

__all__ = ["ClipOrder"]

#: Larger than a file on any file system, and small enough to calculate with.
MAX_CLIP_BYTES: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class ClipOrder:
    """A request to save a clip from a replay buffer."""

    output: Path | None = None
    #: The length of the clip; None saves the whole buffer.
    last_s: float | None = None
    #: Start exactly there, instead of up to two seconds earlier.
    exact: bool = False
    #: The extension of the format to convert to; None keeps the recorded format.
    format: str | None = None
    #: Re-encode the clip to fit into this size.
    max_bytes: int | None = None
    #: Write the events of the clip into a file beside it.
    ledger: bool = False
    #: Replace an existing file.
    overwrite: bool = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ClipOrder:
        """Return the order in the options of a request. Raises `UsageError` for an invalid option."""
        # Compare exact types: a JSON `true` is an `int` to `isinstance`.
        flags = {"exact": (bool,), "ledger": (bool,), "overwrite": (bool,)}
        kinds = {"output": (str,), "last_s": (int, float), "format": (str,), "max_bytes": (int,), **flags}
        for name, value in options.items():
            if type(value) not in kinds.get(name, ()):
                given = f"{name[:EXCERPT]}={excerpt(value)}"
                raise UsageError(f"{given} is not an option of a clip", f"use {', '.join(kinds)}")
        order = cls(**{**options, **({"output": Path(options["output"])} if "output" in options else {})})
        if order.last_s is not None and not 0 < order.last_s <= MAX_TIME_S:
            limit = f"give more than zero seconds, and at most {MAX_TIME_S:.0f}"
            raise UsageError(f"{excerpt(order.last_s)} s is not a valid clip length", limit)
        if order.max_bytes is not None and not 0 < order.max_bytes <= MAX_CLIP_BYTES:
            raise UsageError(f"{excerpt(order.max_bytes)} bytes is not a valid clip size", "give more than zero bytes")
        if order.format is not None and order.format not in CLIP_FORMATS:
            raise UsageError(f"{excerpt(order.format)} is not a clip format", f"use {', '.join(CLIP_FORMATS)}")
        if order.output is not None:
            check_name(order.output)
        return order

    def as_options(self) -> dict[str, Any]:
        """Return the order as options that `of` reads."""
        given = {name: getattr(self, name) for name in self.__slots__}
        found = {name: value for name, value in given.items() if value}
        return {**found, "output": str(self.output.absolute())} if self.output is not None else found
