# SPDX-License-Identifier: Apache-2.0
"""Registries for tests: Debian's docker-registry, and a small server that does what a real one does only on a bad day."""
import gzip
import hashlib
import http.server
import io
import json
import os
import re
import socket
import ssl
import subprocess
import tarfile
import threading
import time
import urllib.parse

INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files):
    """A tar archive of {name: bytes}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, 1700000000
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Image:
    """An image in memory: blobs by digest, its manifest."""
    def __init__(self, layers, arch="amd64", cmd=("/bin/sh",)):
        self.blobs = {}
        descriptors = [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **self.add(gzip.compress(x, 1, mtime=0))} for x in layers]
        config = {"architecture": arch, "os": "linux", "config": {"Cmd": list(cmd)},
                  "rootfs": {"type": "layers", "diff_ids": [sha256(x) for x in layers]}}
        self.config = json.dumps(config).encode()
        self.id = sha256(self.config)
        self.layers = [d["digest"] for d in descriptors]
        self.manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": descriptors, "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", **self.add(self.config)}}).encode()

    def add(self, data):
        self.blobs[sha256(data)] = data
        return {"digest": sha256(data), "size": len(data)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", headers=None, cut=None):
        self.send_response(status)
        for k, v in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(k, v)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def blob(self, data):
        """A blob, or the part of it that Range asks for."""
        found = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        if not found:
            return self.reply(200, data)
        start = int(found[1])
        return self.reply(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})

    def session(self, status, name, data):
        """Where an upload stands: a relative Location with a state that only this server understands."""
        repository = self.path.split("/blobs/")[0]
        self.reply(status, b"", {"Location": f"{self.server.elsewhere}{repository}/blobs/uploads/{name}?_state={len(data)}",
                                 "Range": f"0-{max(len(data) - 1, 0)}"})

    def upload(self, broken):
        """POST, PATCH, GET, PUT and DELETE of an upload; a broken one keeps what came and says nothing."""
        server, url = self.server, urllib.parse.urlsplit(self.path)
        repository, query = url.path[4:].split("/blobs/")[0], dict(urllib.parse.parse_qsl(url.query))
        name = url.path.rsplit("/", 1)[1]
        if self.command == "POST":
            if query.get("mount") in server.pushed.get(query.get("from"), ()):
                server.pushed.setdefault(repository, {})[query["mount"]] = b""
                return self.reply(201, b"", {"Location": "/x"})
            name = f"u{len(server.uploads)}"
            server.uploads[name] = bytearray()
            return self.session(202, name, b"")
        data = server.uploads.get(name)
        if data is None or (self.command in ("PATCH", "PUT") and int(query["_state"]) != len(data)):
            return self.reply(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"upload unknown"}]}')
        if self.command == "GET":
            return self.session(204, name, data)
        start = int((self.headers.get("Content-Range") or str(len(data))).split("-")[0])
        if start != len(data):
            return self.reply(416)
        data += self.body
        if broken:
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        if self.command == "PATCH":
            return self.session(202, name, data)
        if sha256(bytes(data)) != query["digest"]:
            return self.reply(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"digest is wrong"}]}')
        server.pushed.setdefault(repository, {})[query["digest"]] = bytes(data)
        del server.uploads[name]
        if server.deaf and server.deaf(self):
            self.close_connection = True
            return self.connection.shutdown(socket.SHUT_RDWR)
        return self.reply(201, b"", {"Location": "/x", "Docker-Content-Digest": query["digest"]})

    def push(self):
        """HEAD of a blob or a manifest, PUT of a manifest whose blobs are there."""
        server = self.server
        repository, last = re.match(r"/v2/(.+)/(?:blobs|manifests)/(.+)$", self.path).groups()
        blobs, tags = server.pushed.setdefault(repository, {}), server.tags
        if self.command == "HEAD":
            data = blobs.get(last) if "/blobs/" in self.path else tags.get((repository, last))
            return self.reply(404) if data is None else self.reply(200, data, {"Docker-Content-Digest": sha256(data)})
        document = json.loads(self.body)
        if any(d["digest"] not in blobs for d in [document["config"], *document["layers"]]):
            return self.reply(400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}')
        tags[repository, last] = self.body
        return self.reply(201, b"", {"Docker-Content-Digest": sha256(self.body)})

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        stop = self.server.breaks and self.server.breaks(self, length)
        self.body = self.rfile.read(length if stop is None else stop)
        with self.server.lock:
            self.server.seen.append((self.command, self.path, self.headers.get("Authorization"), self.body, self.headers.get("Range")))
            n = self.server.counts[self.path] = self.server.counts.get(self.path, 0) + 1
        if self.server.fault and self.server.fault(self, n):
            return
        if "/blobs/uploads/" in self.path:
            return self.upload(stop is not None)
        if self.command == "PUT" or (self.command == "HEAD" and self.server.pushed is not None):
            return self.push()
        image, last = self.server.image, self.path.rsplit("/", 1)[-1]
        if self.path == "/v2/":
            self.reply(200, b"{}")
        elif "/manifests/" in self.path and (last in self.server.documents or last == "1"):
            data = self.server.documents.get(last, image.manifest)
            self.reply(200, data, {"Content-Type": json.loads(data).get("mediaType", MANIFEST)})
        elif "/blobs/" in self.path and last in image.blobs:
            self.blob(image.blobs[last])
        else:
            self.reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve


class Server(http.server.ThreadingHTTPServer):
    """Serves one image as any repository's tag 1. fault(handler, n) answers itself (returns True) or lets the n-th request for a path go on."""
    daemon_threads = True

    def __init__(self, image, fault=None, address="127.0.0.1"):
        super().__init__((address, 0), Handler)
        self.image, self.fault, self.seen, self.counts, self.lock = image, fault, [], {}, threading.Lock()
        self.pushed, self.tags, self.uploads = None, {}, {}  # pushed: repository -> blobs that it was given; None: it takes none
        self.breaks = self.deaf = None  # breaks(handler, length): after how many bytes of a body the line breaks, or None
        self.elsewhere = ""  # what a Location begins with
        self.documents = {sha256(image.manifest): image.manifest}
        self.port = self.server_address[1]
        self.host = f"{address}:{self.port}"

    def handle_error(self, request, client_address):
        pass  # clients that go away are part of the tests

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


