"""moto's S3 server, one request at a time: `python -m tests.servers.s3`, which says on standard error where it is.

Between two threads moto checks a condition and writes in two steps, so of two racing writers both could win.
"""

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

if __name__ == "__main__":
    run_simple("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
