"""One fault: what is promised of it, how it is made to happen, and what became of the tries."""

from __future__ import annotations

import random
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Fault", "Findings", "NotHereError", "Result", "Trial", "tried"]


class NotHereError(Exception):
    """This fault cannot be made to happen on this machine."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One try: its number, a folder of its own, and its chances."""

    number: int
    folder: Path
    chance: random.Random


@dataclass(slots=True)
class Findings:
    """What was seen in one try: the worst loss and the worst distance found, None where there is no such figure."""

    broken: list[str] = field(default_factory=list)
    lost_s: float | None = None
    apart_s: float | None = None

    def expect(self, is_so: object, promise: str) -> None:
        """Note down what should be so and is not."""
        if not is_so:
            self.broken.append(promise)

    def lose(self, seconds: float) -> None:
        """So much of what was to be kept is not there."""
        self.lost_s = max(self.lost_s or 0.0, seconds)

    def apart(self, seconds: float) -> None:
        """So far are picture and sound apart."""
        self.apart_s = max(self.apart_s or 0.0, abs(seconds))


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, what is promised, and what makes it happen once."""

    name: str
    promise: str
    attempt: Callable[[Trial, Findings], None]
    most_lost_s: float | None = None
    most_apart_s: float | None = None
    #: How often it is tried where nothing else is asked for.
    tries: int = 3


@dataclass(frozen=True, slots=True)
class Result:
    """A line of the table."""

    name: str
    promise: str
    tried: int
    kept: int
    lost_s: float | None
    apart_s: float | None
    #: What was not as promised, try by try, or why it was not tried.
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        if not self.tried:
            return "not tried"
        return "kept" if self.kept == self.tried else "BROKEN"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def tried(fault: Fault, times: int, seed: int) -> Result:
    """Make it happen so often; each try has a folder of its own, and chances that the seed repeats."""
    kept, notes = 0, []
    losses_s: list[float] = []
    distances_s: list[float] = []
    for number in range(times):
        with tempfile.TemporaryDirectory(prefix="capture-fault-") as folder:
            trial = Trial(number, Path(folder), random.Random(f"{seed} {fault.name} {number}"))
            try:
                found = _found(fault, trial)
            except NotHereError as error:
                return Result(fault.name, fault.promise, 0, 0, None, None, (str(error),))
        kept += not found.broken
        notes += [f"try {number + 1}: {words}" for words in found.broken]
        losses_s += [] if found.lost_s is None else [found.lost_s]
        distances_s += [] if found.apart_s is None else [found.apart_s]
    worst_s, furthest_s = max(losses_s, default=None), max(distances_s, default=None)
    return Result(fault.name, fault.promise, times, kept, worst_s, furthest_s, tuple(notes))


def _found(fault: Fault, trial: Trial) -> Findings:
    findings = Findings()
    try:
        fault.attempt(trial, findings)
    except NotHereError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        findings.broken.append(f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})")
    for what, found_s, most_s in (
        ("lost", findings.lost_s, fault.most_lost_s),
        ("picture and sound apart", findings.apart_s, fault.most_apart_s),
    ):
        if found_s is not None and most_s is not None and found_s > most_s:
            findings.broken.append(f"{found_s:.3f} s {what}, and {most_s:g} s are promised")
    return findings
