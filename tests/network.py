"""A network that takes its time: a TCP proxy that holds back what passes it, and does not narrow the way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

BUFFER = 1 << 16

# What is on its way: when it arrives, by the loop's clock, and what it is; nothing at all at the end.
UnderWay = asyncio.Queue[tuple[float, bytes]]


class Delay:
    """A port on this machine that leads to another one of it, `round_trip` seconds away.

    Each byte arrives half a round trip after it was sent, in order, however many are under way; to open a
    connection takes a round trip, as TCP's handshake does. Use it as a context manager.
    """

    def __init__(self, port: int, round_trip: float) -> None:
        self._leads_to = port
        self._one_way = round_trip / 2
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Delay:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=64)

    async def _close(self) -> None:
        self._server.close()
        open_ones = list(self._connections)
        for connection in open_ones:
            connection.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await connection

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways, until both ends have ended it."""
        out: UnderWay = asyncio.Queue()
        back: UnderWay = asyncio.Queue()
        # Its opener holds a connection for open after a round trip, and the other end half of one later.
        await asyncio.sleep(2 * self._one_way)
        tasks = [asyncio.create_task(self._send(reader, out))]
        ends = [writer]
        try:
            await asyncio.sleep(self._one_way)
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._leads_to)
            ends.append(far_writer)
            for way in (
                self._arrive(out, far_writer),
                self._send(far_reader, back),
                self._arrive(back, writer),
            ):
                tasks.append(asyncio.create_task(way))
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            for end in ends:
                end.close()

    async def _send(self, reader: asyncio.StreamReader, way: UnderWay) -> None:
        data = b"."
        while data:
            data = await reader.read(BUFFER)
            way.put_nowait((self._loop.time() + self._one_way, data))

    async def _arrive(self, way: UnderWay, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            due, data = await way.get()
            await asyncio.sleep(due - self._loop.time())
            if not data:
                writer.write_eof()
                return
            writer.write(data)
