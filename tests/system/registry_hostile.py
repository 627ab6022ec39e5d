# SPDX-License-Identifier: Apache-2.0
"""Registries that mean harm: whatever they send, one clear error within a bounded time, nothing in the store, no credentials where they do not belong."""
import base64
import json
import os
import socket
import subprocess
import threading
import time
import registry
from registry import Image, Server

LAYERS = [registry.tar_of({"data": os.urandom(100000)})]
BASIC = "Basic " + base64.b64encode(b"alice:s3cret").decode()


def loopback(_):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def login(t, host):
    os.makedirs(t.env["HOME"] + "/.docker", exist_ok=True)
    with open(t.env["HOME"] + "/.docker/config.json", "w", encoding="ascii") as f:
        json.dump({"auths": {host: {"auth": BASIC[6:]}}}, f)


class Raw:
    """A server that reads a request and then does as `answer(connection)` says."""
    def __init__(self, answer):
        self.answer, self.seen, self.open = answer, [], True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.host = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def one(self, c):
        try:
            with c:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = c.recv(4096)
                    if not more or not head and more[0] == 0x16:  # TLS: not spoken here
                        return
                    head += more
                self.seen.append(head)
                self.answer(c)
        except OSError:
            pass

    def serve(self):
        while self.open:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        """close() alone does not end an accept(2) that waits, and one that the kernel begins again takes what is that descriptor by then: the next
        server's."""
        self.open = False
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


def refused(t, host, *words, seconds=30):
    begun = time.monotonic()
    done = t.muster("image", "pull", f"{host}/a/b:1", rc=1, seconds=seconds)
    t.has(done.err, *words)
    t.eq(len([x for x in done.err.splitlines() if x.startswith("muster: ")]), 1, done.err)
    t.lacks(t.muster("image", "ls").out, "a/b")
    return time.monotonic() - begun


def forever(first, again):
    def answer(c):
        c.sendall(first)
        while True:
            c.sendall(again)
    return answer


