"""Settings of /ask that the worker reads: search providers, and which pages may be fetched."""

from pydantic import Field, SecretStr

from storage.settings.shared import SharedSettings


class AskSettings(SharedSettings):
    """What a worker that answers questions reads. Without a search provider, they are answered from documents."""

    search_providers: str = Field(
        "searxng, brave, sonar",
        validation_alias="DARKROOM_ASK_SEARCH",
        description="Order in which /ask tries the search providers that are set up: the next one is asked if one "
        "refuses or finds nothing.",
    )
    searxng_url: str = Field(
        "",
        validation_alias="DARKROOM_ASK_SEARXNG_URL",
        description="URL of a SearXNG instance that answers JSON (`search.formats` in its settings). Unset: none.",
    )
    brave_key: SecretStr | None = Field(
        None, validation_alias="DARKROOM_ASK_BRAVE_KEY", description="API key for Brave Search. Unset: none."
    )
    brave_url: str = Field(
        "https://api.search.brave.com/res/v1/web/search",
        validation_alias="DARKROOM_ASK_BRAVE_URL",
        description="URL of Brave's Web Search API, for a proxy.",
    )
    sonar_url: str = Field(
        "",
        validation_alias="DARKROOM_ASK_SONAR_URL",
        description="Base URL of an OpenAI-style endpoint that searches the web: https://api.perplexity.ai or "
        "https://openrouter.ai/api/v1. Only its sources are used. Unset: none.",
    )
    sonar_key: SecretStr | None = Field(
        None, validation_alias="DARKROOM_ASK_SONAR_KEY", description="API key for DARKROOM_ASK_SONAR_URL."
    )
    sonar_model: str = Field(
        "sonar", validation_alias="DARKROOM_ASK_SONAR_MODEL", description="Model for DARKROOM_ASK_SONAR_URL."
    )
    sonar_tool: str = Field(
        "",
        validation_alias="DARKROOM_ASK_SONAR_TOOL",
        description="Server tool with which that model searches: `openrouter:web_search` on OpenRouter. Unset: the "
        "model searches by itself, as Sonar does.",
    )
    search_timeout_s: float = Field(
        8.0,
        gt=0,
        le=120,
        validation_alias="DARKROOM_ASK_SEARCH_TIMEOUT_S",
        description="Seconds after which a search provider that does not answer is given up.",
    )
    fetch_allowed_hosts: str = Field(
        "",
        validation_alias="DARKROOM_ASK_ALLOWED_HOSTS",
        description="Hosts and networks of the intranet that /ask may read pages from, separated by commas: "
        "wiki.example.org, 10.1.2.3:8000, 10.2.0.0/16. Unset: public addresses only. Whoever can have a name resolve "
        "to an allowed network can have its pages read.",
    )
    page_timeout_s: float = Field(
        10.0,
        gt=0,
        le=120,
        validation_alias="DARKROOM_ASK_PAGE_TIMEOUT_S",
        description="Seconds in which a page has to be read, redirects included.",
    )
    page_max_bytes: int = Field(
        5 * 2**20,
        ge=1024,
        le=2**28,
        validation_alias="DARKROOM_ASK_PAGE_MAX_BYTES",
        description="Maximum size of a page, decompressed; of a longer text the beginning is read.",
    )

    @property
    def allowed_hosts(self) -> list[str]:
        """The hosts and networks one by one."""
        return [part.strip() for part in self.fetch_allowed_hosts.split(",") if part.strip()]

    @property
    def provider_names(self) -> list[str]:
        """The providers in order, each once."""
        return list(dict.fromkeys(part.strip().lower() for part in self.search_providers.split(",") if part.strip()))
