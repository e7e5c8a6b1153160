"""The verbs of kombu (PyPI), as its users have them: fanout, priorities, remote control, simple queues."""

import contextlib
import importlib.metadata
import socket
import sys
import time

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.pidbox import Mailbox

from verbs import Verbs, ask, expect, fresh

KOMBU = Verbs("kombu", importlib.metadata.version("kombu"))
SECONDS = 30

# Celery's headers are tables in tables, with lists in them.
HEADERS = {
    "lang": "py",
    "stamps": {"first": {"second": {"third": [1, "two", None, True]}}},
    "timelimit": [None, 30],
    "shadow": None,
    "retries": 0,
}


@contextlib.contextmanager
def opened(url):
    with Connection(url) as connection:
        connection.connect()
        yield connection


def drain(connection, wanted):
    """Takes events in until `wanted` is true."""
    deadline = time.monotonic() + SECONDS
    while not wanted():
        if time.monotonic() > deadline:
            raise AssertionError("the messages never came")
        with contextlib.suppress(socket.timeout):
            connection.drain_events(timeout=0.5)


@KOMBU.verb
def fanout_reaches_every_worker(url):
    name = fresh("fanout")
    exchange = Exchange(name, type="fanout", durable=False, auto_delete=True)
    got = {worker: [] for worker in range(4)}
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(opened(url)) for _ in got]
        for worker, connection in enumerate(connections):
            queue = Queue(
                f"{name}.{worker}",
                exchange,
                exclusive=True,
                auto_delete=True,
                expires=60.0,
                message_ttl=30.0,
                max_length=100,
            )

            def take(body, message, worker=worker):
                got[worker].append((body, message.headers["stamps"]))
                message.ack()

            consumer = Consumer(connection, [queue], callbacks=[take], accept=["json"])
            stack.enter_context(consumer)
        with opened(url) as sender:
            producer = Producer(sender, exchange=exchange, auto_declare=False)
            for number in range(5):
                producer.publish({"number": number}, headers=HEADERS, retry=True, delivery_mode=1)
        for worker, connection in enumerate(connections):
            drain(connection, lambda worker=worker: len(got[worker]) == 5)
    wanted = [({"number": number}, HEADERS["stamps"]) for number in range(5)]
    expect(got, {worker: wanted for worker in got})


@KOMBU.verb
def topics_and_priorities(url):
    name = fresh("topic")
    exchange = Exchange(name, type="topic")
    queue = Queue(name, exchange, routing_key="task.#", max_priority=10)
    with opened(url) as connection:
        producer = Producer(connection, exchange=exchange, routing_key="task.low")
        producer.maybe_declare(queue)
        for priority in (0, 5, 9, 5, 0):
            producer.publish({"priority": priority}, priority=priority, declare=[queue])
        producer.publish({"lost": True}, routing_key="other")
        got = []

        def take(body, message):
            got.append(body["priority"])
            message.ack()

        with Consumer(connection, [queue], callbacks=[take], prefetch_count=1):
            drain(connection, lambda: len(got) == 5)
        expect(got, [9, 5, 5, 0, 0])
        bound = queue(connection.channel())
        expect(bound.queue_declare(passive=True).message_count, 0)
        bound.delete()
        exchange(connection.channel()).delete()


@KOMBU.verb
def rejected_and_expired_messages_go_to_another_queue(url):
    name = fresh("dead")
    dead = Queue(f"{name}.dead", Exchange(f"{name}.dead", type="direct"), routing_key="dead")
    arguments = {
        "x-dead-letter-exchange": f"{name}.dead",
        "x-dead-letter-routing-key": "dead",
    }
    work = Queue(name, Exchange(name), routing_key=name, queue_arguments=arguments)
    with opened(url) as connection:
        producer = Producer(connection)
        for queue in (dead, work):
            producer.maybe_declare(queue)
        producer.publish("reject", exchange=work.exchange, routing_key=name)
        producer.publish("expire", exchange=work.exchange, routing_key=name, expiration=0.1)
        bound, buried = work(connection.channel()), dead(connection.channel())
        bound.get().reject()
        reasons = {}
        deadline = time.monotonic() + SECONDS
        while len(reasons) < 2 and time.monotonic() < deadline:
            message = buried.get()
            if message is None:
                time.sleep(0.05)
                continue
            reasons[message.payload] = message.headers["x-death"][0]["reason"]
            message.ack()
        expect(reasons, {"reject": "rejected", "expire": "expired"})
        for queue in (bound, buried):
            queue.delete()
            queue.exchange.delete()


