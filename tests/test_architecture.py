"""The house stands as it was drawn: imports run down, neighbours are strangers, nothing heavy is loaded unasked."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import capture

PROJECT = Path(__file__).parent.parent

#: From the ground up. A module may import what stands on a lower floor, and its own sub-package. `capture` is the
#: package's own face, its `__init__`; the longest name that fits a module tells its floor.
FLOORS: tuple[set[str], ...] = (
    {"capture.errors", "capture.clock", "capture.media", "capture.events", "capture.toml_lines"},
    {"capture.settings"},
    {"capture.mailbox", "capture.interfaces", "capture.ledger", "capture.own_file", "capture.patience"},
    {"capture.worker"},
    {
        "capture.resampler",
        "capture.repacketizer",
        "capture.nowhere",
        "capture.video_codecs",
        "capture.disk",
        "capture.macroblocks",
        "capture.libyuv",
        "capture.bits",
    },
    {"capture.yuv"},
    {"capture.timeline", "capture.conversion", "capture.patches", "capture.aac"},
    {
        "capture.sources",
        "capture.encoder",
        "capture.sound_encoder",
        "capture.muxer",
        "capture.triggers",
        "capture.recordings",
        "capture.desktop",
        "capture.terminal",
    },
    # What asks several of the stages, and the threads that drive one.
    {
        "capture.chapters",
        "capture.config",
        "capture.desktop.devices",
        "capture.desktop.doctor",
        "capture.device_thread",
        "capture.grabbers",
        "capture.ledger_file",
        "capture.teller",
        "capture.players",
        "capture.recordings.fit",
        "capture.recordings.loudness",
        "capture.recordings.remake",
        "capture.recordings.repair",
        "capture.recordings.rewrite",
        "capture.recordings.scratch",
        "capture.replay",
    },
    {"capture.clip", "capture.tracks", "capture.inputs", "capture.writer", "capture.preview"},
    {"capture.pipeline", "capture.outlets"},
    {"capture.feed"},
    {"capture.take", "capture.clips"},
    {"capture.session", "capture.arguments"},
    {"capture"},
    {"cli"},
    {"capture.__main__"},
)

GROUND = FLOORS[0] | FLOORS[1]

#: Bound to one system, or connecting to it on import.
PLATFORM_LIBRARIES = {"Xlib", "ctypes", "mss", "pynput", "soundcard"}
ADAPTERS = ("capture.sources.", "capture.triggers.", "capture.desktop.", "capture.players.", "capture.libyuv")

#: What takes a noticeable time to import.
HEAVY_LIBRARIES = ("Xlib", "av", "mss", "numpy", "pynput", "soundcard")

#: Where the name to import is not the name to install.
INSTALLED_AS = {"Xlib": "python-xlib"}


def modules() -> dict[str, Path]:
    """Every module of the program by its dotted name."""
    found = {"cli": PROJECT / "cli.py"}
    for path in sorted((PROJECT / "capture").rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, path: Path) -> Iterator[str]:
    """What the module imports, anywhere in its text: the program's modules by name, all others by their root."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (_module_or_root(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]) if base else ".".join(above)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else _module_or_root(base)


def _module_or_root(dotted: str) -> str:
    return dotted if dotted in MODULES else dotted.partition(".")[0]


IMPORTS = {name: set(imports(name, path)) for name, path in MODULES.items()}


def floor(module: str) -> int:
    fitting = [
        (len(prefix), number)
        for number, prefixes in enumerate(FLOORS)
        for prefix in prefixes
        if module == prefix or (module.startswith(f"{prefix}.") and prefix != "capture")
    ]
    assert fitting, f"{module} stands on no floor: give it one in FLOORS"
    return max(fitting)[1]


def outside(module: str) -> set[str]:
    """The third-party libraries that `module` imports."""
    roots = {name.partition(".")[0] for name in IMPORTS[module]}
    return roots - set(sys.stdlib_module_names) - {"capture", "cli"}


def test_the_reader_of_imports_sees_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "made.py"
    path.write_text(
        "import os, xml.dom\n"
        "from capture import errors\n"
        "from capture import RecordSettings\n"
        "from av.stream import Stream\n"
        "from .sources import pattern\n"
        "def later():\n"
        "    from . import media\n"
        "    from ..capture.clock import Clock\n"
    )
    assert set(imports("capture.made", path)) == {
        "os",
        "xml",
        "capture",
        "capture.errors",
        "capture.media",
        "capture.clock",
        "av",
        "capture.sources.pattern",
    }
    assert {"cli", "capture", "capture.__main__", "capture.session", "capture.recordings.check"} <= set(MODULES)
    assert "capture.errors" in IMPORTS["capture.settings"]
    assert "numpy" in outside("capture.media")


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    for imported in sorted(IMPORTS[module] & set(MODULES)):
        inside_one_package = floor(imported) == floor(module) and _part(imported) == _part(module)
        assert floor(imported) < floor(module) or inside_one_package, (
            f"{module} (floor {floor(module)}) may not import {imported} (floor {floor(imported)})"
        )


def _part(module: str) -> str:
    """The stage a module belongs to: `capture.sources.pulse` to `capture.sources`."""
    return ".".join(module.split(".")[:2])


def test_floors_tell_neighbours_and_the_wrong_way() -> None:
    assert (
        floor("capture.errors") < floor("capture.settings") < floor("capture.worker") < floor("capture.sources.pulse")
    )
    assert floor("capture.sources.pulse") == floor("capture.muxer") == floor("capture.terminal")
    assert floor("capture.desktop.virtual") < floor("capture.desktop.doctor") < floor("capture.session")
    assert floor("capture.session") < floor("capture") < floor("cli") < floor("capture.__main__")
    assert _part("capture.sources.pulse") != _part("capture.muxer")
    with pytest.raises(AssertionError, match="stands on no floor"):
        floor("capture.somewhere")


