import asyncio

from aiohttp import ClientSession, ClientTimeout, WSMsgType

from common import AS_TOLD, DONE, as_set, batches, check, parameters, run_client, shares


async def send(ws, message):
    if isinstance(message, str):
        await ws.send_str(message)
    else:
        await ws.send_bytes(message)


async def receive(ws, pongs):
    """The next message. Pings before it are answered, pongs kept."""
    while True:
        message = await ws.receive()
        if message.type == WSMsgType.PING:
            await ws.pong(message.data)
        elif message.type == WSMsgType.PONG:
            pongs.append(message.data)
        else:
            return message


async def converse(url, asker, set_):
    asked = parameters(set_)
    # The only parameter there is to set: the most bits of the server's window.
    bits = 0 if asked is None else asked.get("server_max_window_bits", 15)
    async with ClientSession(timeout=ClientTimeout(total=20)) as session:
        async with session.ws_connect(url, compress=bits, autoping=False) as ws:
            return await talk(ws, asker)


async def talk(ws, asker):
    # Its API doesn't show the response's headers.
    here = as_set(ws._response.headers.get("Sec-WebSocket-Extensions"))
    await ws.send_str("?agreed")
    there = await ws.receive_str()
    check(here == there, f"the client agreed on {here}, the server on {there}")

    sent = batches()
    pongs = []
    for number, batch in enumerate(sent):
        for message in batch:
            await send(ws, message)
        await ws.ping(b"from the client")
        for place, message in enumerate(batch):
            echo = await receive(ws, pongs)
            check(echo.data == message, f"message {place} of batch {number} comes back changed")
        await ws.send_str("?ping")
        answer = await receive(ws, pongs)
        check(answer.data == "pong", "an answer other than pong")
    check(pongs == [b"from the client"] * len(sent), f"pongs: {pongs}")

    result = f"{here} {shares(ws._response.connection.transport, sent)}"
    if asker == "client":
        code, reason = DONE
        await ws.close(code=code, message=reason.encode())
        check(ws.close_code == code, f"closed by {ws.close_code}")
    else:
        await ws.send_str("?close")
        close = await ws.receive()
        check(close.type == WSMsgType.CLOSE, f"{close} in place of the Close")
        check((close.data, close.extra) == AS_TOLD, f"closed by {close}")
    check(ws.exception() is None, repr(ws.exception()))
    return result


asyncio.run(run_client(converse))
