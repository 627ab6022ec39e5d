# SPDX-License-Identifier: Apache-2.0
"""Build caches that travel: cache_to and cache_from with a directory, a registry, an image. What was exported is not run again elsewhere and the image
is the same; what is missing, damaged or hostile is a warning and a right build."""
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import registry
import systest
from registry import DockerRegistry

CONFIG = "application/vnd.buildkit.cacheconfig.v0"
STAGES = """\
    FROM busybox AS made
    RUN echo tools >> /ran && cat /proc/sys/kernel/random/uuid > /tools
    COPY one /one
    RUN cat /one > /two
    FROM busybox
    RUN cat /proc/sys/kernel/random/uuid > /mine
    COPY --from=made /tools /two /in/
    COPY --link one /linked
    WORKDIR /work
    RUN test -s /in/tools
    ENV A=b
    """


def build(t, dockerfile, *args, name="built", rc=0, **kw):
    t.file("Dockerfile", dockerfile)
    return t.muster("image", "build", "--progress", "plain", "-t", name, *args, ".", rc=rc, **kw)


def cached(result):
    """Texts of the steps that the cache answered."""
    text = result.out + result.err
    steps = {line.split(" ")[0]: line.split("] ", 1)[1] for line in text.splitlines() if line.startswith("#") and "] " in line}
    return [steps[line.split(" ")[0]] for line in text.splitlines() if line.endswith(" CACHED")]


def loopback():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def wipe(t, *names):
    """Nothing of what was built is here any more: no image, no layer, no record."""
    for name in names or ("built",):
        t.muster("image", "rm", "-f", name)
    t.muster("builder", "prune", "-a", "-f")
    t.eq([x for x in os.listdir(t.root + "/images/pins")], [], "pinned layers")


def ran(result):
    """The instructions that were run, as their steps' ends say."""
    text = result.out + result.err
    steps = {line.split(" ")[0]: line.split("] ", 1)[1] for line in text.splitlines() if re.match(r"#.*[0-9]/[0-9]+\] ", line)}
    return [steps[n] for n in dict.fromkeys(line.split(" ")[0] for line in text.splitlines() if " DONE " in line) if n in steps and "FROM" not in steps[n]]


def built_id(t, name="built"):
    return json.loads(t.muster("image", "inspect", name).out)[0]["Id"]


def again(t, dockerfile, want, *args, steps=None):
    """After a wipe, with the cache: the same image, and nothing was run."""
    wipe(t)
    got = build(t, dockerfile, *args)
    t.eq(ran(got), [], f"run again\n{got}")
    t.lacks(got.err, "warning")
    t.eq(built_id(t), want, "the image")
    if steps:
        t.eq(len(cached(got)), steps, f"steps from the cache\n{got}")
    return got


def test_cache_local(t):
    """Every step of every stage comes out of a directory (mode=max), a second export changes no byte of it, and skopeo reads it as an OCI layout."""
    t.file("one", "1\n")
    build(t, STAGES, "--cache-to", "type=local,dest=cache,mode=max")
    want, there = built_id(t), snapshot(t, "cache")
    got = again(t, STAGES, want, "--cache-from", "type=local,src=cache", "--cache-to", "type=local,dest=cache,mode=max", steps=8)
    t.has(got.err, "importing cache manifest from cache")
    t.eq(snapshot(t, "cache"), there, "the directory after a second export")
    shown = subprocess.run(["skopeo", "inspect", "--raw", f"oci:{t.dir}/cache:latest"], check=True, capture_output=True, env=t.environ()).stdout
    manifest = json.loads(shown)
    t.eq((manifest["config"]["mediaType"], len(manifest["layers"])), (CONFIG, len({x["digest"] for x in manifest["layers"]})))
    buildx = {"type": "local", "dest": "other", "image-manifest": "false", "oci-mediatypes": "false", "tag": "mine", "compression-level": "1"}
    build(t, STAGES, "--cache-to", ",".join(f"{k}={v}" for k, v in buildx.items()))
    wipe(t)
    t.lacks(build(t, STAGES, "--cache-from", "type=local,src=cache", "--cache-from", "type=local,src=other,tag=mine").err, "warning")
    t.has(build(t, STAGES, "--no-cache-filter", "made", "--cache-from", "type=local,src=other").err, 'index.json has no "latest"')


