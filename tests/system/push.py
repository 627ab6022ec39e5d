# SPDX-License-Identifier: Apache-2.0
"""Pushing: what is there is not sent, what breaks goes on, credentials are seen by nobody but those they are for, one clear error else."""
import base64
import io
import json
import os
import subprocess
import tarfile
import registry
from registry import DockerRegistry, Image, Server

BASIC = "Basic " + base64.b64encode(b"alice:s3cret").decode()
CHUNK = 16 << 20


def loopback(_):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def login(t, host):
    path = t.env["HOME"] + "/.docker"
    os.makedirs(path, exist_ok=True)
    with open(path + "/config.json", "w", encoding="ascii") as f:
        json.dump({"auths": {host: {"auth": BASIC[6:]}}}, f)


def imported(t, ref, size=300000):
    """An image of one layer of random bytes, made here: its id."""
    with open(t.folder + "/root.tar", "wb") as f:
        f.write(registry.tar_of({"data": os.urandom(size), "bin/x": b"x"}))
    return t.muster("image", "import", t.folder + "/root.tar", ref).out.strip()


class Target(Server):
    """A server that takes what it is given."""
    def __init__(self, fault=None, image=None, **kw):
        super().__init__(image or Image([]), fault, **kw)
        self.pushed = {}

    def sent(self):
        """Bodies' bytes of layers and configurations."""
        return sum(len(x[3]) for x in self.seen if "/blobs/uploads/" in x[1])

    def asked(self, *methods):
        return [x[:2] for x in self.seen if x[0] in methods]


def one_error(t, done, *words):
    t.has(done.err, *words)
    t.eq(len([x for x in done.err.splitlines() if x.startswith("muster: ")]), 1, done.err)


def test_round_trip(t):
    """To Debian's registry with TLS and htpasswd: without credentials one message that says what to run; what comes back, by skopeo and by a pull into
    another store, has the same configuration and diffIDs, gzip, zstd and plain; the digest is known from then on."""
    loopback(t)
    ca, cert, key = registry.make_ca(t.folder)
    with open(t.folder + "/htpasswd", "wb") as f:
        f.write(subprocess.run(["htpasswd", "-Bbn", "alice", "s3cret"], check=True, capture_output=True).stdout)
    with DockerRegistry(t.folder + "/registry", htpasswd=t.folder + "/htpasswd", tls=(cert, key)) as s:
        env = {"SSL_CERT_FILE": ca}
        for codec, media in (("gzip", "tar+gzip"), ("zstd", "tar+zstd"), ("none", "tar")):
            ref = f"{s.host}/team/{codec}:1"
            image = imported(t, ref)
            if codec == "gzip":
                one_error(t, t.muster("image", "push", ref, env=env, rc=1), "access denied", f"pushing needs: muster login {s.host}")
                login(t, s.host)
            done = t.muster("image", "push", "--compression", codec, ref, env=env)
            t.match(done.out, r"^1: digest: sha256:[0-9a-f]{64} size: [0-9]+$")
            digest = done.out.split()[2]
            back = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", "--creds", "alice:s3cret", f"docker://{ref}"],
                                  check=True, capture_output=True, env=t.environ()).stdout
            t.eq(registry.sha256(back), digest)
            manifest = json.loads(back)
            t.eq([manifest["config"]["digest"], manifest["layers"][0]["mediaType"]], [image, "application/vnd.oci.image.layer.v1." + media])
            t.muster("--root", t.folder + "/two", "image", "pull", f"{s.host}/team/{codec}@{digest}", env=env)
            t.has(t.muster("--root", t.folder + "/two", "image", "ls", "--no-trunc", "-q").out, image)
            t.has(t.muster("image", "inspect", ref).out, f'"{s.host}/team/{codec}@{digest}"')
            t.compose(f"services: {{a: {{image: '{ref}'}}}}")
            t.has(t.muster("config", "--resolve-image-digests", env=env).out, digest)
        t.eq(t.muster("image", "push", "-q", ref, env=env).out, ref + "\n")
        one_error(t, t.muster("image", "push", "nosuch:1", rc=1), "not found locally")
        one_error(t, t.muster("image", "push", f"x@{digest}", rc=1), "digest")


