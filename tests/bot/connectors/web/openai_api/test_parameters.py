"""What clients of OpenAI and Sonar ask for, and what they are told of requests that cannot be answered."""

from datetime import date
from typing import Any

import pytest

from bot.connectors.web.openai_api.errors import ApiError
from bot.connectors.web.openai_api.parameters import read_request
from storage.contract.ask import AskFilters

WHO = {"role": "user", "content": "who?"}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "sonar", "messages": [WHO], **more}


def test_sonars_parameters_are_filters() -> None:
    asked = read_request(
        body(
            search_domain_filter=["python.org", "https://docs.example/guide", "-pinterest.com"],
            search_recency_filter="month",
            search_after_date_filter="5/1/2026",
            search_before_date_filter="06/30/2026",
            last_updated_after_filter="5/2/2026",
            last_updated_before_filter="7/1/2026",
            search_language_filter=["en", "de"],
            search_mode="academic",
            web_search_options={"search_context_size": "high", "user_location": {"country": "PT"}},
            temperature=0.1,
            top_p=0.9,
        )
    )
    assert asked.filters == AskFilters(
        mode="academic",
        allowed_domains=("python.org", "docs.example/guide"),
        denied_domains=("pinterest.com",),
        recency="month",
        after=date(2026, 5, 1),
        before=date(2026, 6, 30),
        updated_after=date(2026, 5, 2),
        updated_before=date(2026, 7, 1),
        languages=("en", "de"),
        size="high",
    )


def test_the_web_search_of_openrouter_and_openai_is_ours() -> None:
    tool = {"type": "openrouter:web_search", "parameters": {"allowed_domains": ["python.org"], "max_results": 3}}
    assert read_request(body(tools=[tool])).filters.allowed_domains == ("python.org",)
    plugin = {"id": "web", "max_results": 3, "exclude_domains": ["pinterest.com"]}
    assert read_request(body(plugins=[plugin, {"id": "file-parser"}])).filters.denied_domains == ("pinterest.com",)
    both = read_request(body(tools=[{"type": "web_search"}], search_domain_filter=["-x.org"], plugins="web"))
    assert both.filters.denied_domains == ("x.org",)


def test_earlier_messages_are_what_came_before() -> None:
    asked = read_request(
        body(
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "How tall"}, {"type": "text", "text": "is it?"}]},
                {"role": "assistant", "content": "312 metres [1]."},
                {"role": "user", "content": "Thanks."},
                {"role": "user", "content": "And how old?"},
            ]
        )
    )
    assert asked.question == "Thanks. And how old?"
    assert [(turn.question, turn.answer.text) for turn in asked.conversation] == [
        ("How tall\nis it?", "312 metres [1].")
    ]


@pytest.mark.parametrize(
    ("wrong", "param", "sentence"),
    [
        ({"search_domain_filter": [f"site{n}.org" for n in range(21)]}, None, "at most 20 domains"),
        ({"search_domain_filter": ["python.org", "-python.org"]}, None, "cannot be both allowed and denied"),
        ({"search_after_date_filter": "02/31/2026"}, "search_after_date_filter", "there is no such day"),
        ({"search_recency_filter": "decade"}, None, "hour, day, week, month and year"),
        ({"search_mode": "sec"}, None, "`mode` is one of"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages", "ask something"),
        ({"messages": [{"role": "user", "content": "x" * 20_000}]}, "messages", "at most 4,000 characters"),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "has to be the user's question"),
        ({"messages": [WHO, {"role": "assistant", "content": "you"}]}, "messages", "has to be the user's question"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "not image_url"),
        ({"messages": "who?"}, "messages", "messages: "),
        ({"n": 2}, "n", "n: "),
        ({"tools": [{"type": "function"}]}, "tools", "calls no tools"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not JSON"),
        ({"last_updated_after_filter": "02/31/2026"}, "last_updated_after_filter", "there is no such day"),
        ({"last_updated_after_filter": "5/1/2026", "last_updated_before_filter": "5/1/2026"}, None, "nothing is both"),
        ({"disable_search": True}, "disable_search", "cannot leave out the search"),
    ],
)
def test_what_is_wrong_has_its_sentence(wrong: dict[str, Any], param: str | None, sentence: str) -> None:
    with pytest.raises(ApiError) as raised:
        asked = read_request(body(**wrong))
        assert asked.filters and asked.question and asked.conversation is not None
    error = raised.value.as_json()["error"]
    assert raised.value.status == 400 and error["type"] == "invalid_request_error"
    assert error["param"] == param and sentence.lower() in error["message"].lower()