def snapshot(t, folder):
    found = {}
    for at, _, files in os.walk(f"{t.dir}/{folder}"):
        for name in files:
            path = os.path.join(at, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, f"{t.dir}/{folder}")] = (os.stat(path).st_mtime_ns if "blobs" in path else 0, hashlib.sha256(f.read()).hexdigest())
    return found


def test_cache_registry(t):
    """At a registry, as an image manifest, an index or docker's list, compressed or not: blobs that are there are not sent again, only what hits is
    fetched; a user of mode=min has the image's own steps."""
    t.file("one", "1\n")
    loopback()
    with DockerRegistry(t.folder + "/registry") as s:
        ref = f"{s.host}/team/cache"
        build(t, STAGES, "--cache-to", f"type=registry,ref={ref}:max,mode=max")
        want = built_id(t)
        again(t, STAGES, want, "--cache-from", f"{ref}:max", steps=8)
        for tag, attributes, kind in (("index", "image-manifest=false", "index.v1"), ("list", "oci-mediatypes=false", "manifest.list.v2"),
                                      ("zstd", "compression=zstd,compression-level=3", "manifest.v1"), ("plain", "compression=uncompressed,force-compression=true", "manifest.v1")):
            build(t, STAGES, "--cache-to", f"type=registry,ref={ref}:{tag},mode=max,{attributes}")
            raw = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{ref}:{tag}"], check=True, capture_output=True, env=t.environ()).stdout
            t.has(json.loads(raw)["mediaType"], kind)
            again(t, STAGES, want, "--cache-from", f"type=registry,ref={ref}:{tag}", steps=8)
        build(t, STAGES, "--cache-to", f"type=registry,ref={ref}:min")
        wipe(t)
        got = build(t, STAGES, "--cache-from", f"{ref}:min")
        t.eq(len(ran(got)), 3 + 3, f"the stage that is copied from, and what has other content since\n{got}")


def test_cache_inline(t):
    """In the image's configuration: whoever has the image, here or at the registry, has the steps. It is not inherited by an image that is built on
    it, and an image without it is a warning."""
    text = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\nCOPY one /\nWORKDIR /w\n"
    t.file("one", "1\n")
    loopback()
    with DockerRegistry(t.folder + "/registry") as s:
        ref = f"{s.host}/team/app:1"
        build(t, text, "--cache-to", "type=inline", name=ref)
        want = built_id(t, ref)
        document = json.loads(t.muster("image", "inspect", ref).out)[0]
        t.true(document["Id"] == want, "the image")
        t.muster("image", "push", ref)
        for wiped in (True, False):
            t.muster("image", "tag", ref, "mine")
            if wiped:
                wipe(t, "mine", ref)
            else:
                t.muster("builder", "prune", "-a", "-f")
            got = build(t, text, "--cache-from", ref, "--build-arg", "BUILDKIT_INLINE_CACHE=1", name=ref)
            t.eq((ran(got), len(cached(got)), built_id(t, ref)), ([], 3, want), got)
        build(t, f"FROM {ref}\nRUN true\n", name="child")
        with open(f"{t.root}/images/config/{built_id(t, 'child')[7:]}.json", encoding="utf-8") as f:
            t.lacks(f.read(), "moby.buildkit.cache")
        build(t, "FROM busybox\nRUN true\n", name=f"{s.host}/team/plain")
        t.muster("image", "push", f"{s.host}/team/plain")
        got = build(t, text, "--no-cache", name="x")
        t.muster("builder", "prune", "-a", "-f")
        t.has(build(t, "FROM busybox\nRUN false || true\n", "--cache-from", f"{s.host}/team/plain").err, "has no cache record")


def test_cache_changed_step(t):
    """One step changed: the steps before it, those of other stages, and those after it that find the same content still come from the cache."""
    t.file("one", "1\n")
    build(t, STAGES, "--cache-to", "type=local,dest=cache,mode=max")
    wipe(t)
    got = build(t, STAGES.replace("RUN cat /one > /two", "RUN cat  /one >  /two"), "--cache-from", "type=local,src=cache")
    t.eq(ran(got), ["RUN cat  /one >  /two"], got)
    wipe(t)
    got = build(t, STAGES.replace("RUN cat /one > /two", "RUN echo other > /two"), "--cache-from", "type=local,src=cache")
    t.eq([x.split()[0] for x in ran(got)], ["RUN", "COPY", "WORKDIR", "RUN"], got)
    wipe(t)
    got = build(t, STAGES, "--no-cache", "--cache-from", "type=local,src=cache")
    t.eq((cached(got), len(ran(got))), ([], 8), f"--no-cache wins\n{got}")


