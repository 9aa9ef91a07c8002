"""The verb backup: copies recordings to the user's remote storage, and shows what waits for its copy."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import complain, counted, printable, say, write, write_json
from capture.errors import OutputError, UsageError

if TYPE_CHECKING:
    from capture.desktop.backup import BackupList, Outcome

__all__ = ["VERBS"]

#: Beyond this, files that could not be copied are counted, not named.
_MOST_NAMED: Final = 5


def _backup(arguments: Arguments) -> int:
    from capture.cli.recordings import recording_named
    from capture.config.store import load
    from capture.desktop.backup import BackupList, backup_path
    from capture.recordings.check import size_bytes_of

    remote = str(load()["backup.remote"])
    known = BackupList(backup_path())
    if arguments.status:
        return _show_status(arguments, remote, known)
    if not remote:
        raise UsageError(
            "no place for backups is set",
            "name a folder, or a place of rclone's: capture config backup.remote drive:Captures",
        )
    files = [recording_named(file) for file in arguments.files]
    for file in files:
        size_bytes_of(file)
    try:
        return _run(arguments, remote, known, files)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{backup_path()} cannot be written ({reason})", "check its permissions") from error


def _run(arguments: Arguments, remote: str, known: BackupList, files: Iterable[Path]) -> int:
    from capture.cli.working import working
    from capture.desktop.backup import back_up
    from capture.desktop.rclone import Rclone

    # Before the right to copy is asked for: another backup that has it looks again after it has given it up.
    known.queue(files)
    outcomes: list[Outcome] = []
    tried: set[str] = set()
    has_begun = False
    while not has_begun or known.due() - tried:
        with known.copying() as lock:
            if lock is None:
                break
            # A backup that is killed leaves its rclone running, which holds the lock then.
            copier = Rclone(remote, () if sys.platform == "win32" else (lock,))
            if not has_begun:
                known.queue(_without_copy(remote, known))
            with working(arguments, f"copying to {remote}"):
                outcomes += back_up(known, remote, copier, even_if_not_due=arguments.now, tried=tried)
            has_begun = True
    if has_begun:
        return _conclude(arguments, remote, known, outcomes)
    say(arguments, "another backup is running; it copies these recordings too")
    if arguments.json:
        write_json({"remote": remote, "copied": [], "failed": [], "running": True})
    return 0


def _without_copy(remote: str, known: BackupList) -> Iterable[Path]:
    """Return the complete recordings in the recordings folders that have no copy, oldest first."""
    from capture.cli.recordings import saved_recordings
    from capture.recordings.catalogue import index_path, looked_at

    found, copied = saved_recordings(), known.copied()
    left = [
        each
        for each in found
        if (copy := copied.get(str(each.path))) is None or not copy.is_of(each.size_bytes, each.mtime_ns, remote)
    ]
    return [entry.found.path for entry in reversed(looked_at(left, found, index_path())) if entry.glance.state == "ok"]


def _conclude(arguments: Arguments, remote: str, known: BackupList, outcomes: list[Outcome]) -> int:
    copied = [outcome for outcome in outcomes if not outcome.error]
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed[:_MOST_NAMED]:
        complain(f"{outcome.path} was not copied: {outcome.error}")
    if arguments.json:
        write_json(
            {
                "remote": remote,
                "copied": [str(outcome.path) for outcome in copied],
                "failed": [{"path": str(outcome.path), "error": outcome.error} for outcome in failed],
                "running": False,
            }
        )
    elif outcomes or not known.waiting():
        say(arguments, f"copied {counted(len(copied), 'recording')} to {remote}")
    if waiting := known.waiting():
        next_s = min(each.next_s for each in waiting.values())
        wait = "waits" if len(waiting) == 1 else "wait"
        say(arguments, f"{counted(len(waiting), 'recording')} {wait} for the next attempt{_due(next_s)}")
    return 1 if failed else 0


def _due(next_s: float) -> str:
    from datetime import datetime

    return f", due at {datetime.fromtimestamp(next_s):%H:%M}; --now tries at once" if next_s else ""


def _show_status(arguments: Arguments, remote: str, known: BackupList) -> int:
    from datetime import UTC, datetime

    waiting = known.waiting()
    copied = sum(each.remote == remote for each in known.copied().values())
    if arguments.json:
        rows: list[dict[str, Any]] = [
            {
                "path": path,
                "failures": each.failures,
                "next_at": datetime.fromtimestamp(each.next_s, UTC).astimezone().isoformat(timespec="seconds"),
                "error": each.error,
            }
            for path, each in waiting.items()
        ]
        write_json({"remote": remote, "copied": copied, "waiting": rows})
        return 0
    write(printable(f"{counted(copied, 'recording')} copied to {remote}" if remote else "no place for backups is set"))
    for path, each in waiting.items():
        why = f": {each.error}" if each.error else ""
        write(printable(f"waits: {path}{why}"))
    return 0


VERBS: Final[dict[str, Verb]] = {
    "backup": _backup,
}
