"""A device that behaves as the one on the protocol's page does, quirks included.

Its `DeviceType;` reply has model, address and firmware in that order and no semicolon at the end, and it pings
every half second. The tests give it the gateway's address: docs_device.py URL [IDENTIFIER].
"""

import asyncio
import json
import sys

import websockets

ADDRESS = "8A3D9FAC2A45"


async def main(url, identifier="LVSDevice"):
    async with websockets.connect(uri=url, ping_interval=0.5) as ws:
        await ws.send(json.dumps({"identifier": identifier, "address": ADDRESS, "version": 0}))
        print("handshake sent", flush=True)
        try:
            while True:
                # A text frame would have no decode(): this device takes binary frames only.
                packet = (await ws.recv()).decode("utf-8")
                print(f"packet {packet}", flush=True)
                if packet.startswith("DeviceType;"):
                    await ws.send(f"Z:{ADDRESS}:10".encode())
                elif packet.startswith("Battery"):
                    await ws.send(b"90;")
        except websockets.ConnectionClosed as closed:
            close = closed.rcvd
            print(f"closed {close.code} {close.reason}" if close else "broken off", flush=True)


asyncio.run(main(*sys.argv[1:]))
