"""What REDIS_URL may look like, and what is said of what it may not."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from storage.errors import SetupError
from storage.queue.redis_url import parse_redis_url, without_secrets

PASSWORDS = st.text("ab1:#/?@%+&[]é ", min_size=1, max_size=12)


@given(password=PASSWORDS)
def test_a_password_that_is_percent_encoded_is_read_as_it_is(password: str) -> None:
    address = parse_redis_url(f"redis://bot:{quote(password, safe='')}@queue.example:6380/2")
    assert address.hosts == [("queue.example", 6380)]
    assert address.options == {"username": "bot", "password": password, "db": 2}


@given(password=PASSWORDS.filter(lambda text: "%" not in text))
@example("pa#ss")
@example("pa/ss")
@example("pa?ss")
@example("pa@ss")
@example("12/34")
@example("x@other:1/0")
def test_one_that_is_not_is_read_as_it_is_meant_or_refused_without_repeating_it(password: str) -> None:
    password += "QQ"
    url = f"redis://:{password}@queue.example:6380/2"
    try:
        address = parse_redis_url(url)
    except SetupError as error:
        assert "%23 %2F %3F %40 %25" in str(error)
        assert "QQ" not in str(error)
    else:
        assert (address.hosts, address.options["password"]) == ([("queue.example", 6380)], password)
    assert "QQ" not in without_secrets(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://queue", "has to begin with redis://, rediss://, unix://, redis-sentinel://"),
        ("queue:6379", "has to begin with"),
        ("redis://queue?colour=red", "the option colour that is not known here"),
        ("redis://queue?ssl_cert_reqs=none", "the option ssl_cert_reqs"),  # without TLS
        ("redis://queue?db=one", "the option db has a value that does not fit"),
        ("redis://queue/one", "after the host comes the number of a database"),
        ("redis://queue:99999", "a host and a port are expected"),
        ("redis-cluster://queue", "is that of a Redis Cluster"),
        ("redis://one,two", "several hosts need redis-sentinel://"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(url: str, says: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse_redis_url(url)
    assert says in str(caught.value)


def test_all_that_is_documented_is_read() -> None:
    assert parse_redis_url("redis://").hosts == [("localhost", 6379)]
    assert parse_redis_url("redis://[::1]:1/3").hosts == [("::1", 1)]
    assert parse_redis_url("unix:///run/v.sock?db=3").options == {"path": "/run/v.sock", "db": 3}
    assert parse_redis_url(" REDIS://queue:1/2\n") == parse_redis_url("valkey://queue:1/2")
    assert parse_redis_url("valkeys://queue") == parse_redis_url("rediss://queue")
    tls = parse_redis_url("rediss://queue?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false")
    assert tls.tls and tls.options == {"ssl_ca_certs": "/etc/ca.pem", "ssl_check_hostname": False}
    sentinel = parse_redis_url("rediss-sentinel://bot:pw@a:1,b/2/main?sentinel_password=x")
    assert sentinel.hosts == [("a", 1), ("b", 26379)] and sentinel.tls and sentinel.primary == "main"
    assert sentinel.options == {"username": "bot", "password": "pw", "db": 2}
    assert sentinel.sentinel_options == {"password": "x"}
    for spelt in ("redis-sentinel://a", "redis-sentinel://a/mymaster/0", "redis-sentinel://a/0#mymaster"):
        assert parse_redis_url(spelt).primary == "mymaster"
