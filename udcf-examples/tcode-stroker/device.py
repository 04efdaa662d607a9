#!/usr/bin/env python3
"""A TCode device in software: it says where each axis goes, and how fast each vibrator runs.

Needs Python 3.9 and the package `websockets`.
"""

import argparse
import asyncio
import json
import re
import sys

import websockets

# Axis letter, channel, a decimal fraction without its point, and the time to get there in milliseconds.
COMMAND = re.compile(r"([LRVA])(\d)(\d+)(?:I(\d+))?$")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:54817", help="the gateway's device port (%(default)s)")
    parser.add_argument("--identifier", default="TCodeDevice", help="a websocket name of the UDCF (%(default)s)")
    parser.add_argument("--address", default="tcode-1", help="which device this is (%(default)s)")
    return parser.parse_args()


def meaning(command):
    """One command in words: `L0500I1000` is axis L0 to 50.0 % within a second."""
    if command == "DSTOP":
        return "all axes stop"
    match = COMMAND.match(command)
    if match is None:
        return "not known to this device"
    axis, channel, digits, duration = match.groups()
    percent = 100 * int(digits) / 10 ** len(digits)
    if axis in "LR":
        within = f" within {duration} ms" if duration else ""
        return f"axis {axis}{channel} to {percent:.1f} %{within}"
    return f"output {axis}{channel} at {percent:.1f} %"


async def run(args):
    async with websockets.connect(args.url, ping_interval=5) as socket:
        hello = {"identifier": args.identifier, "address": args.address, "version": 0}
        await socket.send(json.dumps(hello))  # text; every later message is binary
        print(f"connected to {args.url} as {args.identifier}, address {args.address}", flush=True)
        while True:
            message = await socket.recv()
            text = message.decode() if isinstance(message, bytes) else message
            for command in text.split():
                print(f"received {command}: {meaning(command)}", flush=True)


def main():
    args = arguments()
    try:
        asyncio.run(run(args))
    except websockets.ConnectionClosed as closed:
        close = closed.rcvd
        sys.exit(f"closed by the gateway: {close.code} {close.reason}" if close else "the connection broke off")
    except OSError as error:
        sys.exit(f"cannot reach {args.url}: {error}\nIs the gateway running?")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
