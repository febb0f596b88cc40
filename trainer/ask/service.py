"""All that answers questions in one process: retrieval, the model's client, the engine."""

from storage.objects.store import Store
from storage.settings.ask import AskSettings
from storage.settings.language_model import LanguageModelSettings
from storage.settings.shared import load_settings
from trainer.ask.answer.engine import AnswerEngine
from trainer.ask.model.client import ModelClient
from trainer.ask.retrieve import Retriever


class AnswerService:
    """An answer engine as the settings say; raises SetupError if they are wrong. `close` it."""

    def __init__(self, store: Store) -> None:
        self._retriever = Retriever(load_settings(AskSettings), store)
        self._model = ModelClient(load_settings(LanguageModelSettings))
        self.engine = AnswerEngine(self._retriever.retrieve, self._model)

    async def close(self) -> None:
        """End processes and connections."""
        await self._model.close()
        await self._retriever.close()
