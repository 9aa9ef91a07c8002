"""The errors that leave this package.

::

    CaptureError            anything a person is told in one line
    ├── UsageError          the request is invalid; nothing was touched               (exit 2)
    │   └── SettingError        a field of the settings cannot have its value
    ├── NotReadyError       the surroundings lack something: display, sound, rights   (exit 3)
    └── RecordingError      it went wrong while writing or reading a recording        (exit 1)
        ├── SourceLostError     a device that was delivering is gone
        │   └── DisplayLostError    the display is, with all that could be seen on it
        ├── OutputError         the file cannot be created, written or closed
        │   ├── DiskFullError       there is no room for more of it
        │   └── FileGoneError       somebody removed it
        └── EncoderError        an encoder refused its settings or its input

A caller's mistake and a failure are different branches, so that a script can tell "fix the call" from "try again".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from capture.event_kinds import EventKind

__all__ = [
    "CaptureError",
    "DiskFullError",
    "DisplayLostError",
    "EncoderError",
    "FileGoneError",
    "NotReadyError",
    "OutputError",
    "RecordingError",
    "SettingError",
    "SourceLostError",
    "UsageError",
    "in_one_line",
]


class CaptureError(Exception):
    """A failure with what was found and what to do about it.

    ``str(error)`` is one line: the message, then the remedy where there is one.
    """

    exit_code = 1

    #: The kind of the event that tells of it, and what `stopped_by` says of a recording that it ended.
    event_kind = EventKind.FAILED
    stopped_by = "failed"

    #: The `Summary` of the recording that ended with this error, where it left one; set by `capture.record` and
    #: `capture.Recorder`.
    summary: Any = None

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


def in_one_line(error: BaseException) -> str:
    """What to tell a person of any error."""
    return str(error) if isinstance(error, CaptureError) else f"{type(error).__name__}: {error}"


class UsageError(CaptureError):
    """The request is invalid; nothing was touched."""

    exit_code = 2


class SettingError(UsageError):
    """One or several fields of the settings have values that cannot be recorded.

    `message` and `remedy` name fields in braces: `{fps}` stands for the field with its value, `{screen:none}` for the
    field with another value. They are written as Python's keyword arguments, until `named` writes them otherwise.
    """

    def __init__(self, message: str, remedy: str = "", **fields: object) -> None:
        self._templates = (message, remedy)
        #: The values that are at fault, by field.
        self.fields = fields
        super().__init__(*self._written(_as_keyword))

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled by its templates: what is written of them may have braces.
        return _setting_error, (self._templates, self.fields), self.__dict__

    def named(self, write: Callable[[str, object], str]) -> UsageError:
        """The same error with each field written by `write(name, value)`, as a command line writes its options."""
        return UsageError(*self._written(write))

    def _written(self, write: Callable[[str, object], str]) -> tuple[str, str]:
        names = _Names(self.fields, write)
        message, remedy = (template.format_map(names) for template in self._templates)
        return message, remedy


def _setting_error(templates: tuple[str, str], fields: Mapping[str, object]) -> SettingError:
    message, remedy = templates
    return SettingError(message, remedy, **fields)


class _Names(dict[str, Any]):
    """Gives `str.format_map` the fields of an error, also those that have no value in it."""

    def __init__(self, fields: Mapping[str, object], write: Callable[[str, object], str]) -> None:
        super().__init__({name: _Name(name, value, write) for name, value in fields.items()})
        self._write = write

    def __missing__(self, name: str) -> _Name:
        return _Name(name, None, self._write)


class _Name:
    def __init__(self, name: str, value: object, write: Callable[[str, object], str]) -> None:
        self._name = name
        self._value = value
        self._write = write

    def __format__(self, other_value: str) -> str:
        return self._write(self._name, other_value or self._value)


def _as_keyword(name: str, value: object) -> str:
    return f"{name}={None if (name, value) == ('screen', 'none') else value!r}"


class NotReadyError(CaptureError):
    """Something outside this program has to be provided first."""

    exit_code = 3


class RecordingError(CaptureError):
    """A recording failed; what could be kept was kept."""


class SourceLostError(RecordingError):
    """A device stopped existing while it was being recorded."""

    event_kind = EventKind.DEVICE_LOST


class DisplayLostError(SourceLostError):
    """The display went away while its screen was being recorded."""

    event_kind = EventKind.DISPLAY_LOST
    stopped_by = "display_lost"


class OutputError(RecordingError):
    """The output file cannot be created, written or closed."""


class DiskFullError(OutputError):
    """The disk, or what the user may have of it, has no room for more of the recording."""

    event_kind = EventKind.DISK_FULL
    stopped_by = "disk_full"


class FileGoneError(OutputError):
    """The file was removed while it was being recorded."""

    event_kind = EventKind.FILE_GONE
    stopped_by = "file_gone"


class EncoderError(RecordingError):
    """An encoder refused its settings or its input."""
