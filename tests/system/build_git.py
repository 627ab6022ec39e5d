# SPDX-License-Identifier: Apache-2.0
"""Git repositories as build contexts and as sources of ADD: what is fetched, what is not, who is told what, and what a hostile repository achieves."""
import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib

import registry
import systest
from gitserver import GitServer, git

DOCKERFILE = "FROM busybox\nCOPY . /src\nRUN find /src | sort; cat /src/f\n"


def build(t, *args, **kw):
    return t.muster("image", "build", *args, **kw)


def dockerfile(t, text):
    t.file("ctx/Dockerfile", text)
    return "ctx"


@contextlib.contextmanager
def served(t):
    if not shutil.which("git"):
        raise systest.Skip("no git")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    server = GitServer(t.dir + "/repos")
    try:
        yield server
    finally:
        server.close()


def repository(t, name="r", files=None):
    """A bare repository with two commits on main, the branch other, the tags v1 (annotated) and light, and deltas in its pack."""
    work, bare = f"{t.dir}/work-{name}", f"{t.dir}/repos/{name}.git"
    for path, text in (files or {"Dockerfile": DOCKERFILE, "f": "first\n", "sub/Dockerfile": DOCKERFILE, "sub/f": "below\n", "sub/x": "x"}).items():
        t.file(f"work-{name}/{path}", text)
    os.makedirs(os.path.dirname(bare), exist_ok=True)
    git(work, "init", "-q", "-b", "main", ".")
    if not files:
        os.chmod(work + "/sub/x", 0o755)
        os.symlink("../f", work + "/sub/link")
        t.file(f"work-{name}/big", "".join(f"line {i}\n" for i in range(3000)))
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "one")
    git(work, "tag", "-a", "-m", "v1", "v1")
    git(work, "tag", "light")
    git(work, "checkout", "-q", "-b", "other")
    t.file(f"work-{name}/f", "other\n")
    git(work, "commit", "-q", "-a", "-m", "other")
    git(work, "checkout", "-q", "main")
    t.file(f"work-{name}/f", "second\n")
    if not files:
        t.file(f"work-{name}/big", "".join(f"line {i}\n" for i in range(2999)) + "last\n")
        t.file(f"work-{name}/big2", "".join(f"line {i}\n" for i in range(3001)))
    git(work, "add", ".")
    git(work, "commit", "-q", "-m", "two")
    git(work, "clone", "-q", "--bare", work, bare)
    git(bare, "repack", "-q", "-a", "-d", "-f")
    git(bare, "update-ref", "refs/pull/7/head", "other")
    return work, bare


def layer(t, name):
    """The directory of an image's last layer."""
    last = json.loads(t.muster("image", "inspect", name).out)[0]["RootFS"]["Layers"][-1]
    return f"{t.root}/layers/{last.removeprefix('sha256:')}/diff"


def test_context(t):
    """A branch, tag, commit, other ref and subdirectory are what BuildKit takes them for; files have git's modes, and no .git comes along."""
    with served(t) as s:
        work, _ = repository(t)
        first, second = git(work, "rev-parse", "v1^{}"), git(work, "rev-parse", "main")
        for old in (False, True):
            s.old = old
            for ref, word in (("", "second"), ("#main", "second"), ("#refs/heads/other", "other"), ("#v1", "first"), ("#light", "first"),
                              (f"#{second}", "second"), ("#pull/7/head", "other"), ("?branch=other", "other"), ("?tag=v1", "first"),
                              (f"?ref=main&commit={second[:12]}", "second"), (f"?checksum={second}", "second")) if not old else (("", "second"), ("#v1", "first"), (f"#{second}", "second")):
                done = build(t, "--no-cache", f"{s.url}/r.git{ref}")
                t.match(done.err, rf"(?m)^#\d+ [\d.]+ {word}$")
            t.lacks(done.err, "/src/.git")
        t.match(build(t, "--no-cache", f"{s.url}/r.git#other:sub/").err, r"(?m)^#\d+ [\d.]+ below$")
        t.match(build(t, "--no-cache", f"{s.url}/r.git?subdir=sub&ref=v1").err, r"(?m)^#\d+ [\d.]+ below$")
        t.match(build(t, "--no-cache", "-f", "sub/Dockerfile", f"{s.url}/r.git#v1").err, r"(?m)^#\d+ [\d.]+ first$")
        t.match(build(t, "--no-cache", "-f", "-", f"{s.url}/r.git#v1", stdin="FROM busybox\nCOPY f /x\nRUN cat /x\n").err, r"(?m)^#\d+ [\d.]+ first$")
        build(t, "-t", "modes", "-f", "-", f"{s.url}/r.git#v1", stdin="FROM busybox\nCOPY . /\n")
        top = layer(t, "modes")
        t.eq([oct(os.lstat(f"{top}/{n}").st_mode) for n in ("f", "sub", "sub/x")], ["0o100644", "0o40755", "0o100755"])
        t.eq(os.readlink(top + "/sub/link"), "../f")
        t.eq(os.stat(top + "/f").st_mtime, 1641092645.0)
        with open(top + "/big", encoding="utf-8") as a, open(work + "/big", encoding="utf-8") as b:
            t.eq(a.read(), b.read().replace("last\n", "line 2999\n"))


