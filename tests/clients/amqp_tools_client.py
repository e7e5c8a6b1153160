"""The verbs of amqp-tools (Debian, built on rabbitmq-c): command line tools, with every option they have.

What the tools do not show, such as the headers of a message, is looked at with pika.
"""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from urllib.parse import unquote, urlsplit

import pika

from verbs import Verbs, ask, expect, fresh

TOOLS = ("publish", "get", "consume", "declare-queue", "delete-queue")
# TLS needs certificates that the brokers of these tests do not have; `--help` is what is read here.
EXCUSED = {"--ssl", "--cacert", "--key", "--cert", "--usage", "--help"}
SECONDS = 20
USED = {tool: set() for tool in TOOLS}


def version():
    query = ["dpkg-query", "--show", "--showformat", "${Version}", "amqp-tools"]
    return subprocess.run(query, capture_output=True, text=True).stdout or "of unknown version"


AMQP_TOOLS = Verbs("amqp-tools", version())


def start(tool, *arguments):
    """Starts a tool; each long option among its arguments is noted as used."""
    for argument in arguments:
        USED[tool].update(re.findall(r"^--[a-z-]+", argument))
    pipe = subprocess.PIPE
    return subprocess.Popen([f"amqp-{tool}", *arguments], stdin=pipe, stdout=pipe, stderr=pipe)


def finish(tool, process, stdin=b""):
    """The output of a tool, which must succeed."""
    output, complaint = process.communicate(stdin, timeout=SECONDS)
    if process.returncode != 0:
        raise AssertionError(f"amqp-{tool}: {process.returncode}: {complaint.decode()}")
    return output


def run(tool, *arguments, stdin=b""):
    return finish(tool, start(tool, *arguments), stdin)


def refused(tool, *arguments, text):
    """Expects the tool to fail with the broker's words."""
    fails(start(tool, *arguments), text)


def fails(process, text):
    _, complaint = process.communicate(timeout=SECONDS)
    expect((process.returncode != 0, text in complaint.decode()), (True, True))


def get(url, queue):
    """The next message; None if there is none, which the tool tells by its exit code."""
    process = start("get", f"--url={url}", f"--queue={queue}")
    output, complaint = process.communicate(timeout=SECONDS)
    if process.returncode not in (0, 2):
        raise AssertionError(f"amqp-get: {process.returncode}: {complaint.decode()}")
    return output if process.returncode == 0 else None


@contextlib.contextmanager
def declared_queue(url):
    queue = fresh("queue")
    run("declare-queue", f"--url={url}", f"--queue={queue}", "--durable")
    try:
        yield queue
    finally:
        run("delete-queue", f"--url={url}", f"--queue={queue}")


@AMQP_TOOLS.verb
def connect_with_every_option(url):
    parts = urlsplit(url)
    user, password = parts.username or "guest", parts.password or "guest"
    with tempfile.NamedTemporaryFile("w") as authentication, declared_queue(url) as queue:
        authentication.write(f"username:{user}\npassword:{password}\n")
        authentication.flush()
        where = [
            f"--server={parts.hostname}",
            f"--port={parts.port}",
            f"--vhost={unquote(parts.path[1:]) or '/'}",
            "--heartbeat=10",
        ]
        named = [*where, f"--username={user}", f"--password={password}"]
        filed = [*where, f"--authfile={authentication.name}"]
        for who in (named, filed):
            run("declare-queue", *who, f"--queue={queue}", "--durable")
            run("publish", *who, f"--routing-key={queue}", "--body=hello")
            expect(run("get", *who, f"--queue={queue}"), b"hello")
            run("publish", *who, f"--routing-key={queue}", "--body=hello")
            expect(run("consume", *who, f"--queue={queue}", "--count=1", "cat"), b"hello")
            run("delete-queue", *who, f"--queue={queue}")


@AMQP_TOOLS.verb
def connect_with_a_wrong_password(url):
    wrong = url.replace("guest:guest", "guest:wrong")
    processes = []
    for tool in TOOLS:
        what = "--routing-key=any" if tool == "publish" else "--queue=any"
        command = ["cat"] if tool == "consume" else []
        processes.append(start(tool, f"--url={wrong}", what, *command))
    # Together, because the broker takes its time to refuse each of them.
    for process in processes:
        fails(process, text="ACCESS_REFUSED")


@AMQP_TOOLS.verb
def declare_queue(url):
    queue = fresh("queue")
    expect(run("declare-queue", f"--url={url}", f"--queue={queue}"), f"{queue}\n".encode())
    refused("declare-queue", f"--url={url}", f"--queue={queue}", "--durable", text="durable")
    run("delete-queue", f"--url={url}", f"--queue={queue}")


@AMQP_TOOLS.verb
def declare_queue_named_by_the_server(url):
    queue = run("declare-queue", f"--url={url}", "--queue=").decode().strip()
    expect(queue.startswith("amq.gen-"), True)
    run("delete-queue", f"--url={url}", f"--queue={queue}")


@AMQP_TOOLS.verb
def delete_queue(url):
    with declared_queue(url) as queue:
        run("publish", f"--url={url}", f"--routing-key={queue}", "--body=one")
        refused("delete-queue", f"--url={url}", f"--queue={queue}", "--if-empty", text="not empty")
        consumer = start("consume", f"--url={url}", f"--queue={queue}", "cat")
        wait_for_consumer(url, queue)
        refused("delete-queue", f"--url={url}", f"--queue={queue}", "--if-unused", text="in use")
        consumer.kill()
        consumer.wait()
        expect(run("delete-queue", f"--url={url}", f"--queue={queue}").strip().isdigit(), True)
    expect(run("delete-queue", f"--url={url}", f"--queue={queue}"), b"0\n")


