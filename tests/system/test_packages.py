"""Remedies name the packages of the distribution at hand."""

from __future__ import annotations

import platform

import pytest

from capture.system.packages import how_to_install


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ({"ID": "debian"}, "apt-get install xvfb libpulse0"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, "apt-get install xvfb libpulse0"),
        ({"ID": "fedora"}, "dnf install xorg-x11-server-Xvfb pulseaudio-libs"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install xorg-x11-server-Xvfb pulseaudio-libs"),
        ({"ID": "endeavouros", "ID_LIKE": "arch"}, "pacman -S xorg-server-xvfb libpulse"),
        ({"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"}, "zypper install xorg-x11-server-Xvfb libpulse0"),
        ({"ID": "opensuse-slowroll"}, "zypper install xorg-x11-server-Xvfb libpulse0"),
        ({"ID": "nixos"}, "install Xvfb and libpulse"),
        ({}, "install Xvfb and libpulse"),
    ],
)
def test_each_distribution_has_its_own_words(
    release: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    assert how_to_install("Xvfb", "libpulse") == said


def test_a_package_that_contains_several_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "arch"})
    assert how_to_install("libpulse", "paplay") == "pacman -S libpulse"


def test_without_os_release_the_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> dict[str, str]:
        raise OSError("no such file")

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    assert how_to_install("Xvfb") == "install Xvfb"
