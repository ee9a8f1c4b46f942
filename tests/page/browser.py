# SPDX-License-Identifier: Apache-2.0
"""A real Chromium without a screen, driven through its debugging pipe (DevTools protocol): no port, no other package.

Everything it says that should not be said is kept in `complaints`: exceptions, console errors and warnings, refusals of
the content security policy, failed requests, dialogs.
"""
import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

PROGRAMS = ["/usr/lib/chromium/chromium", "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
DEADLINE = 60.0  # seconds that anything may take, on a busy machine


def find():
    """The browser's program, or None."""
    return next((p for p in PROGRAMS if os.access(p, os.X_OK)), None)


class Browser:
    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix="tb-page-")
        commands, to_write = os.pipe()
        to_read, answers = os.pipe()
        # out of the way of 3 and 4, which the browser uses
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (commands, answers)]

        def arrange():
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--hide-scrollbars",
                 "--disable-dev-shm-usage", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
                 f"--user-data-dir={self.profile}", "about:blank"]
        env = {**{k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}, "HOME": self.profile}
        self.child = subprocess.Popen([program, *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      env=env, close_fds=False, preexec_fn=arrange, start_new_session=True)
        for fd in (commands, answers, *high):
            os.close(fd)
        self.to_browser, self.from_browser = to_write, to_read
        self.buffer, self.number, self.session, self.answers, self.complaints = b"", 0, None, {}, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(domain + ".enable")

    def close(self):
        os.close(self.to_browser)
        os.close(self.from_browser)
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except OSError:
            pass
        self.child.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    # -- the protocol: JSON texts that end with a NUL

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to_browser, data):]
        deadline = time.monotonic() + DEADLINE
        while self.number not in self.answers:
            self.listen(deadline, method)
        answer = self.answers.pop(self.number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def listen(self, deadline, what):
        """Takes in what the browser says next."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.from_browser], [], [], left)[0]:
            raise AssertionError(f"{what}: the browser says nothing for {DEADLINE:.0f} s")
        data = os.read(self.from_browser, 1 << 20)
        if not data:
            raise AssertionError(f"{what}: the browser ended")
        self.buffer += data
        *texts, self.buffer = self.buffer.split(b"\0")
        for text in texts:
            message = json.loads(text)
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                self.take(message["method"], message["params"])

    def take(self, event, p):
        if event == "Runtime.exceptionThrown":
            self.complaints.append("exception: " + json.dumps(p["exceptionDetails"])[:300])
        elif event == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            self.complaints.append("console: " + json.dumps(p["args"])[:300])
        elif event == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"log: {p['entry']['source']}: {p['entry']['text']}"[:300])
        elif event == "Network.loadingFailed" and not p.get("canceled"):
            self.complaints.append("request failed: " + p["errorText"])
        elif event == "Page.javascriptDialogOpening":
            self.complaints.append("dialog: " + p["message"])
            raise AssertionError("a name was executed: " + p["message"])

    # -- a page

    def open(self, url, scripts=True, dark=False, width=1400, height=1000):
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && location.href === {json.dumps(url)}", url)

    def value(self, expression):
        """What an expression of the page's own world is, as Python has it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, expression, what):
        deadline = time.monotonic() + DEADLINE
        while True:
            value = self.value(expression)
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {DEADLINE:.0f} s")
            time.sleep(0.05)

    def press(self, key, code=0, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text if kind == "keyDown" else "")

    def type(self, text):
        self.call("Input.insertText", text=text)

    def picture(self, path, whole=True):
        """Writes a PNG of the page."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
