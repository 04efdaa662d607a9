"""A device whose websocket offers two subprotocols, as some Arduino libraries do, and gives up if it gets none back.

The tests give it a URL: subprotocol_device.py URL. It prints the one that was taken, and the first packet.
"""

import asyncio
import json
import sys

import websockets


async def main(url):
    async with websockets.connect(uri=url, subprotocols=["arduino", "other"]) as ws:
        print(f"subprotocol {ws.subprotocol}", flush=True)
        await ws.send(json.dumps({"identifier": "LVSDevice", "address": "8A3D9FAC2A45", "version": 0}))
        print(f"packet {(await ws.recv()).decode()}", flush=True)


asyncio.run(main(*sys.argv[1:]))
