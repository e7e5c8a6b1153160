"""aio-pika: publishing, consuming, settling, transactions, and the patterns built on them."""

import asyncio
import datetime
import decimal

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import DeliveryError, PublishError, QueueEmpty
from aio_pika.patterns import RPC, Master

from aio_pika_scene import (
    channel_on,
    exchange_on,
    filled_queue,
    on_both,
    queue_on,
    refused,
    soon,
    take,
    take_all,
)
from verbs import expect, fresh

HEADERS = {
    "string": "grüße",
    "bytes": bytearray(b"\x00\xff"),
    "true": True,
    "false": False,
    "small": -7,
    "large": 2**40,
    "float": 3.5,
    "decimal": decimal.Decimal("3.25"),
    "timestamp": datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
    "void": None,
    "table": {"deep": {"deeper": [1, "two", {"three": 3}]}},
    "array": [1, "two", False, None, [3, 4]],
}


@on_both
async def publish_every_property(connect, url):
    sent = Message(
        b"body",
        headers=HEADERS,
        content_type="text/plain",
        content_encoding="utf-8",
        delivery_mode=DeliveryMode.PERSISTENT,
        priority=9,
        correlation_id="correlation",
        reply_to="reply",
        expiration=60,
        message_id="message",
        timestamp=datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
        type="kind",
        user_id="guest",
        app_id="application",
    )
    async with channel_on(connect, url) as channel:
        queue = await queue_on(channel)
        await channel.default_exchange.publish(sent, queue.name)
        received = await queue.get(no_ack=True)
        arrived, wanted = received.info(), sent.info()
        # The rest is where the message came from, and a property that aio-pika does not write.
        names = [name for name, value in wanted.items() if value is not None]
        expect({name: arrived[name] for name in names}, {name: wanted[name] for name in names})
        expect(received.headers_raw, sent.headers_raw)
        expect(received.properties.app_id, sent.properties.app_id)
        expect((received.body, received.body_size), (b"body", 4))
        sent.lock()
        received.lock()
        expect((sent.locked, received.locked), (True, True))


@on_both
async def publish_a_body_of_many_frames(connect, url):
    async with channel_on(connect, url) as channel:
        body = bytes(range(256)) * 4096
        queue = await filled_queue(channel, body, b"")
        expect(await take_all(queue), [body, b""])


@on_both
async def publish_returns_an_unroutable_message(connect, url):
    async with channel_on(connect, url, on_return_raises=True) as channel:
        try:
            await channel.default_exchange.publish(Message(b"come back"), fresh("missing"))
        except (DeliveryError, PublishError) as error:
            expect(error.message.body, b"come back")
        else:
            raise AssertionError("an unroutable mandatory message was confirmed without a return")
    async with channel_on(connect, url) as channel:
        returned = asyncio.Queue()
        channel.return_callbacks.add(lambda _channel, message: returned.put_nowait(message))
        key = fresh("missing")
        await channel.default_exchange.publish(Message(b"come back"), key, mandatory=True)
        message = await soon(returned.get())
        expect((message.body, message.routing_key, message.processed), (b"come back", key, True))


@on_both
async def publish_to_a_missing_exchange(connect, url):
    async with channel_on(connect, url) as channel:
        exchange = await channel.get_exchange(fresh("missing"), ensure=False)
        await refused(404, soon(exchange.publish(Message(b"lost"), "key")))


@on_both
async def publish_many_at_once(connect, url):
    async with channel_on(connect, url) as channel:
        queue = await queue_on(channel)
        messages = [Message(str(number).encode()) for number in range(200)]
        publish = channel.default_exchange.publish
        await soon(asyncio.gather(*(publish(message, queue.name) for message in messages)))
        expect((await queue.declare()).message_count, 200)


@on_both
async def confirms_refuse_what_overflows(connect, url):
    async with channel_on(connect, url) as channel:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await filled_queue(channel, b"fits", **arguments)
        try:
            await channel.default_exchange.publish(Message(b"does not fit"), queue.name)
        except DeliveryError:
            expect(await take_all(queue), [b"fits"])
            return
    raise AssertionError("a full queue confirmed a message")


