# SPDX-License-Identifier: Apache-2.0
"""Where the files of a build come from, beyond its own directory: OCI layouts, directories as base images, key files behind an agent."""
import json
import os
import subprocess
import tarfile

import registry
import systest

BASE = "FROM busybox\n"


def build(t, *args, **kw):
    return t.muster("image", "build", *args, **kw)


def dockerfile(t, text):
    t.file("ctx/Dockerfile", text)
    return "ctx"


def image(t, name):
    return json.loads(t.muster("image", "inspect", name).out)[0]


def layers(t, name):
    return [f"{t.root}/layers/{i.removeprefix('sha256:')}/diff" for i in image(t, name)["RootFS"]["Layers"]]


def layout(t, *names):
    """An OCI layout with these images; its directory."""
    t.muster("image", "save", "--format", "oci-archive", "-o", t.dir + "/layout.tar", *names)
    os.makedirs(t.dir + "/layout", exist_ok=True)
    subprocess.run(["tar", "-xf", t.dir + "/layout.tar", "-C", t.dir + "/layout"], check=True)
    return t.dir + "/layout"


def test_oci_layout(t):
    """oci-layout://DIR[:tag|@digest] names one image of a layout, as context and as base; it gets no name in the store; what is missing is named."""
    for tag in ("1", "latest"):
        build(t, "-t", f"local:{tag}", dockerfile(t, f"{BASE}RUN echo text {tag} >/f\nENV E={tag}\n"))
    where = layout(t, "local:1", "local:latest")
    ids = {tag: image(t, f"local:{tag}")["Id"] for tag in ("1", "latest")}
    with open(where + "/index.json", encoding="utf-8") as f:
        digests = {e["annotations"]["org.opencontainers.image.ref.name"]: e["digest"] for e in json.load(f)["manifests"]}
    t.muster("image", "rm", "local:1", "local:latest")
    t.muster("builder", "prune", "-a", "-f")
    ctx = dockerfile(t, "FROM busybox\nCOPY --from=more /f /g\nRUN cat /g\nFROM more\nRUN echo is $E; cat /f\n")
    by_digest = next(d for name, d in digests.items() if name.endswith("1"))
    for value, tag in ((f"oci-layout://{where}", "latest"), (f"oci-layout://{where}:1", "1"), ("oci-layout://layout:latest", "latest"),
                       (f"oci-layout://{where}@{by_digest}", "1")):
        done = build(t, "--no-cache", "--build-context", f"more={value}", ctx)
        t.has(done.err, f"is {tag}", f"text {tag}")
    t.has(t.muster("image", "inspect", "local:1", rc=1).err, "not found")
    t.eq(image(t, ids["1"])["RepoTags"], [])
    for value, needle in ((f"oci-layout://{where}:2", "no image 2"), ("oci-layout:///nosuch", "/nosuch"), (f"oci-layout://{t.dir}/ctx", "no OCI layout"),
                          (f"oci-layout://{where}@sha256:{'0' * 64}", "no image sha256:000")):
        t.has(build(t, "--build-context", f"more={value}", ctx, rc=1).err, needle)
    t.compose("services: {a: {build: {dockerfile_inline: \"FROM more\\nRUN echo is $$E\\n\", "
              f"additional_contexts: {{more: 'oci-layout://{where}:1'}}}}}}}}\n")
    t.has(t.muster("build", "--no-cache").err, "is 1")
    blob = f"{where}/blobs/sha256/{by_digest[7:]}"
    with open(blob, "ab") as f:
        f.write(b" ")
    t.has(build(t, "--no-cache", "--build-context", f"more=oci-layout://{where}:1", ctx, rc=1).err, "oci-layout")


