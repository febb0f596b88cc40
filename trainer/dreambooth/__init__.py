"""DreamBooth: dataset, batches, LoRA, optimizer, checkpoints, candidates and the training loop; start at `train.py`.

Nothing here knows of jobs, queues or the worker.
"""