def test_fetched_once(t):
    """What is here under the commit's name is not fetched again: contexts and ADD ask for the ref alone; a new commit is fetched."""
    with served(t) as s:
        work, bare = repository(t)
        build(t, f"{s.url}/r.git")
        t.eq(s.fetches, 1)
        t.has(build(t, f"{s.url}/r.git").err, "CACHED")
        t.has(build(t, "--no-cache", f"{s.url}/r.git#main").err, "second")
        t.eq(s.fetches, 1)
        ctx = dockerfile(t, f"FROM busybox\nADD {s.url}/r.git#v1 /a\nADD {s.url}/r.git?subdir=sub /b/\nRUN cat /a/f /b/f\n")
        t.has(build(t, ctx).err, "first", "below")
        t.eq(s.fetches, 3)
        t.has(build(t, ctx).err, "CACHED")
        t.eq(s.fetches, 3)
        t.file("work-r/f", "third\n")
        git(work, "commit", "-q", "-a", "-m", "three")
        git(work, "push", "-q", bare, "main")
        t.has(build(t, f"{s.url}/r.git").err, "third")
        t.eq(s.fetches, 4)
        t.muster("builder", "prune", "-f", "-a")
        build(t, f"{s.url}/r.git")
        t.eq(s.fetches, 5)


def test_add(t):
    """ADD of a repository: its files, not itself; --chown, --chmod, --exclude, --checksum; --keep-git-dir leaves what git finds in order."""
    with served(t) as s:
        work, _ = repository(t)
        commit = git(work, "rev-parse", "v1^{}")
        build(t, "-t", "a", dockerfile(t, f"FROM scratch\nADD --chown=7:8 --exclude=sub {s.url}/r.git#v1 /dst\n"))
        t.eq(sorted(os.listdir(layer(t, "a") + "/dst")), ["Dockerfile", "big", "f"])
        t.eq((os.stat(layer(t, "a") + "/dst/f").st_uid, os.stat(layer(t, "a") + "/dst/f").st_gid), (7, 8))
        build(t, dockerfile(t, f"FROM scratch\nADD --checksum={commit[:7]} {s.url}/r.git#v1 /dst\n"))
        t.has(build(t, dockerfile(t, f"FROM scratch\nADD --checksum={commit} {s.url}/r.git#main /dst\n"), rc=1).err, "expected checksum to match " + commit)
        t.has(build(t, dockerfile(t, f"FROM scratch\nADD --checksum=sha256:{'0' * 64} {s.url}/r.git /dst\n"), rc=1).err, "invalid checksum")
        for ref, described in (("v1", "v1"), ("main", "")):
            build(t, "-t", "k", dockerfile(t, f"FROM scratch\nADD --keep-git-dir=true {s.url}/r.git#{ref} /dst\n"))
            clone = f"{t.dir}/clone-{ref}"
            shutil.copytree(layer(t, "k") + "/dst", clone, symlinks=True)
            t.eq(git(clone, "rev-parse", "HEAD"), git(work, "rev-parse", ref + "^{}"))
            t.eq(git(clone, "status", "--porcelain"), "")
            git(clone, "fsck", "--strict")
            t.eq(git(clone, "log", "--format=%s"), "one" if described else "two")
            if described:
                t.eq(git(clone, "describe"), described)
            t.eq(git(clone, "config", "remote.origin.url"), f"{s.url}/r.git")
        t.match(build(t, "--no-cache", "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", f"{s.url}/r.git").err, r"/src/\.git/HEAD")


def test_compose(t):
    """build.context and additional_contexts may be repositories; an additional one that is a URL is a directory with that file."""
    with served(t) as s:
        repository(t)
        t.compose(f"services: {{a: {{build: {{context: '{s.url}/r.git#v1', dockerfile: sub/Dockerfile}}}}, "
                  f"b: {{build: {{dockerfile_inline: \"FROM busybox\\nCOPY --from=more f /m\\nCOPY --from=file / /u\\nRUN cat /m; ls /u\", "
                  f"additional_contexts: {{more: '{s.url}/r.git#other', file: '{s.url}/r.git/HEAD'}}}}}}}}\n")
        done = t.muster("build").err
        t.has(done, "first", "other", "HEAD")
        t.has(t.muster("config").out, f"context: {s.url}/r.git#v1")