@on_both
async def get(connect, url):
    async with channel_on(connect, url) as channel:
        async with exchange_on(channel, "fanout") as exchange:
            queue = await queue_on(channel)
            expect(await queue.get(fail=False), None)
            try:
                await queue.get(timeout=5)
                raise AssertionError("an empty queue gave a message")
            except QueueEmpty:
                pass
            await queue.bind(exchange)
            await exchange.publish(Message(b"one"), "key")
            await exchange.publish(Message(b"two"), "key")
            message = await queue.get()
            facts = (message.exchange, message.routing_key, message.message_count)
            expect(facts, (exchange.name, "key", 1))
            expect((message.redelivered, message.processed), (False, False))
            expect(message.channel is not None, True)
            await message.ack()
            expect(message.processed, True)
            expect(await take_all(queue), [b"two"])


@on_both
async def consume_and_cancel(connect, url):
    async with channel_on(connect, url) as channel:
        await channel.set_qos(prefetch_count=2)
        queue = await filled_queue(channel, b"one", b"two", b"three")
        inbox = asyncio.Queue()
        tag = await queue.consume(inbox.put, consumer_tag="mine", timeout=5)
        expect(tag, "mine")
        messages = [await soon(inbox.get()) for _ in range(2)]
        expect([message.consumer_tag for message in messages], ["mine", "mine"])
        await queue.cancel(tag, timeout=5)
        for message in messages:
            await message.ack()
        expect(await take_all(queue), [b"three"])
        await queue.cancel(await queue.consume(inbox.put), nowait=True)


@on_both
async def consume_with_an_iterator(connect, url):
    async with channel_on(connect, url) as channel:
        queue = await filled_queue(channel, b"one", b"two", b"three")
        bodies = []
        async with queue.iterator(consumer_tag="mine") as messages:
            expect(messages.consumer_tag, "mine")
            async for message in messages:
                async with message.process():
                    bodies.append(message.body)
                if len(bodies) == 3:
                    break
        expect(bodies, [b"one", b"two", b"three"])
        iterator = queue.iterator()
        await channel.default_exchange.publish(Message(b"four"), queue.name)
        expect((await soon(iterator.__anext__())).body, b"four")
        await iterator.close()


@on_both
async def consume_with_every_option(connect, url):
    connection = await connect(url)
    async with connection:
        low, high = await connection.channel(), await connection.channel()
        queue = await queue_on(low)
        inbox = asyncio.Queue()
        await queue.consume(unwanted, no_ack=True)
        higher = await high.get_queue(queue.name)
        await higher.consume(inbox.put, no_ack=True, arguments={"x-priority": 5})
        for _ in range(4):
            await low.default_exchange.publish(Message(b"to the higher"), queue.name)
            expect((await soon(inbox.get())).body, b"to the higher")


async def unwanted(message):
    raise AssertionError(f"not expected here: {message!r}")


@on_both
async def consume_exclusively(connect, url):
    connection = await connect(url)
    async with connection:
        queue = await queue_on(await connection.channel())
        await queue.consume(unwanted, exclusive=True)
        other = await (await connection.channel()).get_queue(queue.name)
        await refused(403, other.consume(unwanted))


@on_both
async def qos_for_each_consumer_and_for_the_channel(connect, url):
    for is_global, wanted in ((False, 4), (True, 2)):
        async with channel_on(connect, url) as channel:
            queue = await filled_queue(channel, *[b"message"] * 10)
            await channel.set_qos(prefetch_count=2, global_=is_global)
            inbox = asyncio.Queue()
            await queue.consume(inbox.put)
            await queue.consume(inbox.put)
            for _ in range(wanted):
                await soon(inbox.get())
            expect((await queue.declare()).message_count, 10 - wanted)
            expect(inbox.qsize(), 0)


@on_both
async def ack_one_and_many(connect, url):
    connection = await connect(url)
    async with connection:
        channel = await connection.channel()
        queue = await filled_queue(channel, b"1", b"2", b"3", b"4", b"5")
        messages = [await queue.get() for _ in range(5)]
        await messages[0].ack()
        await messages[2].ack(multiple=True)
        await channel.close()
        again = await (await connection.channel()).get_queue(queue.name, ensure=False)
        expect(await take_all(again), [b"4", b"5"])


@on_both
async def nack_one_and_many(connect, url):
    async with channel_on(connect, url) as channel:
        queue = await filled_queue(channel, b"1", b"2", b"3", b"4")
        messages = [await queue.get() for _ in range(4)]
        await messages[0].nack(requeue=False)
        await messages[2].nack(multiple=True, requeue=True)
        again = await queue.get()
        expect((again.redelivered, again.body), (True, b"2"))
        await again.nack(multiple=True, requeue=False)
        expect(await take_all(queue), [b"3"])


