"""What made the model that ships, and what measures it: not part of the wheel. The product may not import it."""

import trainer  # noqa: F401  # sets up the threads of PyTorch, which is to be imported after it
