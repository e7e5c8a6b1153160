"""pika: the event-driven connections and their channels."""

import asyncio

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.select_connection import IOLoop

from pika_scene import PIKA
from pika_stage import on_stage
from verbs import expect, fresh


@PIKA.verb
@on_stage(pika.SelectConnection)
def events_connection_and_its_callbacks(connection):
    expect((connection.is_open, connection.is_closing, connection.is_closed), (True, False, False))
    supported = (connection.basic_nack, connection.consumer_cancel_notify)
    expect(
        supported + (connection.publisher_confirms, connection.exchange_exchange_bindings),
        (True,) * 4,
    )
    connection.add_on_connection_blocked_callback(unexpected)
    connection.add_on_connection_unblocked_callback(unexpected)
    connection.add_on_close_callback(lambda *args: None)
    yield lambda go_on: connection.update_secret("secret", "rotation", callback=go_on)
    (channel,) = yield lambda go_on: connection.channel(3, on_open_callback=go_on)
    expect((channel.channel_number, channel.is_open, channel.is_opening), (3, True, False))
    _, reason = yield lambda go_on: close_channel(channel, go_on)
    expect((type(reason).__name__, channel.is_closed), ("ChannelClosedByClient", True))


def unexpected(*arguments):
    raise AssertionError(f"not expected here: {arguments!r}")


def close_channel(channel, go_on):
    channel.add_on_close_callback(go_on)
    channel.close()
    expect(channel.is_closing, True)


@PIKA.verb
def events_connection_opened_and_refused(url):
    loop = IOLoop()
    events = []

    def opened(connection):
        events.append("opened")
        connection.close()

    def failed(_connection, error):
        events.append("refused")
        loop.stop()

    connection = pika.SelectConnection(pika.URLParameters(url), custom_ioloop=loop)
    connection.add_on_open_callback(opened)
    connection.add_on_close_callback(lambda *args: loop.stop())
    loop.start()
    nobody = pika.ConnectionParameters("127.0.0.1", 1, connection_attempts=1)
    refused = pika.SelectConnection(nobody, custom_ioloop=loop)
    refused.add_on_open_error_callback(failed)
    loop.start()
    expect(events, ["opened", "refused"])


@PIKA.verb
def events_create_connection(url):
    configurations = [pika.ConnectionParameters("127.0.0.1", 1), pika.URLParameters(url)]
    select_loop, asyncio_loop = IOLoop(), asyncio.new_event_loop()
    for kind, loop, run in (
        (pika.SelectConnection, select_loop, select_loop.start),
        (AsyncioConnection, asyncio_loop, asyncio_loop.run_forever),
    ):
        outcome = []

        def done(result):
            outcome.append(result)
            result.add_on_close_callback(lambda *args: loop.stop())
            result.close()

        kind.create_connection(configurations, done, custom_ioloop=loop)
        run()
        expect(isinstance(outcome[0], kind), True)


def topology(connection):
    """Everything that declares, with a callback for each answer."""
    (channel,) = yield lambda go_on: connection.channel(on_open_callback=go_on)
    source, destination, queue = fresh("source"), fresh("destination"), fresh("queue")
    for name, kind in ((source, "topic"), (destination, "fanout")):
        yield lambda go_on: channel.exchange_declare(name, kind, callback=go_on)
    (ok,) = yield lambda go_on: channel.queue_declare(queue, exclusive=True, callback=go_on)
    expect(ok.method.queue, queue)
    yield lambda go_on: channel.exchange_bind(destination, source, "#", callback=go_on)
    yield lambda go_on: channel.queue_bind(queue, destination, "", callback=go_on)
    channel.basic_publish(source, "a.b", b"routed")
    _, method, _, body = yield lambda go_on: channel.basic_get(queue, go_on)
    expect((method.routing_key, body), ("a.b", b"routed"))
    yield lambda go_on: channel.basic_recover(requeue=True, callback=go_on)
    (ok,) = yield lambda go_on: channel.queue_purge(queue, callback=go_on)
    expect(ok.method.message_count, 1)
    yield lambda go_on: channel.queue_unbind(queue, destination, "", callback=go_on)
    yield lambda go_on: channel.exchange_unbind(destination, source, "#", callback=go_on)
    (ok,) = yield lambda go_on: channel.queue_delete(queue, callback=go_on)
    expect(ok.method.message_count, 0)
    for name in (source, destination):
        yield lambda go_on: channel.exchange_delete(name, callback=go_on)


