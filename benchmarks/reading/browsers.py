"""Asks a browser for the pictures of a video: it seeks, draws what it shows, and sends that back."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.reading.pictures import HEIGHT, WIDTH, number_in, worst_level

__all__ = ["browser_frames"]

_TIMEOUT_S: Final = 60.0

#: A smaller picture is enough, and quick to send.
_SCALE: Final = 4

_PAGE: Final = """<!doctype html><video id=v muted></video><script>
const moments = MOMENTS, shown = [], v = document.getElementById('v');
const c = document.createElement('canvas'); c.width = WIDE; c.height = HIGH;
const send = (text) => fetch('/', {method: 'POST', body: text});
v.onerror = () => send('error');
v.onloadeddata = async () => {
  const pen = c.getContext('2d', {willReadFrequently: true, colorSpace: 'srgb'});
  for (const at of moments) {
    await new Promise((done) => { v.onseeked = done; v.currentTime = at; });
    await new Promise((done) => setTimeout(done, 100));
    pen.drawImage(v, 0, 0, c.width, c.height);
    const bytes = pen.getImageData(0, 0, c.width, c.height).data;
    let text = '';
    for (let i = 0; i < bytes.length; i += 4) text += String.fromCharCode(bytes[i], bytes[i + 1], bytes[i + 2]);
    shown.push(btoa(text));
  }
  send(JSON.stringify(shown));
};
v.src = '/video';
</script>"""


def browser_frames(program: str, path: Path, moments_s: Sequence[float], python: str) -> list[tuple[int, int]]:
    """Return the number and the worst colour that the browser shows at each moment. Raises `RuntimeError`."""
    page = _PAGE.replace("MOMENTS", json.dumps([round(at_s, 4) for at_s in moments_s]))
    page = page.replace("WIDE", str(WIDTH // _SCALE)).replace("HIGH", str(HEIGHT // _SCALE))
    answer: list[str] = []
    answered = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._send(200, "text/html", page.encode())
            elif self.path == "/video":
                self._send_video()
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            answer.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._send(200, "text/plain", b"ok")
            answered.set()

        def _send_video(self) -> None:
            # Browsers seek only where a server knows ranges.
            data, kind = path.read_bytes(), {"mkv": "video/x-matroska"}.get(path.suffix[1:], f"video/{path.suffix[1:]}")
            first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            begin, end = int(first or 0), min(int(last or len(data) - 1), len(data) - 1)
            self._send(206, kind, data[begin : end + 1], f"bytes {begin}-{end}/{len(data)}")

        def _send(self, code: int, kind: str, body: bytes, content_range: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Accept-Ranges", "bytes")
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--no-remote", "--profile", profile]
        if program == "chromium":
            options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [shutil.which(program) or program, *options, f"http://127.0.0.1:{server.server_port}/"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
            start_new_session=True,
        )
        try:
            answered.wait(_TIMEOUT_S)
        finally:
            if sys.platform == "win32":
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            server.shutdown()
            server.server_close()
    if not answer or answer[0] == "error":
        raise RuntimeError("does not play")
    found = []
    for text in json.loads(answer[0]):
        image = np.frombuffer(base64.b64decode(text), np.uint8).reshape(HEIGHT // _SCALE, WIDTH // _SCALE, 3)
        found.append((number_in(image), worst_level(image)))
    return found