def test_from_directory(t):
    """FROM of a context that is a directory: its files, but for what .dockerignore says, are the first layer; root's, with an empty configuration."""
    t.file("base/bin/hello", "text\n")
    t.file("base/skip", "no\n")
    t.file("base/.dockerignore", "skip\n")
    os.symlink("/bin/hello", t.dir + "/base/link")
    os.chown(t.dir + "/base/bin/hello", 12, 34)
    os.chmod(t.dir + "/base/bin/hello", 0o4755)
    ctx = dockerfile(t, "FROM rootfs AS a\nCOPY Dockerfile /d\nENV X=y\nFROM a\nLABEL l=m\n")
    done = build(t, "-t", "d", "--build-context", "rootfs=base", ctx)
    t.match(done.err, r"\[.*1/3\] FROM rootfs|2/3\] FROM rootfs")
    first, second = layers(t, "d")
    t.eq(sorted(os.listdir(first)), [".dockerignore", "bin", "link"])
    st = os.stat(first + "/bin/hello")
    t.eq((st.st_uid, st.st_gid, oct(st.st_mode)), (0, 0, "0o104755"))
    t.eq(os.listdir(second), ["d"])
    config = image(t, "d")
    t.eq(config["Config"].get("Cmd"), None)
    t.has(config["Config"]["Env"], "X=y")
    t.has(build(t, "--build-context", "rootfs=base", ctx).err, "CACHED")
    t.file("base/new", "1\n")
    build(t, "-t", "d", "--build-context", "rootfs=base", ctx)
    t.eq(sorted(os.listdir(layers(t, "d")[0])), [".dockerignore", "bin", "link", "new"])
    os.makedirs(t.dir + "/bb/bin")
    subprocess.run(["cp", "/bin/busybox", t.dir + "/bb/bin/sh"], check=True)
    t.compose("services: {a: {build: {dockerfile_inline: \"FROM bb\\nRUN echo runs\\n\", additional_contexts: {bb: ./bb}}}}\n")
    t.has(t.muster("build").err, "runs")


def test_named_image(t):
    """docker-image:// takes the place of an image or a stage's base by its name; target: and service: outside of a compose file are refused."""
    build(t, "-t", "mine", dockerfile(t, f"{BASE}RUN echo mine >/who\n"))
    ctx = dockerfile(t, "FROM alpine:3\nRUN cat /who\n")
    t.has(build(t, "--no-cache", "--build-context", "alpine:3=docker-image://mine", ctx).err, "mine")
    for value, needle in (("target:x", "bake"), ("service:x", "no services"), ("docker-image://", "name is empty"), ("nosuch", "not found")):
        t.has(build(t, "--build-context", f"alpine:3={value}", ctx, rc=1).err, needle)


def keys(t, *kinds):
    for kind, *more in kinds:
        subprocess.run(["ssh-keygen", "-q", "-t", kind.split("-")[0], "-N", "", "-C", "c", "-f", f"{t.dir}/{kind}", *more], check=True)


def test_ssh_keys(t):
    """--ssh ID=FILES: steps find an agent with those keys, of every kind and format, that signs what the keys sign; the keys themselves are nowhere."""
    if not os.path.exists("/usr/bin/ssh-keygen"):
        raise systest.Skip("no ssh-keygen")
    kinds = [("ed25519",), ("rsa", "-b", "2048"), ("rsa-pem", "-b", "2048", "-m", "PEM"), ("rsa-pkcs8", "-b", "2048", "-m", "PKCS8"), ("ecdsa", "-b", "256"),
             ("ecdsa-384", "-b", "384"), ("ecdsa-521", "-b", "521", "-m", "PEM")]
    keys(t, *kinds)
    root = t.dir + "/tools"
    needed = set()
    for tool in ("/usr/bin/ssh-add", "/usr/bin/ssh-keygen"):
        needed.add(tool)
        for line in subprocess.run(["ldd", tool], check=True, stdout=subprocess.PIPE).stdout.decode().split("\n"):
            needed.update(w for w in line.split() if w.startswith("/"))
    for path in needed:
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        subprocess.run(["cp", "-L", path, root + path], check=True)
    t.file("tools/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    for kind, *_ in kinds:
        subprocess.run(["cp", f"{t.dir}/{kind}.pub", f"{t.dir}/tools/"], check=True)
    sign = "".join(f"ssh-keygen -q -Y sign -n file -f /{kind}.pub /data && mv /data.sig /{kind}.sig && " for kind, *_ in kinds)
    ctx = dockerfile(t, "FROM busybox\nCOPY --from=tools / /\nRUN --mount=type=ssh ssh-add -L; echo text >/data; "
                     f"{sign} true\nRUN --mount=type=ssh,id=one ssh-add -l; ssh-add -D; ssh-add -l | wc -l\n")
    files = ",".join(f"{t.dir}/{kind}" for kind, *_ in kinds)
    done = build(t, "-t", "signed", "--ssh", f"default={files}", "--ssh", f"one={t.dir}/ed25519", "--build-context", "tools=tools", ctx, seconds=60)
    for kind, *_ in kinds:
        with open(f"{t.dir}/{kind}.pub", encoding="utf-8") as f:
            t.has(done.err, f.read().split()[1])
        t.file("allowed", "me " + open(f"{t.dir}/{kind}.pub", encoding="utf-8").read())
        out = subprocess.run(["ssh-keygen", "-q", "-Y", "verify", "-f", t.dir + "/allowed", "-I", "me", "-n", "file", "-s",
                              f"{layers(t, 'signed')[-2]}/{kind}.sig"], input=b"text\n", check=False, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        t.eq(out.returncode, 0, f"{kind}: {out.stdout}")
    t.match(done.err, r"(?m)^#\d+ [\d.]+ 1$")
    with open(t.dir + "/ed25519", "rb") as f:
        secret = f.read().splitlines()[2]
    for top in (t.root, t.run):
        for at, _, names in os.walk(top):
            for name in names:
                if os.path.isfile(os.path.join(at, name)):
                    with open(os.path.join(at, name), "rb") as f:
                        t.true(secret not in f.read(), os.path.join(at, name))
    t.compose(f"services: {{a: {{build: {{dockerfile_inline: \"FROM signed\\nRUN --mount=type=ssh,id=k ssh-add -l | wc -l\\n\", ssh: ['k={t.dir}/rsa']}}}}}}\n")
    t.match(t.muster("build").err, r"(?m)^#\d+ [\d.]+ 1$")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", t.dir + "/locked"], check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret", "-f", t.dir + "/locked-pem"], check=True)
    with open(t.dir + "/ed25519", encoding="utf-8") as f:
        text = f.read()
    t.file("damaged", text.replace(text[200:210], "AAAAAAAAAA"))
    for path, needle in (("locked", "passphrase"), ("locked-pem", "passphrase"), ("ctx/Dockerfile", "no private key"), ("nosuch", "no such file"),
                         ("ed25519.pub", "no private key"), ("damaged", "damaged")):
        t.has(build(t, "--ssh", f"default={t.dir}/{path}", ctx, rc=1).err, needle, path)


