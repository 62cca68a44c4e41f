"""Chromium without a window, told what to do over its DevTools protocol."""

import asyncio
import base64
import json
import subprocess
import time

from gateway import Lines
from servers import tool
from websockets.client import connect

TIMEOUT = 60


class Browser:
    def __init__(self, directory):
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", f"--user-data-dir={directory}/chromium", "--remote-debugging-port=0", "about:blank"]
        self.process = subprocess.Popen([tool("chromium"), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env={"HOME": str(directory), "PATH": "/usr/bin:/bin", "TZ": "UTC"})
        self.told = Lines(self.process.stderr)
        listening = self.told.wait_for(lambda lines: [line for line in lines if "DevTools listening on " in line], TIMEOUT)
        assert listening, self.told.text()
        self.pages = []
        self.url = listening[0].partition("DevTools listening on ")[2].strip()

    def page(self, **options):
        self.pages.append(Page(self.url, **options))
        return self.pages[-1]

    def stop(self):
        for page in self.pages:
            page.close()
        self.process.terminate()
        self.process.wait(TIMEOUT)


class Page:
    """A tab, in a profile of its own."""

    def __init__(self, url, width=1280, height=900, dark=False):
        self.loop = asyncio.new_event_loop()
        self.wire = self._until(self._connect(url))
        self.count, self.session = 0, None
        self.said, self.requested = [], []
        context = self("Target.createBrowserContext")["browserContextId"]
        target = self("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")
        self.size(width, height)
        self.prefer(dark)

    def __call__(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self._until(self.wire.send(json.dumps(message)))
        while True:
            answer = json.loads(self._until(self.wire.recv()))
            if answer.get("id") == self.count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._heard(answer)

    async def _connect(self, url):
        return await connect(url, max_size=None, ping_interval=None)

    def _until(self, awaited):
        async def within():
            return await asyncio.wait_for(awaited, TIMEOUT)
        return self.loop.run_until_complete(within())

    def _heard(self, event):
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.said.append(parameters["exceptionDetails"]["exception"].get("description", ""))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.said.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requested.append(parameters["request"]["url"])

    def close(self):
        if not self.loop.is_closed():
            self("Page.close")
            self._until(self.wire.close())
            self.loop.close()

    def size(self, width, height):
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def prefer(self, dark):
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, url):
        self("Page.navigate", url=url)
        return self

    def run(self, expression):
        """The value of an expression of JavaScript; of a promise, what comes of it."""
        result = self("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait(self, expression):
        """Until it is true."""
        end = time.monotonic() + TIMEOUT
        while not (value := self.run(expression)):
            assert time.monotonic() < end, f"never true: {expression}\n{self.text()}\n{self.said}"
            time.sleep(0.05)
        return value

    def text(self):
        return self.run("document.body.innerText")

    def key(self, key, code=None):
        for kind in ("rawKeyDown", "char", "keyUp") if key == " " or key == "Enter" else ("rawKeyDown", "keyUp"):
            text = {"Enter": "\r", " ": " "}.get(key, "") if kind == "char" else ""
            self("Input.dispatchKeyEvent", type=kind, key=key, code=code or key, text=text,
                windowsVirtualKeyCode={"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39}[key])

    def shoot(self, path, whole=True):
        """A picture; of all there is, however long."""
        clip = {}
        if whole:
            content = self("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {"x": 0, "y": 0, "width": content["width"], "height": content["height"], "scale": 1}}
        data = self("Page.captureScreenshot", format="png", captureBeyondViewport=True, **clip)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))
