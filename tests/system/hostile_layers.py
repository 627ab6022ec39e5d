# SPDX-License-Identifier: Apache-2.0
"""One table of layers that mean harm or are merely odd, each taken in the three ways that a layer comes: load, import and pull. Either all three refuse it
with the same words and leave nothing, or all three make the same tree, inside the layer and of nothing but what a layer may hold."""
import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import tarfile
import registry
import systest
from rawtar import END, capability, entry, header, padded, pax

LONG = "n" * 255
MINE = b"trusted.overlay.opaque"


def lst(d, path):
    return os.lstat(os.path.join(d, path))


def read(d, path):
    with open(os.path.join(d, path), "rb") as f:
        return f.read()


def xattrs(d, path):
    return sorted(os.listxattr(os.path.join(d, path), follow_symlinks=False))


def is_whiteout(d, path):
    st = lst(d, path)
    return stat.S_ISCHR(st.st_mode) and st.st_rdev == 0


def is_opaque(d, path):
    return MINE.decode() in xattrs(d, path)


def sparse_map(segments, real):
    """What follows the device numbers in an old GNU sparse header."""
    blocks = b"".join(struct.pack("12s12s", b"%011o" % a, b"%011o" % n) for a, n in segments[:4])
    return bytes(41) + blocks.ljust(96, b"\0") + b"\0" + b"%011o\0" % real


def old_sparse(segments, real, data):
    return header(b"f", b"S", size=len(data), magic=b"ustar  \0", extra=sparse_map(segments, real)) + padded(data)


def xattr(name, value=b"v", **kw):
    return entry("f", b"x", records=[(b"SCHILY.xattr." + name, value)], **kw)


