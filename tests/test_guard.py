"""Which URLs may be registered and which addresses may be dialled."""

import ipaddress

import pytest

from tracker.errors import InputError
from tracker.guard import Guard
from tracker.origins import LONGEST_URL, origin_of

GUARD = Guard()
LOOPBACK_OPEN = Guard(allow_networks=(ipaddress.ip_network("127.0.0.0/8"),))

NETWORKS = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::1/128",
    "::/128",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "::/96",
    "::ffff:0:0:0/96",
]

# What lies just outside a forbidden network and is public. Neighbours that another rule forbids are left out.
NEIGHBOURS = [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.1.255",
    "192.0.3.0",
    "192.31.195.255",
    "192.31.197.0",
    "192.52.192.255",
    "192.52.194.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.47.255",
    "192.175.49.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::",
    "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:200::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2003::",
    "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
    "2620:4f:8001::",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::",
    "2606:4700::5efd:a00:1",
    "2606:4700::5eff:a00:1",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize("network", NETWORKS)
def test_first_middle_and_last_of_every_forbidden_network_are_blocked(network: str) -> None:
    inside = ipaddress.ip_network(network)
    middle = inside[inside.num_addresses // 2]

    assert all(GUARD.judge(str(address)) for address in (inside[0], middle, inside[-1]))


@pytest.mark.parametrize("address", NEIGHBOURS)
def test_neighbours_of_forbidden_networks_may_be_dialled(address: str) -> None:
    assert GUARD.judge(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "192.0.0.8",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "::a9fe:a9fe",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::a00:1",
        "64:ff9c::1",
        "2002:7f00:1::1",
        "2002:808:808::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2606:4700::5efe:a00:1",
        "2606:4700::200:5efe:a00:1",
        "4000::1",
        "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fe80::1%eth0",
        "2606:4700::1%1",
        "localhost",
        "127.1",
        "",
    ],
)
def test_metadata_transition_forms_and_non_addresses_are_blocked(address: str) -> None:
    assert GUARD.judge(address)


def test_an_opened_network_lets_exactly_its_addresses_through() -> None:
    guard = Guard(allow_networks=(ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")))

    verdicts = {address: guard.judge(address) for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1")}

    assert verdicts == dict.fromkeys(verdicts)
    assert guard.judge("10.2.0.0") == guard.judge("::ffff:10.2.0.0") == "private"
    assert guard.judge("fe80::1") == "link-local"


def test_opening_one_loopback_opens_its_twin_and_no_more() -> None:
    guard = Guard(allow_networks=(ipaddress.ip_network("::1/128"),))

    assert guard.judge("127.0.0.1") is None
    assert LOOPBACK_OPEN.judge("::1") is None
    assert guard.judge("127.0.0.2") == "loopback"
    assert LOOPBACK_OPEN.judge("::2") == "embedded IPv4"


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
        " http://example.com/",
        "http://example.com/a b",
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
        "http://example.com%00.evil/",
        "http://[::1%25lo]/",
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
def test_ports_of_other_services_are_refused(port: int) -> None:
    with pytest.raises(InputError, match=f"port {port}"):
        GUARD.check_url(f"https://example.com:{port}/")


def test_http_is_refused_where_https_is_required() -> None:
    guard = Guard(require_https=True)

    assert guard.check_url("https://example.com/") == "https://example.com:443"
    with pytest.raises(InputError, match="https"):
        guard.check_url("http://example.com/")


def test_an_origin_of_nonsense_is_an_input_error() -> None:
    with pytest.raises(InputError):
        origin_of("nonsense")