def blobs(t, folder="cache"):
    """The cache's layers: {digest: path}, and its document."""
    with open(f"{t.dir}/{folder}/index.json", encoding="ascii") as f:
        top = json.load(f)["manifests"][0]["digest"][7:]
    with open(f"{t.dir}/{folder}/blobs/sha256/{top}", encoding="ascii") as f:
        manifest = json.load(f)
    path = lambda d: f"{t.dir}/{folder}/blobs/sha256/{d['digest'][7:]}"
    return [path(x) for x in manifest["layers"]], path(manifest["config"])


def republish(t, change, folder="cache"):
    """The cache with another document, under digests that hold."""
    _, config = blobs(t, folder)
    with open(config, encoding="ascii") as f:
        document = json.load(f)
    change(document)

    def put(j, kind, **more):
        data = json.dumps(j).encode()
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{t.dir}/{folder}/blobs/sha256/{digest}", "wb") as f:
            f.write(data)
        return {"mediaType": kind, "digest": "sha256:" + digest, "size": len(data), **more}
    manifest = {"schemaVersion": 2, "mediaType": registry.MANIFEST, "config": put(document, CONFIG), "layers": []}
    index = {"schemaVersion": 2, "manifests": [put(manifest, registry.MANIFEST, annotations={"org.opencontainers.image.ref.name": "latest"})]}
    t.file(f"{folder}/index.json", json.dumps(index))


