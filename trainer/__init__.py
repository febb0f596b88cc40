"""The trainer: an arq worker and the engine process that learns subjects and draws pictures."""

import sys

# While `python -m trainer…` is still looking for its module, this is its name. The current folder would come first for
# all imports, and there may be a `queue.py` in it, or whatever else is called like another module: so it comes last.
if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))
