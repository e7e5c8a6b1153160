"""What the Python client scripts share: named verbs, run one by one, one line of JSON for each.

A script is started as `SCRIPT --url amqp://... [VERB ...]`, or with `--list` to name its verbs without a
broker. A verb that needs the broker killed and started again asks for it on standard output and waits for a
line on standard input, so such verbs run only when they are named.
"""

import argparse
import json
import signal
import sys
import traceback
import uuid

from offered import Offered

SECONDS_PER_VERB = 60


class Verbs:
    """The verbs of one client, in the order in which they were defined."""

    def __init__(self, client, version, offers=(), excused=()):
        self.client = client
        self.version = version
        self.functions = {}
        self.restarting = set()
        self.offered = Offered(offers, excused)

    def verb(self, function):
        """Registers a function of the broker's URL as a verb, under its own name."""
        if function.__name__ in self.functions:
            raise ValueError(f"{function.__name__} is defined twice")
        self.functions[function.__name__] = function
        return function

    def restarting_verb(self, function):
        """Registers a verb in which the broker is killed and started again."""
        self.restarting.add(function.__name__)
        return self.verb(function)

    def main(self):
        """Runs what the command line names; the exit code says whether all of it worked."""
        if self.offered.members:
            self.verb(self.everything_offered_was_called)
        arguments = self.parse()
        say({"client": self.client, "version": self.version})
        if arguments.list:
            for name in self.functions:
                say({"verb": name, "restart": name in self.restarting})
            return 0
        chosen = arguments.verbs or [name for name in self.functions if name not in self.restarting]
        worked = [self.run(name, arguments.url) for name in chosen]
        return 0 if all(worked) else 1

    def parse(self):
        parser = argparse.ArgumentParser(description=f"the verbs of {self.client}")
        parser.add_argument("--url", help="the broker, as an AMQP URL")
        parser.add_argument("--list", action="store_true", help="name the verbs")
        parser.add_argument(
            "verbs", nargs="*", metavar="VERB", help="default: all without a restart"
        )
        arguments = parser.parse_args()
        unknown = [name for name in arguments.verbs if name not in self.functions]
        if unknown:
            parser.error(f"no such verb: {', '.join(unknown)}")
        if not arguments.list and not arguments.url:
            parser.error("--url is needed")
        return arguments

    def run(self, name, url):
        signal.signal(signal.SIGALRM, out_of_time)
        signal.alarm(SECONDS_PER_VERB)
        try:
            with self.offered.watching():
                self.functions[name](url)
        except (Exception, OutOfTime) as error:
            traceback.print_exc()
            say({"verb": name, "ok": False, "error": f"{type(error).__name__}: {error}"})
            return False
        finally:
            signal.alarm(0)
        say({"verb": name, "ok": True})
        return True

    def everything_offered_was_called(self, _url):
        """The last verb: whatever the client offers has been called by one of the others."""
        left = self.offered.never_called()
        if left:
            raise AssertionError(f"never called: {', '.join(left)}")


def say(line):
    print(json.dumps(line), flush=True)


class OutOfTime(BaseException):
    """Outside the exceptions that a library may take for one of its own and swallow."""


def out_of_time(_signal, _frame):
    raise OutOfTime(f"not done after {SECONDS_PER_VERB} seconds")


def ask(what):
    """Asks whoever started this script for something, and waits until it is done."""
    say({"ask": what})
    answer = sys.stdin.readline().strip()
    if answer != "done":
        raise RuntimeError(f"asked for {what}, was told {answer!r}")


def fresh(kind):
    """A name that nobody else uses on this broker."""
    return f"clients.{kind}.{uuid.uuid4().hex[:12]}"


def expect(actual, wanted):
    """Fails with both values unless they are equal."""
    if actual != wanted:
        raise AssertionError(f"expected {wanted!r}, got {actual!r}")