# name: (bytes of the archive, words of the refusal or what has to hold of the tree)
CASES = {
    # names that lead out
    "dot dot": (entry("../out", b"x"), '".." is refused'),
    "dot dot in the middle": (entry("a/../../out", b"x"), '".." is refused'),
    "dot dot in a pax path": (entry("a", b"x", records=[(b"path", b"../../out")]), '".." is refused'),
    "dot dot in a GNU long name": (header(b"././@LongLink", b"L", size=7, magic=b"ustar  \0") + padded(b"../out\0") + entry("a", b"x"), '".." is refused'),
    "absolute": (entry("/etc/x", b"x"), lambda d: read(d, "etc/x") == b"x"),
    "slashes and dots": (entry("//./a//./b/.", kind=b"5", mode=0o755), lambda d: os.path.isdir(d + "/a/b")),
    "name ends at a NUL": (entry("a", b"x", records=[(b"path", b"b\0/../../out")]), lambda d: len(os.listdir(d)) == 1),
    "name with control bytes": (entry("a\x1b[2J\nb", b"x"), lambda d: os.listdir(d) == ["a\x1b[2J\nb"]),
    "empty name": (entry("", b"x"), "root of a layer must be a directory"),
    "the root itself": (entry("./", kind=b"5", mode=0o750, uid=7), lambda d: (lst(d, ".").st_mode & 0o7777, lst(d, ".").st_uid) == (0o750, 7)),
    "the root as a link": (entry(".", kind=b"2", link="/etc"), "root of a layer must be a directory"),
    "part of 255": (entry(LONG, b"x"), lambda d: os.listdir(d) == [LONG]),
    "part of 256": (entry("n" * 256, b"x"), "too long"),
    "path of 4100": (entry("/".join(["d" * 100] * 41)[:4100], b"x"), "too long"),
    "deep": (entry("/".join(["d"] * 400) + "/f", b"x"), lambda d: os.path.isdir(d + "/d/d/d/d")),
    # links
    "through a symlink up": (entry("l", kind=b"2", link="../../../..") + entry("l/tmp/guard", b"evil"), lambda d: read(d, "tmp/guard") == b"evil"),
    "through an absolute symlink": (entry("l", kind=b"2", link="/etc") + entry("l/guard", b"evil"), lambda d: read(d, "etc/guard") == b"evil"),
    "symlink replaced by a file": (entry("l", kind=b"2", link="/etc/passwd") + entry("l", b"evil"), lambda d: stat.S_ISREG(lst(d, "l").st_mode)),
    "symlink replaced by a directory": (entry("l", kind=b"2", link="/etc") + entry("l/", kind=b"5"), lambda d: stat.S_ISDIR(lst(d, "l").st_mode)),
    "symlink loop": (entry("a", kind=b"2", link="b") + entry("b", kind=b"2", link="a") + entry("a/x", b"x"), "symbolic links"),
    "symlink without target": (entry("l", kind=b"2"), "symlink with no target"),
    "symlink target too long": (entry("l", kind=b"2", link="t" * 5000), "too long"),
    "magic link": (entry("p", kind=b"2", link="/proc/self/root") + entry("p/guard", b"evil"), lambda d: read(d, "proc/self/root/guard") == b"evil"),
    "hard link up": (entry("h", kind=b"1", link="../../../../etc/passwd"), '".." is refused'),
    "hard link to what is not there": (entry("h", kind=b"1", link="/etc/passwd"), "not in this layer"),
    "hard link through a symlink": (entry("l", kind=b"2", link="/") + entry("h", kind=b"1", link="l/etc/passwd"), "not in this layer"),
    "hard link to a symlink": (entry("l", kind=b"2", link="/etc/passwd") + entry("h", kind=b"1", link="l") + entry("h", b"evil"),
                               lambda d: stat.S_ISLNK(lst(d, "l").st_mode) and read(d, "h") == b"evil"),
    "hard link to a directory": (entry("d/", kind=b"5") + entry("h", kind=b"1", link="d"), "not a file"),
    "hard link to the root": (entry("h", kind=b"1", link="/"), "not in this layer"),
    "hard link to itself": (entry("f", b"x") + entry("f", kind=b"1", link="f"), lambda d: read(d, "f") == b"x"),
    "hard link over its own parent": (entry("d/f", b"x") + entry("d", kind=b"1", link="d/f"), "hard link"),
    "hard link to a whiteout": (entry(".wh.w") + entry("h", kind=b"1", link="w"), "not a file"),
    "hard link, absolute": (entry("a/f", b"x") + entry("h", kind=b"1", link="/a/f"), lambda d: lst(d, "h").st_ino == lst(d, "a/f").st_ino),
    "hard link with data": (entry("f", b"x") + entry("h", b"y" * 600, kind=b"1", link="f") + entry("g", b"z"), "damaged"),
    # what else there is
    "fifo and socketless": (entry("p", kind=b"6", mode=0o600), lambda d: stat.S_ISFIFO(lst(d, "p").st_mode)),
    "devices": (entry("c", kind=b"3", dev=(1, 3)) + entry("b", kind=b"4", dev=(8, 0)), lambda d: lst(d, "c").st_rdev == os.makedev(1, 3)
                and stat.S_ISBLK(lst(d, "b").st_mode)),
    "a device 0:0": (entry("w", kind=b"3", dev=(0, 0)) + entry("f", b"x"), lambda d: os.listdir(d) == ["f"]),
    "set-uid": (entry("s", b"x", mode=0o6755, uid=12, gid=34), lambda d: (lst(d, "s").st_mode & 0o7777, lst(d, "s").st_uid, lst(d, "s").st_gid) == (0o6755, 12, 34)),
    "mode of strange bits": (entry("s", b"x", mode=0o177777), lambda d: lst(d, "s").st_mode & 0o7777 == 0o7777 and stat.S_ISREG(lst(d, "s").st_mode)),
    "a type of its own": (entry("x", kind=b"Z"), lambda d: read(d, "x") == b""),  # POSIX: unknown types are files
    "owner beyond 32 bits": (entry("f", b"x", records=[(b"uid", b"4294967296")]), "out of range"),
    "owner below zero": (entry("f", b"x", uid=-2), "out of range"),
    # sizes and times
    "negative size": (header(b"f", size=-1) + END, "not a tar archive"),
    "negative size in pax": (entry("f", b"x", records=[(b"size", b"-1")]), "not a tar archive"),
    "size of 2^62": (header(b"f", size=1 << 62), "more than the"),
    "size of 2^63 in pax": (entry("f", b"x", records=[(b"size", b"9223372036854775807")]), ""),
    "more than there is": (header(b"f", size=100000) + padded(b"x"), "cut off"),
    "time before 1970": (entry("f", b"x", mtime=-86400), lambda d: lst(d, "f").st_mtime == 0),
    "time beyond all": (entry("f", b"x", records=[(b"mtime", b"99999999999999999999.5")]), lambda d: lst(d, "f").st_mtime <= 253402300799),
    "sparse file": (old_sparse([(1 << 20, 3)], (1 << 20) + 3, b"abc"), lambda d: lst(d, "f").st_size == (1 << 20) + 3 and lst(d, "f").st_blocks < 64),
    "sparse beyond its size": (old_sparse([(1 << 20, 512)], 1000, b"x" * 512), "beyond the end"),
    "sparse backwards": (old_sparse([(4096, 512), (0, 512)], 8192, b"x" * 1024), ""),
    "sparse of 2^50": (old_sparse([(0, 3)], 1 << 33, b"abc").replace(b"100000000000\0"[:11], b"77777777777"), ""),
    "pax sparse that lies": (entry("f", b"x" * 512, records=[(b"GNU.sparse.major", b"0"), (b"GNU.sparse.minor", b"1"), (b"GNU.sparse.map", b"0,9999999"),
                                                            (b"GNU.sparse.size", b"100")]), ""),
    # pax
    "a global header": (pax([(b"path", b"../../out"), (b"uid", b"1000"), (b"comment", b"x" * 2000)], b"g") + entry("f", b"x"),
                        lambda d: read(d, "f") == b"x" and lst(d, "f").st_uid == 0),
    "a pax header of 2 MB": (pax([(b"comment", b"x" * (2 << 20))]) + entry("f", b"x"), "not a tar archive"),
    "a pax header that lies": (header(b"pax", b"x", size=20) + padded(b"99999999999 path=x\n") + entry("f", b"x"), "not a tar archive"),
    "two pax paths": (entry("a", b"x", records=[(b"path", b"b"), (b"path", b"../c")]), '".." is refused'),
    "a GNU name of 2 MB": (header(b"././@LongLink", b"L", size=2 << 20, magic=b"ustar  \0") + bytes(2 << 20) + entry("a", b"x"), ""),
    # twice the same
    "a file twice": (entry("f", b"one", mode=0o600) + entry("f", b"two", mode=0o644), lambda d: read(d, "f") == b"two" and lst(d, "f").st_mode & 0o777 == 0o644),
    "a directory, then a file": (entry("d/a/b", b"x") + entry("d", b"x"), lambda d: read(d, "d") == b"x"),
    "a file, then a directory": (entry("d", b"x") + entry("d/", kind=b"5") + entry("d/f", b"y"), lambda d: read(d, "d/f") == b"y"),
    "a file as a parent": (entry("d", b"x") + entry("d/f", b"y"), "parent"),
    "a link that goes on in its old way": (entry("a/x", b"1") + entry("a", kind=b"2", link="b") + entry("a/y", b"2"), lambda d: read(d, "b/y") == b"2"),
    "a device under a file's name": (entry("n", b"x") + entry("n", kind=b"3", dev=(1, 3)), lambda d: stat.S_ISCHR(lst(d, "n").st_mode)),
    # whiteouts
    "a whiteout": (entry("d/.wh.gone"), lambda d: is_whiteout(d, "d/gone")),
    "a whiteout of the parent": (entry("d/.wh..."), "whiteout of nothing"),
    "a whiteout of the directory": (entry("d/.wh.."), "whiteout of nothing"),
    "a whiteout of nothing": (entry("d/.wh."), "whiteout of nothing"),
    "a whiteout by a symlink": (entry("l", kind=b"2", link="/etc") + entry("l/.wh.passwd"), lambda d: is_whiteout(d, "etc/passwd")),
    "a whiteout after the file": (entry("f", b"x") + entry(".wh.f"), lambda d: read(d, "f") == b"x"),
    "a whiteout before the file": (entry(".wh.f") + entry("f", b"x"), lambda d: read(d, "f") == b"x"),
    "a whiteout before the directory": (entry(".wh.d") + entry("d/f", b"x"), lambda d: is_opaque(d, "d") and read(d, "d/f") == b"x"),
    "a whiteout that is a device": (entry(".wh.w", kind=b"3", dev=(8, 0)), lambda d: is_whiteout(d, "w")),
    "an opaque mark in the middle": (entry("d/a", b"1") + entry("d/.wh..wh..opq") + entry("d/b", b"2"), lambda d: is_opaque(d, "d") and
                                     (read(d, "d/a"), read(d, "d/b")) == (b"1", b"2")),
    "an opaque root": (entry(".wh..wh..opq"), "root of a layer"),
    "aufs' own": (entry(".wh..wh.plnk/1.2", b"x") + entry("d/.wh..wh.aufs", b"x") + entry("f", b"x"), lambda d: sorted(os.listdir(d)) == ["f"]),
    # attributes
    "a capability": (xattr(b"security.capability", capability()), lambda d: xattrs(d, "f") == ["security.capability"]),
    "a capability and an owner": (xattr(b"security.capability", capability(), uid=5), lambda d: xattrs(d, "f") == ["security.capability"] and lst(d, "f").st_uid == 5),
    "a damaged capability": (xattr(b"security.capability", b"\1\2"), "security.capability"),
    "user attribute": (xattr(b"user.x", b"\0\1"), lambda d: os.getxattr(d + "/f", "user.x") == b"\0\1"),
    "overlay's own": (xattr(MINE, b"y") + entry("d/", kind=b"5", records=[(b"SCHILY.xattr." + MINE, b"y"), (b"LIBARCHIVE.xattr." + MINE, b"eQ==")]),
                      lambda d: xattrs(d, "f") == [] and xattrs(d, "d") == []),
    "overlay's own for users": (entry("d/", kind=b"5", records=[(b"SCHILY.xattr.user.overlay.opaque", b"y"), (b"SCHILY.xattr.user.overlay.redirect", b"/etc")]),
                                lambda d: xattrs(d, "d") == []),
    "redirect": (entry("d/", kind=b"5", records=[(b"SCHILY.xattr.trusted.overlay.redirect", b"/etc")]), lambda d: xattrs(d, "d") == []),
    "labels of security modules": (xattr(b"security.selinux", b"u:r:t") + xattr(b"security.ima", b"x"), lambda d: xattrs(d, "f") == []),
    "access lists": (entry("f", b"x", records=[(b"SCHILY.acl.access", b"user::rwx,user:5:rwx,group::r-x,mask::rwx,other::r-x"),
                                               (b"SCHILY.xattr.system.posix_acl_access", b"\2\0\0\0")]), lambda d: xattrs(d, "f") == []),
    "flags": (entry("f", b"x", records=[(b"SCHILY.fflags", b"schg,sappnd")]), lambda d: read(d, "f") == b"x"),
    # whole archives
    "nothing": (b"", lambda d: os.listdir(d) == []),
    "noise": (b"\xff" * 4096, "not a tar archive"),
    "cut off in a header": (entry("a", b"x") + header(b"b", size=3)[:300], "cut off"),
    "a wrong checksum": (entry("a", b"x") + header(b"b").replace(b"ustar", b"Ustar") + END, "damaged"),
    "what follows the end": (entry("a", b"x") + END + entry("../out", b"x"), lambda d: os.listdir(d) == ["a"]),
}


