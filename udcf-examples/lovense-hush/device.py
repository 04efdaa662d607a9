#!/usr/bin/env python3
"""A Lovense device in software: one vibrator, a battery, and a line for each command that arrives.

Needs Python 3.9 and the package `websockets`.
"""

import argparse
import asyncio
import json
import sys

import websockets


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:54817", help="the gateway's device port (%(default)s)")
    parser.add_argument("--identifier", default="LVSDevice", help="a websocket name of the UDCF (%(default)s)")
    parser.add_argument("--address", default="8A3D9FAC2A45", help="which device this is (%(default)s)")
    parser.add_argument("--model", default="Z", help="the model letters, Z for a Hush (%(default)s)")
    parser.add_argument("--battery", type=int, default=90, help="the charge that it reports (%(default)s)")
    return parser.parse_args()


def reply(command, args):
    """What the device answers to one command; None where it says nothing."""
    if command == "DeviceType":
        return f"{args.model}:11:{args.address};"
    if command == "Battery":
        return f"{args.battery};"
    return None


async def run(args):
    async with websockets.connect(args.url, ping_interval=5) as socket:
        hello = {"identifier": args.identifier, "address": args.address, "version": 0}
        await socket.send(json.dumps(hello))  # text; every later message is binary
        print(f"connected to {args.url} as {args.identifier}, address {args.address}", flush=True)
        while True:
            message = await socket.recv()
            text = message.decode() if isinstance(message, bytes) else message
            for command in filter(None, text.split(";")):
                print(f"received {command};", flush=True)
                answer = reply(command, args)
                if answer is not None:
                    await socket.send(answer.encode())


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
