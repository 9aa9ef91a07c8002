"""The errors that leave this package.

::

    CaptureError            the base of all; its text is one line for the user
    ├── UsageError          the request is invalid; nothing was touched               (exit 2)
    │   └── SettingError        a setting has an invalid value
    ├── NotReadyError       something is missing: display, sound server, permission   (exit 3)
    └── RecordingError      writing or reading a recording failed                     (exit 1)
        ├── SourceLostError     a device disappeared while it was being recorded
        │   └── DisplayLostError    the display disappeared
        ├── OutputError         the file cannot be created, written or closed
        │   ├── NoRoomError         the file cannot grow any more
        │   │   ├── DiskFullError       the disk is full
        │   │   └── FileTooLargeError   the file is as large as it may be
        │   └── FileGoneError       the file was removed
        └── EncoderError        an encoder refused its settings or its input

A caller's mistake and a failure are different branches, so that a script can tell "fix the call" from "try again".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "CaptureError",
    "DiskFullError",
    "DisplayLostError",
    "EncoderError",
    "FileGoneError",
    "FileTooLargeError",
    "NoRoomError",
    "NotReadyError",
    "OutputError",
    "RecordingError",
    "SettingError",
    "SourceLostError",
    "UsageError",
    "in_one_line",
]


class CaptureError(Exception):
    """A failure: what happened, and what to do about it.

    ``str(error)`` is one line: the message, then the remedy if there is one.
    """

    exit_code = 1

    #: The `stopped_by` of a recording that this error ended.
    stopped_by = "failed"

    #: The `Summary` of the recording that ended with this error, if it has one. `capture.record` and `capture.Recorder`
    #: set it.
    summary: Any = None

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


def in_one_line(error: BaseException) -> str:
    """Return one line about any error, for the user."""
    return str(error) if isinstance(error, CaptureError) else f"{type(error).__name__}: {error}"


class UsageError(CaptureError):
    """The request is invalid; nothing was touched."""

    exit_code = 2


class SettingError(UsageError):
    """One or more fields of the settings have invalid values.

    `message` and `remedy` are templates: `{fps}` becomes the field with its value, `{screen:none}` the field with
    another value. They appear as Python keyword arguments; `named` returns the error with another notation.
    """

    def __init__(self, message: str, remedy: str = "", **fields: object) -> None:
        self._templates = (message, remedy)
        #: The invalid values, by field.
        self.fields = fields
        super().__init__(*self._written(_as_keyword))

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled by its templates: what is written of them may have braces.
        return _setting_error, (self._templates, self.fields), self.__dict__

    def named(self, write: Callable[[str, object], str]) -> UsageError:
        """Return the same error with each field written by `write(name, value)`, for example as an option."""
        return UsageError(*self._written(write))

    def _written(self, write: Callable[[str, object], str]) -> tuple[str, str]:
        names = _Names(self.fields, write)
        message, remedy = (template.format_map(names) for template in self._templates)
        return message, remedy


def _setting_error(templates: tuple[str, str], fields: Mapping[str, object]) -> SettingError:
    message, remedy = templates
    return SettingError(message, remedy, **fields)


class _Names(dict[str, Any]):
    """Gives `str.format_map` the fields of an error; one without a value in it has None."""

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
    """Something outside this program is missing: a display, a sound server or a permission."""

    exit_code = 3


class RecordingError(CaptureError):
    """A recording failed; what could be kept was kept."""


class SourceLostError(RecordingError):
    """A device disappeared while it was being recorded."""


class DisplayLostError(SourceLostError):
    """The display disappeared while its screen was being recorded."""

    stopped_by = "display_lost"


class OutputError(RecordingError):
    """The output file cannot be created, written or closed."""

    #: Whether only closing the file reported it, so that the file may be whole all the same.
    at_close = False


class NoRoomError(OutputError):
    """The file cannot grow any more; another one may."""


class DiskFullError(NoRoomError):
    """The disk is full, or the user's quota on it is."""

    stopped_by = "disk_full"


class FileTooLargeError(NoRoomError):
    """The file is as large as this process or its file system allows."""

    stopped_by = "size_limit"


class FileGoneError(OutputError):
    """The file was removed while it was being recorded."""

    stopped_by = "file_gone"


class EncoderError(RecordingError):
    """An encoder refused its settings or its input."""
