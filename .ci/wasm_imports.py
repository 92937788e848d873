"""Fails if a WebAssembly module imports anything: core computes, so it has nothing to ask of its host."""

import sys

IMPORTS = 2

with open(sys.argv[1], "rb") as module:
    module = module.read()


def varint(at):
    """The LEB128 number at `at` and the offset after it."""
    value = shift = 0
    while True:
        byte = module[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


if module[:8] != b"\0asm\1\0\0\0":
    sys.exit(f"{sys.argv[1]} is not a WebAssembly module")
at, sections = 8, {}
while at < len(module):
    section = module[at]
    size, at = varint(at + 1)
    sections[section] = at
    at += size
if IMPORTS in sections and varint(sections[IMPORTS])[0] > 0:
    sys.exit(f"{sys.argv[1]} imports {varint(sections[IMPORTS])[0]} things from its host")
print(f"{len(module)} bytes, no imports")
