"""Looks at pages as a phone does: phone.py BROWSER PROFILE SITE FOLDER WIDTH THEME NAME=PATH...

If a NAME ends in `!`, the button of that page is pressed after its picture was taken.

A headless browser makes no window narrower than 500 px, so this program speaks the browser's own protocol over a pipe
(https://chromedevtools.github.io/devtools-protocol/). It fails if a page is wider than the screen, if a text is too small to read, or
if the browser reports anything. It saves a picture of each whole page as FOLDER/NAME-WIDTH-THEME.png.
"""

import base64
import json
import os
import subprocess
import sys



class Browser:
    def __init__(self, program, profile):
        (theirs_in, self.to), (self.come, theirs_out) = os.pipe(), os.pipe()

        def hand_over():  # the browser reads from descriptor 3 and writes to 4
            ends = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}",
             "--disable-background-networking", "--remote-debugging-pipe", "about:blank"],
            preexec_fn=hand_over, close_fds=False, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self.rest, self.number, self.events, self.session = b"", 0, [], None

    def read(self):
        while b"\0" not in self.rest:
            part = os.read(self.come, 1 << 20)
            if not part:
                sys.exit("the browser is gone")
            self.rest += part
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        call = {"id": self.number, "method": method, "params": params}
        if self.session:
            call["sessionId"] = self.session
        os.write(self.to, json.dumps(call).encode() + b"\0")
        while True:
            message = self.read()
            if message.get("id") == self.number:
                if "error" in message:
                    sys.exit(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def wait(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.read())

    def open(self, width, theme):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=2, mobile=True)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def measure(self, expression):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")


def look(browser, address, width, picture):
    browser.events.clear()
    browser.call("Page.navigate", url=address)
    browser.wait("Page.loadEventFired")
    # wide parts like a log or a matrix must scroll in a box of their own
    wide = browser.measure("document.documentElement.scrollWidth")
    if wide > width:
        sys.exit(f"{address} is {wide} px wide on a screen of {width}")
    small = browser.measure(
        "[...document.querySelectorAll('body *')].filter(e => e.firstChild?.nodeType == 3 && e.innerText?.trim())"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)).reduce((a, b) => Math.min(a, b), 99)")
    if small < 11:
        sys.exit(f"{address} has text of {small} px")
    told = [event for event in browser.events if event.get("method") in ("Log.entryAdded", "Runtime.consoleAPICalled")]
    # a missing page is reported as an error of the network, and is not counted
    told = [event for event in told if event["params"].get("entry", {}).get("source") != "network"]
    if told:
        sys.exit(f"{address}: the browser reports {told[0]['params']}")
    shot = browser.call("Page.captureScreenshot", captureBeyondViewport=True)
    with open(picture, "wb") as file:
        file.write(base64.b64decode(shot["data"]))


def main():
    program, profile, site, folder, width, theme, *pages = sys.argv[1:]
    browser = Browser(program, profile)
    try:
        browser.open(int(width), theme)
        for page in pages:
            name, path = page.split("=", 1)
            look(browser, site + path, int(width), f"{folder}/{name.rstrip('!')}-{width}-{theme}.png")
            if name.endswith("!"):
                browser.events.clear()
                browser.measure("document.querySelector('main button').click()")
                browser.wait("Page.loadEventFired")
    finally:
        browser.process.kill()
    print(len(pages))


main()