def evil_layer(t, members, folder="cache"):
    """A gzip blob that is no layer anybody should unpack: (digest, diffID, size)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    packed = gzip.compress(out.getvalue(), 1, mtime=0)
    digest = hashlib.sha256(packed).hexdigest()
    with open(f"{t.dir}/{folder}/blobs/sha256/{digest}", "wb") as f:
        f.write(packed)
    return digest, hashlib.sha256(out.getvalue()).hexdigest(), len(packed)


def test_cache_broken(t):
    """What is missing, cut off, of another content, no JSON, or absent as a whole is one warning that names it, and the build is right."""
    text = "FROM busybox\nRUN echo made > /made\nRUN echo more > /more\n"
    build(t, text, "--cache-to", "type=local,dest=cache")
    layers, config = blobs(t)
    first = layers[0]
    with open(first, "rb") as f:
        good = f.read()

    def check(what, *words):
        wipe(t)
        got = build(t, text, "--cache-from", "type=local,src=cache")
        t.has(got.err, "warning: cache from cache: ", *words)
        t.true("RUN echo made > /made" in ran(got), f"{what}: the step has to run\n{got}")
        t.eq(run(t, "cat /made /more"), "made\nmore\n", what)
    for what, data in (("another content", b"x" * len(good)), ("cut off", good[:-9]), ("longer", good + b"0"), ("another archive", registry.tar_of({"made": b"evil\n"}))):
        with open(first, "wb") as f:
            f.write(data)
        check(what, "a layer cannot be used")
    os.unlink(first)
    check("no blob", "a layer cannot be used", "No such file")
    os.symlink("/etc/passwd", first)
    check("a link", "a layer cannot be used")
    with open(config, "wb") as f:
        f.write(b"{}")
    check("another document", "has another content")
    for what, index in (("no index", None), ("no JSON", "x"), ("a list", "[]"), ("no digest", '{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"latest"}}]}')):
        os.unlink(f"{t.dir}/cache/index.json")
        if index:
            t.file("cache/index.json", index)
        else:
            os.mkfifo(f"{t.dir}/cache/index.json")
        check(what)
    loopback()
    got = build(t, text, "--cache-from", "type=local,src=nosuch", "--cache-from", "127.0.0.1:9/no/such", "--no-cache-filter", "x")
    t.lacks(got.err, "warning")  # all of it is here: nothing is asked
    wipe(t)
    got = build(t, text, "--cache-from", "type=local,src=nosuch", "--cache-from", "127.0.0.1:9/no/such")
    t.has(got.err, "warning: cache from nosuch: ", "warning: cache from 127.0.0.1:9/no/such: ")


def run(t, script, name="built"):
    t.file("run.yaml", f"services: {{x: {{image: '{name}'}}}}\n")
    return t.muster("-p", "r", "-f", "run.yaml", "run", "--rm", "-T", "--no-deps", "x", "sh", "-c", script).out


def test_cache_hostile(t):
    """A cache may say what a step made, and nothing else: a layer under a wrong diffID, under contents that the build does not stand on, with names and
    links that lead outside, or indexes without end, changes nothing here."""
    text = "FROM busybox\nRUN echo made > /made\nRUN cat /made > /copy\n"
    build(t, text, "--cache-to", "type=local,dest=cache")
    outside = tarfile.TarInfo("../../../../../../../../escaped")
    outside.size = 4
    link, through = tarfile.TarInfo("dir"), tarfile.TarInfo("dir/escaped")
    link.type, link.linkname, through.size = tarfile.SYMTYPE, t.folder, 4

    def all_layers(digest, diff_id, size):
        def change(document):
            for layer in document["layers"]:
                layer["blob"], layer["annotations"]["diffID"], layer["annotations"]["size"] = "sha256:" + digest, "sha256:" + diff_id, size
        return change

    def check(what, warned=True):
        wipe(t)
        got = build(t, text, "--cache-from", "type=local,src=cache")
        t.eq("warning" in got.err, warned, f"{what}: a warning\n{got}")
        t.eq(run(t, "cat /made /copy"), "made\nmade\n", what)
        t.true(not os.path.exists(t.folder + "/escaped") and not os.path.exists("/escaped"), f"{what}: outside")
    digest, _, size = evil_layer(t, [(tarfile.TarInfo("made"), b"")])
    republish(t, all_layers(digest, "0" * 64, size))
    check("a wrong diffID")
    republish(t, all_layers(*evil_layer(t, [(outside, b"evil")])))
    check("a name with dots")
    republish(t, all_layers(*evil_layer(t, [(link, b""), (through, b"evil")])))
    wipe(t)
    build(t, text, "--cache-from", "type=local,src=cache", rc=None)
    t.true(not os.path.exists(t.folder + "/escaped"), "through a link")

    def other_contents(document):
        for record in document["records"]:
            if not record.get("layers"):
                record["digest"] = "sha256:" + hashlib.sha256(record["digest"].encode()).hexdigest()
    wipe(t)
    build(t, text, "--cache-to", "type=local,dest=cache")
    republish(t, other_contents)
    check("other contents", warned=False)
    for what, change in (("indexes", lambda d: [r["layers"][0].update(layer=10 ** 15) for r in d["records"] if r.get("layers")]),
                         ("negative", lambda d: [r["layers"][0].update(layer=-7) for r in d["records"] if r.get("layers")]),
                         ("links", lambda d: [r.update(inputs=[[{"link": 10 ** 12}, {"link": -5}, "x", None]]) for r in d["records"]]),
                         ("loops", lambda d: [r.update(inputs=[[{"link": i}]]) for i, r in enumerate(d["records"])]),
                         ("kinds", lambda d: d.update(layers={"a": 1}, records=[1, None, [], {"digest": 5, "layers": 7}])),
                         ("no layers", lambda d: d.update(layers=[])),
                         ("deep", lambda d: d.update(records=[{"digest": "sha256:" + "a" * 64, "inputs": [[[[[]]]]]}] * 1000))):
        wipe(t)
        build(t, text, "--cache-to", "type=local,dest=cache")
        republish(t, change)
        check(what, warned=False)
    republish(t, lambda d: d.update(records="x"))
    check("no list")


def test_cache_entries(t):
    """What cannot be honoured is refused by name before anything is built; what fails on the way out fails the build, unless it may be ignored."""
    text = "FROM busybox\nRUN echo a > /a\n"
    for option, entry, words in (
            ("--cache-to", "type=gha", ["not supported", "type=gha"]), ("--cache-from", "type=s3,bucket=x", ["not supported", "type=s3"]),
            ("--cache-to", "type=azblob,name=x", ["not supported"]), ("--cache-to", "type=registry", ["ref=NAME"]), ("--cache-to", "type=local", ["dest=DIRECTORY"]),
            ("--cache-from", "type=local,dest=x", ['"dest=x"']), ("--cache-to", "type=local,dest=x,mode=some", ["min or max"]),
            ("--cache-to", "type=local,dest=x,compression=estargz", ["gzip, zstd"]), ("--cache-to", "type=inline,mode=max", ["mode=min only"]),
            ("--cache-to", "type=registry,ref=A/B", ["A/B"]), ("--cache-to", "type=local,dest=x,ignore-error=maybe", ["true nor false"]),
            ("--cache-to", "ref=x", ["type is missing"]), ("--cache-to", "type=local,dest=x,oci-mediatypes=false,compression=zstd", ["gzip only"])):
        t.one_message(build(t, text, option, entry, rc=1), *words)
    t.file("taken", "a file\n")
    got = build(t, text, "--cache-to", "type=local,dest=taken", rc=1)
    t.one_message(got, "cache export to local directory", "Not a directory")
    got = build(t, text, "--cache-to", "type=local,dest=taken,ignore-error=true")
    t.has(got.err, "warning: cache export to local directory: ", "Not a directory")
    t.compose("services: {a: {image: svc, build: {context: ., cache_to: ['type=local,dest=out', 'type=inline'], cache_from: ['type=local,src=out', nosuch.invalid/x]}}}")
    t.has(t.muster("--progress", "plain", "build").err, "exporting cache to local directory")
    want = built_id(t, "svc")
    wipe(t, "svc", "built")
    got = t.muster("--progress", "plain", "build")
    t.eq((ran(got), built_id(t, "svc")), ([], want), got)


def test_cache_secrets(t):
    """Neither a secret, nor a build argument, nor a line of the Dockerfile is in an exported cache: digests, sizes and times are."""
    t.file("token", "s3cr3t-of-a-file\n")
    text = "FROM busybox\nARG WHO\nRUN --mount=type=secret,id=token cp /run/secrets/token /dev/null && echo secret-word > /x\n"
    build(t, text, "--secret", "id=token,src=token", "--build-arg", "WHO=argument-word", "--cache-to", "type=local,dest=cache,mode=max,compression=uncompressed",
          "--cache-to", "type=inline")
    layers, config = blobs(t)
    seen = b""
    for at, _, files in os.walk(t.dir + "/cache"):
        for name in files:
            with open(os.path.join(at, name), "rb") as f:
                seen += f.read()
    t.true(b"s3cr3t-of-a-file" not in seen, "a secret in the cache")
    with open(config, "rb") as f:
        document = f.read()
    for word in (b"argument-word", b"secret-word", b"token", b"RUN", b"WHO"):
        t.true(word not in document, f"{word} in the document")
    for at, _, files in os.walk(t.root):
        for name in files:
            with open(os.path.join(at, name), "rb") as f:
                t.true(b"s3cr3t-of-a-file" not in f.read(), f"a secret in {at}/{name}")


def test_cache_parallel(t):
    """Two builds of the same from one cache at once, and two exports into one directory: one image, both entries."""
    t.file("one", "1\n")
    build(t, STAGES, "--cache-to", "type=local,dest=cache,mode=max")
    want = built_id(t)
    wipe(t)
    both = [t.start("image", "build", "--progress", "plain", "-t", f"p{i}", "--cache-from", "type=local,src=cache",
                    "--cache-to", f"type=local,dest=cache,mode=max,tag=t{i}", ".") for i in range(2)]
    for one in both:
        t.eq(one.wait(60), 0, one.err)
        t.eq(ran(one), [], one.err)
    t.eq({built_id(t, f"p{i}") for i in range(2)}, {want})
    with open(t.dir + "/cache/index.json", encoding="ascii") as f:
        t.eq(sorted(x["annotations"]["org.opencontainers.image.ref.name"] for x in json.load(f)["manifests"]), ["latest", "t0", "t1"])


class Dockerd:
    """A dockerd of its own, whose BuildKit is asked to use our caches, and we its; ended by its pid."""

    def __init__(self, t):
        d = t.folder + "/docker"
        os.makedirs(d)
        self.short = tempfile.mkdtemp(prefix="md")  # the paths of its sockets must be short
        self.socket = f"unix://{self.short}/s"
        self.env = {**t.environ(), "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": d}
        with open(d + "/log", "wb") as log:
            self.p = subprocess.Popen(
                ["dockerd", "--data-root", d + "/root", "--exec-root", self.short + "/exec", "-p", d + "/pid", "-H", self.socket, "--bridge", "none",
                 "--iptables=false", "--ip-forward=false", "--ip-masq=false", "--storage-driver", "vfs"], stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 40
        while subprocess.run(["/usr/bin/docker", "-H", self.socket, "version"], capture_output=True, check=False).returncode:
            if self.p.poll() is not None or time.monotonic() > until:
                self.close()
                with open(d + "/log", encoding="utf-8", errors="replace") as f:
                    raise systest.Skip("dockerd does not start here: " + f.read()[-300:].replace("\n", " | "))
            time.sleep(0.2)

    def __call__(self, *args):
        done = subprocess.run(["/usr/bin/docker", "-H", self.socket, *args], capture_output=True, env=self.env, text=True, check=False)
        if done.returncode:
            raise systest.Failure(f"docker {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def close(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.p.pid, signal.SIGKILL)
                self.p.wait()
        shutil.rmtree(self.short, ignore_errors=True)


@systest.timeout(180)
def test_cache_beside_buildkit(t):
    """docker's BuildKit takes our image with its record, and our caches of each form, as caches without a hit, and builds right; so do we with a cache of
    BuildKit's."""
    if not shutil.which("dockerd") or not os.path.exists("/usr/bin/docker"):
        raise systest.Skip("no docker")
    loopback()
    t.file("one", "1\n")
    text = "FROM busybox\nCOPY one /one\nWORKDIR /w\n"
    docker = Dockerd(t)
    try:
        with DockerRegistry(t.folder + "/registry") as s:
            t.muster("image", "save", "-o", "busybox.tar", "busybox")
            docker("load", "-i", t.dir + "/busybox.tar")
            ref = f"{s.host}/team/ours"
            build(t, text, "--cache-to", "type=inline", "--cache-to", f"type=registry,ref={ref}:cache,mode=max",
                  "--cache-to", f"type=registry,ref={ref}:index,image-manifest=false", "--cache-to", f"type=registry,ref={ref}:list,oci-mediatypes=false", name=f"{ref}:1")
            t.muster("image", "push", f"{ref}:1")
            for tag in ("1", "index", "list", "cache"):
                out = docker("build", "--progress", "plain", "--cache-from", f"{ref}:{tag}", "-t", "theirs", t.dir)
                t.has(out, "COPY one /one")
                t.lacks(out, "panic")
                docker("builder", "prune", "-a", "-f")
            theirs = f"{s.host}/team/theirs:1"
            docker("build", "--build-arg", "BUILDKIT_INLINE_CACHE=1", "-t", theirs, t.dir)
            docker("push", theirs)
            wipe(t, f"{ref}:1")
            got = build(t, text, "--cache-from", theirs)
            t.lacks(got.err, "warning")
            t.eq(len(ran(got)), 2, f"BuildKit's records are none of ours\n{got}")
    finally:
        docker.close()


