"""pika: publishing, consuming, settling, transactions."""

import datetime
import decimal

import pika
from pika.exceptions import ChannelClosedByBroker, NackError, UnroutableError

from pika_scene import (
    PIKA,
    channel_on,
    connected,
    exchange_on,
    filled_queue,
    queue_on,
    take,
    take_all,
)
from verbs import expect, fresh

HEADERS = {
    "string": "grüße",
    "bytes": b"\x00\xff",
    "true": True,
    "false": False,
    "small": -7,
    "large": 2**40,
    "decimal": decimal.Decimal("3.25"),
    "timestamp": datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
    "void": None,
    "table": {"deep": {"deeper": [1, "two", {"three": 3}]}},
    "array": [1, "two", False, None, [3, 4]],
    "empty table": {},
    "empty array": [],
    "": "a key of no length",
}


@PIKA.verb
def publish_every_property(url):
    sent = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers=HEADERS,
        delivery_mode=pika.DeliveryMode.Persistent,
        priority=9,
        correlation_id="correlation",
        reply_to="reply",
        expiration="60000",
        message_id="message",
        timestamp=1_790_000_000,
        type="kind",
        user_id="guest",
        app_id="application",
        cluster_id="cluster",
    )
    with channel_on(url) as channel:
        queue = queue_on(channel)
        channel.basic_publish("", queue, b"body", sent)
        _, received, body = channel.basic_get(queue, auto_ack=True)
        expect(body, b"body")
        expect(vars(received), vars(sent))


@PIKA.verb
def publish_without_properties(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"")
        _, received, body = channel.basic_get(queue, auto_ack=True)
        expect((body, vars(received)), (b"", vars(pika.BasicProperties())))


@PIKA.verb
def publish_a_body_of_many_frames(url):
    with channel_on(url) as channel:
        body = bytes(range(256)) * 4096
        queue = filled_queue(channel, body, b"next")
        expect(take_all(channel, queue), [body, b"next"])


@PIKA.verb
def publish_returns_an_unroutable_message(url):
    with connected(url) as connection:
        channel = connection.channel()
        returned = []
        channel.add_on_return_callback(lambda *args: returned.append(args[1:]))
        key = fresh("missing")
        properties = pika.BasicProperties(message_id="returned", headers={"kept": True})
        channel.basic_publish("", key, b"come back", properties, mandatory=True)
        channel.queue_declare("", exclusive=True)
        connection.process_data_events()
        [(method, back, body)] = returned
        expect((method.reply_code, method.reply_text), (312, "NO_ROUTE"))
        expect((method.exchange, method.routing_key, body), ("", key, b"come back"))
        expect((back.message_id, back.headers), ("returned", {"kept": True}))


@PIKA.verb
def publish_to_a_missing_exchange(url):
    with connected(url) as connection:
        channel = connection.channel()
        try:
            channel.basic_publish(fresh("missing"), "key", b"lost")
            channel.queue_declare("", exclusive=True)
        except ChannelClosedByBroker as error:
            expect(error.reply_code, 404)
            return
    raise AssertionError("a publish to a missing exchange was accepted")


@PIKA.verb
def confirms_of_routed_and_unroutable_messages(url):
    with channel_on(url) as channel:
        channel.confirm_delivery()
        queue = queue_on(channel)
        for number in range(20):
            channel.basic_publish("", queue, str(number).encode(), mandatory=True)
        expect(len(take_all(channel, queue)), 20)
        channel.basic_publish("", fresh("missing"), b"dropped, and confirmed")
        try:
            channel.basic_publish("", fresh("missing"), b"returned", mandatory=True)
        except UnroutableError as error:
            expect([message.body for message in error.messages], [b"returned"])
            return
    raise AssertionError("an unroutable mandatory message was confirmed without a return")


@PIKA.verb
def confirms_refuse_what_overflows(url):
    with channel_on(url) as channel:
        channel.confirm_delivery()
        queue = queue_on(channel, **{"x-max-length": 1, "x-overflow": "reject-publish"})
        channel.basic_publish("", queue, b"fits")
        try:
            channel.basic_publish("", queue, b"does not fit")
        except NackError:
            expect(take_all(channel, queue), [b"fits"])
            return
    raise AssertionError("a full queue confirmed a message")


