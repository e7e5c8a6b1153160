"""pika: the broker is killed and started again; pika has no recovery of its own, so the loop is here."""

import pika
from pika.exceptions import AMQPConnectionError, StreamLostError

from pika_scene import PIKA
from verbs import ask, expect, fresh

PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def reconnected(url):
    """A connection, however often it must be tried while the broker is still starting."""
    parameters = pika.URLParameters(url)
    parameters.connection_attempts = 40
    parameters.retry_delay = 0.5
    return pika.BlockingConnection(parameters)


@PIKA.restarting_verb
def restart_confirmed_messages_survive(url):
    connection = reconnected(url)
    channel = connection.channel()
    exchange, queue = fresh("exchange"), fresh("queue")
    channel.exchange_declare(exchange, "topic", durable=True)
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, exchange, "kept.#")
    channel.confirm_delivery()
    for number in range(100):
        channel.basic_publish(
            exchange, "kept.here", str(number).encode(), PERSISTENT, mandatory=True
        )
    ask("restart")
    try:
        channel.queue_declare(queue, passive=True)
        raise AssertionError("the connection outlived the broker")
    except AMQPConnectionError:
        pass
    channel = reconnected(url).channel()
    channel.exchange_declare(exchange, passive=True)
    bodies = [int(channel.basic_get(queue, auto_ack=True)[2]) for _ in range(100)]
    expect(bodies, list(range(100)))
    channel.confirm_delivery()
    channel.basic_publish(exchange, "kept.binding", b"afterwards", PERSISTENT, mandatory=True)
    expect(channel.basic_get(queue, auto_ack=True)[2], b"afterwards")
    channel.queue_delete(queue)
    channel.exchange_delete(exchange)
    channel.connection.close()


@PIKA.restarting_verb
def restart_a_consumer_reconnects(url):
    queue = fresh("queue")
    received = []

    def on_message(channel, method, _properties, body):
        received.append((body, method.redelivered))
        if len(received) == 1:
            ask("restart")
            return
        channel.basic_ack(method.delivery_tag)
        channel.stop_consuming()

    for _attempt in range(2):
        connection = reconnected(url)
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        if not received:
            channel.confirm_delivery()
            channel.basic_publish("", queue, b"unsettled", PERSISTENT)
        channel.basic_consume(queue, on_message)
        try:
            channel.start_consuming()
        except StreamLostError:
            continue
    expect(received, [(b"unsettled", False), (b"unsettled", True)])
    channel.queue_delete(queue)
    connection.close()


@PIKA.restarting_verb
def restart_ends_exclusive_queues(url):
    connection = reconnected(url)
    channel = connection.channel()
    queue = fresh("queue")
    channel.queue_declare(queue, exclusive=True)
    ask("restart")
    connection = reconnected(url)
    channel = connection.channel()
    expect(channel.queue_declare(queue, exclusive=True).method.message_count, 0)
    connection.close()