def test_cache_accounts(t):
    """A registry that wants to know who we are: without an account a warning on the way in and an error on the way out, with one both work."""
    loopback()
    text = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /id\n"
    with open(t.folder + "/htpasswd", "wb") as f:
        f.write(subprocess.run(["htpasswd", "-Bbn", "alice", "s3cret"], check=True, capture_output=True).stdout)
    with DockerRegistry(t.folder + "/registry", htpasswd=t.folder + "/htpasswd") as s:
        ref = f"{s.host}/team/cache"
        t.one_message(build(t, text, "--cache-to", f"type=registry,ref={ref}", rc=1), "cache export to registry", "access denied")
        t.has(build(t, text, "--cache-to", f"type=registry,ref={ref},ignore-error=true").err, "warning: cache export to registry", "access denied")
        wipe(t)
        t.has(build(t, text, "--cache-from", ref).err, f"warning: cache from {ref}: ", "access denied")
        t.muster("login", "-u", "alice", "--password-stdin", s.host, stdin="s3cret\n")
        build(t, text, "--cache-to", f"type=registry,ref={ref}")
        want = built_id(t)
        again(t, text, want, "--cache-from", ref, steps=1)


class Exported:
    """A directory that cache_to has written, as registry.Server serves an image."""
    def __init__(self, t, folder="cache"):
        self.blobs = {}
        for path in blobs(t, folder)[0] + [blobs(t, folder)[1]]:
            with open(path, "rb") as f:
                self.blobs["sha256:" + os.path.basename(path)] = f.read()
        with open(f"{t.dir}/{folder}/index.json", encoding="ascii") as f:
            top = json.load(f)["manifests"][0]["digest"][7:]
        with open(f"{t.dir}/{folder}/blobs/sha256/{top}", "rb") as f:
            self.manifest = f.read()
        self.layers = [d["digest"] for d in json.loads(self.manifest)["layers"]]


