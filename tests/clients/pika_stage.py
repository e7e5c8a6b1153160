"""Plays generators on pika's event-driven connections.

A verb is written as a generator of the connection. What it yields is a function of one callback; the generator
goes on when that callback is called, with the callback's arguments as the value of the `yield`.
"""

import pika


class Stage:
    """One connection and the generator that is played on it."""

    def __init__(self, connection_class, url, script):
        self.script = script
        self.play = None
        self.error = None
        self.connection = connection_class(
            pika.URLParameters(url),
            on_open_callback=self.opened,
            on_open_error_callback=self.failed,
            on_close_callback=self.closed,
        )

    def run(self):
        loop = self.connection.ioloop
        start = loop.run_forever if hasattr(loop, "run_forever") else loop.start
        start()
        if self.error:
            raise self.error

    def opened(self, connection):
        self.play = self.script(connection)
        self.go_on()

    def failed(self, _connection, error):
        self.error = error
        self.connection.ioloop.stop()

    def closed(self, _connection, reason):
        if not isinstance(reason, pika.exceptions.ConnectionClosedByClient):
            self.error = self.error or reason
        self.connection.ioloop.stop()

    def go_on(self, *value):
        """Runs the generator up to its next `yield`; at its end the connection is closed."""
        try:
            wait_for = self.play.send(value or None)
            wait_for(self.go_on)
        except StopIteration:
            self.leave()
        except Exception as error:
            self.error = error
            self.leave()

    def leave(self):
        if self.connection.is_open:
            self.connection.close()


def on_stage(connection_class):
    """Turns a generator of the connection into a function of the URL."""

    def decorate(script):
        def function(url):
            Stage(connection_class, url, script).run()

        function.__name__ = script.__name__
        return function

    return decorate