def test_nothing_inside_uses_the_packages_own_face() -> None:
    assert [name for name in MODULES if name.startswith("capture.") and "capture" in IMPORTS[name]] == []


def test_only_the_command_starts_the_command_line() -> None:
    assert [name for name in MODULES if "cli" in IMPORTS[name]] == ["capture.__main__"]


def test_the_ground_needs_the_standard_library_and_numpy_alone() -> None:
    assert {module: found for module in sorted(GROUND) if (found := outside(module) - {"numpy"})} == {}


def test_the_terminal_knows_events_and_nothing_else() -> None:
    assert IMPORTS["capture.terminal"] & set(MODULES) == {"capture.events"}


def test_platform_libraries_stay_in_their_adapters() -> None:
    users = {name for name in MODULES if IMPORTS[name] & PLATFORM_LIBRARIES}
    assert users
    assert sorted(name for name in users if not name.startswith(ADAPTERS)) == []


#: What tells the date: by the name of what has it.
DATE_READERS = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}

#: They name files by the moment at which they were made. All that is measured is measured on the monotonic clock, which
#: nobody can set.
TELL_THE_DATE = ["capture.arguments", "capture.clips", "capture.take"]


def reads_the_date(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if node.attr in DATE_READERS.get(name, ()):
                return True
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            return bool(DATE_READERS["time"] & {alias.name for alias in node.names})
    return False


def test_the_date_names_files_and_measures_nothing(tmp_path: Path) -> None:
    path = tmp_path / "made.py"
    for program in ("import time\ntime.time()", "from time import time_ns", "import datetime\ndatetime.date.today()"):
        path.write_text(program)
        assert reads_the_date(path)
    path.write_text("import time\ntime.monotonic()\nevent.time")
    assert not reads_the_date(path)
    assert [name for name, path in MODULES.items() if reads_the_date(path)] == TELL_THE_DATE


#: What speaks to other machines.
NETWORK_LIBRARIES = {
    *("aiohttp", "asyncio", "ftplib", "http", "httpx", "imaplib", "nntplib", "poplib", "requests", "smtplib"),
    *("socketserver", "ssl", "telnetlib", "urllib3", "websockets", "xmlrpc"),
}
NETWORK_NAMES = {
    *("AF_INET", "AF_INET6", "AF_PACKET", "create_connection", "create_server", "getaddrinfo", "gethostbyname"),
    *("open_connection", "urlopen", "urlretrieve"),
}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_speaks_to_another_machine(module: str) -> None:
    assert IMPORTS[module] & NETWORK_LIBRARIES == set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute | ast.Name):
            assert (node.attr if isinstance(node, ast.Attribute) else node.id) not in NETWORK_NAMES
        elif isinstance(node, ast.Import | ast.ImportFrom):
            assert NETWORK_NAMES.isdisjoint(alias.name for alias in node.names)
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert [name for name in named if name.startswith("urllib") and name != "urllib.parse"] == []
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("socket.socket", "socket"):
            # Without a family it would be one of the Internet's.
            local = [ast.unparse(argument) for argument in node.args[:1]] == ["socket.AF_UNIX"]
            assert local or [keyword.arg for keyword in node.keywords] == ["fileno"]


def test_every_library_is_declared() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    installed = {requirement.partition(">")[0].strip().lower() for requirement in declared}
    used = {INSTALLED_AS.get(library, library).lower() for name in MODULES for library in outside(name)}
    assert used == installed


# What happens when it is loaded


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program with neither screen nor sound server in reach."""
    nowhere = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT),
        "HOME": "/nonexistent",
        "XDG_RUNTIME_DIR": "/nonexistent",
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *arguments],
        env=nowhere,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


LOADED = (
    f"; import json; print(json.dumps([name for name in {HEAVY_LIBRARIES} if name in sys.modules]), file=sys.stderr)"
)


def test_heavy_libraries_would_be_seen() -> None:
    assert json.loads(run(f"import sys, numpy, mss {LOADED}").stderr) == ["mss", "numpy"]


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert json.loads(run(f"import sys, capture {LOADED}").stderr) == []


@pytest.mark.parametrize("arguments", [["--help"], ["record", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys, cli\ntry:\n    code = cli.main(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
    )
    helped = run(f"{program}assert not code, code\nimport sys {LOADED}", *arguments)
    assert "usage" in helped.stdout.lower()
    assert json.loads(helped.stderr) == []


def test_every_module_can_be_imported_without_screen_and_sound() -> None:
    names = [name for name in MODULES if not name.endswith("__main__")]
    assert len(names) > 20
    run(f"import importlib\nfor name in {names}:\n    importlib.import_module(name)")


def test_the_public_names_are_sorted_and_there() -> None:
    assert capture.__all__ == sorted(set(capture.__all__))
    for name in capture.__all__:
        assert getattr(capture, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = capture.no_such_name


def test_type_checkers_and_the_interpreter_see_the_same_public_names() -> None:
    tree = ast.parse(MODULES["capture"].read_text(encoding="utf-8"))
    named = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("capture.")
        for alias in node.names
    }
    assert sorted(named) == capture.__all__
    for name, module in named.items():
        assert module is not None
        assert getattr(capture, name) is getattr(sys.modules[module], name)
