"""Static word vectors: a text is the mean of its tokens' vectors. The weights are those that the wordllama wheel has.

The wheel's own loader is passed by: it asks a model hub for a tokenizer that the wheel has, takes seconds to import and
configures logging.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from storage.errors import SetupError

WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
CHARACTERS_MAX = 4000  # of a text that are embedded

Vectors = npt.NDArray[np.float32]  # a text each row, of length 1 or 0


class StaticEmbedder:
    """Embeds texts; thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._weights = load_file(folder / WEIGHTS)["embedding.weight"]  # vocabulary × 256, float16

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Normalised vectors of texts; zero for a text without tokens."""
        vectors = np.zeros((len(texts), self._weights.shape[1]), np.float32)
        cut = [text[:CHARACTERS_MAX] for text in texts]
        for row, encoding in enumerate(self._tokenizer.encode_batch_fast(cut, add_special_tokens=False)):
            if encoding.ids:
                vectors[row] = self._weights[encoding.ids].mean(axis=0, dtype=np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return vectors


@lru_cache(maxsize=1)
def static_embedder() -> StaticEmbedder:
    """The embedder of this process, loaded once in half a second; raises SetupError without its weights."""
    spec = find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError("wordllama, which has the word vectors for /ask, is not installed here.")
    return StaticEmbedder(Path(spec.submodule_search_locations[0]))