@PIKA.verb
def get(url):
    with channel_on(url) as channel, exchange_on(channel, "fanout") as exchange:
        queue = queue_on(channel)
        expect(channel.basic_get(queue), (None, None, None))
        channel.queue_bind(queue, exchange)
        for body in (b"one", b"two"):
            channel.basic_publish(exchange, "key", body)
        method, _, body = channel.basic_get(queue)
        expect((method.exchange, method.routing_key), (exchange, "key"))
        expect((method.message_count, method.redelivered, body), (1, False, b"one"))
        channel.basic_ack(method.delivery_tag)
        expect(take_all(channel, queue), [b"two"])


@PIKA.verb
def consume_with_a_callback(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"one", b"two", b"three")
        received = []

        def on_message(_channel, method, _properties, body):
            received.append((method.consumer_tag, method.delivery_tag, body))
            channel.basic_ack(method.delivery_tag)
            if len(received) == 3:
                channel.stop_consuming()

        tag = channel.basic_consume(queue, on_message, consumer_tag="mine")
        expect((tag, channel.consumer_tags), ("mine", ["mine"]))
        channel.start_consuming()
        expect(received, [("mine", 1, b"one"), ("mine", 2, b"two"), ("mine", 3, b"three")])
        expect(channel.queue_declare(queue, passive=True).method.message_count, 0)


@PIKA.verb
def consume_as_a_generator(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"one", b"two", b"three")
        bodies = []
        for method, _properties, body in channel.consume(queue, inactivity_timeout=5):
            channel.basic_ack(method.delivery_tag)
            bodies.append(body)
            if len(bodies) == 2:
                break
        expect(channel.get_waiting_message_count() <= 1, True)
        channel.cancel()
        expect(bodies, [b"one", b"two"])
        expect(take_all(channel, queue), [b"three"])


@PIKA.verb
def consume_without_acknowledgements(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"one", b"two")
        received = []
        tag = channel.basic_consume(queue, lambda *args: received.append(args[3]), auto_ack=True)
        expect(tag.startswith("amq.ctag-") or len(tag) > 0, True)
        while len(received) < 2:
            channel.connection.process_data_events(time_limit=1)
        expect(list(channel.basic_cancel(tag)), [])
        expect(received, [b"one", b"two"])


@PIKA.verb
def consume_exclusively(url):
    with connected(url) as connection:
        owner, other = connection.channel(), connection.channel()
        queue = queue_on(owner)
        owner.basic_consume(queue, lambda *args: None, exclusive=True)
        try:
            other.basic_consume(queue, lambda *args: None)
        except ChannelClosedByBroker as error:
            expect(error.reply_code, 403)
            return
    raise AssertionError("a queue consumed exclusively took a second consumer")


@PIKA.verb
def consume_with_priorities(url):
    with connected(url) as connection:
        low, high = connection.channel(), connection.channel()
        queue = queue_on(low)
        received = []
        low.basic_consume(queue, lambda *args: received.append("low"), auto_ack=True)
        high.basic_consume(
            queue, lambda *args: received.append("high"), auto_ack=True, arguments={"x-priority": 5}
        )
        for _ in range(4):
            low.basic_publish("", queue, b"to the higher")
        while len(received) < 4:
            connection.process_data_events(time_limit=1)
        expect(received, ["high"] * 4)


@PIKA.verb
def cancel_leaves_the_rest_in_the_queue(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"one", b"two", b"three")
        channel.basic_qos(prefetch_count=1)
        received = []
        tag = channel.basic_consume(queue, lambda *args: received.append(args[3]))
        while not received:
            channel.connection.process_data_events(time_limit=1)
        channel.basic_cancel(tag)
        expect(channel.consumer_tags, [])
        expect(take_all(channel, queue), [b"two", b"three"])


@PIKA.verb
def cancel_by_the_broker_is_notified(url):
    with channel_on(url) as channel:
        cancelled = []
        channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        queue = queue_on(channel)
        channel.basic_consume(queue, lambda *args: None, consumer_tag="deleted under it")
        channel.queue_delete(queue)
        while not cancelled:
            channel.connection.process_data_events(time_limit=1)
        expect(cancelled, ["deleted under it"])


