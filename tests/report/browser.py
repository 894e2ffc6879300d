"""A headless Chromium driven through its debugging pipe: real mouse and key events, downloads; no library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_SECONDS = 60.0
KEY_CODES = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
SHIFT = 8


class Page:
    """One open page."""

    def __init__(self, send: int, receive: int) -> None:
        self._send = send
        self._receive = os.fdopen(receive, "rb", buffering=0)
        self._pending = b""
        self._number = 0
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._next())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _next(self) -> bytes:
        while b"\0" not in self._pending:
            part = self._receive.read(1 << 16)
            assert part, "the browser is gone"
            self._pending += part
        message, self._pending = self._pending.split(b"\0", 1)
        return message

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded."""
        self.call("Page.navigate", url=path.as_uri())
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def run(self, expression: str) -> Any:
        """Return what an expression gives."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.run(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def centre(self, selector: str) -> tuple[float, float]:
        """Return the middle of an element, which is brought into view."""
        left, top, width, height = self.frame(selector)
        return left + width / 2, top + height / 2

    def frame(self, selector: str) -> list[float]:
        """Return left, top, width and height of an element, which is brought into view."""
        return self.run(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            " return [r.left, r.top, r.width, r.height]; })()"
        )

    def mouse(self, kind: str, x: float, y: float, *, held: int = 0) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=held, clickCount=1)

    def click(self, selector: str) -> None:
        x, y = self.centre(selector)
        self.mouse("mousePressed", x, y, held=1)
        self.mouse("mouseReleased", x, y)

    def drag(self, selector: str, box: tuple[float, float, float, float]) -> None:
        """Drag over an element from one corner of a box to the other, both in shares of its size."""
        left, top, width, height = self.frame(selector)
        x0, y0, x1, y1 = (left + box[0] * width, top + box[1] * height, left + box[2] * width, top + box[3] * height)
        self.mouse("mousePressed", x0, y0, held=1)
        self.mouse("mouseMoved", (x0 + x1) / 2, (y0 + y1) / 2, held=1)
        self.mouse("mouseMoved", x1, y1, held=1)
        self.mouse("mouseReleased", x1, y1)

    def press(self, *keys: str, shift: bool = False) -> None:
        for key in keys:
            code = KEY_CODES.get(key, ord(key.upper()[0]))
            how: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code, "modifiers": SHIFT * shift}
            self.call("Input.dispatchKeyEvent", type="keyDown", **how, **({"text": key} if len(key) == 1 else {}))
            self.call("Input.dispatchKeyEvent", type="keyUp", **how)


@contextmanager
def opened(profile: Path, downloads: Path) -> Iterator[Page]:
    """Yield a page of a fresh browser that saves what is downloaded into a folder."""
    assert CHROMIUM is not None
    downloads.mkdir(parents=True, exist_ok=True)
    (their_in, send), (receive, their_out) = os.pipe(), os.pipe()
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
        *("--window-size=1400,1000", f"--user-data-dir={profile}"),
    ]
    # The browser reads commands from its file 3 and answers in its file 4.
    script = f'exec "$@" 3<&{their_in} 4>&{their_out}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *command], pass_fds=(their_in, their_out), stderr=subprocess.DEVNULL
    )
    os.close(their_in)
    os.close(their_out)
    try:
        page = Page(send, receive)
        page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        yield page
        page.call("Browser.close")
    finally:
        os.close(send)
        process.kill()
        process.wait()
