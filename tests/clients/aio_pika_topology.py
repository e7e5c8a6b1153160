"""aio-pika: connections, channels, exchanges, queues and their bindings."""

import asyncio

import aio_pika
from aio_pika import ExchangeType, Message
from aio_pika.exceptions import (
    AMQPError,
    ChannelNotFoundEntity,
    ProbableAuthenticationError,
)
from aio_pika.pool import Pool

from aio_pika_scene import (
    channel_on,
    exchange_on,
    filled_queue,
    on_both,
    queue_on,
    refused,
    soon,
    take,
)
from verbs import expect, fresh


@on_both
async def connect_and_close(connect, url):
    connection = await connect(url, timeout=10)
    await connection.ready()
    expect((connection.is_closed, connection.close_called), (False, False))
    await connection.close()
    expect((connection.is_closed, connection.close_called), (True, True))
    await soon(connection.closed())


@on_both
async def connect_with_every_option(connect, url):
    properties = {"connection_name": fresh("connection"), "nested": {"answer": 42}}
    options = {"heartbeat": 30, "channel_max": 7, "frame_max": 8192, "name": "named"}
    connection = await connect(url, client_properties=properties, **options)
    async with connection:
        channel = await connection.channel()
        queue = await filled_queue(channel, b"x" * 50_000)
        expect(await take(queue), b"x" * 50_000)


@on_both
async def connect_with_keywords(connect, url):
    parts = aio_pika.connection.URL(url)
    connection = await connect(
        host=parts.host,
        port=parts.port,
        login=parts.user,
        password=parts.password,
        virtualhost=parts.path[1:] or "/",
    )
    async with connection:
        expect((await connection.channel()).is_closed, False)


@on_both
async def connect_with_a_wrong_password(connect, url):
    wrong = aio_pika.connection.URL(url).with_password("not the password")
    try:
        await connect(wrong)
    except ProbableAuthenticationError:
        return
    raise AssertionError("a wrong password was accepted")


@on_both
async def connect_to_an_unknown_virtual_host(connect, url):
    elsewhere = aio_pika.connection.URL(url).with_path("/" + fresh("vhost"))
    try:
        await connect(elsewhere)
    except AMQPError:
        return
    raise AssertionError("an unknown virtual host was opened")


@on_both
async def heartbeats_keep_an_idle_connection(connect, url):
    connection = await connect(url, heartbeat=1)
    async with connection:
        await asyncio.sleep(3.5)
        expect((await connection.channel()).is_closed, False)


@on_both
async def update_secret(connect, url):
    connection = await connect(url)
    async with connection:
        await connection.update_secret("another secret", reason="the old one expires")
        expect((await connection.channel()).is_closed, False)


@on_both
async def reconnect_on_request(connect, url):
    connection = await connect(url, reconnect_interval=0.1)
    async with connection:
        if not isinstance(connection, aio_pika.RobustConnection):
            return
        channel = await connection.channel()
        queue = await queue_on(channel)
        expect(connection.reconnecting, False)
        await connection.reconnect()
        await channel.ready()
        await channel.default_exchange.publish(Message(b"to the restored queue"), queue.name)
        expect(await take(queue), b"to the restored queue")


@on_both
async def channel_open_and_close(connect, url):
    connection = await connect(url)
    async with connection:
        channel = connection.channel(channel_number=7)
        expect(channel.is_initialized, False)
        async with channel:
            expect((channel.number, channel.is_initialized, channel.is_closed), (7, True, False))
            expect(channel.channel is await channel.get_underlay_channel(), True)
        expect(channel.is_closed, True)
        await soon(channel.closed())
        await channel.reopen()
        expect((await channel.declare_queue(exclusive=True)).name != "", True)
        await channel.close()


@on_both
async def channel_closed_by_an_error_spares_the_connection(connect, url):
    connection = await connect(url)
    async with connection:
        channel = await connection.channel()
        try:
            await channel.get_queue(fresh("missing"))
        except ChannelNotFoundEntity:
            pass
        expect((await connection.channel()).is_closed, False)


@on_both
async def channel_flow(connect, url):
    async with channel_on(connect, url) as channel:
        expect((await channel.flow(True)).active, True)


@on_both
async def channel_pool(connect, url):
    async with await connect(url) as connection:
        async with Pool(connection.channel, max_size=2) as pool:
            async with pool.acquire() as channel:
                queue = await filled_queue(channel, b"pooled")
                expect((await take(queue), pool.is_closed), (b"pooled", False))
        expect(pool.is_closed, True)
        await pool.close()


@on_both
async def exchange_declare_of_every_type(connect, url):
    async with channel_on(connect, url) as channel:
        for kind in (ExchangeType.DIRECT, ExchangeType.FANOUT, ExchangeType.TOPIC, "headers"):
            async with exchange_on(channel, kind, durable=True) as exchange:
                await exchange.declare(timeout=5)


@on_both
async def exchange_declare_passive(connect, url):
    async with channel_on(connect, url) as channel:
        async with exchange_on(channel) as exchange:
            await channel.get_exchange(exchange.name)
            await channel.declare_exchange(exchange.name, passive=True)
        unchecked = await channel.get_exchange(fresh("missing"), ensure=False)
        await refused(404, channel.get_exchange(unchecked.name))


@on_both
async def exchange_declare_internal_with_alternate(connect, url):
    async with channel_on(connect, url) as channel:
        async with exchange_on(channel, "fanout", internal=True) as alternate:
            queue = await queue_on(channel)
            await queue.bind(alternate)
            arguments = {"alternate-exchange": alternate.name}
            async with exchange_on(channel, arguments=arguments) as exchange:
                await exchange.publish(Message(b"left over"), "nobody")
                expect(await take(queue), b"left over")


