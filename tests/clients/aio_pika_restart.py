"""aio-pika: the broker is killed and started again under a robust connection."""

import asyncio

import aio_pika
from aio_pika import DeliveryMode, Message

from aio_pika_scene import on_robust
from verbs import ask, expect, fresh

SECONDS = 40


async def restart():
    """Asks for the restart without keeping the event loop from noticing it."""
    await asyncio.to_thread(ask, "restart")


def robust(url):
    return aio_pika.connect_robust(url, reconnect_interval=0.3)


@on_robust
async def restart_confirmed_messages_survive(url):
    async with await robust(url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange(fresh("exchange"), "topic", durable=True)
        queue = await channel.declare_queue(fresh("queue"), durable=True)
        await queue.bind(exchange, "kept.#")
        for number in range(100):
            body = str(number).encode()
            message = Message(body, delivery_mode=DeliveryMode.PERSISTENT)
            await exchange.publish(message, "kept.here")
        await restart()
        await asyncio.wait_for(channel.ready(), SECONDS)
        bodies = [int((await queue.get(no_ack=True)).body) for _ in range(100)]
        expect(bodies, list(range(100)))
        await queue.delete(if_unused=False, if_empty=False)
        await exchange.delete()


@on_robust
async def restart_restores_consumers_and_transient_topology(url):
    async with await robust(url) as connection:
        reconnected = asyncio.Event()
        connection.reconnect_callbacks.add(lambda _connection: reconnected.set())
        channel = await connection.channel()
        exchange = await channel.declare_exchange(fresh("exchange"), "fanout", auto_delete=True)
        queue = await channel.declare_queue(fresh("queue"), exclusive=True)
        await queue.bind(exchange)
        inbox = asyncio.Queue()
        await queue.consume(inbox.put, no_ack=True)
        await exchange.publish(Message(b"before"), "")
        expect((await asyncio.wait_for(inbox.get(), SECONDS)).body, b"before")
        await restart()
        await asyncio.wait_for(reconnected.wait(), SECONDS)
        await asyncio.wait_for(channel.ready(), SECONDS)
        await exchange.publish(Message(b"after"), "")
        expect((await asyncio.wait_for(inbox.get(), SECONDS)).body, b"after")


@on_robust
async def restart_under_an_iterator(url):
    name = fresh("queue")
    async with await robust(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(name, durable=True)
        message = Message(b"unsettled", delivery_mode=DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, name)
        seen = []
        async with queue.iterator() as messages:
            async for message in messages:
                seen.append((message.body, message.redelivered))
                if len(seen) == 2:
                    await message.ack()
                    break
                await restart()
        expect(seen, [(b"unsettled", False), (b"unsettled", True)])
        await queue.delete(if_unused=False, if_empty=False)
