"""A page in headless Chromium, used as a person does: keys, the pointer, the size of the window. It takes no package.

Source: "Chrome DevTools Protocol" (--remote-debugging-pipe: JSON messages, a zero byte behind each, on descriptors 3 and 4).
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Enter": 13, "Escape": 27}


class Browser:
    """One page in a browser of its own, without a network and without a profile."""

    def __init__(self, page: Path, width: int = 1200, height: int = 900, dark: bool = False, script: bool = True) -> None:
        assert CHROMIUM is not None, "see CHROMIUM"
        self._profile = tempfile.mkdtemp(prefix="rally-browser-")
        hears, self._write = os.pipe()
        self._read, says = os.pipe()
        flags = ["--headless", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={self._profile}", "--disable-gpu"]
        quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        # The shell puts the pipes where Chromium looks for them.
        shell = ["bash", "-c", f'exec "$@" 3<&{hears} 4>&{says}', "bash", CHROMIUM, *flags, *quiet, "about:blank"]
        self._process = subprocess.Popen(
            shell, pass_fds=(hears, says), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(hears)
        os.close(says)
        self._unread, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        likes = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce",
        }  # what moves is never there yet
        self.call("Emulation.setEmulatedMedia", features=[{"name": name, "value": value} for name, value in likes.items()])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.open(page)

    def open(self, page: Path) -> None:
        """Open a page anew."""
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait_for("Page.loadEventFired")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._session = ""
            self.call("Browser.close")
            self._process.wait(timeout=20)
        except (OSError, AssertionError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
        shutil.rmtree(self._profile, ignore_errors=True)

    # -------------------------------------------------------------------------------------------------------- protocol

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the browser for something; what it answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method: str) -> None:
        """Wait until it tells of something."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._message())

    def _message(self, seconds: float = 60) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            more = os.read(self._read, 1 << 16)
            assert more, "the browser is gone"
            self._unread += more
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)

    # ------------------------------------------------------------------------------------------------- what a person does

    def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], **({"text": "\r"} if key == "Enter" else {})}
            self.call("Input.dispatchKeyEvent", type="keyDown", **code)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def point(self, x: float, y: float, click: bool = False) -> None:
        """Move the pointer, and perhaps click."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def resize(self, width: int, height: int) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    # ------------------------------------------------------------------------------------------------------ what one sees

    def see(self, expression: str) -> Any:
        """The value of an expression of JavaScript, as the page stands."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def screenshot(self, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])

    def asked_for(self) -> list[str]:
        """The addresses that the page asked anybody for, itself apart."""
        requests = [
            event["params"]["request"]["url"] for event in self.events if event.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in requests if not url.startswith(("file:", "data:"))]

    def complaints(self) -> list[str]:
        """What went wrong in its scripts, or was refused by its policy."""
        thrown = [event["params"] for event in self.events if event.get("method") == "Runtime.exceptionThrown"]
        logged = [event["params"]["entry"]["text"] for event in self.events if event.get("method") == "Log.entryAdded"]
        return [json.dumps(one) for one in thrown] + logged
