"""Keys are written as each desktop reads them, and the line for its settings is the right one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.dom import minidom

import pytest
from wayland_desk import AS_USER, has_sway

from capture.triggers.bindings import MODIFIERS, NAMED_KEYS
from capture.triggers.desktop_keys import Desktop, as_gtk, as_xdg, desktop_here, settings_line, where_to_set


@pytest.mark.parametrize(
    ("key", "xdg", "gtk", "sway", "hyprland", "labwc"),
    [
        ("<ctrl>+<alt>+r", "CTRL+ALT+r", "<Control><Alt>r", "Ctrl+Alt+r", "CTRL ALT, r", "C-A-r"),
        ("<alt>+<ctrl>+R", "CTRL+ALT+r", "<Control><Alt>r", "Ctrl+Alt+r", "CTRL ALT, r", "C-A-r"),
        ("<f9>", "F9", "F9", "F9", ", F9", "F9"),
        (
            "<cmd>+<shift>+<page_up>",
            "SHIFT+LOGO+Page_Up",
            "<Shift><Super>Page_Up",
            "Shift+Mod4+Page_Up",
            "SHIFT SUPER, Page_Up",
            "S-W-Page_Up",
        ),
        ("<ctrl>++", "CTRL+plus", "<Control>plus", "Ctrl+plus", "CTRL, plus", "C-plus"),
        ("<ctrl>+<space>", "CTRL+space", "<Control>space", "Ctrl+space", "CTRL, space", "C-space"),
        ("<alt>+é", "ALT+U00E9", "<Alt>U00E9", "Alt+U00E9", "ALT, U00E9", "A-U00E9"),
        # The keysym of a, and one that nothing is known of.
        ("<97>", "a", "a", "a", ", a", "a"),
        ("<ctrl>+<268828536>", "", "", "", "", ""),
    ],
)
def test_keys_are_written_as_each_desktop_reads_them(
    key: str, xdg: str, gtk: str, sway: str, hyprland: str, labwc: str
) -> None:
    assert (as_xdg(key), as_gtk(key)) == (xdg, gtk)
    written = [settings_line(desktop, key, "capture toggle") for desktop in Desktop]
    assert written == [
        "",
        "",
        sway and f"bindsym {sway} exec capture toggle",
        hyprland and f"bind = {hyprland}, exec, capture toggle",
        labwc and f'<keybind key="{labwc}"><action name="Execute" command="capture toggle"/></keybind>',
        "",
    ]


def test_every_named_key_is_one_of_the_specification() -> None:
    for key in NAMED_KEYS:
        # "Identifiers only contain alphanumerical values and underscore".
        assert re.fullmatch(r"[A-Za-z0-9_]+", as_xdg(key)), key
    for modifier in MODIFIERS:
        assert as_xdg(f"<{modifier}>+a").endswith("+a")


def test_a_command_with_signs_stays_one_attribute() -> None:
    line = settings_line(Desktop.LABWC, "<ctrl>+<", """'/a "b" & <c>/capture' toggle""")
    document = minidom.parseString(line)  # noqa: S318 - it was made here
    (keys,), (action,) = (document.getElementsByTagName(name) for name in ("keybind", "action"))
    assert keys.getAttribute("key") == "C-less"
    assert action.getAttribute("command") == """'/a "b" & <c>/capture' toggle"""


@pytest.mark.parametrize(
    ("environment", "desktop", "words"),
    [
        ({"XDG_CURRENT_DESKTOP": "ubuntu:GNOME"}, Desktop.GNOME, "run capture config bind"),
        ({"XDG_CURRENT_DESKTOP": "KDE"}, Desktop.KDE, "bind Ctrl+Alt+R to capture toggle in System Settings > "),
        ({"SWAYSOCK": "/run/sway"}, Desktop.SWAY, "put bindsym Ctrl+Alt+r exec capture toggle into ~/.config/sway/con"),
        (
            {"XDG_CURRENT_DESKTOP": "Hyprland", "XDG_CONFIG_HOME": "/etc/mine"},
            Desktop.HYPRLAND,
            "put bind = CTRL ALT, r, exec, capture toggle into /etc/mine/hypr/hyprland.conf",
        ),
        (
            {"XDG_CURRENT_DESKTOP": "labwc:wlroots"},
            Desktop.LABWC,
            "/></keybind> into ~/.config/labwc/rc.xml, inside <k",
        ),
        ({"XDG_CURRENT_DESKTOP": "COSMIC"}, Desktop.OTHER, "bind Ctrl+Alt+R to capture toggle in the desktop's settin"),
    ],
)
def test_the_line_is_that_of_the_desktop(environment: dict[str, str], desktop: Desktop, words: str) -> None:
    environment = {"HOME": "/home/me", **environment}
    assert desktop_here(environment) is desktop
    assert words in where_to_set("<ctrl>+<alt>+r", environment)


@pytest.mark.skipif(not has_sway(), reason="needs sway")
def test_sway_reads_its_lines(tmp_path: Path) -> None:
    # Every named key, and every character of a US keyboard: xkbcommon knows their names.
    keys = [*sorted(NAMED_KEYS), *map(chr, range(0x21, 0x7F)), "é"]
    lines = {key: settings_line(Desktop.SWAY, f"<ctrl>+<alt>+{key}", "'/a b/capture' toggle") for key in keys}
    tmp_path.chmod(0o700)

    def validate(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "config").write_text(text)
        return subprocess.run(
            [*AS_USER, "sway", "--validate", "-c", str(tmp_path / "config")],
            env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "WLR_BACKENDS": "headless"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    assert validate("bindsym Ctrl+Alt+nothing exec true").returncode == 1
    done = validate("\n".join(dict.fromkeys(lines.values())))
    assert done.returncode == 0, done.stderr