def platforms_of(t, name):
    return {(i["Os"], i["Architecture"], i.get("Variant", "")): i for i in (image(t, x) for x in ids_of(t, name))}


def ids_of(t, name):
    return t.muster("image", "ls", "--no-trunc", "--format", "{{.ID}}", "--filter", f"reference={name}").out.split()


MULTI = ("FROM --platform=$BUILDPLATFORM busybox AS tools\nARG TARGETARCH\nRUN echo for $TARGETARCH >/out\nFROM scratch\n"
         "ARG TARGETPLATFORM\nARG TARGETVARIANT\nARG BUILDARCH\nCOPY --from=tools /out /out\nENV X=\"$TARGETPLATFORM|$TARGETVARIANT|$BUILDARCH\"\n")


def test_platforms(t):
    """Several platforms: an image for each under one name, with the platform arguments of each; this machine's is what the name means here; they go together."""
    ctx = dockerfile(t, MULTI)
    done = build(t, "-t", "multi", "--platform", "linux/arm64/v8,linux/amd64,arm", ctx)
    t.match(done.err, r"\[linux/arm64 .*COPY")
    got = platforms_of(t, "multi")
    t.eq(sorted(got), [("linux", "amd64", ""), ("linux", "arm", "v7"), ("linux", "arm64", "")])
    for (_, arch, variant), img in got.items():
        name = f"linux/{arch}{'/' if variant else ''}{variant}"
        t.has(img["Config"]["Env"], f"X={name}|{variant}|amd64")
        last = img["RootFS"]["Layers"][-1].removeprefix("sha256:")
        with open(f"{t.root}/layers/{last}/diff/out", encoding="utf-8") as f:
            t.eq(f.read(), f"for {arch}\n")
    t.eq(image(t, "multi")["Architecture"], "amd64")
    t.muster("image", "prune", "-f")
    t.eq(len(ids_of(t, "multi")), 3)
    t.muster("image", "tag", "multi", "other")
    t.muster("image", "tag", image(t, "multi")["Id"], "single")
    t.muster("image", "rm", "multi")
    t.eq(sorted(platforms_of(t, "other")), sorted(got))
    t.eq(image(t, "other")["Architecture"], "amd64")
    t.muster("image", "rm", "other")
    t.eq([image(t, i)["Architecture"] for i in ids_of(t, "single")], ["amd64"])
    t.eq(t.muster("image", "ls", "-a", "-q", "--filter", "dangling=true").out, "")
    for value, needle in (("windows/amd64", "windows"), ("linux/amd64/v1/x", "linux/amd64"), ("linux//x", "linux//x"), ("linux/a b", "a b")):
        t.has(build(t, "--platform", value, ctx, rc=1).err, needle)
    t.has(build(t, "--platform", "linux/arm64,linux/riscv64", dockerfile(t, "FROM scratch\nCOPY Dockerfile /\nCOPY no /\n"), rc=1).err, "linux/", "not found")
    bad = build(t, "-t", "bad", "--platform", "linux/amd64,linux/s390x", dockerfile(t, "FROM busybox\nRUN true\n"), rc=1)
    t.has(bad.err, "linux/s390x")
    t.has(t.muster("image", "inspect", "bad", rc=1).err, "not found")