def test_nothing_twice(t):
    """What was pulled goes out byte for byte, under its own digest. A second push sends nothing; another repository of the same registry mounts, with a
    token for both."""
    image = Image([registry.tar_of({f"f{i}": os.urandom(100000)}) for i in range(3)])
    loopback(t)
    with Server(image) as source, Target() as s:
        ref = f"{s.host}/team/app:1"
        t.muster("image", "pull", f"{source.host}/a/b:1")
        t.muster("image", "tag", f"{source.host}/a/b:1", ref)
        t.muster("image", "push", ref)
        t.eq(s.tags["team/app", "1"], image.manifest)
        t.eq({k: v for k, v in s.pushed["team/app"].items() if v}, image.blobs)
        t.eq(s.asked("PATCH"), [], "chunks of what fits in one request")
        s.seen.clear()
        t.muster("image", "push", ref)
        t.eq(s.asked("POST", "PUT", "PATCH"), [])

        def token(h, _):
            if h.path.startswith("/token"):
                h.reply(200, b'{"token":"good"}')
            elif h.headers.get("Authorization") != "Bearer good":
                h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{s.host}/token",service="x"'})
            else:
                return False
            return True
        s.fault = token
        s.seen.clear()
        login(t, s.host)
        t.muster("image", "tag", ref, f"{s.host}/other/app:2")
        t.muster("image", "push", f"{s.host}/other/app:2")
        t.eq(sorted(x.split("mount=")[1] for _, x in s.asked("POST") if "mount" in x), sorted(f"{d}&from=team%2Fapp" for d in image.layers))
        t.eq(s.sent(), len(image.config))
        asked = [x for x in s.seen if x[1].startswith("/token")]
        t.eq(len(asked), 1, "token requests")
        t.has(asked[0][1], "scope=repository%3Aother%2Fapp%3Apull%2Cpush", "scope=repository%3Ateam%2Fapp%3Apull")
        t.eq({x[2] for x in s.seen if not x[1].startswith("/token")} - {None}, {"Bearer good"})
        t.eq(asked[0][2], BASIC)


def test_built_on_pulled(t):
    """An image that was built on one that the registry has: the base's blobs are mounted as they are, only what is new is packed and sent; a second image on
    the same base mounts that, too."""
    image = Image([registry.tar_of({f"f{i}": os.urandom(100000)}) for i in range(2)])
    loopback(t)
    with Server(image) as source, Target() as s:
        t.muster("image", "pull", f"{source.host}/a/b:1")
        t.muster("image", "tag", f"{source.host}/a/b:1", f"{s.host}/base/app:1")
        t.muster("image", "push", f"{s.host}/base/app:1")
        t.file("x", "hello")
        for name, extra in (("one", ""), ("two", 'CMD ["/x"]\n')):
            t.file("Dockerfile", f"FROM {s.host}/base/app:1\nCOPY x /x\n{extra}")
            t.muster("image", "build", "-t", f"{s.host}/q/{name}:1", ".")
            s.seen.clear()
            t.muster("image", "push", f"{s.host}/q/{name}:1")
            manifest = json.loads(s.tags[f"q/{name}", "1"])
            t.eq([d["digest"] for d in manifest["layers"][:2]], image.layers)
            sent = manifest["config"]["size"] + (manifest["layers"][2]["size"] if name == "one" else 0)
            t.eq(s.sent(), sent, "bytes sent for " + name)