@PIKA.verb
def qos_for_each_consumer_and_for_the_channel(url):
    for is_global, wanted in ((False, 4), (True, 2)):
        with channel_on(url) as channel:
            queue = filled_queue(channel, *[b"message"] * 10)
            channel.basic_qos(prefetch_count=2, global_qos=is_global)
            received = []
            for _ in range(2):
                channel.basic_consume(queue, lambda *args: received.append(args[1].delivery_tag))
            while len(received) < wanted:
                channel.connection.process_data_events(time_limit=1)
            channel.connection.process_data_events(time_limit=0.3)
            expect(received, list(range(1, wanted + 1)))
            channel.basic_ack(wanted, multiple=True)
            while len(received) < 2 * wanted:
                channel.connection.process_data_events(time_limit=1)


@PIKA.verb
def ack_one_and_many(url):
    with connected(url) as connection:
        channel = connection.channel()
        queue = filled_queue(channel, b"1", b"2", b"3", b"4", b"5")
        tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(5)]
        channel.basic_ack(tags[0])
        channel.basic_ack(tags[2], multiple=True)
        channel.close()
        expect(take_all(connection.channel(), queue), [b"4", b"5"])


@PIKA.verb
def nack_one_and_many(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"1", b"2", b"3", b"4")
        tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(4)]
        channel.basic_nack(tags[0], requeue=False)
        channel.basic_nack(tags[2], multiple=True, requeue=True)
        method, _, body = channel.basic_get(queue)
        expect((method.redelivered, body), (True, b"2"))
        channel.basic_nack(0, multiple=True, requeue=False)
        expect(take_all(channel, queue), [b"3"])


@PIKA.verb
def reject_to_the_queue_and_to_a_dead_letter_exchange(url):
    with channel_on(url) as channel, exchange_on(channel, "fanout") as dead_letters:
        graveyard = queue_on(channel)
        channel.queue_bind(graveyard, dead_letters)
        queue = queue_on(channel, **{"x-dead-letter-exchange": dead_letters})
        channel.basic_publish("", queue, b"twice")
        channel.basic_reject(channel.basic_get(queue)[0].delivery_tag, requeue=True)
        method, _, _ = channel.basic_get(queue)
        expect(method.redelivered, True)
        channel.basic_reject(method.delivery_tag, requeue=False)
        while True:
            _, properties, body = channel.basic_get(graveyard, auto_ack=True)
            if body is not None:
                break
        expect(body, b"twice")
        [death] = properties.headers["x-death"]
        expect((death["queue"], death["reason"], death["count"]), (queue, "rejected", 1))


@PIKA.verb
def recover(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"one", b"two")
        expect([channel.basic_get(queue)[2] for _ in range(2)], [b"one", b"two"])
        channel.basic_recover(requeue=True)
        again = [channel.basic_get(queue) for _ in range(2)]
        expect([(m.redelivered, body) for m, _, body in again], [(True, b"one"), (True, b"two")])


@PIKA.verb
def ack_of_an_unknown_tag(url):
    with connected(url) as connection:
        channel = connection.channel()
        try:
            channel.basic_ack(99)
            channel.queue_declare("", exclusive=True)
        except ChannelClosedByBroker as error:
            expect(error.reply_code, 406)
            return
    raise AssertionError("an unknown delivery tag was acknowledged")


@PIKA.verb
def transaction_commit_and_rollback(url):
    with channel_on(url) as channel, channel_on(url) as observer:
        queue = fresh("queue")
        channel.queue_declare(queue, durable=True)
        try:
            channel.tx_select()
            channel.basic_publish("", queue, b"rolled back")
            channel.tx_rollback()
            channel.basic_publish("", queue, b"committed")
            expect(take(observer, queue), None)
            channel.tx_commit()
            expect(take_all(observer, queue), [b"committed"])
            channel.basic_publish("", queue, b"settled in a transaction")
            channel.tx_commit()
            channel.basic_ack(channel.basic_get(queue)[0].delivery_tag)
            channel.tx_commit()
            channel.connection.close()
            expect(take(observer, queue), None)
        finally:
            observer.queue_delete(queue)


@PIKA.verb
def direct_reply_to(url):
    with channel_on(url) as client, channel_on(url) as server:
        queue = queue_on(server)
        replies = []
        client.basic_consume(
            "amq.rabbitmq.reply-to", lambda *args: replies.append(args[3]), auto_ack=True
        )
        question = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="1")
        client.basic_publish("", queue, b"question", question)
        while True:
            _, properties, body = server.basic_get(queue, auto_ack=True)
            if body is not None:
                break
        server.basic_publish("", properties.reply_to, b"answer to " + body)
        while not replies:
            client.connection.process_data_events(time_limit=1)
        expect(replies, [b"answer to question"])
