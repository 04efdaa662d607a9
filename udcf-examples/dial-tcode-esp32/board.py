#!/usr/bin/env python3
"""A board that listens, in software: a websocket or a UDP port that takes TCode or the commands of an OSSM.

Needs Python 3.9, and for a websocket the package `websockets`. It answers what the firmware answers: over UDP the
version of its TCode to `D1`; over the websocket the same wrapped in JSON.
"""

import argparse
import asyncio
import json
import sys


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transport", choices=["ws", "udp"], default="ws")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on (%(default)s)")
    parser.add_argument("--path", default="/ws", help="the path of the websocket (%(default)s)")
    parser.add_argument("--protocol", choices=["tcode", "ossm"], default="tcode")
    return parser.parse_args()


def obey(message):
    """Prints each command, and returns the answer to a question; None to everything else."""
    answer = None
    for command in message.split():
        if command == "D1":
            answer = "TCode v0.3\r\n"
        else:
            print(f"received {command}", flush=True)
    return answer


class Udp(asyncio.DatagramProtocol):
    """One datagram is one line or several, and the answer goes back to its sender."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        answer = obey(data.decode(errors="replace"))
        if answer:
            self.transport.sendto(answer.encode(), addr)


async def serve_udp(args):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Udp, local_addr=(args.host, args.port))
    host, port = transport.get_extra_info("sockname")[:2]
    print(f"listening on udp://{host}:{port}", flush=True)
    await asyncio.Event().wait()


async def serve_websocket(args):
    import websockets

    async def client(socket):
        request = getattr(socket, "request", None)
        path = request.path if request else socket.path
        if path.split("?")[0] != args.path:
            await socket.close(1008, "not the websocket's path")
            return
        print("a client is connected", flush=True)
        try:
            async for message in socket:
                # This firmware accepts only text.
                if not isinstance(message, str):
                    await socket.send(b"this board takes text messages")
                    continue
                answer = obey(message)
                if answer:
                    await socket.send(json.dumps({"command": args.protocol, "message": answer}))
        except websockets.ConnectionClosed:
            pass
        print("the client is gone", flush=True)

    async with websockets.serve(client, args.host, args.port) as server:
        host, port = next(iter(server.sockets)).getsockname()[:2]
        print(f"listening on ws://{host}:{port}{args.path}", flush=True)
        await asyncio.Event().wait()


def main():
    args = arguments()
    try:
        asyncio.run(serve_udp(args) if args.transport == "udp" else serve_websocket(args))
    except OSError as error:
        sys.exit(f"cannot listen: {error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
