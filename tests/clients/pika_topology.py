"""pika: exchanges, queues and their bindings."""

from pika import BasicProperties
from pika.exceptions import ChannelClosedByBroker

from pika_scene import PIKA, channel_on, connected, exchange_on, filled_queue, queue_on, take
from verbs import expect, fresh


def refused(code, call):
    """Expects the broker to close the channel with this code."""
    try:
        call()
    except ChannelClosedByBroker as error:
        expect(error.reply_code, code)
        return
    raise AssertionError(f"expected the channel to be closed with {code}")


@PIKA.verb
def exchange_declare_of_every_type(url):
    with channel_on(url) as channel:
        for kind in ("direct", "fanout", "topic", "headers"):
            with exchange_on(channel, kind, durable=True) as exchange:
                channel.exchange_declare(exchange, kind, durable=True)


@PIKA.verb
def exchange_declare_passive(url):
    with channel_on(url) as channel:
        with exchange_on(channel) as exchange:
            channel.exchange_declare(exchange, passive=True)
        refused(404, lambda: channel.exchange_declare(exchange, passive=True))


@PIKA.verb
def exchange_declare_internal_with_alternate(url):
    with channel_on(url) as channel, exchange_on(channel, "fanout", internal=True) as alternate:
        queue = queue_on(channel)
        channel.queue_bind(queue, alternate)
        arguments = {"alternate-exchange": alternate}
        with exchange_on(channel, "direct", arguments=arguments) as exchange:
            channel.basic_publish(exchange, "nobody", b"left over")
            expect(take(channel, queue), b"left over")


@PIKA.verb
def exchange_declare_auto_delete(url):
    with channel_on(url) as channel, exchange_on(channel, auto_delete=True) as exchange:
        queue = queue_on(channel)
        channel.queue_bind(queue, exchange, "key")
        channel.queue_unbind(queue, exchange, "key")
        refused(404, lambda: channel.exchange_declare(exchange, passive=True))


@PIKA.verb
def exchange_declare_inequivalent(url):
    with channel_on(url) as channel, exchange_on(channel, "direct") as exchange:
        refused(406, lambda: channel.exchange_declare(exchange, "fanout"))


@PIKA.verb
def exchange_delete(url):
    with channel_on(url) as channel, exchange_on(channel) as exchange:
        queue = queue_on(channel)
        channel.queue_bind(queue, exchange, "key")
        channel.exchange_delete(exchange)
        channel.exchange_delete(exchange)
        with exchange_on(channel) as used:
            channel.queue_bind(queue, used, "key")
            refused(406, lambda: channel.exchange_delete(used, if_unused=True))


@PIKA.verb
def exchange_bind_and_unbind(url):
    with channel_on(url) as channel:
        with exchange_on(channel, "topic") as source, exchange_on(channel, "fanout") as destination:
            queue = queue_on(channel)
            channel.queue_bind(queue, destination)
            channel.exchange_bind(destination, source, "a.*", arguments={"note": "kept"})
            channel.basic_publish(source, "a.b", b"through two")
            expect(take(channel, queue), b"through two")
            channel.exchange_unbind(destination, source, "a.*", arguments={"note": "kept"})
            channel.basic_publish(source, "a.b", b"unbound")
            expect(take(channel, queue), None)


@PIKA.verb
def queue_declare_with_every_flag(url):
    name = fresh("queue")
    with channel_on(url) as channel:
        arguments = {"x-message-ttl": 60_000, "x-max-length": 10, "x-max-priority": 5}
        ok = channel.queue_declare(name, durable=True, auto_delete=True, arguments=arguments).method
        expect((ok.queue, ok.message_count, ok.consumer_count), (name, 0, 0))
        tag = channel.basic_consume(name, lambda *args: None)
        expect(channel.queue_declare(name, passive=True).method.consumer_count, 1)
        channel.basic_cancel(tag)
        refused(404, lambda: channel.queue_declare(name, passive=True))


@PIKA.verb
def queue_declare_passive_counts_messages(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"one", b"two", b"three")
        expect(channel.queue_declare(queue, passive=True).method.message_count, 3)


@PIKA.verb
def queue_declare_named_by_the_server(url):
    with channel_on(url) as channel:
        first = channel.queue_declare("", exclusive=True).method.queue
        second = channel.queue_declare("", exclusive=True).method.queue
        expect((first.startswith("amq.gen-"), first == second), (True, False))
        channel.basic_publish("", second, b"to the last one")
        expect(channel.basic_get("", auto_ack=True)[2], b"to the last one")


@PIKA.verb
def queue_declare_inequivalent(url):
    with channel_on(url) as channel:
        queue = queue_on(channel, **{"x-message-ttl": 1000})
        changed = {"x-message-ttl": 2000}
        refused(406, lambda: channel.queue_declare(queue, exclusive=True, arguments=changed))


@PIKA.verb
def queue_declare_exclusive_to_the_connection(url):
    with channel_on(url) as owner:
        queue = queue_on(owner)
        with channel_on(url) as other:
            refused(405, lambda: other.queue_declare(queue, passive=True))
    with channel_on(url) as later:
        refused(404, lambda: later.queue_declare(queue, passive=True))


@PIKA.verb
def queue_bind_and_unbind(url):
    with channel_on(url) as channel, exchange_on(channel, "topic") as exchange:
        queue = queue_on(channel)
        channel.queue_bind(queue, exchange, "#.error")
        channel.queue_bind(queue, exchange, "#.error")
        channel.basic_publish(exchange, "disk.error", b"bound")
        expect((take(channel, queue), take(channel, queue)), (b"bound", None))
        channel.queue_unbind(queue, exchange, "#.error")
        channel.basic_publish(exchange, "disk.error", b"unbound")
        expect(take(channel, queue), None)


@PIKA.verb
def queue_bind_by_headers(url):
    with channel_on(url) as channel, exchange_on(channel, "headers") as exchange:
        queue = queue_on(channel)
        wanted = {"x-match": "all", "format": "pdf", "pages": 3}
        channel.queue_bind(queue, exchange, arguments=wanted)
        for pages in (3, 4):
            headers = {"format": "pdf", "pages": pages}
            channel.basic_publish(
                exchange, "", str(pages).encode(), BasicProperties(headers=headers)
            )
        expect((take(channel, queue), take(channel, queue)), (b"3", None))


@PIKA.verb
def queue_bind_to_a_missing_exchange(url):
    with channel_on(url) as channel:
        queue = queue_on(channel)
        refused(404, lambda: channel.queue_bind(queue, fresh("missing"), "key"))


@PIKA.verb
def queue_purge(url):
    with channel_on(url) as channel:
        queue = filled_queue(channel, b"one", b"two", b"three")
        channel.basic_get(queue)
        expect(channel.queue_purge(queue).method.message_count, 2)
        expect(take(channel, queue), None)


@PIKA.verb
def queue_delete(url):
    with connected(url) as connection:
        channel = connection.channel()
        expect(channel.queue_delete(fresh("missing")).method.message_count, 0)
        queue = filled_queue(channel, b"one", b"two")
        refused(406, lambda: channel.queue_delete(queue, if_empty=True))
        channel = connection.channel()
        channel.basic_consume(queue, lambda *args: None, consumer_tag="busy")
        refused(406, lambda: channel.queue_delete(queue, if_unused=True))
        channel = connection.channel()
        expect(channel.queue_delete(queue).method.message_count, 2)
        refused(404, lambda: channel.queue_declare(queue, passive=True))