@PIKA.verb
@on_stage(pika.SelectConnection)
def events_topology(connection):
    yield from topology(connection)


@PIKA.verb
@on_stage(AsyncioConnection)
def events_topology_on_asyncio(connection):
    yield from topology(connection)


@PIKA.verb
@on_stage(pika.SelectConnection)
def events_without_waiting_for_answers(connection):
    """Without callbacks pika sets the `nowait` bit; the last answer proves that all were obeyed."""
    (channel,) = yield lambda go_on: connection.channel(on_open_callback=go_on)
    source, destination, queue = fresh("source"), fresh("destination"), fresh("queue")
    channel.exchange_declare(source, "topic")
    channel.exchange_declare(destination, "fanout")
    channel.queue_declare(queue, exclusive=True)
    channel.exchange_bind(destination, source, "#")
    channel.queue_bind(queue, destination, "")
    channel.basic_publish(source, "key", b"purged")
    channel.queue_purge(queue)
    channel.basic_publish(source, "key", b"kept")
    _, _, _, body = yield lambda go_on: channel.basic_get(queue, go_on, auto_ack=True)
    expect(body, b"kept")
    channel.queue_unbind(queue, destination, "")
    channel.exchange_unbind(destination, source, "#")
    channel.basic_publish(source, "key", b"unbound")
    empty = []
    channel.add_callback(empty.append, [pika.spec.Basic.GetEmpty])
    yield lambda go_on: probe_empty(channel, queue, go_on)
    expect(len(empty), 1)
    channel.basic_consume(queue, unexpected, consumer_tag="unheard")
    channel.basic_cancel("unheard")
    channel.exchange_delete(source)
    channel.exchange_delete(destination)
    channel.queue_delete(queue)
    _, reason = yield lambda go_on: declare_missing(channel, queue, go_on)
    expect(reason.reply_code, 404)


def probe_empty(channel, queue, go_on):
    channel.basic_get(queue, unexpected)
    channel.basic_qos(callback=go_on)


def declare_missing(channel, queue, go_on):
    channel.add_on_close_callback(go_on)
    channel.queue_declare(queue, passive=True)


@PIKA.verb
@on_stage(pika.SelectConnection)
def events_confirms(connection):
    (channel,) = yield lambda go_on: connection.channel(on_open_callback=go_on)
    confirmed = Confirmed(10)
    yield lambda go_on: channel.confirm_delivery(confirmed.note, callback=go_on)
    arguments = {"x-max-length": 4, "x-overflow": "reject-publish"}
    queue = fresh("queue")
    yield lambda go_on: channel.queue_declare(
        queue, exclusive=True, arguments=arguments, callback=go_on
    )
    returned = []
    channel.add_on_return_callback(lambda *args: returned.append(args[3]))
    for number in range(9):
        channel.basic_publish("", queue, str(number).encode())
    channel.basic_publish("", fresh("missing"), b"returned", mandatory=True)
    yield confirmed.when_all
    expect(sorted(confirmed.positive), [1, 2, 3, 4, 10])
    expect(sorted(confirmed.negative), [5, 6, 7, 8, 9])
    expect(returned, [b"returned"])


