"""The architecture: imports follow the order of the rooms, and heavy libraries are loaded only when they are used."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

import capture
from capture.cli.main import _MODULES

PROJECT = Path(__file__).parent.parent

#: The rooms, lowest first. A room is a package or a module directly under `capture`; `face` is `capture/__init__.py`. A
#: room may import rooms of earlier lines, but no other room of its own line.
ORDER: Final = (
    "errors strict_json",
    "clock media events system",
    "formats threads timing pixels triggers virtual",
    "codecs output remote",
    "settings recordings replay",
    "parsing sources",
    "config desktop playback pipeline",
    "session speech",
    "recorder",
    "face",
    "cli",
    "__main__",
)

FLOORS: Final = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms.split()}

GROUND = {*ORDER[0].split(), *ORDER[1].split()}

#: Libraries that work on one system only, or connect to it on import.
PLATFORM_LIBRARIES = {"Xlib", "ctypes", "mss", "pynput", "soundcard"}
ADAPTERS = (
    *("capture.sources.", "capture.triggers.", "capture.desktop.", "capture.playback.", "capture.virtual.supervisor"),
    "capture.virtual.window_manager",
    *("capture.codecs.libopus", "capture.pixels.libyuv", "capture.system."),
)

#: Libraries that take a noticeable time to import.
HEAVY_LIBRARIES = ("Xlib", "av", "mss", "numpy", "pynput", "soundcard")

#: Lines of a module that one sitting still takes in.
LONGEST_MODULE = 400

#: Names to install that differ from the name to import.
INSTALLED_AS = {"Xlib": "python-xlib"}


def modules() -> dict[str, Path]:
    """Return the path of every module of the program, by dotted name."""
    found = {}
    for path in sorted((PROJECT / "capture").rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, path: Path) -> Iterator[str]:
    """Yield the modules that a module imports, anywhere in its text; those of other packages by their root."""
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


def room(module: str) -> str:
    """Return the room of a module: `sources` for `capture.sources.x11.reader`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "face"


def outside(module: str) -> set[str]:
    """Return the third-party libraries that `module` imports."""
    roots = {name.partition(".")[0] for name in IMPORTS[module]}
    return roots - set(sys.stdlib_module_names) - {"capture"}


def test_all_forms_of_imports_are_found(tmp_path: Path) -> None:
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
    assert {"capture", "capture.__main__", "capture.session.session", "capture.recordings.check"} <= set(MODULES)
    assert "capture.errors" in IMPORTS["capture.settings.record_settings"]
    assert "numpy" in outside("capture.media")


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module: str) -> None:
    here = room(module)
    for imported in sorted(IMPORTS[module] & set(MODULES)):
        there = room(imported)
        assert there == here or FLOORS[there] < FLOORS[here], f"{module} may not import {imported}"


def test_every_room_is_in_the_order() -> None:
    assert {room(module) for module in MODULES} == set(FLOORS)