@on_both
async def exchange_declare_auto_delete(connect, url):
    async with channel_on(connect, url) as channel:
        exchange = await channel.declare_exchange(fresh("exchange"), auto_delete=True)
        queue = await queue_on(channel)
        await queue.bind(exchange, "key")
        await queue.unbind(exchange, "key")
    async with channel_on(connect, url) as other:
        await refused(404, other.get_exchange(exchange.name))


@on_both
async def exchange_declare_inequivalent(connect, url):
    async with channel_on(connect, url) as owner, channel_on(connect, url) as other:
        async with exchange_on(owner) as exchange:
            await refused(406, other.declare_exchange(exchange.name, "fanout"))


@on_both
async def exchange_delete(connect, url):
    async with channel_on(connect, url) as channel, channel_on(connect, url) as other:
        async with exchange_on(channel) as exchange:
            await exchange.delete()
            await channel.exchange_delete(exchange.name)
            await channel.exchange_delete(exchange.name, nowait=True)
        async with exchange_on(channel) as used:
            await (await queue_on(channel)).bind(used, "key")
            await refused(406, other.exchange_delete(used.name, if_unused=True))


@on_both
async def exchange_bind_and_unbind(connect, url):
    async with channel_on(connect, url) as channel:
        async with exchange_on(channel, "topic") as source:
            async with exchange_on(channel, "fanout") as destination:
                queue = await queue_on(channel)
                await queue.bind(destination)
                await destination.bind(source, "a.*", arguments={"note": "kept"})
                await source.publish(Message(b"through two"), "a.b")
                expect(await take(queue), b"through two")
                await destination.unbind(source, "a.*", arguments={"note": "kept"})
                await source.publish(Message(b"unbound"), "a.b")
                expect(await take(queue), None)


@on_both
async def queue_declare_with_every_flag(connect, url):
    async with channel_on(connect, url) as channel, channel_on(connect, url) as other:
        arguments = {"x-message-ttl": 60_000, "x-max-length": 10, "x-max-priority": 5}
        name = fresh("queue")
        queue = await channel.declare_queue(
            name, durable=True, auto_delete=True, arguments=arguments, timeout=5
        )
        expect((queue.name, queue.declaration_result.message_count), (name, 0))
        tag = await queue.consume(unwanted)
        expect((await other.get_queue(name)).declaration_result.consumer_count, 1)
        await queue.cancel(tag)
        await refused(404, other.declare_queue(fresh("missing"), passive=True))


async def unwanted(message):
    raise AssertionError(f"not expected here: {message!r}")


@on_both
async def queue_declare_counts_messages(connect, url):
    async with channel_on(connect, url) as channel:
        queue = await filled_queue(channel, b"one", b"two", b"three")
        expect((await queue.declare()).message_count, 3)
        unchecked = await channel.get_queue(queue.name, ensure=False)
        expect(await take(unchecked), b"one")


@on_both
async def queue_declare_named_by_the_server(connect, url):
    async with channel_on(connect, url) as channel:
        first = await channel.declare_queue(exclusive=True)
        second = await channel.declare_queue("", exclusive=True)
        expect((first.name != "", first.name == second.name), (True, False))


@on_both
async def queue_declare_exclusive_to_the_connection(connect, url):
    async with channel_on(connect, url) as owner:
        queue = await queue_on(owner)
        async with channel_on(connect, url) as other:
            await refused(405, other.get_queue(queue.name))
    async with channel_on(connect, url) as later:
        await refused(404, later.get_queue(queue.name))


@on_both
async def queue_bind_and_unbind(connect, url):
    async with channel_on(connect, url) as channel:
        async with exchange_on(channel, "topic") as exchange:
            queue = await queue_on(channel)
            await queue.bind(exchange, "#.error", timeout=5)
            await queue.bind(exchange, "#.error")
            await exchange.publish(Message(b"bound"), "disk.error")
            expect((await take(queue), await take(queue)), (b"bound", None))
            await queue.unbind(exchange, "#.error")
            await exchange.publish(Message(b"unbound"), "disk.error", mandatory=False)
            expect(await take(queue), None)


@on_both
async def queue_bind_by_headers(connect, url):
    async with channel_on(connect, url) as channel:
        async with exchange_on(channel, ExchangeType.HEADERS) as exchange:
            queue = await queue_on(channel)
            wanted = {"x-match": "all", "format": "pdf", "pages": 3}
            await queue.bind(exchange, "", arguments=wanted)
            for pages in (3, 4):
                headers = {"format": "pdf", "pages": pages}
                await exchange.publish(Message(str(pages).encode(), headers=headers), "")
            expect((await take(queue), await take(queue)), (b"3", None))


@on_both
async def queue_purge(connect, url):
    async with channel_on(connect, url) as channel:
        queue = await filled_queue(channel, b"one", b"two", b"three")
        await queue.get()
        expect((await queue.purge()).message_count, 2)
        await channel.default_exchange.publish(Message(b"four"), queue.name)
        await queue.purge(no_wait=True)
        expect(await take(queue), None)


@on_both
async def queue_delete(connect, url):
    async with channel_on(connect, url) as channel, channel_on(connect, url) as other:
        name = fresh("queue")
        queue = await channel.declare_queue(name, durable=True)
        await channel.default_exchange.publish(Message(b"one"), name)
        await refused(406, (await other.get_queue(name)).delete())
        expect((await queue.delete(if_empty=False, if_unused=False)).message_count, 1)
        expect((await channel.queue_delete(name)).message_count, 0)
        await channel.queue_delete(name, nowait=True)
