"""Where the pika verbs play: a connection and a channel of their own, tidied up afterwards."""

import contextlib

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.channel import Channel

from verbs import Verbs, fresh

PIKA = Verbs(
    "pika",
    pika.__version__,
    offers=[
        BlockingConnection,
        BlockingChannel,
        pika.SelectConnection,
        Channel,
        AsyncioConnection,
    ],
    excused=[
        # Called by the connection, once, when it hands out the channel.
        "Channel.open",
    ],
)


@contextlib.contextmanager
def connected(url, **options):
    """A blocking connection; `options` are attributes of its parameters."""
    parameters = pika.URLParameters(url)
    for name, value in options.items():
        setattr(parameters, name, value)
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


@contextlib.contextmanager
def channel_on(url):
    """A channel on a connection of its own."""
    with connected(url) as connection:
        yield connection.channel()


@contextlib.contextmanager
def exchange_on(channel, kind="direct", **options):
    """The name of an exchange that is deleted afterwards."""
    name = fresh("exchange")
    channel.exchange_declare(name, kind, **options)
    try:
        yield name
    finally:
        if channel.connection.is_open:
            channel.connection.channel().exchange_delete(name)


def queue_on(channel, **arguments):
    """The name of a queue that goes with the connection."""
    name = fresh("queue")
    channel.queue_declare(name, exclusive=True, arguments=arguments)
    return name


def filled_queue(channel, *bodies):
    """A queue with these messages in it, each of them confirmed."""
    name = queue_on(channel)
    publisher = channel.connection.channel()
    publisher.confirm_delivery()
    for body in bodies:
        publisher.basic_publish("", name, body)
    publisher.close()
    return name


def take(channel, queue):
    """The body of the next message, settled; None if there is none."""
    return channel.basic_get(queue, auto_ack=True)[2]


def take_all(channel, queue):
    return list(iter(lambda: take(channel, queue), None))