def circle(imports: Mapping[str, set[str]]) -> list[str]:
    """Return the modules that import each other in a circle, or import such modules; none without a circle."""
    left = {name: set(imported) for name, imported in imports.items()}
    while free := [name for name, imported in left.items() if not imported & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_circles_are_found() -> None:
    assert circle({"a": {"b"}, "b": {"c", "x"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["a", "b", "c"]


@pytest.mark.parametrize("here", FLOORS)
def test_no_circle_inside_a_room(here: str) -> None:
    assert circle({name: IMPORTS[name] - {name} for name in MODULES if room(name) == here}) == []


def test_no_module_imports_the_public_package() -> None:
    assert [name for name in MODULES if name.startswith("capture.") and "capture" in IMPORTS[name]] == []


def test_only_the_entry_point_imports_the_command_line() -> None:
    inside = [name for name in MODULES if room(name) != "cli"]
    assert [name for name in inside if "capture.cli.main" in IMPORTS[name]] == ["capture.__main__"]


def test_the_lowest_rooms_need_only_the_standard_library_and_numpy() -> None:
    needed = {module: outside(module) - {"numpy"} for module in MODULES if room(module) in GROUND}
    # A service of the system hands out priorities, over D-Bus.
    assert {module: found for module, found in needed.items() if found} == {"capture.system.priority": {"jeepney"}}


def test_the_terminal_imports_only_events() -> None:
    assert IMPORTS["capture.cli.terminal"] & set(MODULES) == {"capture.events", "capture.cli.live_line"}
    assert IMPORTS["capture.cli.live_line"] & set(MODULES) == set()


def test_modules_stay_short() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_platform_libraries_stay_in_their_adapters() -> None:
    users = {name for name in MODULES if IMPORTS[name] & PLATFORM_LIBRARIES}
    assert users
    assert sorted(name for name in users if not name.startswith(ADAPTERS)) == []


#: Functions that read the date, by the name of their owner.
DATE_READERS = {
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "strftime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}

#: Modules that name files by date and time, and the one that lists them. Everything that is measured is measured on the
#: monotonic clock, which setting the system's date does not change.
MODULES_WITH_DATES = [
    "capture.cli.options",
    "capture.cli.times",
    "capture.desktop.backup",
    "capture.session.clip_saver",
    "capture.session.take",
]


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


def test_dates_only_name_and_list_files(tmp_path: Path) -> None:
    path = tmp_path / "made.py"
    for program in ("import time\ntime.time()", "from time import time_ns", "import datetime\ndatetime.date.today()"):
        path.write_text(program)
        assert reads_the_date(path)
    path.write_text("import time\ntime.monotonic()\nevent.time")
    assert not reads_the_date(path)
    assert [name for name, path in MODULES.items() if reads_the_date(path)] == MODULES_WITH_DATES


#: Libraries that connect to other machines.
NETWORK_LIBRARIES = {
    *("aiohttp", "asyncio", "ftplib", "http", "httpx", "imaplib", "nntplib", "poplib", "requests", "smtplib"),
    *("socketserver", "ssl", "telnetlib", "urllib3", "websockets", "xmlrpc"),
}
NETWORK_NAMES = {
    *("AF_INET", "AF_INET6", "AF_PACKET", "create_connection", "create_server", "getaddrinfo", "gethostbyname"),
    *("open_connection", "urlopen", "urlretrieve"),
}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_uses_the_network(module: str) -> None:
    assert IMPORTS[module] & NETWORK_LIBRARIES == set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute | ast.Name):
            assert (node.attr if isinstance(node, ast.Attribute) else node.id) not in NETWORK_NAMES
        elif isinstance(node, ast.Import | ast.ImportFrom):
            assert NETWORK_NAMES.isdisjoint(alias.name for alias in node.names)
            named = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert [name for name in named if name.startswith("urllib") and name != "urllib.parse"] == []
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("socket.socket", "socket"):
            # Without a family, it would be an Internet socket.
            local = [ast.unparse(argument) for argument in node.args[:1]] == ["socket.AF_UNIX"]
            assert local or [keyword.arg for keyword in node.keywords] == ["fileno"]


#: What may call `json.dumps`, beside `strict_json`: it quotes the strings of a settings file as TOML does.
WRITE_NO_JSON = {"capture.config.toml_edit"}


@pytest.mark.parametrize("module", MODULES)
def test_json_is_written_in_one_place(module: str) -> None:
    written = any(
        isinstance(node, ast.Attribute) and node.attr in ("dump", "dumps") and ast.unparse(node.value) == "json"
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    )
    assert written is (module == "capture.strict_json" or module in WRITE_NO_JSON)


def test_every_library_is_declared() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    installed = {requirement.partition(">")[0].strip().lower() for requirement in declared}
    used = {INSTALLED_AS.get(library, library).lower() for name in MODULES for library in outside(name)}
    assert used == installed


# Loading


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program without a screen and without a sound server."""
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


def test_loaded_heavy_libraries_are_found() -> None:
    assert json.loads(run(f"import sys, numpy, mss {LOADED}").stderr) == ["mss", "numpy"]


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert json.loads(run(f"import sys, capture {LOADED}").stderr) == []


@pytest.mark.parametrize("arguments", [["--help"], ["record", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys; from capture.cli.main import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
    )
    helped = run(f"{program}assert not code, code\nimport sys {LOADED}", *arguments)
    assert "usage" in helped.stdout.lower()
    assert json.loads(helped.stderr) == []


def test_numpy_works_without_what_is_left_out() -> None:
    program = (
        "from capture.cli.slim_numpy import load_numpy; load_numpy()\n"
        "import sys, numpy, numpy.fft, numpy.linalg, numpy.ma, numpy.polynomial, numpy.random\n"
        "late = 'numpy._typing._array_like' not in sys.modules\n"
        "from numpy.typing import ArrayLike, NDArray\n"
        "print(numpy.ones(2).sum(), numpy.ndarray.sum.__doc__, late, NDArray[numpy.uint8].__origin__.__name__)"
    )
    assert run(program).stdout == "2.0 None True ndarray\n"


def test_the_modules_of_the_verbs_load_nothing_heavy() -> None:
    # A verb that records loads numpy itself, without the threads that numpy starts otherwise.
    homes = [f"capture.cli.{home}" for home in _MODULES]
    assert {"capture.cli.record", "capture.cli.headless"} <= set(homes)
    assert json.loads(run(f"import sys, {', '.join(homes)} {LOADED}").stderr) == []


def test_every_module_can_be_imported_without_screen_and_sound() -> None:
    names = [name for name in MODULES if not name.endswith("__main__")]
    assert len(names) > 20
    run(f"import importlib\nfor name in {names}:\n    importlib.import_module(name)")


def test_the_public_names_are_sorted_and_exist() -> None:
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
    assert sorted([*named, "__version__"]) == capture.__all__
    for name, module in named.items():
        assert module is not None
        assert getattr(capture, name) is getattr(sys.modules[module], name)