def test_endless(t):
    """Headers, interim answers, an error's text and a manifest without end: an error each, at once."""
    loopback(t)
    for answer, word in ((forever(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"), "127.0.0.1"),
                         (forever(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 65536), "127.0.0.1"),
                         (forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "headers"),
                         (forever(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"), "not found"),
                         (forever(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"), "larger than"),
                         (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n" + b"x" * (5 << 20)), "larger than"),
                         (lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), "127.0.0.1")):
        with Raw(answer) as s:
            took = refused(t, s.host, word)
            t.true(took < 15, f"{took} s")


def test_realms(t):
    """Challenges that try to lead credentials elsewhere: other schemes, a user name in front, another host without TLS, control bytes, parameters twice,
    a scheme that only looks like one: nobody gets them."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image, address="127.0.0.3") as thief, Server(image) as s:
        login(t, s.host)
        for realm in ("file:///etc/passwd", "//127.0.0.3/token", "/token", "http://127.0.0.1@192.0.2.1/token", "http://x:y@127.0.0.1/token",
                      "http://192.0.2.1#@127.0.0.1/", "http://127.0.0.1\\\\@192.0.2.1/", "HTTP://192.0.2.7/", "http://127.0.0.1%2f@192.0.2.1/",
                      "http://１２７.0.0.1/", "http://127.0.0.1.example/", " http://192.0.2.1/", "http://[::ffff:192.0.2.1]/"):
            s.fault = lambda h, n, realm=realm: h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'.encode().decode("latin-1")}) or True
            s.seen.clear()
            refused(t, s.host, "127.0.0.1")
            t.eq({x[2] for x in s.seen}, {None}, f"credentials after {realm}")
        t.eq(thief.seen, [])
        for challenge in ('Basic realm="x"\r\n\tBearer realm="http://192.0.2.1/"', "Bearer realm", 'Bearer realm="http://127.0.0.3', "Negotiate x==", 'X' * 9000,
                          'Bearer realm="http://192.0.2.1/",realm="http://127.0.0.1/"'):
            s.fault = lambda h, n, challenge=challenge: h.reply(401, b"{}", {"WWW-Authenticate": challenge}) or True
            s.seen.clear()
            done = t.muster("image", "pull", f"{s.host}/a/b:1", rc=1)
            t.eq(len([x for x in done.err.splitlines() if x.startswith("muster: ")]), 1, done.err)
            t.true({x[2] for x in s.seen} <= {None, BASIC}, "a token out of nowhere")


def test_tokens(t):
    """Token servers that answer nonsense: tokens that would break a header, none, huge ones, a lifetime without end or below zero."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image) as s:
        for body in (b'{"token":"a\\r\\nX-Evil: 1"}', b'{"token":""}', b'{"token":5}', b"[]", b"{", b'{"token":"' + b"a" * 70000 + b'"}', b"x" * 300000,
                     b'{"access_token":"\\u00e9"}'):
            def fault(h, _, body=body):
                if h.path.startswith("/token"):
                    h.reply(200, body)
                else:
                    h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{s.host}/token"'})
                return True
            s.fault = fault
            refused(t, s.host, "127.0.0.1")
        for lifetime in (-5, 10 ** 18, 0):
            def fault(h, _, lifetime=lifetime):
                if h.path.startswith("/token"):
                    h.reply(200, json.dumps({"token": "good", "expires_in": lifetime}).encode())
                elif h.headers.get("Authorization") != "Bearer good":
                    h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{s.host}/token"'})
                else:
                    return False
                return True
            s.fault = fault
            t.muster("image", "pull", f"{s.host}/a/b:1")
            t.muster("image", "rm", f"{s.host}/a/b:1")


def test_redirects(t):
    """Redirects to files, to other machines without TLS, to hosts with names in front, and in circles are not followed."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image) as s:
        for target, word in (("file:///etc/passwd", "HTTPS"), ("http://192.0.2.1/", "HTTPS"), ("ftp://127.0.0.1/", "HTTPS"), ("http://u:p@127.0.0.1/", "HTTPS"),
                             ("unix:///run/x", "HTTPS"), ("", "redirects"), ("/v2/a/b/manifests/1", "redirects"), ("http://127.0.0.1\\@192.0.2.1/", "127.0.0.1"),
                             ("http://[::1", "127.0.0.1"), ("http://192.0.2.1:80@127.0.0.1/", "HTTPS")):
            s.fault = lambda h, n, target=target: "/manifests/" in h.path and (h.reply(302, b"", {"Location": target}) or True)
            refused(t, s.host, word)


def test_lies(t):
    """Manifests that lie: sizes, digests of another kind, of nothing, of themselves, a layer list without end; a blob that is another one."""
    image = Image(LAYERS)
    loopback(t)
    good = json.loads(image.manifest)

    def manifest(**changes):
        return json.dumps({**good, **changes}).encode()
    layer, config = good["layers"][0], good["config"]
    with Server(image) as s:
        for text, word in ((manifest(layers=[{**layer, "size": layer["size"] - 1}]), "longer than"), (manifest(layers=[{**layer, "size": layer["size"] + 1}]), ""),
                           (manifest(layers=[{**layer, "size": -1}]), "size"),
                           (manifest(layers=[{**layer, "digest": "sha512:" + "a" * 128}]), "digest"), (manifest(layers=[{**layer, "digest": "md5:" + "a" * 32}]), "digest"),
                           (manifest(layers=[{**layer, "digest": "sha256:" + "A" * 64}]), "digest"), (manifest(layers=[{**layer, "digest": "sha256:../../x"}]), "digest"),
                           (manifest(layers=[layer] * 200), ""), (manifest(layers=[layer] * 2), "layers"), (manifest(layers=[]), "layers"),
                           (manifest(config={**config, "digest": layer["digest"], "size": layer["size"]}), ""), (manifest(config=None), ""),
                           (manifest(schemaVersion=1), ""), (b"[" * 100000, "JSON"), (b"{}", ""), (b"", ""), (b"\0" * 100, "JSON")):
            s.fault = lambda h, n, text=text: "/manifests/" in h.path and (h.reply(200, text) or True)
            refused(t, s.host, word)
    image = Image([registry.tar_of({"other": os.urandom(1000)})])
    with Server(image) as s:
        s.fault = lambda h, n: h.path.endswith(image.layers[0]) and (h.reply(200, os.urandom(len(image.blobs[image.layers[0]]))) or True)
        refused(t, s.host, "layer 1")
        s.fault = None
        t.muster("image", "pull", f"{s.host}/a/b:1")


def test_trickle(t):
    """A mirror of which a few bytes of a blob come with each answer does not keep a pull going for ever: what moves too little does not count as progress, and
    the registry itself is asked for the rest."""
    image = Image(LAYERS)
    loopback(t)

    def fault(h, _):
        if not h.path.endswith(image.layers[0]):
            return False
        data = image.blobs[image.layers[0]]
        start = int((h.headers.get("Range") or "bytes=0-")[6:-1])
        h.reply(206 if start else 200, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else None, cut=5)
        return True
    with Server(image, fault) as mirror, Server(image) as s:
        path = t.env["HOME"] + "/.config/containers/registries.conf"
        os.makedirs(os.path.dirname(path))
        with open(path, "w", encoding="ascii") as f:
            f.write(f'[[registry]]\nlocation = "{s.host}"\n[[registry.mirror]]\nlocation = "{mirror.host}"\n')
        t.muster("image", "pull", f"{s.host}/a/b:1")
        t.eq(len([x for x in mirror.seen if x[1].endswith(image.layers[0])]), 2, "tries")
        t.eq([x[4] for x in s.seen if x[1].endswith(image.layers[0])], ["bytes=10-"], "what the registry itself was asked")


def test_words(t):
    """What a server says is shown without its control bytes."""
    loopback(t)
    with Server(Image(LAYERS)) as s:
        s.fault = lambda h, n: h.reply(404, json.dumps({"errors": [{"message": "\x1b[2Jgone\r\nmuster: all is well"}]}).encode()) or True
        done = t.muster("image", "pull", f"{s.host}/a/b:1", rc=1)
        t.lacks(done.err, "\x1b", "\nmuster: all is well")