def test_submodules(t):
    """Submodules come at the commits that the tree names, from URLs relative to the parent's; what .gitmodules says else has no effect."""
    with served(t) as s:
        inner, _ = repository(t, "inner", {"f": "inner one\n"})
        commit = git(inner, "rev-parse", "v1^{}")
        work, _ = repository(t, "outer", {"f": "outer\n", ".gitmodules":
                     '[submodule "../../evil"]\n\tpath = deep/mod\n\turl = ../inner.git\n\tupdate = !touch /tmp/never\n[submodule "lost"]\n\tpath = lost\n'})
        git(work, "update-index", "--add", "--cacheinfo", f"160000,{commit},deep/mod", "--cacheinfo", f"160000,{commit},lost")
        git(work, "commit", "-q", "-m", "modules")
        git(work, "push", "-q", "-f", f"{t.dir}/repos/outer.git", "main")
        ctx = dockerfile(t, f"FROM scratch\nADD {s.url}/outer.git /d\n")
        build(t, "-t", "m", ctx)
        with open(layer(t, "m") + "/d/deep/mod/f", encoding="utf-8") as f:
            t.eq(f.read(), "inner one\n")
        t.eq(os.listdir(layer(t, "m") + "/d/lost"), [])
        build(t, "-t", "m", dockerfile(t, f"FROM scratch\nADD {s.url}/outer.git?submodules=false /d\n"))
        t.eq(os.listdir(layer(t, "m") + "/d/deep/mod"), [])
        t.file("work-outer/.gitmodules", '[submodule "x"]\n\tpath = deep/mod\n\turl = file:///etc\n')
        git(work, "add", ".gitmodules")
        git(work, "commit", "-q", "-m", "file")
        git(work, "push", "-q", "-f", f"{t.dir}/repos/outer.git", "main")
        t.has(build(t, dockerfile(t, f"FROM scratch\nADD {s.url}/outer.git /d\n"), rc=1).err, 'submodule "deep/mod"', "not supported")


def test_credentials(t):
    """Tokens and headers reach the host they are for and nobody else, not the cache and not the image; without them the error says what is missing."""
    with served(t) as s:
        repository(t)
        ctx = dockerfile(t, f"FROM busybox\nADD {s.url}/r.git#v1 /a\n")
        word = "token" + os.urandom(8).hex()
        s.authorization = "Basic " + base64.b64encode(f"x-access-token:{word}".encode()).decode()
        t.has(build(t, ctx, rc=1).err, "GIT_AUTH_TOKEN", "401")
        t.file("token", word + "\n")
        build(t, "--secret", "id=GIT_AUTH_TOKEN,src=token", ctx)
        build(t, "--no-cache", "--secret", "id=GIT_AUTH_TOKEN.127.0.0.1,src=token", f"{s.url}/r.git")
        t.has(build(t, "--no-cache", "--secret", "id=GIT_AUTH_TOKEN.other.test,src=token", ctx, rc=1).err, "401")
        for top, _, names in os.walk(t.root):
            for name in names:
                with open(os.path.join(top, name), "rb") as f:
                    t.true(word.encode() not in f.read(), name)
        s.authorization = "Bearer abc"
        build(t, "--no-cache", "--secret", "id=GIT_AUTH_HEADER", ctx, env={"GIT_AUTH_HEADER": "Bearer abc"})
        s.authorization = "Basic " + base64.b64encode(b"me:pass word").decode()
        build(t, "--no-cache", f"http://me:pass%20word@127.0.0.1:{s.port}/r.git")
        s.authorization = None
        s.seen.clear()
        build(t, "--no-cache", "--secret", "id=GIT_AUTH_TOKEN,src=token", f"http://127.1:{s.port}/r.git") # a name like any other that begins so
        t.eq(set(s.seen), {None}, "what was told by http to a name")
        elsewhere = GitServer(t.dir + "/repos")
        s.moved["/old.git"] = f"{elsewhere.url}/r.git"
        build(t, "--no-cache", "--secret", "id=GIT_AUTH_TOKEN,src=token", f"{s.url}/old.git")
        t.eq(set(elsewhere.seen), {None}, "what the other server was told")
        elsewhere.close()