def test_chunks_and_breaks(t):
    """A layer of several chunks over a bad line: it goes on where the registry says it was; a registry that has forgotten is begun with anew; an end whose
    answer is lost is not sent twice; one that fails for ever is one error after a while, and the next push needs only what is missing."""
    loopback(t)
    with Target() as s:
        ref = f"{s.host}/a/big:1"
        imported(t, ref, 2 * CHUNK + 5000000)
        broken = []

        def breaks(h, length):
            if h.command == "PATCH" and len(broken) < 2 and length == CHUNK:
                broken.append(h.path)
                return 5000000 if len(broken) == 1 else 0
            return None
        s.breaks = breaks
        t.muster("image", "push", "--compression", "none", ref, seconds=60)
        layer = json.loads(s.tags["a/big", "1"])["layers"][0]
        t.eq(len(s.pushed["a/big"][layer["digest"]]), layer["size"])
        t.eq(len(broken), 2)
        t.true(s.sent() <= layer["size"] + 100000, f"{s.sent()} bytes sent of {layer['size']}")
        t.eq(len([x for x in s.asked("GET") if "/uploads/" in x[1]]), 2, "questions where it was")
        # the registry forgets; then it does not answer the end
        s.pushed.clear()
        s.tags.clear()
        s.seen.clear()
        broken.clear()
        s.fault = lambda h, n: h.command == "GET" and "/uploads/" in h.path and (h.reply(404) or True)
        lost = []
        s.deaf = lambda h: not lost and (lost.append(1) or True)
        t.muster("image", "push", ref, seconds=60)
        t.eq(len(s.pushed["a/big"][layer["digest"]]), layer["size"])
        t.eq(len([x for x in s.asked("POST") if "/uploads/" in x[1]]), 4, "three sessions of the layer, one of the configuration")
        t.eq(len(lost), 1)


def test_faults_that_pass(t):
    """429 with Retry-After, 503 and 500 at each step: the image is there in the end."""
    loopback(t)
    with Target(lambda h, n: n == 1 and h.command in ("HEAD", "POST", "PUT") and
                (h.reply(429, b"{}", {"Retry-After": "1"}) if h.command == "POST" else h.reply(503 if h.command == "HEAD" else 500)) is None) as s:
        ref = f"{s.host}/a/b:1"
        imported(t, ref)
        t.muster("image", "push", ref, seconds=60)
        t.eq(len(s.tags["a/b", "1"]) > 0, True)


