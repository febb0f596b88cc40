"""What made the model that ships, and what measures it: not part of the wheel. The product may not import it."""

from trainer import threads

threads.set_up()  # before any module here imports PyTorch