def archive_of(layer, name):
    """A docker archive of one layer."""
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}})
    manifest = json.dumps([{"Config": "c.json", "RepoTags": [name], "Layers": ["l.tar"]}])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for path, data in (("manifest.json", manifest.encode()), ("c.json", config.encode()), ("l.tar", layer)):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tree(top):
    """All of a tree that two ways of making it have to agree in; what no entry mentions has the time of the newest."""
    out = []
    for at, folders, files in os.walk(top):
        for name in [*folders, *files]:
            st = os.lstat(os.path.join(at, name))
            out.append((os.path.relpath(os.path.join(at, name), top), st.st_mode, st.st_uid, st.st_gid, st.st_size if not stat.S_ISDIR(st.st_mode) else 0,
                        st.st_rdev, 0 if stat.S_ISCHR(st.st_mode) and not st.st_rdev else st.st_mtime, st.st_nlink if stat.S_ISREG(st.st_mode) else 0))
    return sorted(out)


def one(t, server, what, layer, expected, way):
    """Takes one layer in one way. The words of the refusal, or the tree."""
    name = f"h/{way}:1"
    before = sorted(os.listdir(t.root + "/layers"))
    refused = isinstance(expected, str)
    if way == "pull":
        server.image = registry.Image([layer])
        name = f"{server.host}/h/x:1"
        done = t.muster("image", "pull", "-q", name, rc=None)
    elif way == "load":
        done = t.muster("image", "load", stdin=archive_of(layer, name), rc=None)
    else:
        done = t.muster("image", "import", "-", name, stdin=layer, rc=None)
    if refused:
        t.eq(done.rc, 1, f"{what} by {way}: exit status; {done.err}")
        t.true(expected in done.err, f"{what} by {way}: {done.err}")
        t.eq(len([x for x in done.err.splitlines() if x.startswith("muster: ")]), 1, f"{what} by {way}: messages")
        t.eq(sorted(os.listdir(t.root + "/layers")), before, f"{what} by {way}: layers")
        return None
    t.eq(done.rc, 0, f"{what} by {way}: exit status; {done.err}")
    diff_id = json.loads(t.muster("image", "inspect", name).out)[0]["RootFS"]["Layers"][0].split(":")[1]
    if way != "import":  # which packs anew what it was given
        t.eq(diff_id, hashlib.sha256(layer).hexdigest(), f"{what} by {way}: diff id")
    diff = f"{t.root}/layers/{diff_id}/diff"
    t.true(expected(diff), f"{what} by {way}: {tree(diff)}")
    found = tree(diff)
    if way != "pull":
        t.muster("image", "rm", name)
    return found


def table(t, part):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for guard in ("/etc/guard", "/tmp/guard"):  # nobody makes them
        t.true(not os.path.exists(guard), guard)
    failures = []
    with registry.Server(registry.Image([b""])) as server:
        for i, (what, (body, expected)) in enumerate(CASES.items()):
            if i % 4 != part:
                continue
            try:
                trees = [one(t, server, what, body + END, expected, way) for way in ("load", "import", "pull")]
                t.true(trees[0] == trees[1] == trees[2], f"{what}: the three ways differ: {trees}")
            except (systest.Failure, OSError) as e:
                failures.append(str(e))
    t.eq("\n".join(failures), "", "all cases")
    for guard in ("/etc/guard", "/tmp/guard", t.root + "/out", t.root + "/layers/out", t.folder + "/out"):
        t.true(not os.path.exists(guard), f"{guard} was made")
    t.muster("image", "verify")


def test_table_1(t):
    """Every case of the table, quarter 1."""
    table(t, 0)


def test_table_2(t):
    """Every case of the table, quarter 2."""
    table(t, 1)


def test_table_3(t):
    """Every case of the table, quarter 3."""
    table(t, 2)


def test_table_4(t):
    """Every case of the table, quarter 4."""
    table(t, 3)
