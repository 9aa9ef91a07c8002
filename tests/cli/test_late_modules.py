"""Modules that a recording leaves out load when they are used, as if they had been there from the start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

#: Loads numpy and PyAV as a recording does, and finds out which modules were left out until then.
SLIMMED = """
import sys
from capture.cli.late_modules import LateModule, make_late
from capture.cli.slim_numpy import slim_numpy
make_late("inspect")
undo = slim_numpy()
import numpy, av
late = sorted(name for name, module in sys.modules.items() if isinstance(module, LateModule))
undo()
"""


def printed(program: str) -> str:
    command = [sys.executable, "-c", SLIMMED + program]
    return subprocess.run(
        command, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    ).stdout.strip()


def test_numpy_and_pyav_load_without_them() -> None:
    left_out = {"logging", "numpy._typing", "numpy._utils._inspect", "pickle", "platform", "textwrap"}
    # From Python 3.12 on, every data class asks `inspect` for its annotations, and that loads `ast`.
    left_out |= {"ast", "inspect"} if sys.version_info < (3, 12) else set()
    assert left_out <= set(json.loads(printed("import json; print(json.dumps(late))")))


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import inspect; print(inspect.signature(lambda a, b=1: a), inspect.CO_VARARGS)", "(a, b=1) 4"),
        ("from inspect import cleandoc; print(cleandoc('a\\n    b'))", "a\nb"),
        ("import logging; logging.basicConfig(); print(logging.getLogger('x').name, logging.Logger.manager)", "x"),
        ("import logging.handlers; print(logging.handlers.SocketHandler.__name__)", "SocketHandler"),
        ("import pickle; print(pickle.loads(pickle.dumps(numpy.arange(3))).sum())", "3"),
        ("import textwrap, ast; print(textwrap.indent('a', '-'), ast.literal_eval('[1]'))", "-a [1]"),
        ("from numpy._utils._inspect import getargspec; print(getargspec(lambda a: a)[0])", "['a']"),
        ("import numpy.ma; print(numpy.ma.masked_equal([1, 2], 2).sum())", "1"),
        ("av.logging.set_level(av.logging.VERBOSE); av.logging.log(16, 'x', 'y'); print(1)", "1"),
    ],
)
def test_what_is_used_later_loads_then(program: str, expected: str) -> None:
    assert printed(program).startswith(expected)


def test_two_threads_get_the_same_module() -> None:
    program = (
        "import threading\n"
        "barrier, found, late = threading.Barrier(8), [], sys.modules['textwrap']\n"
        "def ask():\n"
        "    barrier.wait()\n"
        "    found.append(late.TextWrapper)\n"
        "threads = [threading.Thread(target=ask) for _ in range(8)]\n"
        "[thread.start() for thread in threads], [thread.join() for thread in threads]\n"
        "print(len(set(found)), len(found))"
    )
    assert printed(program) == "1 8"
