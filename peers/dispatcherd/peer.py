"""What dispatcherd takes: peer.py URL end-to-end COUNT. Prints one line of JSON with the seconds.

It has no durable queue, so there is nothing else to ask: from the first NOTIFY that its own
publisher sends to the moment at which a service of two workers says that it has finished all.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import psycopg
from dispatcherd.config import setup
from dispatcherd.factories import get_control_from_settings, get_publisher_from_settings

WARM_UP = 200
PATIENCE = 300.0
LOOK_INTERVAL = 0.01


def finished(control):
    replies = control.control_with_reply("main", expected_replies=1, timeout=30)
    return replies[0]["pool"]["finished_count"] if replies else 0


def wait(what, look):
    deadline = time.monotonic() + PATIENCE
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(LOOK_INTERVAL)


def measure(url, count):
    workers = os.cpu_count()
    settings = {
        "version": 2,
        "service": {"pool_kwargs": {"min_workers": workers, "max_workers": workers}},
        "brokers": {
            "pg_notify": {
                "config": {"conninfo": url, "autocommit": True},
                "channels": ["peers"],
                "default_publish_channel": "peers",
            }
        },
        "producers": {"ControlProducer": {}},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "dispatcher.yml")
        with open(file, "w") as config:
            json.dump(settings, config)
        program = os.path.join(os.path.dirname(sys.executable), "dispatcherd")
        service = subprocess.Popen(
            [program, "--log-level", "ERROR", "--config", file],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            setup(file_path=file)
            control = get_control_from_settings()
            publisher = get_publisher_from_settings()
            wait("it answers", lambda: control.control_with_reply("alive", timeout=1))
            message = json.dumps({"task": "os.getpid"})

            def send(number):
                for _ in range(number):
                    publisher.publish_message(message=message)

            send(WARM_UP)
            wait("it is warm", lambda: finished(control) >= WARM_UP)
            start = time.monotonic()
            send(count)
            wait("all have ended", lambda: finished(control) >= WARM_UP + count)
            return time.monotonic() - start
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait()


if __name__ == "__main__":
    url, what, count = sys.argv[1:]
    if what != "end-to-end":
        sys.exit(f"it cannot {what}")
    print(json.dumps({"seconds": measure(url, int(count))}))
