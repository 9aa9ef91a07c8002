"""The public errors of the package: class tree, exit codes and one-line text."""

from __future__ import annotations

import pickle

import pytest

from capture import errors
from capture.errors import CaptureError

ALL: list[type[CaptureError]] = [
    error for error in (getattr(errors, name) for name in errors.__all__) if isinstance(error, type)
]


@pytest.mark.parametrize(
    ("name", "exit_code"),
    [
        ("CaptureError", 1),
        ("UsageError", 2),
        ("NotReadyError", 3),
        ("RecordingError", 1),
        ("SourceLostError", 1),
        ("DisplayLostError", 1),
        ("OutputError", 1),
        ("DiskFullError", 1),
        ("FileGoneError", 1),
        ("NoRoomError", 1),
        ("FileTooLargeError", 1),
        ("EncoderError", 1),
    ],
)
def test_the_exit_code_separates_mistakes_from_failures(name: str, exit_code: int) -> None:
    assert getattr(errors, name).exit_code == exit_code


def test_every_error_is_public_and_in_the_tree_of_the_docstring() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, CaptureError)
    }
    assert defined == {error.__name__ for error in ALL}
    assert all(issubclass(error, CaptureError) for error in ALL)
    drawing = errors.__doc__ or ""
    depth = {
        line.strip("│├└─ ").split()[0]: line.index(line.strip("│├└─ ")[0])
        for line in drawing.splitlines()
        if "Error " in line
    }
    assert {name for name in depth if name.endswith("Error")} == defined
    for error in ALL:
        if error is not CaptureError:
            assert depth[error.__name__] > max(depth.get(base.__name__, -1) for base in error.__bases__)


@pytest.mark.parametrize("error", ALL)
def test_the_text_is_the_message_followed_by_the_remedy(error: type[CaptureError]) -> None:
    assert str(error("no screen was found", "start X first")) == "no screen was found: start X first"
    assert str(error("no screen was found")) == "no screen was found"
    assert (error("a", "b").message, error("a", "b").remedy, error("a").remedy) == ("a", "b", "")


@pytest.mark.parametrize("error", ALL)
def test_an_error_survives_pickling(error: type[CaptureError]) -> None:
    copy = pickle.loads(pickle.dumps(error("message", "remedy")))  # noqa: S301 - it was made here
    assert type(copy) is error
    assert str(copy) == "message: remedy"
