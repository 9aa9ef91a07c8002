"""What happens to each saved file next: the user's own command runs, and the file is queued for its backup.

Neither can do anything to the recording, nor to the exit code.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from capture.cli.parser import Arguments
from capture.cli.text import ending_of
from capture.errors import NotReadyError, UsageError
from capture.threads.worker import Worker

if TYPE_CHECKING:
    import subprocess

    from capture.config.store import Config
    from capture.desktop.backup_starter import BackupStarter
    from capture.events import Event, EventSink, Progress, Summary

__all__ = ["AfterSave", "command_after_save"]

#: How long the recorder waits at its end for commands, so that it can say which of them failed.
_END_S: Final = 10.0


class AfterSave:
    """Runs the command `words` for each saved file, at once and without waiting for it; any thread.

    Without words, it runs nothing. `environment` is the command's. `complain` takes a line about what went wrong, and
    is called on threads of this object. Each file whose check found nothing is added to `backups`.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        complain: Callable[[str], None],
        backups: BackupStarter | None = None,
    ) -> None:
        self._words = words
        self._environment = dict(environment)
        self._complain = complain
        self._backups = backups
        self._lock = threading.Lock()
        # By identity: the summaries of two files may be equal.
        self._begun: dict[int, Summary] = {}
        self._commands: list[Worker] = []

    @classmethod
    def of(
        cls, words: Sequence[str], config: Config, complain: Callable[[str], None], *, retries: bool = False
    ) -> Self:
        """Return what follows each saved file by the settings; with `retries`, for a recorder that waits."""
        # That of `headless` is another one while it records.
        environment = dict(os.environ)
        backups = None
        if config["backup.remote"]:
            from capture.desktop.backup_starter import BackupStarter

            backups = BackupStarter(environment, complain)
            if retries:
                backups.start_retrying()
        return cls(words, environment, complain, backups)

    def before(self, sink: EventSink) -> EventSink:
        """Return a sink that passes everything on to `sink`, after it has begun what follows a saved file."""
        from capture.events import Summary

        def report(event: Event | Progress | Summary) -> None:
            if isinstance(event, Summary):
                self.begin(event)
            sink(event)

        return report

    def begin(self, summary: Summary) -> None:
        """Begin what follows a saved file, unless that was begun before or the file is empty."""
        with self._lock:
            if id(summary) in self._begun or not summary.size_bytes:
                return
            self._begun[id(summary)] = summary
        if self._backups is not None and summary.check == "ok":
            self._backups.add(Path(summary.path))
        if self._words:
            self._run(summary)

    def close(self, summaries: Iterable[Summary]) -> None:
        """Begin what a stuck terminal has kept from `begin`, and wait up to 10 s for the commands.

        What runs on then is left alone.
        """
        for summary in summaries:
            self.begin(summary)
        if self._backups is not None:
            self._backups.close()
        deadline_s = time.monotonic() + _END_S
        for command in self._commands:
            command.join(max(0.0, deadline_s - time.monotonic()))
        if not all(command.has_ended for command in self._commands):
            self._complain(f"{self._words[0]}, which follows each saved file, still runs; capture does not wait for it")

    def _run(self, summary: Summary) -> None:
        # Only needed with a command, and take a while to load.
        import subprocess
        import tempfile

        from capture.parsing import with_path
        from capture.strict_json import to_json

        words = with_path(self._words, summary.path)
        try:
            # A pipe would block when the summary is long and the command does not read it.
            with tempfile.TemporaryFile() as content:
                content.write(to_json(summary.as_json()).encode())
                content.seek(0)
                process = subprocess.Popen(
                    words,
                    stdin=content,
                    # Standard output is reserved for the JSON.
                    stdout=2,
                    stderr=2,
                    env=self._environment,
                    # The Ctrl+C that ends the recording must not reach it.
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            self._complain(_failed(summary, f"{words[0]} could not be started ({getattr(error, 'strerror', error)})"))
            return
        command = Worker("after save", lambda: self._await(process, summary))
        with self._lock:
            self._commands = [*(each for each in self._commands if not each.has_ended), command]
        with suppress(NotReadyError):
            command.start()

    def _await(self, process: subprocess.Popen[bytes], summary: Summary) -> None:
        if code := process.wait():
            self._complain(_failed(summary, f"{self._words[0]} {ending_of(code)}"))


def _failed(summary: Summary, how: str) -> str:
    return f"after saving, {how}; {summary.path} is saved all the same"


def command_after_save(arguments: Arguments, config: Config) -> list[str]:
    """Return the words of the command that follows each saved file, [] for none: that of the option, or the setting.

    Raises `UsageError` for an option that names no program; a setting that names none is reported when it is used.
    """
    from capture.parsing import parse_command

    given = arguments.after_save
    words = parse_command(str(config["record.after_save"]) if given is None else given)
    if given and words and _is_missing(words[0]):
        raise UsageError(f"--after-save {given!r}: there is no program {words[0]}", "give its full path, or install it")
    return words


def _is_missing(program: str) -> bool:
    import shutil

    return shutil.which(program) is None