def test_https(t):
    """https: the certificate counts, also of a token's receiver; a redirect to http is not followed."""
    with served(t) as s, served(t) as plain:
        repository(t)
        ca, cert, key = registry.make_ca(t.folder)
        registry.with_tls(s.server, cert, key)
        url = f"https://127.0.0.1:{s.port}/r.git"
        s.authorization = "Basic " + base64.b64encode(b"x-access-token:abc").decode()
        done = build(t, "--secret", "id=GIT_AUTH_TOKEN,env=T", url, env={"T": "abc"}, rc=1)
        t.has(done.err.lower(), "certificate")
        t.eq(s.seen, [])
        t.has(build(t, "--secret", "id=GIT_AUTH_TOKEN,env=T", url, env={"T": "abc", "SSL_CERT_FILE": ca}).err, "second")
        s.moved["/old.git"] = f"{plain.url}/r.git"
        t.has(build(t, f"https://127.0.0.1:{s.port}/old.git", env={"SSL_CERT_FILE": ca}, rc=1).err, "from https to http")
        t.eq(plain.seen, [])


def test_errors(t):
    """A repository, ref or subdirectory that is not there is named; nothing is tagged."""
    with served(t) as s:
        repository(t)
        git(t.dir, "init", "-q", "--bare", t.dir + "/repos/empty.git")
        t.file("repos/file", "text")
        for url, needle in (("/nosuch.git", "no such repository"), ("/r.git#nope", 'no ref "nope"'), ("/r.git#:nope", 'subdirectory "nope"'),
                            ("/r.git#:f", 'subdirectory "f"'), ("/r.git#:../x", "leads out"), (f"/r.git#{'0' * 39}1", "the server says"),
                            ("/empty.git", "empty"), ("/r.git?what=1", 'unexpected query "what"'), ("/r.git?ref=a#b", "ref conflicts"),
                            ("/r.git?submodules=x", "submodules"), ("/r.git?commit=xyz", "hexadecimal")):
            t.has(build(t, "-t", "bad", s.url + url, rc=1).err, needle)
        t.file("work-long/Dockerfile", DOCKERFILE)
        git(t.dir + "/work-long", "init", "-q", "--object-format=sha256", ".")
        git(t.dir + "/work-long", "add", ".")
        git(t.dir + "/work-long", "commit", "-q", "-m", "one")
        git(t.dir, "clone", "-q", "--bare", t.dir + "/work-long", t.dir + "/repos/long.git")
        for s.old in (True, False):
            t.has(build(t, s.url + "/long.git", rc=1).err, "SHA-256 names, which is not supported")
        t.has(build(t, f"http://127.0.0.1:1/r.git", rc=1).err, "127.0.0.1")
        t.has(build(t, "-f", "Nope", f"{s.url}/r.git", rc=1).err, "Nope")
        t.has(build(t, "ssh://git@127.0.0.1:1/r.git", rc=1).err, "127.0.0.1")
        t.has(t.muster("image", "inspect", "bad", rc=1).err, "not found")