def test_save_platforms(t):
    """A name of several platforms is saved as the index of all of them, which skopeo and our own load take each platform from; docker's old form, which holds
    one, says so."""
    ctx = dockerfile(t, MULTI)
    build(t, "-t", "multi", "--platform", "linux/arm64,linux/amd64", ctx)
    build(t, "-t", "plain", "-f", "-", ctx, stdin="FROM scratch\nCOPY Dockerfile /\n")
    for form in ("oci-archive", "combined"):
        t.muster("image", "save", "--format", form, "-o", form, "multi", "plain")
        t.muster("image", "save", "--format", form, "-o", form + "2", "multi", "plain")
        with open(f"{t.dir}/{form}", "rb") as a, open(f"{t.dir}/{form}2", "rb") as b, tarfile.open(f"{t.dir}/{form}") as tar:
            t.eq(a.read() == b.read(), True, "the same archive twice")
            members = {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}
        names = {m["annotations"]["io.containerd.image.name"]: m for m in json.loads(members["index.json"])["manifests"]}
        t.eq(sorted(names), ["docker.io/library/multi:latest", "docker.io/library/plain:latest"])
        index = names["docker.io/library/multi:latest"]
        t.eq(index["mediaType"], "application/vnd.oci.image.index.v1+json")
        index = json.loads(members["blobs/sha256/" + index["digest"][7:]])
        t.eq([m["platform"] for m in index["manifests"]], [{"architecture": "arm64", "os": "linux"}, {"architecture": "amd64", "os": "linux"}])
        if form == "combined":
            t.eq([(m["RepoTags"], json.loads(members[m["Config"]])["architecture"]) for m in json.loads(members["manifest.json"])],
                 [(["multi:latest"], "amd64"), (["plain:latest"], "amd64")])
        os.makedirs(f"{t.dir}/layout-{form}")
        with tarfile.open(f"{t.dir}/{form}") as tar:
            tar.extractall(f"{t.dir}/layout-{form}")
        for arch in ("arm64", "amd64"):  # of two images with the tag "latest" the index is named by its digest
            t.file(f"layout-{form}/index.json", json.dumps({"schemaVersion": 2, "manifests": [names["docker.io/library/multi:latest"]]}))
            shown = subprocess.run(["skopeo", "inspect", "--config", "--override-arch", arch, f"oci:{t.dir}/layout-{form}"], check=True,
                                   stdout=subprocess.PIPE, env=t.environ()).stdout
            t.eq(json.loads(shown)["architecture"], arch)
    for form in ("oci-archive", "combined"):
        t.muster("image", "rm", "multi")
        t.muster("image", "load", "--platform", "linux/arm64", "-i", form)
        t.eq(image(t, "multi")["Architecture"], "arm64", form)
        t.muster("image", "rm", "multi")
        t.muster("image", "load", "-i", form)
        t.eq(image(t, "multi")["Architecture"], "amd64", form)
    build(t, "-t", "multi", "--platform", "linux/arm64,linux/amd64", ctx)
    done = t.muster("image", "save", "--format", "docker-archive", "-o", "old", "multi")
    t.has(done.err, "docker.io/library/multi:latest: this format holds one platform", "of 2")
    with tarfile.open(t.dir + "/old") as tar:
        t.eq([m["RepoTags"] for m in json.load(tar.extractfile("manifest.json"))], [["multi:latest"]])
    t.muster("image", "load", "--platform", "linux/amd64", "-i", "old")
    t.has(t.muster("image", "load", "--platform", "linux/arm64", "-i", "old", rc=1).err, "the archive has no image for linux/arm64")


