"""Tests of Darkroom, by feature. They run real parts: Valkey, an S3 server, worker processes, a browser."""

from trainer import threads

threads.set_up()  # before any module here imports PyTorch
