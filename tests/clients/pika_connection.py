"""pika: connections and channels."""

import time

import pika
from pika.exceptions import (
    ChannelClosedByBroker,
    ChannelWrongStateError,
    ConnectionClosedByBroker,
    ConnectionWrongStateError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from pika_scene import PIKA, channel_on, connected, queue_on
from verbs import expect, fresh


@PIKA.verb
def connect_and_close(url):
    with connected(url) as connection:
        expect((connection.is_open, connection.is_closed), (True, False))
        connection.close(reply_code=200, reply_text="that was all")
        expect((connection.is_open, connection.is_closed), (False, True))
        try:
            connection.channel()
        except ConnectionWrongStateError:
            return
        raise AssertionError("a closed connection opened a channel")


@PIKA.verb
def connect_with_every_option(url):
    options = {
        "client_properties": {"connection_name": fresh("connection"), "nested": {"answer": 42}},
        "channel_max": 7,
        "frame_max": 8192,
        "heartbeat": 30,
        "locale": "en_US",
        "blocked_connection_timeout": 5,
        "socket_timeout": 5,
        "stack_timeout": 10,
        "connection_attempts": 2,
        "retry_delay": 1,
        "tcp_options": {"TCP_KEEPIDLE": 60},
    }
    with connected(url, **options) as connection:
        channel = connection.channel()
        queue = queue_on(channel)
        body = b"x" * 50_000
        channel.basic_publish("", queue, body)
        expect(channel.basic_get(queue, auto_ack=True)[2], body)


@PIKA.verb
def connect_with_options_in_the_url(url):
    separator = "&" if "?" in url else "?"
    query = "heartbeat=20&frame_max=16384&channel_max=5&connection_attempts=2&socket_timeout=5"
    with connected(f"{url}{separator}{query}") as connection:
        expect(connection.channel(5).channel_number, 5)


@PIKA.verb
def connect_with_a_wrong_password(url):
    credentials = pika.PlainCredentials("guest", "not the password")
    try:
        with connected(url, credentials=credentials):
            raise AssertionError("a wrong password was accepted")
    except ProbableAuthenticationError:
        pass


@PIKA.verb
def connect_to_an_unknown_virtual_host(url):
    try:
        with connected(url, virtual_host=fresh("vhost")):
            raise AssertionError("an unknown virtual host was opened")
    except (ProbableAccessDeniedError, ConnectionClosedByBroker) as error:
        if isinstance(error, ConnectionClosedByBroker):
            expect(error.reply_code, 530)


@PIKA.verb
def capabilities_of_the_broker(url):
    with connected(url) as connection:
        supported = {
            "basic_nack": connection.basic_nack,
            "basic_nack_supported": connection.basic_nack_supported,
            "cancel_notify": connection.consumer_cancel_notify,
            "cancel_notify_supported": connection.consumer_cancel_notify_supported,
            "exchange_bindings": connection.exchange_exchange_bindings,
            "exchange_bindings_supported": connection.exchange_exchange_bindings_supported,
            "confirms": connection.publisher_confirms,
            "confirms_supported": connection.publisher_confirms_supported,
        }
        expect([name for name, supports in supported.items() if not supports], [])


@PIKA.verb
def heartbeats_keep_an_idle_connection(url):
    with connected(url, heartbeat=1) as connection:
        connection.sleep(3.5)
        expect(connection.channel().is_open, True)


@PIKA.verb
def silence_beyond_the_heartbeat_ends_the_connection(url):
    with connected(url, heartbeat=1) as connection:
        time.sleep(5)
        try:
            connection.sleep(2)
        except pika.exceptions.AMQPConnectionError:
            expect(connection.is_closed, True)
            return
    raise AssertionError("the broker kept a peer that was silent for five heartbeats")


@PIKA.verb
def timers_and_callbacks_of_the_connection(url):
    with connected(url) as connection:
        called = []
        connection.call_later(0.01, lambda: called.append("timer"))
        removed = connection.call_later(0.01, lambda: called.append("removed"))
        connection.remove_timeout(removed)
        connection.add_callback_threadsafe(lambda: called.append("threadsafe"))
        deadline = time.monotonic() + 5
        while len(called) < 2 and time.monotonic() < deadline:
            connection.process_data_events(time_limit=0.1)
        expect(sorted(called), ["threadsafe", "timer"])


@PIKA.verb
def blocked_and_unblocked_callbacks(url):
    with connected(url) as connection:
        notices = []
        connection.add_on_connection_blocked_callback(lambda *args: notices.append("blocked"))
        connection.add_on_connection_unblocked_callback(lambda *args: notices.append("unblocked"))
        channel = connection.channel()
        channel.basic_publish("", queue_on(channel), b"published while nothing blocks")
        connection.process_data_events(time_limit=0.1)
        expect(notices, [])


@PIKA.verb
def update_secret(url):
    with connected(url) as connection:
        connection.update_secret("another secret", "the old one expires")
        expect(connection.channel().is_open, True)


@PIKA.verb
def channel_open_and_close(url):
    with connected(url) as connection:
        first, seventh = connection.channel(), connection.channel(7)
        expect((first.channel_number, seventh.channel_number), (1, 7))
        expect(seventh.connection is connection, True)
        seventh.close(reply_code=0, reply_text="enough")
        expect((seventh.is_open, seventh.is_closed), (False, True))
        expect(connection.channel(7).is_open, True)
        try:
            seventh.queue_declare("")
        except ChannelWrongStateError:
            return
        raise AssertionError("a closed channel declared a queue")


@PIKA.verb
def channel_closed_by_an_error_spares_the_connection(url):
    with connected(url) as connection:
        channel = connection.channel()
        try:
            channel.queue_declare(fresh("missing"), passive=True)
        except ChannelClosedByBroker as error:
            expect(error.reply_code, 404)
        expect(channel.is_closed, True)
        expect(connection.channel().is_open, True)


@PIKA.verb
def channel_flow(url):
    with channel_on(url) as channel:
        expect(channel.flow(True), True)
        queue = queue_on(channel)
        channel.basic_publish("", queue, b"flowing")
        expect(channel.basic_get(queue, auto_ack=True)[2], b"flowing")
