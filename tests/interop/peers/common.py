"""What the Python peers share; README.md beside run.sh says what it is about."""

import asyncio
import json
import random
import signal
import socket
import sys

DONE = (3001, "done")
AS_TOLD = (3002, "as told")


def parameters(set_):
    """A set as names and values; None is no compression."""
    if set_ == "none":
        return None
    pairs = [it.partition("=") for it in set_.split(",") if it != "deflate"]
    return {name: int(value) if value else True for name, _, value in pairs}


def as_set(header):
    """A Sec-WebSocket-Extensions header as a set. 15 bits are what holds without the parameter."""
    if not header:
        return "none"
    params = [it.strip() for it in header.split(";")[1:]]
    return ",".join(sorted(it for it in params if not it.endswith("=15"))) or "deflate"


def document(first, items):
    """JSON of about 100 bytes for each item."""
    return json.dumps(
        [
            {
                "id": id,
                "user": f"user-{id * 7919 % 1000}",
                "city": "Zürich",
                "price": id * 104729 % 9973,
                "tags": ["fish", "鱼", "🐟"],
                "open": True,
            }
            for id in range(first, first + items)
        ],
        ensure_ascii=False,
    )


def batches():
    """Messages that are sent in a row, then awaited."""
    noise = random.Random(7692).randbytes
    made = [
        lambda n: "",
        lambda n: b"",
        lambda n: str(n),
        lambda n: document(n, 2),
        lambda n: document(n, 50),
        lambda n: noise(1000),
        lambda n: document(n, 50).encode(),
        lambda n: noise(4000),
    ]
    result = [made[n % 8](n) for n in range(200)]
    for n in (50, 128, 188):
        result[n] = document(n, 2700)
    result[91] = noise(300_000)
    # What can be referred back to, but not within a window of 14 bits or less.
    result[137] = noise(30_000) * 3
    tens = [result[n : n + 10] for n in range(0, 200, 10)]
    return [*tens, [document(n, 1) for n in range(500)]]


def fragments(message):
    third = len(message) // 3
    return [message[:third], message[:0], message[third:]]


def traffic(transport):
    """The bytes received and sent, by the kernel's struct tcp_info: tcpi_bytes_received, and
    tcpi_bytes_acked before it."""
    info = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
    return int.from_bytes(info[128:], sys.byteorder), int.from_bytes(info[120:128], sys.byteorder)


def shares(transport, batches):
    """For a client: what went to the server and what came from it, in % of the messages' bytes."""
    messages = [message for batch in batches for message in batch]
    total = sum(len(it.encode() if isinstance(it, str) else it) for it in messages)
    received, sent = traffic(transport)
    return f"{100 * sent // total} {100 * received // total}"


def check(condition, text):
    if not condition:
        raise AssertionError(text)


async def run_client(converse):
    """`converse(url, asker, client's set, server's set)` for each row of the command line."""
    url, *rows = sys.argv[1:]
    failed = False
    for row in rows:
        asker, _, set_ = row.partition(":")
        sets = (set_, "deflate") if asker == "client" else ("deflate", set_)
        try:
            print(row, await converse(f"{url}/{sets[1]}", asker, sets[0]), flush=True)
        except Exception as error:
            print(row, "FAILED", repr(error), flush=True)
            failed = True
    sys.exit(failed)


async def until_told(port):
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await told.wait()
