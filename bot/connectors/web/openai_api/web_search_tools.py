"""Web search as clients of OpenAI and OpenRouter ask for it: a tool or a plugin, whose domains are filters here.

https://openrouter.ai/docs/features/web-search and https://platform.openai.com/docs/guides/tools-web-search
"""

from collections.abc import Iterator
from typing import Any

TOOLS = ("openrouter:web_search", "web_search", "web_search_preview")
PLUGIN = "web"
ALLOWED = ("allowed_domains", "include_domains")
DENIED = ("excluded_domains", "exclude_domains", "blocked_domains")


def has_other_tools(tools: Any) -> bool:
    """Whether a request has tools that are no web search, or not a list of them."""
    return bool(tools) and not (isinstance(tools, list) and all(_type(tool) in TOOLS for tool in tools))


def domains_of(body: dict[str, Any]) -> list[str]:
    """The domains of all web searches in a request, as Sonar's `search_domain_filter` has them."""
    return [domain for fields in _searches(body) for domain in _domains(fields)]


def _searches(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for tool in body.get("tools") or ():
        yield from (fields for name in ("parameters", "filters") if isinstance(fields := tool.get(name), dict))
    plugins = body.get("plugins")
    for plugin in plugins if isinstance(plugins, list) else ():
        if isinstance(plugin, dict) and plugin.get("id") == PLUGIN:
            yield plugin


def _domains(fields: dict[str, Any]) -> Iterator[str]:
    for names, sign in ((ALLOWED, ""), (DENIED, "-")):
        for name in names:
            domains = fields.get(name)
            yield from (
                (f"{sign}{each}" for each in domains if isinstance(each, str)) if isinstance(domains, list) else ()
            )


def _type(tool: Any) -> str:
    return str(tool.get("type")) if isinstance(tool, dict) else ""
