from ipaddress import IPv4Address, IPv6Address

import pytest

from mbtest.wire.keys import add_addr_hmac, initial_data_sequence_number, join_hmac, token


@pytest.mark.parametrize(
    ("key", "digest"),
    [  # by sha256sum
        (0, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc"),
        (0x0102030405060708, "66840dda154e8a113c31dd0ad32f7f3a366a80e8136979d8f5a101d3d29d6f72"),
    ],
)
def test_token_is_the_left_of_the_hash_and_idsn_its_right(key: int, digest: str) -> None:
    assert token(key) == int(digest[:8], 16)
    assert initial_data_sequence_number(key) == int(digest[-16:], 16)


@pytest.mark.parametrize(
    ("key", "first"),
    [  # what Linux sent: a listener's key, and the DSN of its first octet of data
        (0xF1C44BB26F32A275, 13993655555845892317),
        (0x7C4C23DEA2DB4324, 3949294723409642181),
    ],
)
def test_first_octet_has_the_number_after_the_idsn(key: int, first: int) -> None:
    assert initial_data_sequence_number(key) + 1 == first


@pytest.mark.parametrize(
    ("keys", "nonces", "hmac"),
    [  # the KUnit test of Linux, net/mptcp/crypto_test.c: keys and nonces are those characters
        (
            b"0b0b0b0b0b0b0b0b",
            b"48692054",
            "8385e24fb4235ac37556b6b886db106284a1da671699f46db1f235ec622dcafa",
        ),
        (
            b"aaaaaaaaaaaaaaaa",
            b"dddddddd",
            "2c5e219164ff1dca1c4a92318d847bb6b9d44492984e1eb71aff9022f71046e9",
        ),
        (
            b"0102030405060708",
            b"cdcdcdcd",
            "e73b9ba9969969cefb04aa0d6df18ec2fcc075b6f23b4d8c4da736a5dbbc6e7d",
        ),
    ],
)
def test_join_hmac_is_that_of_linux(keys: bytes, nonces: bytes, hmac: str) -> None:
    own_key, peer_key = int.from_bytes(keys[:8], "big"), int.from_bytes(keys[8:], "big")
    own_nonce, peer_nonce = int.from_bytes(nonces[:4], "big"), int.from_bytes(nonces[4:], "big")

    assert join_hmac(own_key, peer_key, own_nonce, peer_nonce).hex() == hmac


def test_add_addr_hmac() -> None:
    # by `openssl dgst -sha256 -mac HMAC`, over address ID, address and port
    own, peer = 0x0102030405060708, 0x1112131415161718

    assert add_addr_hmac(own, peer, 5, IPv4Address("10.0.0.5")).hex() == "983ea41a0ee46778"
    assert add_addr_hmac(own, peer, 6, IPv6Address("2001:db8::6"), 8080).hex() == "55b3a96191467f85"
