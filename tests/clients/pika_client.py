"""The verbs of pika (PyPI), blocking and event-driven."""

import sys

import pika_connection  # noqa: F401  each import adds its verbs
import pika_topology  # noqa: F401
import pika_messages  # noqa: F401
import pika_events  # noqa: F401
import pika_restart  # noqa: F401
from pika_scene import PIKA

if __name__ == "__main__":
    sys.exit(PIKA.main())
