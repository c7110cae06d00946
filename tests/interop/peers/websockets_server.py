import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from common import AS_TOLD, as_set, fragments, parameters, traffic, until_told


def choose(ws, request):
    """The extension by the path, before the handshake is answered."""
    asked = parameters(request.path[1:])
    ws.protocol.available_extensions = (
        [] if asked is None else [ServerPerMessageDeflateFactory(**asked)]
    )


async def talk(ws):
    echoes = 0
    async for message in ws:
        if message == "?agreed":
            await ws.send(as_set(ws.response.headers.get("Sec-WebSocket-Extensions")))
        elif message == "?traffic":
            await ws.send("{} {}".format(*traffic(ws.transport)))
        elif message == "?ping":
            # The pong is read while this waits, so no message is.
            await (await ws.ping("interop"))
            await ws.send("pong")
        elif message == "?close":
            await ws.close(*AS_TOLD)
        else:
            echoes += 1
            await ws.send(fragments(message) if echoes % 3 == 0 else message)


async def handle(ws):
    try:
        await talk(ws)
    except ConnectionClosed:
        pass  # the protocol tells more
    set_ = ws.request.path[1:]
    protocol = ws.protocol
    if not (protocol.close_rcvd and protocol.close_sent):
        print(set_, "not clean", flush=True)
    elif protocol.close_rcvd_then_sent:
        print(set_, "client", ws.close_code, ws.close_reason, flush=True)
    else:
        print(set_, "server clean", flush=True)


async def main():
    async with serve(
        handle, "127.0.0.1", 0, compression=None, process_request=choose
    ) as server:
        await until_told(server.sockets[0].getsockname()[1])


asyncio.run(main())
