"""Where the Celery verbs play: an application, its workers as processes, a folder for their effects."""

import contextlib
import importlib.metadata
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from celery_app import application
from verbs import Verbs, fresh

CELERY = Verbs("celery", importlib.metadata.version("celery"))
SECONDS = 50


class Scene:
    """The application and the workers of one verb, and what they have done."""

    def __init__(self, url, folder):
        self.url = url
        self.queue = fresh("celery")
        self.topic = f"{self.queue}.topic"
        self.app = application(url, self.queue)
        self.task = self.app.tasks
        self.folder = pathlib.Path(folder)
        self.effects = self.folder / "effects"
        self.effects.mkdir()
        self.workers = []

    def worker(self, name, pool="threads"):
        """Starts a worker, two tasks at a time, as a process group of its own."""
        command = [sys.executable, "-m", "celery", "--app", "celery_app", "worker"]
        command += ["--pool", pool, "--concurrency", "2", "--hostname", f"{name}@clients"]
        command += ["--queues", f"{self.queue},{self.topic}", "--loglevel", "INFO"]
        environment = {"CLIENTS_BROKER": self.url, "CLIENTS_QUEUE": self.queue}
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                command,
                cwd=pathlib.Path(__file__).parent,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.workers.append(process)
        return process

    def send(self, numbers, **options):
        """Sends tasks whose effects are the files of these numbers."""
        folder = str(self.effects)
        return [self.task["effect"].apply_async((folder, n), **options) for n in numbers]

    def done(self):
        """The numbers of the tasks that left their effects."""
        return {int(path.name) for path in self.effects.iterdir()}

    def times(self, number):
        return [float(line) for line in (self.effects / str(number)).read_text().split()]

    def wait_until(self, condition, what):
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never happened: {what}")
            time.sleep(0.05)

    def ready(self):
        """How many tasks wait in the queue."""
        with self.app.connection_for_read() as connection:
            channel = connection.channel()
            return channel.queue_declare(self.queue, passive=True).message_count

    def logs(self):
        return "\n".join(path.read_text()[-5000:] for path in self.folder.glob("*.log"))

    def leave(self):
        for process in self.workers:
            kill(process)
        with self.app.connection_for_write() as connection:
            channel = connection.channel()
            for name in (self.queue, self.topic):
                channel.queue_delete(name)
                channel.exchange_delete(name)
            # Where results are sent to: kept by default for a day.
            channel.queue_delete(self.app.backend.binding.name)
        self.app.close()


def kill(process):
    """SIGKILL for a worker and for the processes that it forked."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def stop(process):
    """The warm shutdown: a worker ends what it has begun, and takes no more."""
    process.send_signal(signal.SIGTERM)
    process.wait(SECONDS)


@contextlib.contextmanager
def scene(url):
    with tempfile.TemporaryDirectory() as folder:
        played = Scene(url, folder)
        try:
            yield played
        except BaseException:
            print(played.logs(), file=sys.stderr)
            raise
        finally:
            played.leave()
