"""The command line: parses it, runs one verb, and turns every error into one line and an exit code.

A verb's module is imported when the verb runs, and imports what it needs then: `capture --help` answers at once.
"""

from __future__ import annotations

import gc
import importlib
import io
import sys
from collections.abc import Sequence
from typing import Final

from capture.cli.parser import Verb, before_command, parse
from capture.cli.text import fail, open_streams, settle, to_standard_output
from capture.errors import CaptureError, SettingError

__all__ = ["main"]

#: The module in `capture.cli` that holds each verb, in its `VERBS`.
_HOMES: Final = {
    "record": ("record", "note", "standby", "replay"),
    "headless": ("headless",),
    "remote": ("status", "stop", "pause", "resume", "toggle", "discard", "mark", "preview", "clip"),
    "files": ("check", "repair"),
    "system": ("devices", "doctor"),
    "settings": ("config",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `argv` (default: the process's) and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A device or a file may have a name that the terminal's encoding cannot write.
        sys.stdout.reconfigure(errors="backslashreplace")
    debug = "--debug" in before_command(given)
    try:
        with to_standard_output():
            # It prints the help and the version.
            arguments = parse(given)
        arguments.ends_process = argv is None
        exit_code = _verb(arguments.verb)(arguments)
    except SettingError as error:
        from capture.cli.options import as_option

        return fail(str(error.named(as_option)), error.exit_code, debug)
    except CaptureError as error:
        return fail(str(error), error.exit_code, debug)
    except BrokenPipeError:
        # The reader of our output has gone, as after `| head`; there is nobody left to tell.
        return 1
    except KeyboardInterrupt:
        return fail("interrupted", 1, debug)
    except Exception as error:
        return fail(f"internal error ({type(error).__name__}: {error}); --debug shows where", 1, debug)
    finally:
        settle()
        # A verb that records turns it off while it starts.
        gc.enable()
    return exit_code


def _verb(name: str) -> Verb:
    home = next(home for home, names in _HOMES.items() if name in names)
    verb: Verb = importlib.import_module(f"capture.cli.{home}").VERBS[name]
    return verb