def test_foreign_run(t):
    """RUN for a platform that this machine cannot run says so, and what would help; FROM scratch and COPY need nothing."""
    t.file("ctx/x", b"\x7fELF\2\1\1" + b"\0" * 9 + b"\2\0\xb7\0" + b"\0" * 100)
    os.chmod(t.dir + "/ctx/x", 0o755)
    done = build(t, "--platform", "linux/arm64", dockerfile(t, "FROM scratch\nCOPY x /x\nRUN [\"/x\"]\n"), rc=1)
    t.has(done.err, "linux/arm64", "binfmt_misc", "linux/amd64")


def test_compose_platforms(t):
    """`build` makes all of build.platforms; `up` builds for the service's platform, or this machine's among them; a platform outside of them is refused."""
    t.file("Dockerfile", "FROM --platform=$BUILDPLATFORM busybox AS sh\nFROM scratch\nCOPY --from=sh /bin /bin\nCMD [\"/bin/sleep\", \"100\"]\n")
    t.compose("services: {a: {build: {context: ., platforms: [linux/arm64, linux/amd64]}, stop_grace_period: 0s}}\n")
    t.muster("build")
    t.eq(sorted(p[1] for p in platforms_of(t, "p-a")), ["amd64", "arm64"])
    t.muster("up", "-d", "--build")
    t.eq([p[1] for p in platforms_of(t, "p-a")], ["amd64"])
    t.has(t.muster("ps").out, "p-a-1")
    t.muster("down")
    t.compose("services: {a: {build: {context: ., platforms: [linux/arm64, linux/amd64]}, platform: linux/arm64}}\n")
    t.muster("build")
    t.eq(sorted(p[1] for p in platforms_of(t, "p-a")), ["amd64", "arm64"])
    t.compose("services: {a: {build: {context: ., platforms: [linux/arm64, linux/amd64]}}}\n")
    t.muster("create", "--build", rc=None, env={"DOCKER_DEFAULT_PLATFORM": "linux/arm64"})
    t.eq([p[1] for p in platforms_of(t, "p-a")], ["arm64"])
    t.compose("services: {a: {build: {context: ., platforms: [linux/arm64]}, platform: linux/amd64}}\n")
    t.has(t.muster("build", rc=1).err, "linux/amd64", "platforms")
    t.compose("services: {a: {build: {context: .}}, b: {build: {dockerfile_inline: \"FROM a\\nENV P=q\\n\", additional_contexts: {a: 'service:a'}, "
              "platforms: [linux/arm64, linux/amd64]}}}\n")
    t.has(t.muster("build").err, "InvalidBaseImagePlatform", 'expected "linux/arm64"')
    t.compose("services: {a: {build: {context: ., platforms: [linux/arm64, linux/amd64]}}, b: {build: {dockerfile_inline: \"FROM a\\nENV P=q\\n\", "
              "additional_contexts: {a: 'service:a'}, platforms: [linux/arm64, linux/amd64]}}}\n")
    t.muster("build")
    for (_, arch, _), img in platforms_of(t, "p-b").items():
        t.has(img["Config"]["Env"], "P=q")
        t.eq(img["Architecture"], arch)


def test_push_index(t):
    """A name of several platforms is pushed as an index of their manifests; each platform pulls its own from there, by us and by skopeo."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with registry.DockerRegistry(t.dir + "/registry") as server:
        name = f"{server.host}/team/multi:1"
        build(t, "-t", name, "--platform", "linux/arm64,linux/amd64", "--push", dockerfile(t, MULTI))
        raw = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"], check=True, stdout=subprocess.PIPE).stdout
        index = json.loads(raw)
        t.eq(index["mediaType"], "application/vnd.oci.image.index.v1+json")
        t.eq([m["platform"] for m in index["manifests"]], [{"architecture": "arm64", "os": "linux"}, {"architecture": "amd64", "os": "linux"}])
        t.has(t.muster("image", "inspect", name).out, f"{server.host}/team/multi@{registry.sha256(raw)}")
        for arch in ("arm64", "amd64"):
            t.muster("--root", t.dir + "/two", "image", "pull", "--platform", f"linux/{arch}", name)
            t.has(t.muster("--root", t.dir + "/two", "image", "inspect", name).out, f'"Architecture": "{arch}"', f"X=linux/{arch}|")
        again = t.muster("image", "push", name)
        t.has(again.out, registry.sha256(raw))
