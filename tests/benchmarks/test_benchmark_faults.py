"""The fault benchmark covers every known fault, counts kept promises correctly, and can really run one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import faults
from benchmarks.trials.trial import Fault, Findings, NotHereError, Trial, tried

#: Words that identify each fault that recorders are known for.
KNOWN = (
    *("SIGKILL while it records mp4", "mkv", "webm", "ogg", "m4a", "saves a clip", "left over"),
    *("fills while it records", "fills while it finishes", "fills while a clip", "disk stalls"),
    *("sound server", "default output", "named device", "suspended", "X server", "resolution", "process is stopped"),
    *("100 pauses", "one OUTPUT", "two recorders with two", "SIGTERM, SIGHUP, SIGINT", "system clock"),
    *("1,000 requests", "another user", "2 h of sound"),
)


def test_every_known_fault_is_in_the_table() -> None:
    names = [fault.name for fault in faults.FAULTS]
    assert len(set(names)) == len(names)
    for words in KNOWN:
        assert any(words in name for name in names), words
    assert all(fault.promise and fault.tries > 0 for fault in faults.FAULTS)


def test_a_try_without_broken_promises_counts_as_kept() -> None:
    seen: list[Trial] = []

    def attempt(trial: Trial, findings: Findings) -> None:
        seen.append(trial)
        assert trial.folder.is_dir()
        findings.expect([1], "a truthy value")
        findings.lose(-0.1 if trial.number else 0.4)
        findings.apart(-0.02 if trial.number else 0.01)

    result = tried(Fault("a fault", "a promise", attempt, most_lost_s=0.5, most_apart_s=0.02), 3, seed=7)
    assert (result.tried, result.kept, result.lost_s, result.apart_s, result.notes) == (3, 3, 0.4, 0.02, ())
    assert faults.row(result) == ["a fault", "3", "3", "0.40", "20.0", "kept", "a promise"]
    assert not any(trial.folder.exists() for trial in seen)
    chances = [trial.chance.random() for trial in seen]
    assert len(set(chances)) == 3
    tried(Fault("a fault", "a promise", attempt), 3, seed=7)
    assert [trial.chance.random() for trial in seen[3:]] == chances


def test_a_broken_promise_a_broken_bound_or_an_error_breaks_a_try() -> None:
    def attempt(trial: Trial, findings: Findings) -> None:
        findings.expect(trial.number != 1, "it is reported")
        findings.lose(0.6 if trial.number == 2 else 0.0)
        if trial.number == 3:
            raise TimeoutError("timed out")

    result = tried(Fault("a fault", "a promise", attempt, most_lost_s=0.5), 4, seed=7)
    assert (result.tried, result.kept, result.lost_s, result.verdict) == (4, 1, 0.6, "BROKEN")
    assert result.notes[:2] == ("try 2: it is reported", "try 3: 0.600 s lost, at most 0.5 s promised")
    assert result.notes[2].startswith("try 4: TimeoutError: timed out (test_benchmark_faults.py:")


def test_a_fault_that_cannot_be_tried_here_is_neither_kept_nor_broken() -> None:
    def attempt(trial: Trial, findings: Findings) -> None:
        raise NotHereError("only root can mount a disk")

    result = tried(Fault("a fault", "a promise", attempt), 3, seed=7)
    assert faults.row(result) == ["a fault", "0", "0", "", "", "not tried", "a promise"]
    assert result.notes == ("only root can mount a disk",)


@pytest.mark.skipif(sys.platform != "linux", reason="the virtual desk needs Linux")
def test_a_real_fault_is_tried_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    arguments = ["--tries", "1", "--seed", "3", "--json", str(figures)]
    assert faults.main([*arguments, "--only", "one OUTPUT"]) == 0
    printed = capsys.readouterr()
    assert "two recorders with one OUTPUT      1     1" in printed.out
    assert "seed 3" in printed.out
    (result,) = json.loads(figures.read_text())["faults"]
    assert (result["name"], result["tried"], result["kept"], result["verdict"]) == (
        "two recorders with one OUTPUT",
        1,
        1,
        "kept",
    )
    with pytest.raises(SystemExit):
        faults.main(["--only", "no such fault"])
