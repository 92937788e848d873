"""A membership token made from the documented layout and RFC 8032 (section 5.1) alone, without any of this
repository's code: prints the token's text, and the same token under a signature whose R is the identity."""

import base64
import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def add(p, q):
    (x1, y1), (x2, y2) = p, q
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def multiply(scalar, point):
    total = (0, 1)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def base():
    y = 4 * pow(5, -1, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (P - x if x & 1 else x), y


def encode(point):
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def challenge(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


B = base()
digest = hashlib.sha512(bytes([7] * 32)).digest()
secret = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
public = encode(multiply(secret, B))

body = b"\x01" + public[:8]
for name in (b"voice", b"v2", b"w-1"):
    body += bytes([len(name)]) + name
for number in (3, 9, 1_000_000_000):
    body += number.to_bytes(8, "little")
message = b"openrtc membership v1\x00" + body

nonce = challenge(digest[32:], message) % L
for r in (nonce, 0):
    R = encode(multiply(r, B))
    S = (r + challenge(R, public, message) * secret) % L
    token = body + R + S.to_bytes(32, "little")
    print(base64.urlsafe_b64encode(token).decode().rstrip("="))