def test_lfs(t):
    """Files of git-lfs stay the pointers that the repository has, as with BuildKit, and one line says so each time that they are fetched; what only looks
    like one says nothing."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "4" * 64 + "\nsize 12345\n"
    with served(t) as s:
        repository(t, "lfs", {"Dockerfile": DOCKERFILE, "f": pointer, "sub/g": pointer, ".gitattributes": "f filter=lfs\n"})
        repository(t, "none", {"Dockerfile": DOCKERFILE, "f": pointer[:42], "g": pointer + "x" * 1024, "h": "x" + pointer})
        done = build(t, "-t", "x", f"{s.url}/lfs.git#v1")
        t.eq(done.err.count("warning: "), 1)
        t.has(done.err, f"warning: {s.url}/lfs.git: 2 files are git-lfs's pointers, not the content: LFS is not fetched")
        t.has(done.err, "oid sha256:4444")
        t.lacks(build(t, f"{s.url}/lfs.git#v1").err, "warning")
        done = build(t, dockerfile(t, f"FROM busybox\nADD {s.url.replace('://', '://me:secret@')}/lfs.git?subdir=sub /x\nRUN cat /x/g\n"))
        t.has(done.err, "1 file is git-lfs's pointer")
        t.lacks(done.err.split("warning: ")[1].splitlines()[0], "secret")
        t.lacks(build(t, f"{s.url}/none.git#v1").err, "warning")


ATTRIBUTES = {
    ".gitattributes": "\ufeff# comment\n[attr]dos text eol=crlf\n[attr]nested dos ident\n*.bat dos\n*.sh text eol=lf\n*.auto text=auto eol=crlf\n*.bin -text eol=crlf\n"
                      "*.id ident\n/top text eol=crlf\nsub/deep/* eol=crlf\n**/any eol=crlf\nsub/**/end eol=crlf\nsub/** crlf=input\nlater.bat -text\nlater.bat !eol\n"
                      "[a-c]?.cls eol=crlf\n[!a-c]?.neg eol=crlf\n[[:digit:]].num eol=crlf\n\"quo\\164 ed\" eol=crlf\n!no eol=crlf\ndir/ eol=crlf\n"
                      "*.b binary\n*.b eol=crlf\n*.both nested\nbad=x -=y eol=crlf\nnone eol=CRLF\n*a*b*.star eol=crlf\nx.unset dos\nx.unset -dos\n"
                      "esc\\*x eol=crlf\nsub/deep/macro.bat -dos\nold crlf eol=crlf\noldin crlf=input eol=crlf\n\r\nwin.txt eol=crlf\r\n" + "y" * 3000 + " eol=crlf\n",
    "sub/.gitattributes": "*.bat eol=lf\nonly eol=crlf\n/here eol=crlf\n[attr]dos -text\n", "sub/deep/.gitattributes": "x.bat eol=crlf\n",
}
NAMES = ("a.bat", "a.sh", "a.auto", "a.bin", "a.id", "top", "sub/top", "sub/deep/f", "any", "sub/any", "sub/deep/any", "sub/end", "sub/deep/end", "sub/deep/more/end",
         "later.bat", "a1.cls", "d1.cls", "a1.neg", "d1.neg", "1.num", "x.num", "quot ed", "no", "!no", "dir/f", "a.b", "a.both", "none", "xaybz.star", "xbya.star",
         "x.unset", "esc*x", "escyx", "sub/x.bat", "sub/deep/x.bat", "sub/deep/y.bat", "sub/deep/macro.bat", "only", "sub/only", "sub/deep/only", "sub/here",
         "sub/deep/here", "old", "oldin", "win.txt", "sub/deep/more/f")
TEXTS = ("lines\nof\ntext\n", "mixed\r\nlines\n", "lone\rreturn\n", "nul\0\n", "bell\7\n", "", "\n", "no end", "$Id$ $Id: x$ $Id: a b c $\n$Id\n$ $Id:$ $Idx$ $Id: one $\n$Id$Id$Id$ $Id: $Id$\n", "end\n\32")


@systest.timeout(120)
def test_attributes(t):
    """Line ends and $Id$ are what git itself makes of the same commit, whatever .gitattributes say; what they ask for beside that is one warning."""
    with served(t) as s:
        changed = 0
        for n, text in enumerate(TEXTS):
            work, bare, out = f"{t.dir}/work-{n}", f"{t.dir}/repos/{n}.git", f"{t.dir}/out{n}"
            for name in NAMES if n < 2 else ("a.bat", "a.auto", "a.both", "a.id", "a.b"):
                t.file(f"work-{n}/{name}", text)
            git(work, "init", "-q", "-b", "main", ".")
            git(work, "add", ".")  # as they are: the attributes come later
            for name, rules in ATTRIBUTES.items():
                t.file(f"work-{n}/{name}", rules)
            git(work, "add", "--", *ATTRIBUTES)
            git(work, "commit", "-q", "-m", "all")
            git(work, "clone", "-q", "--bare", work, bare)
            git(work, "clone", "-q", bare, out)
            build(t, "-t", "attr", dockerfile(t, f"FROM scratch\nADD {s.url}/{n}.git /d\n"))
            for path in git(out, "-c", "core.quotePath=false", "ls-files", "-z").split("\0")[:-1]:
                with open(f"{out}/{path}", "rb") as a, open(f"{layer(t, 'attr')}/d/{path}", "rb") as b:
                    want = a.read()
                    t.eq(b.read(), want, f"{n}: {path}")
                changed += path in NAMES and want != text.encode()
        t.true(changed > 40, f"{changed} files that git changes")
        build(t, "-t", "attr", dockerfile(t, f"FROM scratch\nADD {s.url}/0.git#main:sub /d\n"))
        with open(layer(t, "attr") + "/d/deep/f", "rb") as f:
            t.eq(f.read().count(b"\r\n"), 3, "attributes of the directories above a subdirectory")
        repository(t, "enc", {"f": "f\n", "x": "text\n\n", ".gitattributes": "x text working-tree-encoding=UTF-16LE\n"})
        done = build(t, dockerfile(t, f"FROM scratch\nADD {s.url}/enc.git#light /d\n"))
        t.has(done.err, "enc.git: 1 file is UTF-8, not what working-tree-encoding says")


def entry(mode, name, oid):
    return f"{mode} ".encode() + name + b"\0" + bytes.fromhex(oid)


def test_hostile_trees(t):
    """Names that would reach a .git directory or leave the tree, a name twice, and modes that git does not have end the build; nothing comes out."""
    with served(t) as s:
        _, bare = repository(t)

        def write(kind, data):
            with open(t.dir + "/object", "wb") as f:
                f.write(data)
            return git(bare, "hash-object", "-t", kind, "--literally", "-w", t.dir + "/object")
        blob = write("blob", b"evil\n")
        inside = write("tree", entry("100644", b"hooks", blob))
        up = write("blob", b"/etc")
        for what in ([("40000", b".git", inside)], [("120000", b".GIT", up)], [("40000", b"..", inside)], [("100644", b".", blob)],
                     [("100644", b"a/b", blob)], [("100644", b"", blob)], [("120000", b"a", up), ("40000", b"a", inside)], [("10644", b"fifo", blob)],
                     [("100644", b"x" * 256, blob)], [("120000", b"l", write("blob", b"a\0b"))], [("100644", b"gone", "1" * 40)]):
            tree = write("tree", b"".join(entry(*e) for e in what))
            commit = write("commit", f"tree {tree}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n".encode())
            git(bare, "update-ref", "refs/heads/evil", commit)
            done = build(t, "-t", "evil", dockerfile(t, f"FROM scratch\nADD {s.url}/r.git#evil /d\n"), rc=1)
            t.true("cannot be in a repository" in done.err or "makes no sense" in done.err or "none of git's" in done.err or "missing" in done.err or
                   "the server says" in done.err, done.err)
        # a blob that packs a thousandfold, ten times, in a tree that is there ten times: a few kilobytes that would be gigabytes
        large = write("blob", b"\0" * (40 << 20))
        bomb = write("tree", b"".join(entry("100644", b"%d" % i, large) for i in range(10)))
        bomb = write("tree", b"".join(entry("40000", b"%d" % i, bomb) for i in range(10)))
        commit = write("commit", f"tree {bomb}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n".encode())
        git(bare, "update-ref", "refs/heads/evil", commit)
        t.has(build(t, "-t", "evil", dockerfile(t, f"FROM scratch\nADD {s.url}/r.git#evil /d\n"), rc=1).err, "larger than the bytes allowed")
        link = write("tree", entry("120000", b".gitmodules", up))
        commit = write("commit", f"tree {link}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n".encode())
        git(bare, "update-ref", "refs/heads/evil", commit)
        build(t, "-t", "fine", dockerfile(t, f"FROM scratch\nADD {s.url}/r.git#evil /d\n"))
        t.eq(os.readlink(layer(t, "fine") + "/d/.gitmodules"), "/etc")


def packet(data):
    return f"{len(data) + 4:04x}".encode() + data


def obj(kind, data, size=None):
    n, out = len(data) if size is None else size, b""
    byte = kind << 4 | n & 15
    n >>= 4
    while n:
        out += bytes([byte | 0x80])
        byte, n = n & 0x7f, n >> 7
    return out + bytes([byte]) + (zlib.compress(data) if kind != 7 else data)


def pack(objects, n=None, spoil=False):
    body = b"PACK" + struct.pack(">II", 2, len(objects) if n is None else n) + b"".join(objects)
    return body + (b"\0" * 20 if spoil else hashlib.sha1(body).digest())


def test_hostile_server(t):
    """Packs that lie about sizes, counts, deltas and sums, and answers that are no protocol, end in an error: no crash, no gigabytes, no hang."""
    import http.server
    import threading
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    commit = "1" * 40
    tree = hashlib.sha1(b"tree 0\0").digest()
    delta = b"\x05\x05\x90\xff"
    good = packet(b"packfile\n")
    cases = {
        "sum": pack([obj(3, b"x")], spoil=True), "count": pack([obj(3, b"x")], n=4000000000), "fewer": pack([obj(3, b"x")], n=2),
        "more": pack([obj(3, b"x"), obj(3, b"y")], n=1), "size": pack([obj(3, b"x" * 10, size=5)]), "short": pack([obj(3, b"x", size=500)]),
        "huge": pack([obj(3, b"x", size=1 << 62)]), "large": pack([obj(3, b"x", size=900 << 20)]), "type": pack([obj(5, b"x")]),
        "back": pack([obj(6, b"")[:1] + b"\xff\xff\x7f" + zlib.compress(delta)]), "cut": b"PACK\0\0\0\2", "none": b"",
        "lost": pack([obj(7, b"\2" * 20 + zlib.compress(delta), size=4)]),
        "copies": pack([obj(3, b"hello"), obj(7, hashlib.sha1(b"blob 5\0hello").digest() + zlib.compress(delta), size=4)]),
        "bomb": pack([obj(3, b"\0" * (40 << 20))]), "missing": pack([obj(2, b"")]), "self": pack([obj(7, tree + zlib.compress(delta), size=4)]),
    }
    state = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(state["hello"] if self.command == "GET" else state["answer"])

        do_POST = do_GET

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hello = packet(b"# service=git-upload-pack\n") + b"0000" + packet(b"version 2\n") + packet(b"fetch=shallow\n") + packet(b"ls-refs\n") + b"0000"
    url = f"http://127.0.0.1:{server.server_port}/r.git#{commit}"
    for name, data in cases.items():
        chunks = [data[i:i + 60000] for i in range(0, len(data), 60000)]
        state.update(hello=hello, answer=good + b"".join(packet(b"\1" + c) for c in chunks) + b"0000")
        done = build(t, url, rc=1)
        t.true("pack" in done.err or "missing" in done.err, f"{name}: {done.err}")
        t.lacks(done.err, "ended by")
    for what in (b"", b"zzzz", b"0003", b"fff", b"<html>no</html>", packet(b"ERR go away"), packet(b"version 2\n") * 3, packet(b"version 2\n") + b"0000",
                 packet(b"\0" * 100) + b"0000", packet(b"x") * 1000, packet(b"1" * 40 + b" refs/heads/a\n") + b"0000"):
        state.update(hello=what, answer=b"0000")
        t.lacks(build(t, url, rc=1).err, "ended by")
    # names that would be lines of a file in .git, and answers that are all talk
    refs = packet(b"1" * 40 + b" HEAD symref-target:refs/heads/x\nevil\n") + b"0000"
    state.update(hello=hello, answer=refs)
    t.has(build(t, f"http://127.0.0.1:{server.server_port}/r.git", rc=1).err, "list of refs makes no sense")
    for talk in (packet(b"\2" + b"x" * 60000), packet(b"shallow " + b"1" * 40)):
        state.update(answer=(good if talk[4] == 2 else b"") + talk * ((20 << 20) // len(talk)) + packet(b"\1" + pack([])) + b"0000")
        t.has(build(t, url, rc=1).err, "answer has no end")
    server.shutdown()


def test_daemon(t):
    """git:// works, too."""
    if not shutil.which("git"):
        raise systest.Skip("no git")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    repository(t)
    daemon = subprocess.Popen(["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", "--port=9499", "--export-all", f"--base-path={t.dir}/repos", t.dir + "/repos"],
                              stderr=subprocess.DEVNULL)
    try:
        systest.wait_for(lambda: subprocess.run(["git", "ls-remote", "git://127.0.0.1:9499/r.git"], check=False, stdout=subprocess.DEVNULL,
                                                stderr=subprocess.DEVNULL).returncode == 0)
        t.has(build(t, "git://127.0.0.1:9499/r.git#v1").err, "first")
        t.has(build(t, "git://127.0.0.1:9499/nosuch.git", rc=1).err, "nosuch.git")
    finally:
        daemon.terminate()
        daemon.wait()


