"""Pages as they are read: their elements and words, and what a browser makes of them."""

from __future__ import annotations

import base64
import html
import json
import re
import shutil
import subprocess
import zlib
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from reports.html import render

CHROMIUM = shutil.which("chromium")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


class Page(HTMLParser):
    """The elements of a page, and the text outside of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.data, self._inside = [], [], {}, ""
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = dict(attrs).get("id") or tag
            self.data[self._inside] = ""

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data):
        if self._inside:
            self.data[self._inside] += data
        else:
            self.words.append(data)

    def run(self, case, place=0):
        return json.loads(zlib.decompress(base64.b64decode(self.data[f"packed-{case}"])))[place]


def read(directory):
    return Page(render(directory).read_text(encoding="utf-8"))


def browse(file, tmp_path, state=(), size="1400,1000", extra=()):
    """Return the page as Chromium has it after the scripts ran, and what they complained of."""
    url = f"{file.as_uri()}#{urlencode(state)}" if state else file.as_uri()
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=5000", f"--window-size={size}", *extra, "--dump-dom", url,
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def play(file, tmp_path, script):
    """Return what `note(name, value)` noted while a script played the reader of a page.

    The page's policy runs no script that is not its own: a copy without it is read.
    """
    frame = """
    const pause = () => new Promise((done) => setTimeout(done, 300));
    const log = [];
    const note = (name, value) => log.push([name, String(value)]);
    const key = (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    (async () => { %s; document.title = JSON.stringify(log); })();
    """
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", file.read_text(encoding="utf-8"))
    copy = file.with_name("played.html")
    copy.write_text(text.replace("</body>", f"<script>{frame % script}</script></body>"), encoding="utf-8")
    dom, complaints = browse(copy, tmp_path)
    assert complaints == []
    return dict(json.loads(html.unescape(re.search("<title>(.*?)</title>", dom, re.DOTALL)[1])))
