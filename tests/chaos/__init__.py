"""A deployment that is mistreated while people use it, and a checker that reads afterwards what became of their jobs.

`make chaos`, or `python -m tests.chaos --faults 200 --seed 7`: real processes (Valkey; a folder on a small disk, or
moto's S3 behind proxies that do mischief; three workers with the micro model) and a fault every few seconds. The seed
decides faults and requests.
"""