def test_endless_refs(t):
    """A server whose list of refs never ends is left, and not remembered until the memory is gone."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    sent = 0
    with socket.create_server(("127.0.0.1", 9498)) as listener:
        def serve():
            nonlocal sent
            peer = listener.accept()[0]
            line = b"%040x refs/heads/" % 1 + b"x" * 60000
            with peer, contextlib.suppress(OSError):
                while sent < 1 << 30:
                    sent += peer.send(b"%04x" % (len(line) + 4) + line)
        server = threading.Thread(target=serve)
        server.start()
        t.has(build(t, "git://127.0.0.1:9498/r.git", rc=1).err, "list of refs has no end")
        server.join()
    t.true(sent < 200 << 20, f"{sent} bytes were read")


@contextlib.contextmanager
def ssh_server(t):
    if not (shutil.which("git") and os.path.exists("/usr/sbin/sshd") and shutil.which("ssh-agent")):
        raise systest.Skip("no sshd")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.makedirs("/run/sshd", exist_ok=True)
    for name in ("host", "user", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{t.dir}/{name}"], check=True)
    t.file("sshd_config", f"Port 2299\nListenAddress 127.0.0.1\nHostKey {t.dir}/host\nAuthorizedKeysFile {t.dir}/user.pub\nStrictModes no\n"
           "UsePAM no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin prohibit-password\n")
    server = subprocess.Popen(["/usr/sbin/sshd", "-D", "-q", "-f", t.dir + "/sshd_config"], stdin=subprocess.DEVNULL)
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", t.dir + "/agent"], stdout=subprocess.DEVNULL)
    try:
        systest.wait_for(lambda: os.path.exists(t.dir + "/agent"))
        time.sleep(0.2)
        yield {"SSH_AUTH_SOCK": t.dir + "/agent", "HOME": t.dir}
    finally:
        for p in (server, agent):
            p.terminate()
            p.wait()


def test_ssh(t):
    """ssh: the server must be in known_hosts, with that key; the build's agent says who we are; without one the error says so."""
    with ssh_server(t) as env:
        _, bare = repository(t)
        url = f"ssh://root@127.0.0.1:2299{bare}#v1"
        with open(t.dir + "/host.pub", encoding="utf-8") as f:
            key = " ".join(f.read().split()[:2])
        t.has(build(t, "--ssh", "default", url, env=env, rc=1).err, "known_hosts")
        t.file(".ssh/known_hosts", f"[127.0.0.1]:2299 {key}\n")
        t.has(build(t, url, env=env, rc=1).err, "--ssh default")
        t.has(build(t, "--ssh", "default", url, env=env, rc=1).err, "none of the agent's keys")
        subprocess.run(["ssh-add", "-q", t.dir + "/stranger", t.dir + "/user"], check=True, env={**os.environ, **env}, stderr=subprocess.DEVNULL)
        t.has(build(t, "--ssh", "default", url, env=env).err, "first")
        t.has(build(t, "--ssh", "default", dockerfile(t, f"FROM busybox\nADD {url} /d\nRUN cat /d/f\n"), env=env).err, "first")
        # an RSA key, with SHA-2: of an agent, and as a file; libssh2 learned it with 1.11
        subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", f"{t.dir}/rsa"], check=True)
        os.replace(f"{t.dir}/rsa.pub", f"{t.dir}/user.pub")
        t.lacks(build(t, "--no-cache", "--ssh", f"default={t.dir}/stranger", url.replace("#v1", "#light"), env=env, rc=1).err, "RSA")
        subprocess.run(["ssh-add", "-q", "-D"], check=True, env={**os.environ, **env}, stderr=subprocess.DEVNULL)
        subprocess.run(["ssh-add", "-q", t.dir + "/rsa"], check=True, env={**os.environ, **env}, stderr=subprocess.DEVNULL)
        for given, ref, word in ((f"default={t.dir}/stranger,{t.dir}/rsa", "main", "second"), ("default", "other", "other")):
            done = build(t, "--no-cache", "--ssh", given, url.replace("#v1", "#" + ref), env=env, rc=None)
            t.has(done.err, word if done.rc == 0 else "libssh2 before 1.11 signs with RSA keys as servers do not take it any more")
        with open(t.dir + "/stranger.pub", encoding="utf-8") as f:
            other = " ".join(f.read().split()[:2])
        t.file(".ssh/known_hosts", f"[127.0.0.1]:2299 {key}\n@revoked * {key}\n")
        t.has(build(t, "--no-cache", "--ssh", "default", url, env=env, rc=1).err, "revoked")
        t.file(".ssh/known_hosts", f"[127.0.0.1]:2299 {other}\n")
        t.has(build(t, "--no-cache", "--ssh", "default", url, env=env, rc=1).err, "another key")


