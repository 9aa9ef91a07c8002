"""Parses the command line, runs one verb, and turns every error into one line and an exit code.

The module of a verb is imported when the verb runs and imports what it needs then, so `capture --help` answers at once.
"""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from capture.cli.late_modules import make_late
from capture.cli.parser import Verb, parse
from capture.cli.text import fail, open_streams, settle, to_standard_output
from capture.cli.words import before_command
from capture.errors import CaptureError, NotReadyError, SettingError

__all__ = ["main"]

#: The modules in `capture.cli` and the verbs in their `VERBS`.
_MODULES: Final = {
    "record": ("record", "note", "standby", "replay"),
    "headless": ("headless",),
    "remote": ("status", "stop", "pause", "resume", "toggle", "discard", "mark", "preview", "clip"),
    "files": ("check", "convert", "repair"),
    "cutting": ("trim", "join"),
    "exporting": ("export",),
    "sharing": ("share",),
    "listing": ("list",),
    "importing": ("import",),
    "backing_up": ("backup",),
    "transcribing": ("transcribe",),
    "playing": ("play", "open"),
    "system": ("devices", "doctor"),
    "settings": ("config",),
    "completion": ("completion",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run capture with the arguments `argv` (default: the process's) and return the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The name of a device or file may contain characters that the terminal's encoding lacks.
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

        return fail(str(error.named(partial(as_option, verb=arguments.verb))), error.exit_code, debug)
    except CaptureError as error:
        return fail(str(error), error.exit_code, debug)
    except BrokenPipeError:
        # The reader of our output is gone, as after `| head`.
        return 1
    except KeyboardInterrupt:
        return fail("interrupted", 1, debug)
    except Exception as error:
        # Like Path's, but without an error of its own.
        home = os.path.expanduser("~")  # noqa: PTH111
        if isinstance(error, RuntimeError) and not Path(home).is_absolute():
            # Then no folder of this user's can be found, whichever of them the verb needed.
            return fail("this user has no home folder: set HOME to one", NotReadyError.exit_code, debug)
        return fail(f"internal error ({type(error).__name__}: {error}): --debug shows where", 1, debug)
    finally:
        settle()
        # A verb that records turns it off while it starts.
        gc.enable()
    return exit_code


def _verb(name: str) -> Verb:
    module = next(module for module, names in _MODULES.items() if name in names)
    # Data classes import it, with Python's parser, and hardly any uses it.
    make_late("inspect")
    verb: Verb = importlib.import_module(f"capture.cli.{module}").VERBS[name]
    return verb
