"""A Debian of any suite in a folder, and how to run this checkout in it. Needs root and debootstrap."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.process import REPOSITORY

__all__ = ["enter", "make"]

#: What every desktop takes, beside what recording takes; and each desktop's own.
_PACKAGES: Final = (
    *("ca-certificates", "dbus", "dbus-daemon", "procps", "pulseaudio-utils", "python3", "python3-venv"),
    *("pipewire", "pipewire-bin", "pipewire-pulse", "wireplumber", "libglib2.0-bin"),
    *("libyuv0", "libfreetype6", "fontconfig", "fonts-dejavu-core", "libxcb1", "libxcb-randr0", "libxcb-render0"),
    *("libxcb-shm0", "libxcb-xfixes0"),
)
PACKAGES_OF: Final = {
    "gnome": ("gnome-shell", "xdg-desktop-portal-gnome"),
    "kde": ("kwin-wayland", "qt6-wayland", "xdg-desktop-portal-kde"),
    "sway": ("sway", "xdg-desktop-portal-wlr", "xwayland", "wf-recorder"),
}

#: Where the recorder's dependencies are, in there.
_ENVIRONMENT: Final = "/opt/capture"

#: Where results go, in there and out here.
RESULTS: Final = "/results"


def make(folder: Path, suite: str, desktop: str) -> None:
    """Make the Debian, or add what this desktop needs. Takes some minutes and 1 to 2 GB."""
    if not (folder / "etc/debian_version").exists():
        if shutil.which("debootstrap") is None:
            raise FileNotFoundError("debootstrap is not installed: apt-get install debootstrap")
        subprocess.run(["debootstrap", "--variant=minbase", suite, str(folder)], check=True)
    for name in ("resolv.conf", "hosts"):
        shutil.copyfile(f"/etc/{name}", folder / "etc" / name)
    # Nothing is started while it is installed.
    policy = folder / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    # The index of a mirror that is no longer updated expires.
    install = "export DEBIAN_FRONTEND=noninteractive; apt-get -o Acquire::Check-Valid-Until=false -q update && "
    install += "apt-get -yq --no-install-recommends install " + shlex.join((*_PACKAGES, *PACKAGES_OF[desktop]))
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    libraries = f"test -e {_ENVIRONMENT}/done || {{ python3 -m venv {_ENVIRONMENT} && "
    libraries += f"{_ENVIRONMENT}/bin/pip install -q {shlex.join(dependencies)} && touch {_ENVIRONMENT}/done; }}"
    for command in (install, libraries):
        subprocess.run(_inside(folder, ["bash", "-c", command]), check=True)


def enter(folder: Path, results: Path, module: str, arguments: Sequence[str]) -> int:
    """Run a module of this checkout in there, with its results in `results`; return its exit code."""
    results.mkdir(parents=True, exist_ok=True)
    argv = [f"{_ENVIRONMENT}/bin/python", "-m", module, *arguments]
    environment = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": f"{_ENVIRONMENT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONPYCACHEPREFIX": f"{RESULTS}/.pycache",
    }
    return subprocess.run(_inside(folder, argv, results), env=environment, check=False).returncode


def _inside(folder: Path, argv: Sequence[str], results: Path | None = None) -> list[str]:
    """Return the command that runs `argv` in there, in namespaces with which all of it ends."""
    if sys.platform == "win32" or os.geteuid() != 0:
        raise PermissionError("this needs root on Linux")
    root, here = shlex.quote(str(folder)), shlex.quote(str(REPOSITORY))
    lines = [
        "set -e",
        f"mkdir -p {root}{here} {root}{RESULTS}",
        f"mount -t proc proc {root}/proc",
        *(f"mount --rbind /{name} {root}/{name}" for name in ("dev", "sys")),
        f"mount --rbind {here} {root}{here}",
        f"mount -o remount,bind,ro {root}{here}",
        f"mount -t tmpfs tmpfs {root}/run",
        *([f"mount --bind {shlex.quote(str(results))} {root}{RESULTS}"] if results else []),
        f'exec chroot {root} "$@"',
    ]
    spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    return [*spaces, "bash", "-c", "\n".join(lines), "inside", *argv]
