"""Settings of the language models that write answers for /ask: two endpoints, their prices and limits."""

from pydantic import Field, SecretStr

from storage.settings.shared import SharedSettings


class LanguageModelSettings(SharedSettings):
    """The language models for /ask. Without an endpoint, answers are quotations from sources."""

    url: str = Field(
        "",
        validation_alias="DARKROOM_ASK_MODEL_URL",
        description="Language model: base URL of an OpenAI-style endpoint, like http://localhost:11434/v1 (Ollama), "
        "https://openrouter.ai/api/v1 or https://api.perplexity.ai. Unset: answers are quotations from sources.",
    )
    key: SecretStr | None = Field(
        None, validation_alias="DARKROOM_ASK_MODEL_KEY", description="API key for DARKROOM_ASK_MODEL_URL."
    )
    model: str = Field(
        "", validation_alias="DARKROOM_ASK_MODEL", description="Name of the model at DARKROOM_ASK_MODEL_URL."
    )
    fallback_url: str = Field(
        "",
        validation_alias="DARKROOM_ASK_FALLBACK_URL",
        description="Failover: base URL of the endpoint that answers if the first one fails. Unset: none.",
    )
    fallback_key: SecretStr | None = Field(
        None,
        validation_alias="DARKROOM_ASK_FALLBACK_KEY",
        description="API key for DARKROOM_ASK_FALLBACK_URL.",
    )
    fallback_model: str = Field(
        "", validation_alias="DARKROOM_ASK_FALLBACK_MODEL", description="Name of the model at the second endpoint."
    )
    prompt_price: float | None = Field(
        None,
        ge=0,
        validation_alias="DARKROOM_ASK_PROMPT_PRICE",
        description="Price of a million prompt tokens, in any currency; with it, the cost of answers is counted.",
    )
    completion_price: float | None = Field(
        None,
        ge=0,
        validation_alias="DARKROOM_ASK_COMPLETION_PRICE",
        description="Price of a million completion tokens, in the same currency.",
    )
    answer_max_tokens: int = Field(
        1024,
        ge=64,
        le=32768,
        validation_alias="DARKROOM_ASK_ANSWER_MAX_TOKENS",
        description="Maximum length of an answer that a model writes, in tokens.",
    )
    temperature: float = Field(
        0.2, ge=0, le=2, validation_alias="DARKROOM_ASK_TEMPERATURE", description="Sampling temperature of the model."
    )
    timeout_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        validation_alias="DARKROOM_ASK_MODEL_TIMEOUT_S",
        description="Seconds for which a model may be silent; then the other endpoint is tried.",
    )