def trickle(handler, data):
    """Two kilobytes a second: enough not to look stalled."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    for at in range(0, len(data), 1024):
        handler.wfile.write(data[at:at + 1024])
        handler.wfile.flush()
        time.sleep(0.5)
    return True


@systest.timeout(120)
def test_cache_slow_registry(t):
    """A registry that is dead, or slower than running the steps could be, holds a build up for its 15 seconds and no longer: one warning, no second
    question, the right image. A build that does not wait for it any more leaves nothing behind."""
    loopback()
    made = "FROM busybox\nRUN head -c 400000 /dev/urandom > /made\nRUN echo more > /more\n"
    build(t, made, "--cache-to", "type=local,dest=cache")
    wipe(t)
    exported, text = Exported(t), {"dead": "FROM busybox\nRUN echo dead > /is\nRUN echo again\n", "slow": made}
    dead = lambda handler, n: time.sleep(90) or True
    slow = lambda handler, n: handler.path.rsplit("/", 1)[-1] in exported.layers and trickle(handler, exported.blobs[handler.path.rsplit("/", 1)[-1]])
    with registry.Server(exported, fault=dead) as a, registry.Server(exported, fault=slow) as b:
        begun, jobs = time.monotonic(), {}
        for name, server in (("dead", a), ("slow", b)):
            t.file(name, text[name])
            jobs[name] = t.start("image", "build", "--progress", "plain", "-t", name, "-f", name, "--cache-from", f"{server.host}/a/b:1", ".")
        for name, job in jobs.items():
            code, took = job.wait(60), time.monotonic() - begun
            t.true(code == 0 and 14 < took < 28, f"{name}: {code} after {took:.1f} s\n{job.err}")
            t.eq(len(re.findall("warning: cache from .*does not answer in time", job.err)), 1, job.err)
        t.true(len(a.seen) < 5, f"asked again: {a.seen}")
        asked = [x[1] for x in b.seen if x[1].rsplit("/", 1)[-1] in exported.layers]
        t.true(0 < len(set(asked)) <= 2, f"layers asked for: {asked}")
    t.nothing_left(ignore=("state", "run"))
    t.eq((run(t, "cat /is", "dead"), run(t, "cat /more", "slow")), ("dead\n", "more\n"))
    with registry.Server(exported) as s:  # the very same one, awake
        wipe(t, "dead", "slow")
        t.eq(ran(build(t, made, "--cache-from", f"{s.host}/a/b:1")), [])


def test_cache_cancelled(t):
    """A registry that does not answer holds nobody who cancels."""
    loopback()
    image = registry.Image([registry.tar_of({"f": os.urandom(100000)})])
    text = "FROM busybox\nRUN echo made > /made\n"
    with registry.Server(image, fault=lambda h, n: time.sleep(20) or False) as s:
        t.file("Dockerfile", text)
        job = t.start("image", "build", "--progress", "plain", "--cache-from", f"{s.host}/a/b:1", ".")
        job.expect("importing cache manifest")
        time.sleep(0.3)
        begun = time.monotonic()
        job.signal(signal.SIGINT)
        t.true(job.wait(15) != 0 and time.monotonic() - begun < 8, f"{time.monotonic() - begun:.1f} s until the end of a cancelled build")
        t.has(job.err, "cancelled")
        t.nothing_left(ignore=("state", "run"))
    with registry.Server(image) as s:
        got = build(t, text, "--cache-from", f"{s.host}/a/b:1")
        t.has(got.err, "has no cache record")
        t.eq(run(t, "cat /made"), "made\n")