def wait_for_consumer(url, queue):
    with observed(url) as channel:
        while channel.queue_declare(queue, passive=True).method.consumer_count == 0:
            channel.connection.sleep(0.02)


@contextlib.contextmanager
def observed(url):
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        connection.close()


@AMQP_TOOLS.verb
def publish_with_every_property(url):
    with declared_queue(url) as queue, observed(url) as channel:
        run(
            "publish",
            f"--url={url}",
            "--exchange=",
            f"--routing-key={queue}",
            "--persistent",
            "--content-type=text/plain",
            "--content-encoding=utf-8",
            "--reply-to=answers",
            "--header=first: one",
            "--header=second: two",
            "--body=body",
        )
        _, properties, body = channel.basic_get(queue, auto_ack=True)
        expect((body, properties.delivery_mode, properties.reply_to), (b"body", 2, "answers"))
        expect((properties.content_type, properties.content_encoding), ("text/plain", "utf-8"))
        expect(properties.headers, {"first": "one", "second": "two"})


@AMQP_TOOLS.verb
def publish_from_standard_input(url):
    with declared_queue(url) as queue:
        where = (f"--url={url}", f"--routing-key={queue}")
        run("publish", *where, stdin=b"one body\nof two lines\n")
        expect(get(url, queue), b"one body\nof two lines\n")
        run("publish", *where, "--line-buffered", stdin=b"first\nsecond\nthird\n")
        bodies = [get(url, queue).strip() for _ in range(3)]
        expect(bodies, [b"first", b"second", b"third"])


@AMQP_TOOLS.verb
def publish_a_body_of_many_frames(url):
    body = bytes(range(256)) * 2048
    with declared_queue(url) as queue:
        run("publish", f"--url={url}", f"--routing-key={queue}", stdin=body)
        expect(get(url, queue), body)


@AMQP_TOOLS.verb
def get_from_an_empty_and_from_a_missing_queue(url):
    with declared_queue(url) as queue:
        expect(get(url, queue), None)
    refused("get", f"--url={url}", f"--queue={queue}", text="NOT_FOUND")


@AMQP_TOOLS.verb
def consume_with_every_option(url):
    with declared_queue(url) as queue:
        for body in (b"one", b"two", b"three"):
            run("publish", f"--url={url}", f"--routing-key={queue}", stdin=body)
        where = (f"--url={url}", f"--queue={queue}")
        output = run("consume", *where, "--count=2", "--prefetch-count=1", "cat")
        expect(output, b"onetwo")
        expect(run("consume", *where, "--no-ack", "--count=1", "cat"), b"three")
        expect(get(url, queue), None)


@AMQP_TOOLS.verb
def consume_from_a_queue_of_its_own(url):
    for option in ("--exclusive", "--declare"):
        binding = ("--exchange=amq.direct", f"--routing-key={fresh('key')}")
        consumer = start("consume", f"--url={url}", option, *binding, "--count=1", "cat")
        # The tool prints nothing before its first message: it is sent until one is bound and there.
        deadline = time.monotonic() + SECONDS
        while consumer.poll() is None and time.monotonic() < deadline:
            run("publish", f"--url={url}", *binding, "--body=bound")
            time.sleep(0.05)
        expect(finish("consume", consumer), b"bound")


@AMQP_TOOLS.verb
def consume_acknowledges_only_success(url):
    with declared_queue(url) as queue:
        run("publish", f"--url={url}", f"--routing-key={queue}", "--body=again")
        where = (f"--url={url}", f"--queue={queue}", "--count=1")
        start("consume", *where, "false").communicate(timeout=SECONDS)
        expect(run("consume", *where, "cat"), b"again")


@AMQP_TOOLS.verb
def consume_through_silence_with_heartbeats(url):
    with declared_queue(url) as queue:
        where = (f"--url={url}", f"--queue={queue}")
        consumer = start("consume", *where, "--heartbeat=1", "--count=1", "cat")
        time.sleep(3.5)
        run("publish", f"--url={url}", f"--routing-key={queue}", "--body=after silence")
        expect(finish("consume", consumer), b"after silence")


@AMQP_TOOLS.verb
def every_option_offered_was_used(_url):
    left = []
    for tool, used in USED.items():
        offered = subprocess.run([f"amqp-{tool}", "--help"], capture_output=True, text=True).stdout
        options = set(re.findall(r"--[a-z][a-z-]*", offered)) - EXCUSED
        left += [f"amqp-{tool} {option}" for option in sorted(options - used)]
    expect(left, [])


@AMQP_TOOLS.restarting_verb
def restart_ends_a_consumer_that_is_started_again(url):
    with declared_queue(url) as queue:
        where = (f"--url={url}", f"--queue={queue}", "--count=1")
        consumer = start("consume", *where, "cat")
        wait_for_consumer(url, queue)
        ask("restart")
        consumer.communicate(timeout=SECONDS)
        expect(consumer.returncode != 0, True)
        run("publish", f"--url={url}", f"--routing-key={queue}", "--body=afterwards")
        expect(run("consume", *where, "cat"), b"afterwards")


if __name__ == "__main__":
    sys.exit(AMQP_TOOLS.main())
