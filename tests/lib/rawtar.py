# SPDX-License-Identifier: Apache-2.0
"""Tar archives byte by byte: headers that no library would write."""
import struct

END = bytes(1024)


def number(value, width):
    """Octal with a NUL, or base-256 when that does not fit or value is below zero."""
    text = b"%o" % value if value >= 0 else b""
    if value >= 0 and len(text) < width:
        return text.rjust(width - 1, b"0") + b"\0"
    return bytes([0x80 if value >= 0 else 0xff]) + (value & (1 << 8 * (width - 1)) - 1).to_bytes(width - 1, "big")


def header(name, kind=b"0", link=b"", size=0, mode=0o644, uid=0, gid=0, mtime=1700000000, dev=(0, 0), prefix=b"", magic=b"ustar\x0000", extra=b""):
    """One block; extra replaces what follows the device numbers (old GNU sparse maps)."""
    head = (name[:100].ljust(100, b"\0") + number(mode, 8) + number(uid, 8) + number(gid, 8) + number(size, 12) + number(mtime, 12) + b" " * 8 + kind +
            link[:100].ljust(100, b"\0") + magic + bytes(64) + number(dev[0], 8) + number(dev[1], 8) + (extra or prefix.ljust(155, b"\0")))
    head = head.ljust(512, b"\0")
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def padded(data):
    return data + bytes(-len(data) % 512)


def record(key, value):
    """One pax record, with its own length in front."""
    body, n = b" " + key + b"=" + value + b"\n", 0
    while n != len(b"%d" % n) + len(body):
        n = len(b"%d" % n) + len(body)
    return b"%d" % n + body


def pax(records, kind=b"x"):
    body = b"".join(record(k, v) for k, v in records)
    return header(b"pax", kind, size=len(body)) + padded(body)


def entry(name, data=b"", kind=b"0", records=(), **kw):
    """An entry with its data; size= lies about it. records: a pax header before it. Names of any length."""
    name = name.encode() if isinstance(name, str) else name
    link = kw.pop("link", b"")
    kw["link"] = link.encode() if isinstance(link, str) else link
    more = [(b"path", name)] if len(name) > 100 else []
    more += [(b"linkpath", kw["link"])] if len(kw["link"]) > 100 else []
    front = pax([*more, *records]) if more or records else b""
    return front + header(name, kind, **{"size": len(data), **kw}) + padded(data)


def capability(bits=1 << 13):
    """security.capability, version 2: these bits permitted and effective."""
    return struct.pack("<IIIII", 0x02000001, bits & 0xffffffff, 0, bits >> 32, 0)
