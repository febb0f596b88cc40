"""Domain rules: what is on a site and what only looks like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.ask.domain_rules import DomainRule, admits
from storage.contract.ask import AskFilters
from storage.errors import UserError


@pytest.mark.parametrize(
    ("rule", "url", "matches"),
    [
        ("python.org", "https://python.org/", True), ("python.org", "https://docs.python.org/3/", True),
        ("python.org", "https://notpython.org/", False), ("python.org", "https://python.org.evil.example/", False),
        ("www.python.org", "https://python.org/", True), ("docs.python.org", "https://python.org/", False),
        ("python.org", "https://PYTHON.org./x", True), ("python.org", "https://python.org@evil.example/", False),
        ("python.org", "https://evil.example/python.org", False), (".gov", "https://nasa.gov/", True),
        (".gov", "https://gov/", False), ("*.gov", "https://a.nasa.gov/", True),
        ("github.com/python", "https://github.com/python/cpython", True),
        ("github.com/python", "https://github.com/pythonista", False),
        ("github.com/python", "https://github.com/%70ython/x", True),
        ("github.com/python", "https://github.com/x/../python/y", True),
        ("github.com/python", "https://github.com//python", True),
        ("https://github.com/python/", "http://github.com/python", True),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "https://bücher.example/", True),
        ("straße.example", "https://xn--strae-oqa.example/", True),
        ("straße.example", "https://strasse.example/", False),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/x", True), ("127.0.0.1:8000", "http://127.0.0.1/x", False),
        ("www.gov.uk", "https://www.gov.uk/tax", True), ("www.gov.uk", "https://gov.uk/tax", True),
        ("www.gov.uk", "https://hmrc.gov.uk/", False), ("gov.uk", "https://hmrc.gov.uk/", True),
        ("www.bbc.co.uk", "https://news.bbc.co.uk/", True), (".gov.uk", "https://www.hmrc.gov.uk/", True),
        ("[::1]", "http://[::1]/", True), ("python.org", "nonsense", False), ("python.org", "http://[", False),
    ],
)  # fmt: skip
def test_a_rule_matches_its_site_and_nothing_else(rule: str, url: str, matches: bool) -> None:
    assert DomainRule.parse(rule).matches(url) is matches
    assert DomainRule.parse(str(DomainRule.parse(rule))) == DomainRule.parse(rule)


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "ftp://a.example", "user@a.example", "http://", "-", "a..b", "[x]", "a:99999"]
)
def test_what_is_no_domain_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="is not a domain"):
        DomainRule.parse(text)


def test_a_denial_outweighs_an_allowance() -> None:
    filters = AskFilters(allowed_domains=("python.org",), denied_domains=("wiki.python.org",))
    assert admits(filters, "https://docs.python.org/") and not admits(filters, "https://wiki.python.org/")
    assert not admits(filters, "https://other.example/") and admits(AskFilters(), "https://other.example/")


@given(st.text(max_size=80))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    try:
        rule = DomainRule.parse(text)
    except UserError:
        return
    assert DomainRule.parse(str(rule)) == rule