def test_refusals(t):
    """What cannot go well is one error: an upload without a place, a redirect loop, a digest that the registry does not believe, a manifest that it does
    not take, a quota, a registry of another kind."""
    loopback(t)
    with Target() as s:
        ref = f"{s.host}/a/b:1"
        imported(t, ref)

        def at(method, part, answer):
            s.fault = lambda h, n: h.command == method and part in h.path and (answer(h) or True)
            s.pushed.clear()
        for method, part, answer, word in (
                ("POST", "/uploads/", lambda h: h.reply(202), "without saying where"),
                ("POST", "/uploads/", lambda h: h.reply(307, b"", {"Location": h.path}), "redirects"),
                ("POST", "/uploads/", lambda h: h.reply(202, b"", {"Location": "file:///etc/passwd"}), "without saying where"),
                ("POST", "/uploads/", lambda h: h.reply(202, b"", {"Location": "http://192.0.2.1/x"}), "HTTPS"),
                ("PUT", "/uploads/", lambda h: h.reply(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}'), "did not match"),
                ("PUT", "/manifests/", lambda h: h.reply(400, b'{"errors":[{"code":"MANIFEST_INVALID","message":"no such luck"}]}'), "no such luck"),
                ("PUT", "/uploads/", lambda h: h.reply(413, b"<html>too large"), "413"),
                ("POST", "/uploads/", lambda h: h.reply(405), "405"),
                ("HEAD", "/blobs/", lambda h: h.reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'}), "muster login")):
            at(method, part, answer)
            one_error(t, t.muster("image", "push", ref, rc=1), word)
        s.fault = None
        t.muster("image", "push", ref)


def test_upload_elsewhere_leaks_nothing(t):
    """A registry that takes blobs on another host: they go there without its credentials, and a challenge from there is not answered."""
    loopback(t)
    with Target(address="127.0.0.2") as other, Target() as s:
        def fault(h, _):
            if h.headers.get("Authorization") != BASIC:
                h.reply(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
                return True
            return False
        s.fault = fault
        s.elsewhere = f"http://{other.host}"
        s.uploads = other.uploads
        other.pushed = s.pushed
        ref = f"{s.host}/a/b:1"
        imported(t, ref)
        login(t, s.host)
        t.muster("image", "push", ref)
        t.true(len(other.seen) == 2, "the other host was given both blobs")
        t.eq({x[2] for x in other.seen}, {None}, "credentials at the other host")
        s.pushed.clear()
        other.fault = lambda h, n: h.reply(401, b"{}", {"WWW-Authenticate": f'Basic realm="x", Bearer realm="http://{other.host}/token"'}) or True
        one_error(t, t.muster("image", "push", ref, rc=1), "access denied")
        t.eq({x[2] for x in other.seen}, {None}, "credentials at the other host")


def test_project(t):
    """push: the images of services that are built here, with their further tags; others are skipped; failures as the flags say; --dry-run asks nobody."""
    loopback(t)
    with Target() as s:
        for name in ("web", "db", "base"):
            imported(t, f"{s.host}/p/{name}:1")
        t.muster("image", "tag", f"{s.host}/p/web:1", f"{s.host}/p/web:more")
        t.compose(f"""
            services:
              web:
                image: {s.host}/p/web:1
                build: {{context: ., tags: ["{s.host}/p/web:more"]}}
                depends_on: [base]
              base: {{image: "{s.host}/p/base:1", build: .}}
              db: {{image: "{s.host}/p/db:1"}}
            """)
        t.muster("push", "--dry-run")
        t.eq(s.seen, [])
        done = t.muster("push", "web")
        t.has(done.err, f"Image {s.host}/p/web:1  Pushed", f"Image {s.host}/p/web:more  Pushed")
        t.eq(sorted(s.tags), [("p/web", "1"), ("p/web", "more")])
        t.has(t.muster("push").err, "db  Skipped")
        t.eq(sorted(s.tags), [("p/base", "1"), ("p/web", "1"), ("p/web", "more")])
        s.tags.clear()
        t.eq(t.muster("push", "-q", "--include-deps", "web").err, "")
        t.eq(sorted(s.tags), [("p/base", "1"), ("p/web", "1"), ("p/web", "more")])
        t.muster("image", "rm", f"{s.host}/p/base:1")
        s.tags.clear()
        one_error(t, t.muster("push", rc=1), "service base", "not found locally")
        t.has(t.muster("push", "--ignore-push-failures").err, "warning", "service base")
        t.eq(sorted(s.tags), [("p/web", "1"), ("p/web", "more")])
        t.muster("image", "tag", f"{s.host}/p/db:1", f"{s.host}/p/db:2")
        t.muster("image", "push", "-a", f"{s.host}/p/db")
        t.eq(sorted(x for x in s.tags if x[0] == "p/db"), [("p/db", "1"), ("p/db", "2")])


def test_memory(t):
    """Neither process holds a layer: 100 MB go out with less than 64 MB in each."""
    loopback(t)
    with open(t.folder + "/big", "wb") as f:
        f.write(os.urandom(1 << 20) * 100)
    with tarfile.open(t.folder + "/root.tar", "w") as tar:
        tar.add(t.folder + "/big", "big")
    with DockerRegistry(t.folder + "/registry") as s:
        ref = f"{s.host}/a/b:1"
        t.muster("image", "import", t.folder + "/root.tar", ref)
        job = t.start("image", "push", "--compression", "none", ref)
        top = {}
        while job.p.poll() is None:
            for pid in os.listdir("/proc"):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        words = f.read().split(b"\0")
                    if len(words) > 1 and words[0] == b"muster-image" and (words[1] == b"fetch" or ref.encode() in words):
                        with open(f"/proc/{pid}/status", encoding="ascii") as f:
                            top[words[1]] = max(top.get(words[1], 0), *(int(x.split()[1]) for x in f if x.startswith("VmHWM")))
                except (OSError, ValueError, TypeError):
                    pass
        job.wait()
        t.true(top, "the processes were seen")
        t.true(max(top.values()) < 64 << 10, f"{top} KB")
