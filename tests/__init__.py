"""Tests of Darkroom, by feature. They run real parts: Valkey, an S3 server, worker processes, a browser."""
