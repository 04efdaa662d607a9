#!/usr/bin/env python3
"""A board on a wire, in software: the far end of a pseudo-terminal, which looks like a serial port.

Needs Python 3.9 on Linux or macOS, and nothing else. `--protocol tcode` is a stroker that prints no hello line.
"""

import argparse
import json
import os
import re
import select
import sys
import time
import tty

KEEPALIVE_MS = 500
# The board stops by itself when it hears nothing for this long, which is several signs of life.
WATCHDOG_S = 4 * KEEPALIVE_MS / 1000


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", default="/tmp/wsdm-board", help="where the port appears (%(default)s)")
    parser.add_argument("--protocol", choices=["lovense", "tcode"], default="lovense")
    return parser.parse_args()


class Lovense:
    """Introduces itself, answers questions, and stops when nobody feeds its watchdog."""

    end = b";"

    def __init__(self):
        self.running = False

    def hello(self):
        line = {"identifier": "LVSDevice", "address": "8A3D9FAC2A45", "version": 0, "keepalive_ms": KEEPALIVE_MS}
        return json.dumps(line).encode() + b"\n"

    def answer(self, command):
        name, _, value = command.partition(":")
        if name == "DeviceType":
            return b"Z:11:8A3D9FAC2A45;"
        if name == "Battery":
            return b"90;"
        if name == "Vibrate":
            self.running = value != "0"
        return b"OK;"


class Tcode:
    """Knows two linear axes and a vibrator, and answers nothing."""

    end = b"\n"

    def __init__(self):
        self.running = False

    def hello(self):
        return b""

    def answer(self, command):
        for part in command.split():
            if re.match(r"V\d+$", part):
                self.running = part[2:].strip("0") != ""
        return b""


def main():
    options = arguments()
    board = Lovense() if options.protocol == "lovense" else Tcode()
    master, slave = os.openpty()
    tty.setraw(slave)
    if os.path.islink(options.port):
        os.unlink(options.port)
    os.symlink(os.ttyname(slave), options.port)
    print(f"port {options.port}", flush=True)
    os.write(master, b"board: starting\r\n" + board.hello())
    buffered = b""
    introduced = False
    heard = time.monotonic()
    try:
        while True:
            if select.select([master], [], [], 0.1)[0]:
                buffered += os.read(master, 4096)
                heard = time.monotonic()
            elif board.hello() and board.running and time.monotonic() - heard > WATCHDOG_S:
                board.running = False
                print("watchdog: stopped", flush=True)
                os.write(master, board.hello())
            while True:
                # A lone newline is a question before the first frame and a sign of life after it.
                if board.end != b"\n" and buffered.startswith(b"\n"):
                    buffered = buffered[1:]
                    if not introduced:
                        os.write(master, board.hello())
                    continue
                frame, end, rest = buffered.partition(board.end)
                if not end:
                    break
                buffered = rest
                introduced = True
                command = frame.decode(errors="replace").strip()
                if command:
                    print(f"received {command}{board.end.decode().strip()}", flush=True)
                    os.write(master, board.answer(command))
    finally:
        os.unlink(options.port)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(0)
