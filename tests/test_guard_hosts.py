"""Which URLs may be registered: schemes, hosts and every odd way to write one, ports, users, control characters."""

import ipaddress

import pytest

from tracker.errors import InputError
from tracker.guard import Guard
from tracker.origins import LONGEST_URL, origin_of

GUARD = Guard()
LOOPBACK_OPEN = Guard(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://example.com/hook?a=1#b", "https://example.com:443"),
        ("HTTP://Example.COM", "http://example.com:80"),
        ("https://example.com./x", "https://example.com:443"),
        ("https://example.com:8443/x", "https://example.com:8443"),
        ("http://8.8.8.8/x", "http://8.8.8.8:80"),
        ("https://[2606:4700:0::1]/x", "https://[2606:4700::1]:443"),
        ("https://bücher.example/x", "https://xn--bcher-kva.example:443"),
        ("https://xn--bcher-kva.example/x", "https://xn--bcher-kva.example:443"),
        ("https://1e100.net/", "https://1e100.net:443"),
        ("https://0x7f.example/", "https://0x7f.example:443"),
        ("http://my_app.example:8000", "http://my_app.example:8000"),
        ("https://example.com/user@host", "https://example.com:443"),
        ("https://example.com/?to=user@host", "https://example.com:443"),
        ("https://example.com?a=1", "https://example.com:443"),
        (
            "https://hooks.eu-1.shop.example.co.uk/v1/images/17?key=a%20b&c=",
            "https://hooks.eu-1.shop.example.co.uk:443",
        ),
        ("http://203.0.114.7:8080/hook", "http://203.0.114.7:8080"),
        ("https://[2606:4700::1]:8443/", "https://[2606:4700::1]:8443"),
        ("https://example.com/späße", "https://example.com:443"),
    ],
)
def test_a_good_url_has_its_endpoint(url: str, origin: str) -> None:
    assert GUARD.check_url(url) == origin
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "//example.com/hook",
        "http:example.com",
        "http:127.0.0.1/",
        "http:/127.0.0.1/",
        "https:\\\\127.0.0.1/",
        "http:///x",
        "http://",
        "http://:80/",
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "dict://example.com/",
        "unix:///run/x.sock",
        "http+unix://%2Frun%2Fx.sock/",
        "data:text/plain,x",
        "javascript:alert(1)",
        "ws://example.com/",
        "wss://example.com/",
        "ldap://example.com/",
        "HTTP+UNIX://%2Frun%2Fx.sock/",
        "unix:/run/x.sock",
        "https//example.com/",
        "ht\ttp://example.com/",
        " http://example.com/",
        "http://example.com/a b",
        "http://example.com /",
        "http:// example.com/",
        "http://example.com%20/",
        "http://exa\tmple.com/",
        "http://example.com/\r\nhost: x",
        "http://example.com/\x00",
        "http://example.com/\udc80",
        "http://127.0.0.1\x00.example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://user@example.com/",
        "http://user:word@example.com/",
        "http://good@127.0.0.1/",
        "http://good%2f@127.0.0.1/",
        "http://a@b@example.com/",
        "http://a@@127.0.0.1/",
        "http://@127.0.0.1/",
        "http://:@127.0.0.1/",
        "http://good\t@127.0.0.1/",
        "http://good\n@127.0.0.1/",
        "http://good:80@127.0.0.1:8080/",
        "http://example.com%00.evil/",
        "http://[::1%25lo]/",
        "http://[::1%1]/",
        "http://::1%1/",
        "http://[fe80::1%251]/",
        "http://[v1.x]/",
        "http://[::1/",
        "http://[127.0.0.1]/",
        "http://::1/",
        "http://example.com:0/",
        "http://example.com:-1/",
        "http://example.com:65536/",
        "http://example.com:99999999999/",
        "http://example.com:080/",
        "http://example.com:80:81/",
        "http://example.com:http/",
        "http://example.com:/",
        "http://example.com:٨٠/",
        "http://-a.example/",
        "http://a-.example/",
        "http://a..example/",
        "http://.example/",
        "http://example.com../",
        "http://exa!mple.com/",
        "http://xn--a.example/",
        "http://b\u00fccher.xn--zzzzzz99999999/",
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 127 + "example/",
        "http://example.com/" + "x" * LONGEST_URL,
    ],
)
@pytest.mark.parametrize("guard", [GUARD, LOOPBACK_OPEN], ids=["closed", "loopback open"])
def test_a_malformed_or_foreign_url_is_refused(guard: Guard, url: str) -> None:
    with pytest.raises(InputError) as refused:
        guard.check_url(url)

    assert refused.value.field == "callback_url"
    assert refused.value.problem
    assert refused.value.fix


