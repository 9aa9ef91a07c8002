"""Scrolls a long page in Firefox, in bursts and with pauses to read, while a quiet voice plays.

Usage: python -m benchmarks.stimulus.browser [--seconds S] [--fps 30]

The page has headings, columns of text, coloured boxes and gradients; the browser scrolls it smoothly at its own rate,
whatever `--fps` says. Firefox gets a profile of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from Xlib.display import Display

from benchmarks.stimulus import rate_parser
from benchmarks.stimulus.page import words
from benchmarks.stimulus.voice import show_with_voice

_SECTIONS: Final = 60
_WORDS_A_SECTION: Final = 220

#: How long Firefox may take to show the page.
_SHOWN_S: Final = 8.0

_PAGE: Final = """<!doctype html><meta charset="utf-8"><title>A long page</title><style>
body { font: 16px sans-serif; margin: 0 12%%; background: #fff; color: #222; }
section { columns: 2; column-gap: 40px; padding: 30px 0; border-bottom: 1px solid #ccc; }
h2 { column-span: all; color: #234; }
i { display: block; height: 120px; border-radius: 12px; break-inside: avoid; margin: 10px 0; }
</style>%s<script>
let read_until = 0, down = true;
function step(now) {
  if (now > read_until) {
    const at_end = scrollY + innerHeight >= document.body.scrollHeight - 2;
    if (at_end) down = false;
    if (scrollY < 2) down = true;
    scrollBy({top: (down ? 1 : -1) * innerHeight * 0.8, behavior: 'smooth'});
    read_until = now + 1500;
  }
  requestAnimationFrame(step);
}
requestAnimationFrame(step);
</script>"""

#: No start page, no questions, no network.
_PREFERENCES: Final = """user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.reportingpolicy.firstRun", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("app.update.enabled", false);
"""


def _page() -> str:
    text = words(5, _SECTIONS * _WORDS_A_SECTION).split()
    sections = []
    for number in range(_SECTIONS):
        hue = number * 47 % 360
        body = " ".join(text[number * _WORDS_A_SECTION : (number + 1) * _WORDS_A_SECTION])
        box = f'<i style="background: linear-gradient(hsl({hue} 60% 60%), hsl({hue + 60} 60% 80%))"></i>'
        sections.append(f"<section><h2>{number + 1}. {text[number]}</h2>{box}<p>{body}</p></section>")
    return _PAGE % "".join(sections)


def main() -> None:
    options = rate_parser(__doc__).parse_args()
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        raise FileNotFoundError("firefox-esr is not installed")
    display = Display()
    screen = display.screen()
    size = ["--width", str(screen.width_in_pixels), "--height", str(screen.height_in_pixels)]
    display.close()
    # Otherwise the other program would be left.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page, profile = Path(folder, "page.html"), Path(folder, "profile")
        page.write_text(_page(), "utf-8")
        profile.mkdir()
        Path(profile, "user.js").write_text(_PREFERENCES, "utf-8")
        browser = subprocess.Popen(
            [program, "--no-remote", "--profile", str(profile), "--kiosk", *size, page.as_uri()],
            env={**os.environ, "HOME": folder, "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(_SHOWN_S)
            show_with_voice(lambda elapsed_s: None, options.fps, options.seconds)
        finally:
            browser.terminate()
            browser.wait()


if __name__ == "__main__":
    main()
