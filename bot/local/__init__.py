"""Child processes of a command on one machine: the embedded queue, a worker, a trainer for metrics or conversion.

They end with the command that started them.
"""
