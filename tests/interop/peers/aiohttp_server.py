import asyncio

from aiohttp import WSMsgType, web

from common import AS_TOLD, as_set, parameters, traffic, until_told


async def handle(request):
    set_ = request.match_info["set"]
    # Compressed or not is all there is to set.
    ws = web.WebSocketResponse(compress=parameters(set_) is not None, autoping=False)
    await ws.prepare(request)
    while True:
        message = await ws.receive()
        if message.type == WSMsgType.PING:
            await ws.pong(message.data)
        elif message.type == WSMsgType.PONG:
            await ws.send_str("pong" if message.data == b"interop" else "another pong")
        elif message.type == WSMsgType.BINARY:
            await ws.send_bytes(message.data)
        elif message.type != WSMsgType.TEXT:
            end = f"client {message.data} {message.extra}"
            break
        elif message.data == "?agreed":
            await ws.send_str(as_set(ws.headers.get("Sec-WebSocket-Extensions")))
        elif message.data == "?traffic":
            await ws.send_str("{} {}".format(*traffic(request.transport)))
        elif message.data == "?ping":
            await ws.ping(b"interop")
        elif message.data == "?close":
            code, reason = AS_TOLD
            await ws.close(code=code, message=reason.encode())
            end = "server clean" if ws.close_code == code else f"answered by {ws.close_code}"
            break
        else:
            await ws.send_str(message.data)
    print(set_, end, flush=True)
    return ws


async def main():
    app = web.Application()
    app.router.add_get("/{set}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await until_told(runner.addresses[0][1])
    await runner.cleanup()


asyncio.run(main())
