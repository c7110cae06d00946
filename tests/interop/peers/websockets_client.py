import asyncio

from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from common import AS_TOLD, DONE, as_set, batches, check, fragments, parameters, run_client, shares


async def converse(url, asker, set_):
    asked = parameters(set_)
    extensions = []
    if asked is not None:
        # The server may choose the client's window, as ws and aiohttp also offer by default.
        asked.setdefault("client_max_window_bits", True)
        extensions = [ClientPerMessageDeflateFactory(**asked)]
    ws = await connect(url, compression=None, extensions=extensions, proxy=None)
    here = as_set(ws.response.headers.get("Sec-WebSocket-Extensions"))
    await ws.send("?agreed")
    there = await ws.recv()
    check(here == there, f"the client agreed on {here}, the server on {there}")

    sent = batches()
    for number, batch in enumerate(sent):
        for place, message in enumerate(batch):
            await ws.send(fragments(message) if place % 3 == 0 else message)
        pong = await ws.ping(f"{number}")
        for place, message in enumerate(batch):
            check(await ws.recv() == message, f"message {place} of batch {number} comes back changed")
        await pong
        await ws.send("?ping")
        check(await ws.recv() == "pong", "an answer other than pong")
    result = f"{here} {shares(ws.transport, sent)}"

    if asker == "client":
        await ws.close(*DONE)
    else:
        await ws.send("?close")
        await ws.wait_closed()
        received = (ws.close_code, ws.close_reason)
        check(received == AS_TOLD, f"closed by {received}")
    protocol = ws.protocol
    check(protocol.close_rcvd and protocol.close_sent, "not closed cleanly")
    check(protocol.close_rcvd_then_sent == (asker == "server"), "closed by the other side")
    return result


asyncio.run(run_client(converse))