class Confirmed:
    """Collects confirms, of one message and of many, until each number has its answer."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.positive, self.negative = set(), set()
        self.go_on = None

    def note(self, frame):
        method = frame.method
        known = self.positive | self.negative
        first = 1 if method.multiple else method.delivery_tag
        numbers = set(range(first, method.delivery_tag + 1)) - known
        kind = self.positive if isinstance(method, pika.spec.Basic.Ack) else self.negative
        kind |= numbers
        self.check()

    def when_all(self, go_on):
        self.go_on = go_on
        self.check()

    def check(self):
        if self.go_on and len(self.positive | self.negative) == self.wanted:
            go_on, self.go_on = self.go_on, None
            go_on()


@PIKA.verb
@on_stage(pika.SelectConnection)
def events_consume_and_settle(connection):
    (channel,) = yield lambda go_on: connection.channel(on_open_callback=go_on)
    queue = fresh("queue")
    yield lambda go_on: channel.queue_declare(queue, exclusive=True, callback=go_on)
    yield lambda go_on: channel.basic_qos(prefetch_count=1, callback=go_on)
    mailbox = Mailbox()
    tag = channel.basic_consume(queue, mailbox.put, consumer_tag="mine")
    expect((tag, channel.consumer_tags), ("mine", ["mine"]))
    for body in (b"acked", b"nacked", b"rejected", b"last"):
        channel.basic_publish("", queue, body)
    seen = []
    for settle in (
        lambda tag: channel.basic_ack(tag),
        lambda tag: channel.basic_nack(tag, requeue=False),
        lambda tag: channel.basic_reject(tag, requeue=False),
        lambda tag: channel.basic_ack(tag),
    ):
        _, method, _, body = yield mailbox.take
        seen.append(body)
        settle(method.delivery_tag)
    expect(seen, [b"acked", b"nacked", b"rejected", b"last"])
    yield lambda go_on: channel.basic_cancel("mine", callback=go_on)
    (ok,) = yield lambda go_on: channel.queue_declare(queue, passive=True, callback=go_on)
    expect((ok.method.message_count, ok.method.consumer_count), (0, 0))


class Mailbox:
    """Deliveries that came, and whoever waits for one."""

    def __init__(self):
        self.letters = []
        self.go_on = None

    def put(self, *letter):
        self.letters.append(letter)
        self.hand_over()

    def take(self, go_on):
        self.go_on = go_on
        self.hand_over()

    def hand_over(self):
        if self.go_on and self.letters:
            go_on, self.go_on = self.go_on, None
            go_on(*self.letters.pop(0))


@PIKA.verb
@on_stage(pika.SelectConnection)
def events_cancel_by_the_broker(connection):
    (channel,) = yield lambda go_on: connection.channel(on_open_callback=go_on)
    queue = fresh("queue")
    yield lambda go_on: channel.queue_declare(queue, exclusive=True, callback=go_on)
    yield lambda go_on: channel.basic_consume(queue, unexpected, callback=go_on)
    (frame,) = yield lambda go_on: delete_consumed(channel, queue, go_on)
    expect(isinstance(frame.method, pika.spec.Basic.Cancel), True)


def delete_consumed(channel, queue, go_on):
    channel.add_on_cancel_callback(go_on)
    channel.queue_delete(queue)


@PIKA.verb
@on_stage(pika.SelectConnection)
def events_transaction_and_flow(connection):
    (channel,) = yield lambda go_on: connection.channel(on_open_callback=go_on)
    channel.add_on_flow_callback(unexpected)
    (active,) = yield lambda go_on: channel.flow(True, callback=go_on)
    expect(active, True)
    queue = fresh("queue")
    yield lambda go_on: channel.queue_declare(queue, exclusive=True, callback=go_on)
    yield lambda go_on: channel.tx_select(callback=go_on)
    channel.basic_publish("", queue, b"rolled back")
    yield lambda go_on: channel.tx_rollback(callback=go_on)
    channel.basic_publish("", queue, b"committed")
    yield lambda go_on: channel.tx_commit(callback=go_on)
    _, method, _, body = yield lambda go_on: channel.basic_get(queue, go_on)
    expect((method.message_count, body), (0, b"committed"))
