"""The wheel is complete: installed by itself, outside the checkout, it records. Its dependencies need no compiler."""

from __future__ import annotations

import email
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from conftest import PROJECT
from packaging.requirements import Requirement

import capture
from capture.cli.manual import manual

#: What the checkout has beside its files.
UNTRACKED: Final = (".venv", ".git", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info", "build", "dist", "demo.*")

RECORD: Final = ("record", "take.mp4", "--source", "pattern", "--duration", "1s", "--json")


class Distributions(NamedTuple):
    wheel: Path
    source: Path


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Both distributions, built as for the package index: the wheel from the source distribution."""
    folder = tmp_path_factory.mktemp("distributions")
    # The build leaves files where it runs.
    checkout = folder / "checkout"
    shutil.copytree(PROJECT, checkout, ignore=shutil.ignore_patterns(*UNTRACKED))
    source = build("sdist", checkout, folder)
    with tarfile.open(source) as opened:
        opened.extractall(folder, filter="data")
    return Distributions(build("wheel", folder / source.name.removesuffix(".tar.gz"), folder), source)


def build(kind: str, checkout: Path, folder: Path) -> Path:
    """Build one distribution in `folder`, as pip does it but without fetching the build tools again."""
    # The backend writes to standard output what it does; the last line is the name of the file.
    script = f"from setuptools.build_meta import *; print(build_{kind}({str(folder)!r}))"
    return folder / run(sys.executable, "-c", script, folder=checkout).splitlines()[-1]


@pytest.fixture(scope="module")
def installed(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel, and nothing else but what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    programs = folder / "bin"
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        programs / "python",
    ]
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", distributions.wheel)
    # Like this the checkout, which is installed there as well, is not found.
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A folder with modules of somebody else, named like parts of the checkout."""
    for name in ("cli", "demo", "tests"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a foreign module was imported')\n")
    return tmp_path


def run(*command: str | Path, folder: Path | None = None) -> str:
    """Run a command without a screen and sound, and return what it writes."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder or Path.home())}
    if folder is not None:
        environment["XDG_RUNTIME_DIR"] = str(folder)
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_distributions_are_fit_for_the_package_index(distributions: Distributions) -> None:
    run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *distributions)


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(distributions: Distributions) -> None:
    with zipfile.ZipFile(distributions.wheel) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        [page] = (name for name in names if name.endswith(".data/data/share/man/man1/capture.1"))
        assert wheel.read(page).decode() == manual()
    package = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "capture").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names - {page} == package


def test_the_source_distribution_can_be_tested(distributions: Distributions) -> None:
    with tarfile.open(distributions.source) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    tests = {path.relative_to(PROJECT).as_posix() for path in (PROJECT / "tests").rglob("*.py")}
    assert tests | {"cli.py", "Makefile", "scripts/setup", "demo/__main__.py", "docs/options.md"} <= names
    assert not any(name.startswith("build/") for name in names)


def requirements(wheel: Path, system: str, python: str = "3.11") -> list[Requirement]:
    """Return what the wheel depends on on a system, with a version of Python."""
    with zipfile.ZipFile(wheel) as opened:
        [name] = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(opened.read(name))
    found = map(Requirement, metadata.get_all("Requires-Dist", ()))
    environment = {"extra": "", "sys_platform": system, "python_version": python}
    return [item for item in found if item.marker is None or item.marker.evaluate(environment)]


@pytest.mark.parametrize("system", ["linux", "win32", "darwin"])
def test_only_what_a_system_uses_is_installed_on_it(system: str, distributions: Distributions) -> None:
    found = {item.name for item in requirements(distributions.wheel, system)}
    # pynput would bring evdev, which must be compiled.
    own = {"jeepney", "python-xlib"} if system == "linux" else {"mss", "pynput", "SoundCard"}
    assert found == {"av", "numpy", "platformdirs", *own}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_each_python_gets_the_pyav_that_was_tested_with_it(python: str, distributions: Distributions) -> None:
    [av] = (item for item in requirements(distributions.wheel, sys.platform, python) if item.name == "av")
    # There is no PyAV 19 for Python 3.11.
    expected = "18.1.0" if python == "3.11" else "19.0.2"
    assert [*av.specifier.filter(["17.0.1", "18.0.0", "18.1.0", "19.0.2", "20.0.0"])] == [expected]


@pytest.mark.parametrize("program", [["capture"], ["python", "-m", "capture"], ["python", "-O", "-m", "capture"]])
def test_the_wheel_records_by_itself(program: list[str], installed: Path, foreign: Path) -> None:
    command: list[str | Path] = [installed / program[0], *program[1:]]
    assert run(*command, "--version", folder=foreign).split() == ["capture", capture.__version__]
    assert "record" in run(*command, "--help", folder=foreign)
    recorded = run(*command, *RECORD, folder=foreign)
    assert json.loads(recorded)["check"] == "ok"
    checked = run(*command, "check", "take.mp4", "--json", folder=foreign)
    assert json.loads(checked)["ok"] is True


def test_no_module_of_the_wheel_hides_another(installed: Path, foreign: Path) -> None:
    written = run(installed / "python", "-P", "-c", "import capture; print(capture.__file__)", folder=foreign)
    assert Path(written.strip()).is_relative_to(installed.parent)
    for name in ("cli", "demo", "tests", "benchmarks"):
        found = f"import importlib.util; print(importlib.util.find_spec({name!r}))"
        assert run(installed / "python", "-P", "-c", found, folder=foreign) == "None\n"