@KOMBU.verb
def a_mailbox_asks_everybody(url):
    namespace = fresh("mailbox")
    mailbox = Mailbox(namespace, type="fanout")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(opened(url)) for _ in range(3)]
        for number, connection in enumerate(connections):
            node = mailbox(connection).Node(f"node{number}", channel=connection.channel())

            def answer(state, number=number, **_arguments):
                return {"number": number}

            node.handler(answer)
            consumer = node.listen()
            stack.callback(consumer.cancel)
        asker = stack.enter_context(opened(url))
        bound = mailbox(asker)
        ticket = fresh("ticket")
        channel = asker.channel()
        reply = bound.get_reply_queue()
        reply(channel).declare()
        bound._publish("answer", {}, reply_ticket=ticket, channel=channel, timeout=SECONDS)
        for connection in connections:
            connection.drain_events(timeout=SECONDS)
        replies = bound._collect(ticket, limit=3, timeout=SECONDS, channel=channel)
        numbers = sorted(value["number"] for answer in replies for value in answer.values())
        expect(numbers, [0, 1, 2])
        reply(channel).delete()
        for exchange in (bound.exchange, bound.reply_exchange):
            exchange(channel).delete()


@KOMBU.verb
def simple_queues(url):
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        queue = connection.SimpleQueue(fresh("simple"))
        for number in range(3):
            queue.put({"number": number}, serializer="json", compression="zlib")
        expect(queue.qsize(), 3)
        first = queue.get(timeout=SECONDS)
        first.requeue()
        numbers = []
        for _ in range(3):
            message = queue.get(timeout=SECONDS)
            numbers.append(message.payload["number"])
            message.ack()
        expect(sorted(numbers), [0, 1, 2])
        expect(queue.clear(), 0)
        queue.close()
        channel = connection.channel()
        channel.queue_delete(queue.queue.name)
        channel.exchange_delete(queue.queue.exchange.name)


@KOMBU.verb
def confirms_and_retries(url):
    name = fresh("confirm")
    queue = Queue(name, Exchange(name), routing_key=name, queue_arguments={"x-max-length": 10})
    options = {"confirm_publish": True, "client_properties": {"connection_name": "kombu"}}
    with Connection(url, transport_options=options) as connection:
        producer = Producer(connection)
        ensured = connection.ensure(producer, producer.publish, max_retries=3)
        for number in range(12):
            ensured(number, exchange=queue.exchange, routing_key=name, declare=[queue])
        bound = queue(connection.channel())
        expect(bound.queue_declare(passive=True).message_count, 10)
        expect(bound.get().payload, 2)
        expect(bound.purge() in (9, 10), True)
        bound.delete()
        queue.exchange(connection.channel()).delete()


@KOMBU.restarting_verb
def restart_between_two_publishes(url):
    name = fresh("restart")
    queue = Queue(name, Exchange(name), routing_key=name)
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        producer = Producer(connection)
        options = {"exchange": queue.exchange, "routing_key": name, "declare": [queue]}
        policy = {"max_retries": 60, "interval_start": 0.5, "interval_max": 0.5}
        producer.publish("before", retry=True, retry_policy=policy, **options)
        ask("restart")
        producer.publish("after", retry=True, retry_policy=policy, **options)
        bound = queue(connection.channel())
        expect([bound.get().payload for _ in range(2)], ["before", "after"])
        bound.delete()
        queue.exchange(connection.channel()).delete()


if __name__ == "__main__":
    sys.exit(KOMBU.main())
