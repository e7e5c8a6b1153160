"""The Celery application of the workers and of the verbs: its tasks leave their effects in files."""

import os
import time

from celery import Celery
from kombu import Exchange, Queue


def effect(self, folder, number):
    """Leaves its time in a file of its own; each tenth task fails twice before, and is retried."""
    time.sleep(0.05)
    if number % 10 == 0 and self.request.retries < 2:
        raise self.retry(countdown=0.1)
    with open(os.path.join(folder, str(number)), "a", encoding="utf-8") as file:
        file.write(f"{time.time()}\n")
    return number


def add(first, second):
    return first + second


def fail():
    raise ValueError("on purpose")


def wait(seconds):
    time.sleep(seconds)


def application(url, queue):
    """An application whose tasks go through this queue, or through its topic exchange."""
    made = Celery("celery_app", broker=url, backend="rpc://")
    topic = f"{queue}.topic"
    made.conf.update(
        task_default_queue=queue,
        task_queues=[
            Queue(queue, Exchange(queue), routing_key=queue, max_priority=9),
            Queue(topic, Exchange(topic, type="topic"), routing_key="topic.#"),
        ],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"confirm_publish": True},
        result_persistent=True,
    )
    made.task(effect, name="effect", bind=True, max_retries=5)
    for task in (add, fail, wait):
        made.task(task, name=task.__name__)
    return made


# What a worker runs, told by whoever starts it.
app = application(os.environ.get("CLIENTS_BROKER"), os.environ.get("CLIENTS_QUEUE", "celery"))
