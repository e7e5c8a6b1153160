"""The verbs of aio-pika (PyPI), on plain and on robust connections."""

import logging
import sys

import aio_pika_topology  # noqa: F401  each import adds its verbs
import aio_pika_messages  # noqa: F401
import aio_pika_restart  # noqa: F401
from aio_pika_scene import AIO_PIKA

if __name__ == "__main__":
    # Refusals that the verbs provoke are logged with their stacks otherwise.
    logging.disable(logging.ERROR)
    sys.exit(AIO_PIKA.main())