def make_ca(folder, host="127.0.0.1"):
    """A CA of our own and a certificate for this address: paths of the CA, the certificate and its key."""
    ca, key, cert, csr, ext = (f"{folder}/{x}" for x in ("ca.crt", "tls.key", "tls.crt", "tls.csr", "ext"))
    run = lambda *a: subprocess.run(["openssl", *a], check=True, capture_output=True)
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{folder}/ca.key", "-out", ca, "-days", "3650", "-subj", "/CN=test CA")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=test")
    with open(ext, "w", encoding="ascii") as f:
        f.write(f"subjectAltName=IP:{host},DNS:localhost\n")
    run("x509", "-req", "-in", csr, "-CA", ca, "-CAkey", f"{folder}/ca.key", "-CAcreateserial", "-out", cert, "-days", "3650", "-extfile", ext)
    return ca, cert, key


def with_tls(server, cert, key):
    """Makes a Server speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


class DockerRegistry:
    """Debian's docker-registry on a free port of 127.0.0.1, its data in folder."""
    def __init__(self, folder, htpasswd=None, tls=None):
        os.makedirs(folder, exist_ok=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        conf = {"version": 0.1, "log": {"level": "error"}, "storage": {"filesystem": {"rootdirectory": folder + "/data"}, "delete": {"enabled": True}},
                "http": {"addr": self.host, "secret": "x"}}
        if tls:
            conf["http"]["tls"] = {"certificate": tls[0], "key": tls[1]}
        if htpasswd:
            conf["auth"] = {"htpasswd": {"realm": "test", "path": htpasswd}}
        self.conf = folder + "/config.yml"
        with open(self.conf, "w", encoding="ascii") as f:
            json.dump(conf, f)
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(["docker-registry", "serve", self.conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={"OTEL_TRACES_EXPORTER": "none"})
        end = time.monotonic() + 10
        while time.monotonic() < end:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise OSError("docker-registry does not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
