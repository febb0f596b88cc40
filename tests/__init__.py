"""Tests of Darkroom, by feature. They run real parts: Valkey, an S3 server, worker processes, a browser."""

import trainer  # noqa: F401  # sets up the threads of PyTorch, which is to be imported after it
