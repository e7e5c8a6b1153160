"""The verbs of Celery (PyPI): workers, retries, late acknowledgements, schedules, remote control."""

import datetime
import sys
import time

from celery import chain, group

from celery_scene import CELERY, SECONDS, kill, scene, stop
from verbs import ask, expect

TASKS = 200


@CELERY.verb
def tasks_and_their_results(url):
    with scene(url) as played:
        played.worker("one", "prefork")
        add = played.task["add"]
        expect(add.delay(40, 2).get(timeout=SECONDS), 42)
        expect(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=SECONDS), 10)
        sums = group(add.s(number, number) for number in range(20))().get(timeout=SECONDS)
        expect(sums, [2 * number for number in range(20)])
        failed = played.task["fail"].delay().get(timeout=SECONDS, propagate=False)
        expect(str(failed), "on purpose")
        routed = add.apply_async((1, 1), exchange=played.topic, routing_key="topic.sums")
        expect(routed.get(timeout=SECONDS), 2)


@CELERY.verb
def tasks_with_retries_outlive_a_killed_worker(url):
    with scene(url) as played:
        victim = played.worker("victim", "prefork")
        survivor = played.worker("survivor", "threads")
        results = played.send(range(TASKS))
        played.wait_until(lambda: len(played.done()) >= 40, "the first tasks are done")
        kill(victim)
        successor = played.worker("successor", "prefork")
        wanted = set(range(TASKS))
        played.wait_until(lambda: played.done() == wanted, "all tasks have left their effects")
        expect([result.get(timeout=SECONDS) for result in results], list(range(TASKS)))
        stop(survivor)
        stop(successor)
        expect(played.ready(), 0)


@CELERY.verb
def tasks_of_higher_priority_come_first(url):
    with scene(url) as played:
        for priority, numbers in ((1, range(1, 10)), (9, range(11, 20))):
            played.send(numbers, priority=priority)
        played.worker("one")
        played.wait_until(lambda: len(played.done()) == 18, "all tasks are done")
        first = [min(played.times(number)) for number in range(11, 20)]
        last = [max(played.times(number)) for number in range(1, 10)]
        expect(max(first) < max(last), True)


@CELERY.verb
def tasks_wait_for_their_time(url):
    with scene(url) as played:
        played.worker("one")
        now = datetime.datetime.now(datetime.timezone.utc)
        due = {}
        for number in range(1, 6):
            played.send([number], countdown=2)
            due[number] = now.timestamp() + 2
        for number in range(11, 14):
            moment = now + datetime.timedelta(seconds=number - 8)
            played.send([number], eta=moment)
            due[number] = moment.timestamp()
        played.wait_until(lambda: played.done() == set(due), "the scheduled tasks are done")
        expect([number for number in due if played.times(number)[0] < due[number]], [])


@CELERY.verb
def expired_tasks_are_not_done(url):
    with scene(url) as played:
        played.send(range(1, 4), expires=0.5)
        expect(played.ready(), 3)
        played.wait_until(lambda: played.ready() == 0, "the tasks expire in the queue")
        played.worker("one")
        expect(played.task["add"].delay(1, 1).get(timeout=SECONDS), 2)
        expect(played.done(), set())


@CELERY.verb
def remote_control(url):
    with scene(url) as played:
        worker = played.worker("one")
        control = played.app.control
        played.wait_until(lambda: control.ping(timeout=0.5), "a worker answers")
        expect(control.ping(timeout=1), [{"one@clients": {"ok": "pong"}}])
        inspected = control.inspect(timeout=1)
        queues = inspected.active_queues()["one@clients"]
        expect(sorted(queue["name"] for queue in queues), [played.queue, played.topic])
        expect("effect" in inspected.registered()["one@clients"], True)
        busy = played.task["wait"].delay(3)
        played.wait_until(lambda: inspected.active()["one@clients"], "the task is active")
        expect([task["id"] for task in inspected.active()["one@clients"]], [busy.id])
        [waiting] = played.send([1], countdown=2)
        control.revoke(waiting.id)
        busy.get(timeout=SECONDS)
        control.shutdown()
        worker.wait(SECONDS)
        expect(played.done(), set())


@CELERY.verb
def consumers_are_added_and_cancelled(url):
    with scene(url) as played:
        played.worker("one")
        control = played.app.control
        played.wait_until(lambda: control.ping(timeout=0.5), "a worker answers")
        more = f"{played.queue}.more"
        [added] = control.add_consumer(more, reply=True, timeout=5)
        expect("ok" in added["one@clients"], True)
        expect(played.task["add"].apply_async((1, 1), queue=more).get(timeout=SECONDS), 2)
        [cancelled] = control.cancel_consumer(more, reply=True, timeout=5)
        expect("ok" in cancelled["one@clients"], True)
        with played.app.connection_for_write() as connection:
            expect(connection.channel().queue_delete(more), 0)
            connection.channel().exchange_delete(more)


@CELERY.verb
def events(url):
    with scene(url) as played, played.app.connection_for_read() as connection:
        seen = set()
        handlers = {"*": lambda event: seen.add(event["type"])}
        receiver = played.app.events.Receiver(connection, handlers=handlers)
        wanted = {"worker-online", "task-received", "task-started", "task-succeeded"}
        with receiver.consumer_context(wakeup=False) as (drained, _channel, _consumers):

            def all_seen():
                try:
                    drained.drain_events(timeout=0.2)
                except TimeoutError:
                    pass
                return wanted <= seen

            played.worker("one")
            played.task["add"].delay(1, 1)
            played.wait_until(all_seen, f"{wanted} are received")


@CELERY.verb
def tasks_are_purged(url):
    with scene(url) as played:
        played.send(range(5))
        expect(played.ready(), 5)
        expect(played.app.control.purge(), 5)
        expect(played.ready(), 0)


@CELERY.restarting_verb
def restart_under_working_workers(url):
    with scene(url) as played:
        played.worker("one", "prefork")
        played.send(range(1, 101))
        played.wait_until(lambda: len(played.done()) >= 10, "the first tasks are done")
        ask("restart")
        played.send(range(101, 121), retry=True, retry_policy={"max_retries": 50})
        wanted = set(range(1, 121))
        played.wait_until(lambda: played.done() == wanted, "all tasks have left their effects")


if __name__ == "__main__":
    sys.exit(CELERY.main())
