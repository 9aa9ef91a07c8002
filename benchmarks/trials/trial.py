"""Defines a fault with its promise, tries it several times, and collects the results."""

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
    """This machine cannot provoke the fault."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One try: its number, a separate folder, and a seeded random generator."""

    number: int
    folder: Path
    chance: random.Random


@dataclass(slots=True)
class Findings:
    """The result of one try: broken promises, the largest loss and the largest sync offset; None if not measured."""

    broken: list[str] = field(default_factory=list)
    lost_s: float | None = None
    apart_s: float | None = None

    def expect(self, is_so: object, promise: str) -> None:
        """Record `promise` as broken unless `is_so`."""
        if not is_so:
            self.broken.append(promise)

    def lose(self, seconds: float) -> None:
        """Record that `seconds` of the recording are missing."""
        self.lost_s = max(self.lost_s or 0.0, seconds)

    def apart(self, seconds: float) -> None:
        """Record that picture and sound are `seconds` apart."""
        self.apart_s = max(self.apart_s or 0.0, abs(seconds))


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, its promise, and the function that provokes it once and checks the result."""

    name: str
    promise: str
    attempt: Callable[[Trial, Findings], None]
    most_lost_s: float | None = None
    most_apart_s: float | None = None
    #: How often it is tried by default.
    tries: int = 3


@dataclass(frozen=True, slots=True)
class Result:
    """The result of all tries of a fault, a line of the table."""

    name: str
    promise: str
    tried: int
    kept: int
    lost_s: float | None
    apart_s: float | None
    #: The broken promises of each try, or why the fault was not tried.
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        if not self.tried:
            return "not tried"
        return "kept" if self.kept == self.tried else "BROKEN"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def tried(fault: Fault, times: int, seed: int) -> Result:
    """Provoke a fault several times; each try gets a separate folder and a random generator derived from the seed."""
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
            findings.broken.append(f"{found_s:.3f} s {what}, at most {most_s:g} s promised")
    return findings