def test_killed(t):
    """A muster that is killed while a repository is fetched, with an agent of ours beside it, leaves no process and no file; so does Ctrl+C. Both
    processes are jailed."""
    import http.server
    import threading
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    asked, go = threading.Event(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.set()
            go.wait(30)

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key = []
    if shutil.which("ssh-keygen"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", t.dir + "/key"], check=True)
        key = ["--ssh", f"default={t.dir}/key"]

    def ours():
        return [p for p in systest.processes().values() if p[3].startswith("muster-image")]
    for sig in (signal.SIGKILL, signal.SIGINT):
        asked.clear()
        job = t.start("image", "build", *key, f"http://127.0.0.1:{server.server_port}/r.git")
        t.true(asked.wait(20), "nobody asked")
        t.true(len(ours()) >= 2 + len(key) // 2, str(ours()))
        for pid, (_, _, _, line) in systest.processes().items():
            root = {"muster-image git": ["etc"], "muster-image agent": []}.get(line)
            if root is not None:  # who parses what strangers send, and who has the keys: no rights, no files, no new programs
                with open(f"/proc/{pid}/status", encoding="ascii") as f:
                    status = f.read()
                t.has(status, "Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000")
                t.eq(os.listdir(f"/proc/{pid}/root"), root)
        job.signal(sig)
        job.wait()
        systest.wait_for(lambda: not ours(), 5, ours)
    go.set()
    server.shutdown()
    build(t, dockerfile(t, "FROM scratch\nCOPY Dockerfile /\n"))
    t.eq([n for n in os.listdir(t.run) if n.startswith(".agent")], [])