@on_both
async def reject_to_a_dead_letter_exchange(connect, url):
    async with channel_on(connect, url) as channel:
        async with exchange_on(channel, "fanout") as dead_letters:
            graveyard = await queue_on(channel)
            await graveyard.bind(dead_letters)
            queue = await filled_queue(
                channel, b"twice", **{"x-dead-letter-exchange": dead_letters.name}
            )
            await (await queue.get()).reject(requeue=True)
            again = await queue.get()
            expect(again.redelivered, True)
            inbox = asyncio.Queue()
            await graveyard.consume(inbox.put, no_ack=True)
            await again.reject(requeue=False)
            dead = await soon(inbox.get())
            [death] = dead.headers["x-death"]
            expect((dead.body, death["queue"], death["reason"]), (b"twice", queue.name, "rejected"))


@on_both
async def process_settles_by_outcome(connect, url):
    async with channel_on(connect, url) as channel:
        queue = await filled_queue(channel, b"done", b"failed", b"again")
        async with (await queue.get()).process():
            pass
        for requeue in (False, True):
            try:
                async with (await queue.get()).process(requeue=requeue):
                    raise KeyError("on purpose")
            except KeyError:
                pass
        expect(await take_all(queue), [b"again"])


@on_both
async def recover(connect, url):
    async with channel_on(connect, url) as channel:
        queue = await filled_queue(channel, b"one", b"two")
        for _ in range(2):
            await queue.get()
        underlay = await channel.get_underlay_channel()
        await underlay.basic_recover(requeue=True)
        again = await queue.get()
        expect((again.redelivered, again.body), (True, b"one"))


@on_both
async def transaction_commit_and_rollback(connect, url):
    async with channel_on(connect, url) as observer:
        queue = await observer.declare_queue(fresh("queue"), durable=True)
        async with channel_on(connect, url, publisher_confirms=False) as channel:
            publish = channel.default_exchange.publish
            transaction = channel.transaction()
            expect(transaction.channel is channel, True)
            await transaction.select()
            await publish(Message(b"rolled back"), queue.name)
            await transaction.rollback()
            await publish(Message(b"committed"), queue.name)
            expect(await take(queue), None)
            await transaction.commit()
            expect(await take_all(queue), [b"committed"])
        async with channel_on(connect, url, publisher_confirms=False) as channel:
            async with channel.transaction():
                await channel.default_exchange.publish(Message(b"in a block"), queue.name)
            expect(await take_all(queue), [b"in a block"])
        await queue.delete(if_unused=False, if_empty=False)


@on_both
async def direct_reply_to(connect, url):
    async with channel_on(connect, url) as client, channel_on(connect, url) as server:
        questions = await queue_on(server)
        answers = await client.get_queue("amq.rabbitmq.reply-to", ensure=False)
        inbox = asyncio.Queue()
        await answers.consume(inbox.put, no_ack=True)
        question = Message(b"question", reply_to="amq.rabbitmq.reply-to", correlation_id="1")
        await client.default_exchange.publish(question, questions.name)
        asked = await questions.get(no_ack=True)
        answer = Message(b"answer", correlation_id=asked.correlation_id)
        await server.default_exchange.publish(answer, asked.reply_to)
        received = await soon(inbox.get())
        expect((received.body, received.correlation_id), (b"answer", "1"))


@on_both
async def pattern_remote_procedure_calls(connect, url):
    async with channel_on(connect, url) as client_channel:
        async with channel_on(connect, url) as server_channel:
            server, client = await RPC.create(server_channel), await RPC.create(client_channel)
            method = fresh("method")
            await server.register(method, multiply, auto_delete=True)
            expect(await soon(client.call(method, kwargs={"x": 6, "y": 7})), 42)
            await server.unregister(multiply)
            await client.close()
            await server.close()


async def multiply(*, x, y):
    return x * y


@on_both
async def pattern_master_and_worker(connect, url):
    async with channel_on(connect, url) as channel:
        master = Master(channel)
        expect(master.exchange is channel.default_exchange, True)
        name = fresh("worker")
        done = asyncio.Queue()

        async def work(*, number):
            await done.put(number)

        await master.create_queue(name, auto_delete=True)
        worker = await master.create_worker(name, work, auto_delete=True)
        await master.create_task(name, {"number": 42})
        expect(await soon(done.get()), 42)
        await worker.close()
