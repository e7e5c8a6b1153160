"""Where the aio-pika verbs play. Each is played twice: on a plain and on a robust connection."""

import asyncio
import contextlib
import importlib.metadata

import aio_pika
from aio_pika.patterns import JsonMaster, JsonRPC, Master, RPC
from aio_pika.pool import Pool
from aio_pika.queue import Queue, QueueIterator
from aio_pika.robust_queue import RobustQueue, RobustQueueIterator
from aio_pika.transaction import Transaction
from aiormq import exceptions

from verbs import Verbs, expect, fresh

SECONDS = 10

REFUSALS = {
    403: exceptions.ChannelAccessRefused,
    404: exceptions.ChannelNotFoundEntity,
    405: exceptions.ChannelLockedResource,
    406: exceptions.ChannelPreconditionFailed,
}

OFFERED = [
    aio_pika.Connection,
    aio_pika.RobustConnection,
    aio_pika.Channel,
    aio_pika.RobustChannel,
    aio_pika.Exchange,
    aio_pika.RobustExchange,
    Queue,
    RobustQueue,
    QueueIterator,
    RobustQueueIterator,
    aio_pika.IncomingMessage,
    aio_pika.Message,
    Transaction,
    Pool,
    Master,
    RPC,
]

EXCUSED = [
    # Steps that the library takes itself while it opens, delivers or restores.
    "Connection.connect",
    "RobustConnection.connect",
    "Channel.initialize",
    "RobustChannel.restore",
    "RobustExchange.restore",
    "RobustQueue.restore",
    "QueueIterator.consume",
    "RobustQueueIterator.consume",
    "QueueIterator.on_message",
    "Pool.put",
    # Hooks of the patterns, called for their messages.
    "Master.deserialize",
    "Master.execute",
    "Master.on_message",
    "Master.on_message_returned",
    "Master.serialize",
    "RPC.create_future",
    "RPC.deserialize",
    "RPC.deserialize_message",
    "RPC.execute",
    "RPC.initialize",
    "RPC.on_call_message",
    "RPC.on_close",
    "RPC.on_message_returned",
    "RPC.on_result_message",
    "RPC.serialize",
    "RPC.serialize_exception",
    "RPC.serialize_message",
]

AIO_PIKA = Verbs("aio-pika", importlib.metadata.version("aio-pika"), OFFERED, EXCUSED)


def on_both(play):
    """Makes a verb of a coroutine function of a `connect` and a URL: both kinds of connection play it."""

    def function(url):
        for connect in (aio_pika.connect, aio_pika.connect_robust):
            asyncio.run(play(connect, url))

    function.__name__ = play.__name__
    return AIO_PIKA.verb(function)


def on_robust(play):
    """Makes a verb, with a restart of the broker, of a coroutine function of a URL."""

    def function(url):
        asyncio.run(play(url))

    function.__name__ = play.__name__
    return AIO_PIKA.restarting_verb(function)


@contextlib.asynccontextmanager
async def channel_on(connect, url, **options):
    """A channel on a connection of its own."""
    async with await connect(url) as connection:
        yield await connection.channel(**options)


@contextlib.asynccontextmanager
async def exchange_on(channel, kind="direct", **options):
    """An exchange that is deleted afterwards."""
    exchange = await channel.declare_exchange(fresh("exchange"), kind, **options)
    try:
        yield exchange
    finally:
        if not channel.is_closed:
            await channel.exchange_delete(exchange.name)


async def queue_on(channel, **arguments):
    """A queue that goes with the connection."""
    return await channel.declare_queue(fresh("queue"), exclusive=True, arguments=arguments)


async def filled_queue(channel, *bodies, **arguments):
    """A queue with these messages in it, each of them confirmed."""
    queue = await queue_on(channel, **arguments)
    for body in bodies:
        await channel.default_exchange.publish(aio_pika.Message(body), queue.name)
    return queue


async def take(queue):
    """The body of the next message, settled; None if there is none."""
    message = await queue.get(no_ack=True, fail=False)
    return message and message.body


async def take_all(queue):
    bodies = []
    while (body := await take(queue)) is not None:
        bodies.append(body)
    return bodies


async def refused(code, awaitable):
    """Expects the broker to close the channel with this code, which aio-pika tells by a class."""
    try:
        await awaitable
    except REFUSALS[code]:
        return
    raise AssertionError(f"expected the channel to be closed with {code}")


async def soon(awaitable):
    async with asyncio.timeout(SECONDS):
        return await awaitable