@pytest.mark.parametrize("authority", ["user@", "user:word@", ":@", "@", "a@b@", "a%40b@", "good.example:80@"])
def test_who_writes_a_user_into_a_url_is_told_so(authority: str) -> None:
    with pytest.raises(InputError, match="user or a password"):
        GUARD.check_url(f"https://{authority}example.com/")


ODD_FORMS = [
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0X7F.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0177.1",
    "00000177.0.0.1",
    "127.0.0.01",
    "0x7f.0.0.0x1",
    "①②⑦.⓪.⓪.①",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "127\u30020\u30020\u30021",
    "127.0.0.1.",
    "169.254.43518",
    "0xa9fea9fe",
    "2852039166",
    "3232235777",
    "192.168.257",
    "0",
    "0x",
    "example.com.1",
    "example.0x7f",
    "example.0xzz",
    "example.127",
    "127.0.0.1.1",
    "127.0.0",
    "0300.0250.1.1",
    "\uff10x7f.1",
    "256.256.256.256",
]


@pytest.mark.parametrize("form", ODD_FORMS)
@pytest.mark.parametrize("shape", ["http://{}/", "https://{}/", "http://{}:8080/", "http://{}./"])
@pytest.mark.parametrize("guard", [GUARD, LOOPBACK_OPEN], ids=["closed", "loopback open"])
def test_only_plain_spellings_of_an_address_are_let_in(guard: Guard, shape: str, form: str) -> None:
    with pytest.raises(InputError):
        guard.check_url(shape.format(form))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1#@good.example/",
        "http://127.0.0.1?@good.example/",
        "http://10.0.0.1:8080/",
        "https://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://x.localhost:8080/",
    ],
)
def test_a_forbidden_address_is_refused_with_the_way_to_open_it(url: str) -> None:
    with pytest.raises(InputError) as refused:
        GUARD.check_url(url, field="tasks[3].callback_url")

    assert refused.value.field == "tasks[3].callback_url"
    assert "allow_networks" in refused.value.fix


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/x", "http://localhost:9000/x", "http://[::1]/", "http://a.localhost"]
)
def test_an_opened_loopback_may_be_registered(url: str) -> None:
    assert LOOPBACK_OPEN.check_url(url).startswith("http://")


@pytest.mark.parametrize("port", [22, 25, 53, 110, 143, 389, 3306, 5432, 6379, 9200, 11211, 27017])
@pytest.mark.parametrize("guard", [GUARD, LOOPBACK_OPEN], ids=["closed", "loopback open"])
def test_ports_of_other_services_are_refused(guard: Guard, port: int) -> None:
    with pytest.raises(InputError, match=f"port {port}"):
        guard.check_url(f"https://example.com:{port}/")


@pytest.mark.parametrize("port", [1, 21, 23, 79, 81, 111, 442, 444, 445, 587, 631, 993, 1023])
@pytest.mark.parametrize("guard", [GUARD, LOOPBACK_OPEN], ids=["closed", "loopback open"])
def test_below_1024_only_the_two_ports_of_the_web_may_be_called(guard: Guard, port: int) -> None:
    with pytest.raises(InputError, match=f"port {port}.*80, 443"):
        guard.check_url(f"http://example.com:{port}/")


@pytest.mark.parametrize("port", [80, 443, 1024, 3000, 3305, 3307, 5431, 5433, 8000, 8080, 8443, 9201, 65535])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_ports_of_the_web_and_those_from_1024_may_be_called(scheme: str, port: int) -> None:
    assert GUARD.check_url(f"{scheme}://example.com:{port}/") == f"{scheme}://example.com:{port}"


CONTROL = [*range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x200E, 0x2028, 0x2029, 0x202E, 0x2066, 0xFEFF, 0xE0001]


@pytest.mark.parametrize("character", [chr(number) for number in CONTROL], ids=ascii)
@pytest.mark.parametrize("shape", ["http://exam{}ple.com/", "http://example.com/a{}b", "http://example.com/?a{}"])
def test_a_character_that_nobody_sees_is_refused_wherever_it_stands(shape: str, character: str) -> None:
    with pytest.raises(InputError, match="control character"):
        GUARD.check_url(shape.format(character))


def test_http_is_refused_where_https_is_required() -> None:
    guard = Guard(require_https=True)

    assert guard.check_url("https://example.com/") == "https://example.com:443"
    with pytest.raises(InputError, match="https"):
        guard.check_url("http://example.com/")


def test_an_origin_of_nonsense_is_an_input_error() -> None:
    with pytest.raises(InputError):
        origin_of("nonsense")
