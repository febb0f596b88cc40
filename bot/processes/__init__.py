"""Processes that run beside a command: the queue, a worker, a trainer that measures or converts."""
