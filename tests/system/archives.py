# SPDX-License-Identifier: Apache-2.0
"""Archives in both directions, between us and docker, podman, skopeo and umoci: whatever way an image goes, its configuration, its layers
and its files are the same afterwards. And what else takes images apart or puts them together: export, commit, diff, prune, verify."""
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time

import registry
import systest

LAYERS = [
    registry.tar_of({"bin/tool": b"#!/bin/sh\n" * 3000, "etc/conf": b"a=1\n", "etc/gone": b"x"}),
    registry.tar_of({"etc/conf": b"a=2\n", "etc/.wh.gone": b"", "data/big": os.urandom(300000)}),
]


def loopback(_):
    """The loopback of the test's own network namespace."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise systest.Skip(f"{tool} is not installed")


def run(*args, stdin=None, seconds=60, **kw):
    done = subprocess.run(args, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds, check=False, **kw)
    if done.returncode:
        raise systest.Failure(f"{' '.join(args)}: exit code {done.returncode}\n{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}")
    return done.stdout


def archive_of(parts):
    """A docker-archive as docker 20.10 writes it: <id>.json, <n>/layer.tar, manifest.json."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in parts:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Image:
    """An image that exists before anybody has seen it."""

    def __init__(self, name="mark/app:1", layers=None):
        self.layers = layers or LAYERS
        self.name = name
        self.diff_ids = ["sha256:" + hashlib.sha256(x).hexdigest() for x in self.layers]
        self.config = json.dumps({"architecture": "amd64", "os": "linux", "created": "2024-05-06T07:08:09Z", "author": "somebody",
                                  "config": {"Cmd": ["/bin/tool", "x"], "Env": ["PATH=/bin", "A=b c"], "Labels": {"k": "v"}, "WorkingDir": "/etc"},
                                  "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
                                  "history": [{"created": "2024-05-06T07:08:09Z", "created_by": "one"}, {"created": "2024-05-06T07:08:09Z", "created_by": "two"}],
                                  }).encode()
        self.id = hashlib.sha256(self.config).hexdigest()

    def archive(self):
        layers = [f"{i}/layer.tar" for i in range(len(self.layers))]
        manifest = json.dumps([{"Config": self.id + ".json", "RepoTags": [self.name], "Layers": layers}]).encode()
        return archive_of([*zip(layers, self.layers), (self.id + ".json", self.config), ("manifest.json", manifest)])


def inspect(t, name):
    return json.loads(t.muster("image", "inspect", name).out)[0]


def same(t, image, name, what):
    """The store has the image under this name, whole."""
    got = inspect(t, name)
    t.eq(got["Id"], "sha256:" + image.id, f"{what}: id")
    t.eq(got["RootFS"]["Layers"], image.diff_ids, f"{what}: layers")
    t.muster("image", "verify")


def forget(t, *names):
    t.muster("image", "rm", *names)
    t.eq(t.muster("image", "ls", "-q").lines.count(""), 0)


def layout_facts(path):
    """(id, diff_ids) of the only image of an OCI layout."""
    with open(path + "/index.json", encoding="utf-8") as f:
        index = json.load(f)

    def blob(digest):
        with open(f"{path}/blobs/sha256/{digest.split(':')[1]}", "rb") as f:
            return f.read()
    config = json.loads(blob(index["manifests"][0]["digest"]))["config"]["digest"]
    return config.split(":")[1], json.loads(blob(config))["rootfs"]["diff_ids"]


def test_forms(t):
    """Every form that save writes is loaded again as the same image, plain and compressed; the same image gives the same bytes."""
    image = Image()
    t.has(t.muster("image", "load", stdin=image.archive()).out, "Loaded image: mark/app:1")
    same(t, image, "mark/app:1", "load")
    for form in ("combined", "docker-archive", "oci-archive"):
        for codec in ("", "none", "gzip", "zstd"):
            path = f"{t.folder}/{form}{codec}.tar"
            options = ["--format", form] + (["--compression", codec] if codec else [])
            t.muster("image", "save", *options, "-o", path, "mark/app:1")
            with open(path, "rb") as f:
                data = f.read()
            t.eq(hashlib.sha256(t.muster("image", "save", *options, "mark/app:1").raw).hexdigest(), hashlib.sha256(data).hexdigest(), "bytes")
            forget(t, "mark/app:1")
            t.muster("image", "load", "-i", path)
            same(t, image, "mark/app:1", f"{form} {codec}")
    for pack in (["gzip", "-1c"], ["zstd", "-1c"], ["xz", "-0c"], ["bzip2", "-1c"]):
        if not shutil.which(pack[0]):
            continue
        forget(t, "mark/app:1")
        t.muster("image", "load", stdin=run(*pack, stdin=image.archive()))
        same(t, image, "mark/app:1", pack[0])


def test_several_and_terminal(t):
    """Several images in one archive share layers; a repository means all its tags; nothing is written to a terminal or left half."""
    one, two = Image(), Image("mark/other:2", [LAYERS[0], registry.tar_of({"new": b"x"})])
    for image in (one, two):
        t.muster("image", "load", stdin=image.archive())
    t.muster("image", "tag", "mark/app:1", "mark/app:2")
    path = t.folder + "/all.tar"
    t.muster("image", "save", "-o", path, "mark/app", "mark/other:2")
    with tarfile.open(path) as tar:
        names = tar.getnames()
        tags = sorted(x for m in json.load(tar.extractfile("manifest.json")) for x in m["RepoTags"])
    t.eq(len(names), len(set(names)), "members")
    t.eq(tags, ["mark/app:1", "mark/app:2", "mark/other:2"])
    tty = t.terminal("image", "save", "mark/app:1")
    t.eq(tty.wait(), 1)
    t.has(tty.all, "standard output is a terminal")
    t.muster("image", "save", "-o", t.folder + "/none.tar", "nosuch:1", rc=1)
    t.eq([x for x in os.listdir(t.folder) if x.startswith("none.tar")], [], "files of a failed save")


def test_skopeo(t):
    """skopeo reads the store itself, and what save writes; we load what it writes, in every form."""
    need("skopeo")
    image = Image()
    t.muster("image", "load", stdin=image.archive())
    layout = t.root + "/images/oci:mark/app:1"
    t.eq(json.loads(run("skopeo", "inspect", "--config", "oci:" + layout)), json.loads(image.config), "configuration")
    run("skopeo", "copy", "-q", "oci:" + layout, f"oci:{t.folder}/copy:x")
    t.eq(layout_facts(t.folder + "/copy")[0], image.id)
    for form in ("docker-archive", "oci-archive"):
        path = f"{t.folder}/{form}"
        run("skopeo", "copy", "-q", "oci:" + layout, f"{form}:{path}:mark/back:{form[0]}")
        t.muster("image", "load", "-i", path)
        same(t, image, "mark/back:d" if form[0] == "d" else image.id, "skopeo " + form)
    t.muster("image", "save", "-o", t.folder + "/ours.tar", "mark/app:1")
    for form in ("docker-archive", "oci-archive"):
        t.eq(json.loads(run("skopeo", "inspect", "--config", f"{form}:{t.folder}/ours.tar")), json.loads(image.config), form)
    t.muster("image", "load", "-i", t.folder + "/copy")
    same(t, image, image.id, "OCI directory")


def test_umoci(t):
    """umoci unpacks what save writes to the same files, and we load what it packs."""
    need("umoci")
    image = Image()
    t.muster("image", "load", stdin=image.archive())
    t.muster("image", "save", "--format", "oci-archive", "-o", t.folder + "/a.tar", "mark/app:1")
    os.mkdir(t.folder + "/layout")
    with tarfile.open(t.folder + "/a.tar") as tar:
        tar.extractall(t.folder + "/layout")
    run("umoci", "unpack", "--image", f"{t.folder}/layout:1", t.folder + "/bundle")
    with open(t.folder + "/bundle/rootfs/etc/conf", encoding="ascii") as f:
        t.eq(f.read(), "a=2\n")
    t.true(not os.path.exists(t.folder + "/bundle/rootfs/etc/gone"), "a whiteout was not honoured")
    with open(t.folder + "/bundle/rootfs/added", "w", encoding="ascii") as f:
        f.write("by umoci")
    run("umoci", "repack", "--image", f"{t.folder}/layout:new", t.folder + "/bundle")
    run("umoci", "rm", "--image", f"{t.folder}/layout:1")
    t.muster("image", "load", "-i", t.folder + "/layout")
    got = inspect(t, layout_facts(t.folder + "/layout")[0])
    t.eq(got["RootFS"]["Layers"][:2], image.diff_ids)
    t.eq(len(got["RootFS"]["Layers"]), 3)


@systest.timeout(90)
def test_podman(t):
    """podman loads what save writes and saves what we load, both forms."""
    need("podman")
    image = Image()
    short = tempfile.mkdtemp(prefix="mp-")  # podman takes no longer names for this
    podman = ["podman", "--root", t.folder + "/pod", "--runroot", short, "--storage-driver", "vfs"]
    t.muster("image", "load", stdin=image.archive())
    t.muster("image", "save", "-o", t.folder + "/ours.tar", "mark/app:1")
    t.has(run(*podman, "load", "-q", "-i", t.folder + "/ours.tar").decode(), "mark/app:1")
    got = json.loads(run(*podman, "image", "inspect", "mark/app:1"))[0]
    t.eq((got["Id"], got["RootFS"]["Layers"]), (image.id, image.diff_ids))
    forget(t, "mark/app:1")
    for form in ("docker-archive", "oci-archive"):
        run(*podman, "save", "-q", "--format", form, "-o", f"{t.folder}/{form}.tar", "mark/app:1")
        t.muster("image", "load", "-i", f"{t.folder}/{form}.tar")
        same(t, image, image.id, "podman " + form)
        forget(t, image.id)
    run(*podman, "rmi", "-a", "-f")
    for place in (t.folder + "/pod/vfs", short):
        subprocess.run(["umount", "-l", place], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(short, ignore_errors=True)


class Dockerd:
    """A dockerd of its own: no bridge, no iptables, its own roots and socket, in the test's namespaces; ended by its pid."""

    def __init__(self, t):
        d = t.folder + "/docker"
        os.makedirs(d)
        self.short = tempfile.mkdtemp(prefix="md")  # the paths of its sockets must be short
        self.socket = f"unix://{self.short}/s"
        self.log = open(d + "/log", "wb")
        self.p = subprocess.Popen(
            ["dockerd", "--data-root", d + "/root", "--exec-root", self.short + "/exec", "-p", d + "/pid", "-H", self.socket, "--bridge", "none",
             "--iptables=false", "--ip-forward=false", "--ip-masq=false", "--storage-driver", "vfs", "--containerd-namespace", "t",
             "--containerd-plugins-namespace", "tp"], stdout=self.log, stderr=self.log, start_new_session=True)
        until = time.monotonic() + 40
        while subprocess.run(["docker", "-H", self.socket, "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
            if self.p.poll() is not None or time.monotonic() > until:
                self.close()
                with open(d + "/log", encoding="utf-8", errors="replace") as f:
                    raise systest.Skip("dockerd does not start here: " + f.read()[-300:].replace("\n", " | "))
            time.sleep(0.2)

    def __call__(self, *args, **kw):
        return run("docker", "-H", self.socket, *args, **kw)

    def close(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
            try:
                self.p.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.p.pid, signal.SIGKILL)
                self.p.wait()
        self.log.close()
        shutil.rmtree(self.short, ignore_errors=True)


@systest.timeout(120)
def test_docker(t):
    """docker loads what save writes and saves what we load: id and layers are equal both ways."""
    need("dockerd", "docker")
    image = Image()
    t.muster("image", "load", stdin=image.archive())
    t.muster("image", "save", "-o", t.folder + "/ours.tar", "mark/app:1")
    t.muster("image", "save", "--compression", "gzip", "--format", "docker-archive", "-o", t.folder + "/old.tar", "mark/app:1")
    forget(t, "mark/app:1")
    docker = Dockerd(t)
    try:
        for path in ("ours.tar", "old.tar"):
            t.has(docker("load", "-i", f"{t.folder}/{path}").decode(), "mark/app:1")
            got = json.loads(docker("image", "inspect", "mark/app:1"))[0]
            t.eq((got["Id"], got["RootFS"]["Layers"]), ("sha256:" + image.id, image.diff_ids), path)
            t.muster("image", "load", stdin=docker("save", "mark/app:1"))
            same(t, image, "mark/app:1", "docker save")
            forget(t, "mark/app:1")
            docker("rmi", "mark/app:1")
    finally:
        docker.close()


PROJECT = """
    services:
      a:
        image: busybox
        command: sh -c 'echo hi >/etc/new; rm /bin/false; echo x >>/etc/passwd; mkdir /d; ln -s new /etc/link; echo done; exec sleep 1000'
        environment: {K: v}
        stop_grace_period: 0s
    """


def test_diff_export_commit(t):
    """diff names what changed; export is the merged file system; commit makes an image that holds it and can be saved."""
    t.compose(PROJECT)
    t.up()
    t.wait(lambda: "done" in t.muster("logs", "a").out, what="the script")
    changes = t.muster("diff", "a").lines
    for line in ("A /etc/new", "A /etc/link", "A /d", "D /bin/false", "C /etc", "C /bin"):
        t.true(line in changes, f"{line} in {changes}")
    path = t.folder + "/fs.tar"
    t.muster("export", "a", "-o", path)
    with tarfile.open(path) as tar:
        names = set(tar.getnames())
        t.eq(tar.extractfile("etc/new").read(), b"hi\n")
        t.eq(tar.getmember("etc/link").linkname, "new")
    t.true("bin/false" not in names and "bin/sh" in names and not any(".wh." in x for x in names), "names of the export")
    made = t.muster("commit", "a", "mine/made:1", "-m", "why", "-a", "me", "-c", "CMD [\"cat\", \"/etc/new\"]").out.strip()
    got = inspect(t, "mine/made:1")
    t.eq(got["Id"], made)
    t.eq((got["Author"], got["Config"]["Cmd"]), ("me", ["cat", "/etc/new"]))
    t.true("K=v" in got["Config"]["Env"], str(got["Config"]["Env"]))
    t.has(t.muster("image", "history", "--no-trunc", "mine/made:1").out, "why", "sleep 1000", made)
    t.sh("a", "echo alive")  # it goes on after the pause
    t.muster("down", "-t", "0")
    t.muster("image", "verify")
    t.muster("image", "save", "-o", t.folder + "/made.tar", "mine/made:1")
    forget(t, "mine/made:1")
    t.muster("image", "load", "-i", t.folder + "/made.tar")
    t.eq(inspect(t, "mine/made:1")["Id"], made)
    t.compose("services: {b: {image: 'mine/made:1'}}")
    t.has(t.muster("up").out, "| hi")
    t.muster("down")


def test_list_filters(t):
    """Filters of image ls choose by name, label, age and dangling; ids are found by any unique prefix."""
    one, two = Image(), Image("mark/other:2", [LAYERS[0]])
    for image in (one, two):
        t.muster("image", "load", stdin=image.archive())
    t.muster("image", "tag", "busybox", "old/name:1")
    t.muster("image", "tag", "mark/app:1", "old/name:1")

    def names(*args):
        return sorted(t.muster("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", *args).lines)
    t.eq(names("mark/app"), ["mark/app:1"])
    t.eq(names("--filter", "reference=mark/*"), ["mark/app:1", "mark/other:2"])
    t.eq(names("--filter", "label=k=v", "--filter", "reference=*/*:2"), ["mark/other:2"])
    t.eq(names("--filter", "label=nope"), [])
    t.eq(names("--filter", "dangling=true"), [])
    t.eq(names("--filter", "until=2024-05-06T07:08:09Z", "mark/app"), [])
    t.eq(names("--filter", "until=2024-05-06T07:08:10Z", "mark/app"), ["mark/app:1"])
    t.has(t.muster("image", "ls", "--filter", "nope=1", rc=1).err, "there is no such filter")
    t.eq(inspect(t, one.id[:6])["Id"], "sha256:" + one.id)
    t.eq(t.muster("image", "ls", "--no-trunc", "-q", "mark/app").out.strip(), "sha256:" + one.id)
    t.has(t.muster("image", "ls", "--digests").out, "DIGEST")
    row = json.loads(t.muster("image", "ls", "--format", "json", "mark/app").out)
    t.eq(sorted(row), ["Containers", "CreatedAt", "CreatedSince", "Digest", "ID", "Repository", "SharedSize", "Size", "Tag", "UniqueSize", "VirtualSize"])


def test_prune_and_df(t):
    """prune takes what nobody names, with -a what no container uses, and says how much it was; df counts shared layers once."""
    one, two = Image(), Image("mark/app:1", [LAYERS[0], registry.tar_of({"n": os.urandom(100000)})])
    t.muster("image", "load", stdin=one.archive())
    before = json.loads(t.muster("system", "df", "--format", "json").lines[0])
    t.muster("image", "load", stdin=two.archive())  # takes the name: the first one dangles
    t.eq(t.muster("image", "ls", "-q", "--filter", "dangling=true").out.strip(), one.id[:12])
    t.has(t.muster("image", "prune", stdin=b"n\n").err, "Are you sure")
    t.eq(t.muster("image", "ls", "-q", "--filter", "dangling=true").out.strip(), one.id[:12], "image after \"no\"")
    out = t.muster("image", "prune", "-f").out
    t.has(out, "Deleted Images:", "deleted: sha256:" + one.id, "Total reclaimed space: ")
    t.lacks(out, two.id)
    t.compose("services: {a: {image: busybox, command: sleep 1000, stop_grace_period: 0s}}")
    t.up()
    out = t.muster("image", "prune", "-a", "-f").out
    t.has(out, "untagged: mark/app:1", "deleted: sha256:" + two.id)
    t.true("busybox" in t.muster("image", "ls").out, "an image in use was pruned")
    after = json.loads(t.muster("system", "df", "--format", "json").lines[0])
    t.eq(int(after["TotalCount"]), int(before["TotalCount"]) - 1)
    t.eq(after["Active"], "1")
    t.muster("image", "verify")
    t.muster("stop", "-t", "0")
    t.has(t.muster("system", "prune", "-f").out, "Deleted Containers:")
    t.eq(t.muster("ps", "-a", "-q").out, "")
    t.eq(os.listdir(t.root + "/images/oci/ingest"), [])
    t.muster("down")


def test_dry_run_changes_nothing(t):
    """Every command on images, volumes and accounts says with --dry-run what it would do, and leaves all as it is."""
    image = Image()
    with open("a.tar", "wb") as f:
        f.write(image.archive())
    t.muster("image", "load", "-i", "a.tar")
    t.compose("services: {a: {image: busybox, command: sleep 1000, stop_grace_period: 0s, volumes: ['data:/d']}}\nvolumes: {data: {}}")
    t.up()

    def state():
        found = subprocess.run(["find", t.root + "/images", t.root + "/layers", t.root + "/volumes", ".", t.env["HOME"], "-type", "d", "-printf", "%p\\n", "-o", "-printf", "%p %s %T@\\n"],
                               capture_output=True, text=True, check=True).stdout
        return set(found.splitlines())
    before = state()
    for args, words, stdin in (
            (("image", "rm", "mark/app:1"), "DRY-RUN MODE - Untagged: mark/app:1\nDRY-RUN MODE - Deleted: sha256:" + image.id, b""),
            (("image", "prune", "-a"), "untagged: mark/app:1\ndeleted: sha256:" + image.id, b""), (("image", "load", "-i", "a.tar"), "Archive a.tar  Load", b""),
            (("image", "import", "a.tar", "x:1"), "Image x:1  Import", b""), (("image", "pull", "localhost:1/x"), "Image localhost:1/x  Pulling", b""),
            (("image", "push", "mark/app:1"), "Pushed", b""), (("image", "tag", "mark/app:1", "y:1"), "Image y:1  Tag", b""),
            (("image", "save", "-o", "out.tar", "mark/app:1"), "Image mark/app:1  Save", b""), (("export", "-o", "out.tar", "a"), "Container p-a-1  Export", b""),
            (("commit", "a", "z:1"), "Container p-a-1  Commit", b""), (("login", "-u", "u", "--password-stdin", "localhost:1"), "Login", b"p"),
            (("logout", "localhost:1"), "Logout", b""), (("volume", "rm", "nope", "-f"), "", b""), (("system", "prune", "-a"), "Deleted Images", b""),
            (("builder", "prune"), "Total", b""), (("image", "verify", "--repair"), "", b"")):
        done = t.muster("--dry-run", *args, stdin=stdin)
        t.has(done.out + done.err, words)
    t.has(t.muster("--dry-run", "image", "rm", "busybox", rc=1).err, "in use by container p-a-1")
    t.has(t.muster("--dry-run", "image", "rm", "nope", rc=1).err, "not found")
    t.has(t.muster("--dry-run", "volume", "rm", "p_data", rc=1).err, "in use")
    t.eq(sorted(state() ^ before), [])
    said = t.muster("--dry-run", "image", "rm", "mark/app:1").out.replace("DRY-RUN MODE - ", "")
    t.eq(t.muster("image", "rm", "mark/app:1").out, said, "what was done beside what was said")
    t.muster("down", "-v")


def test_verify_finds_and_repairs(t):
    """A flipped bit in a blob, in a layer's file, a lost file and a torn configuration are each found; --repair takes them away, and a load
    puts back what is missing."""
    image = Image()
    t.muster("image", "load", stdin=image.archive())
    layer = f"{t.root}/layers/{image.diff_ids[1].split(':')[1]}/diff"
    blob = f"{t.root}/images/oci/blobs/sha256/{image.diff_ids[0].split(':')[1]}"

    def flip(path, at):
        os.chmod(path, 0o600)
        with open(path, "r+b") as f:
            f.seek(at)
            byte = f.read(1)
            f.seek(at)
            f.write(bytes([byte[0] ^ 1]))
    for what, damage in (("blob", lambda: flip(blob, 20000)), ("layer", lambda: flip(layer + "/data/big", 5)),
                         ("layer", lambda: os.unlink(layer + "/etc/conf")), ("layer", lambda: os.chmod(layer + "/data/big", 0o600))):
        t.muster("image", "verify")
        damage()
        t.has(t.muster("image", "verify", rc=1).out, f"{what} sha256:", "is damaged")
        t.has(t.muster("image", "verify", "--repair", rc=1).out, "removed")
        t.muster("image", "load", stdin=image.archive())
    t.muster("image", "verify")
    flip(f"{t.root}/images/config/{image.id}.json", 3)
    t.has(t.muster("image", "verify", "--repair", rc=1).out, image.id[:12])
    t.muster("image", "load", stdin=image.archive())
    same(t, image, "mark/app:1", "after the repair")


def test_hostile_archives(t):
    """Archives that lie are refused with one message, and leave the store as it was."""
    image = Image()
    good = json.loads(image.config)

    def docker(config, layers=image.layers, names=None):
        raw = json.dumps(config).encode()
        names = names or [f"{i}/layer.tar" for i in range(len(layers))]
        manifest = json.dumps([{"Config": "c.json", "RepoTags": ["bad:1"], "Layers": names}]).encode()
        return archive_of([*((f"{i}/layer.tar", x) for i, x in enumerate(layers)), ("c.json", raw), ("manifest.json", manifest)])
    escape = registry.tar_of({"../../escaped": b"x"})
    swapped = dict(good, rootfs={"type": "layers", "diff_ids": list(reversed(image.diff_ids))})
    for what, data in (
            ("no archive", b"x" * 5000), ("an empty one", b""), ("cut off", image.archive()[:9000]),
            ("swapped layers", docker(swapped)), ("a layer outside", docker(good, names=["../../etc/passwd", "/etc/passwd"])),
            ("an escaping name", docker(dict(good, rootfs={"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(escape).hexdigest()]}), [escape])),
            ("another system", docker(dict(good, os="plan9"))), ("a list as configuration", docker([1])),
            ("gzip of nothing", gzip.compress(b"")), ("a manifest that is none", archive_of([("manifest.json", b"{}")]))):
        done = t.muster("image", "load", stdin=data, rc=1)
        t.eq(len([x for x in done.err.splitlines() if x.startswith("muster: ")]), 1, f"{what}: {done.err}")
    t.lacks(t.muster("image", "ls").out, "bad")
    t.true(not os.path.exists(t.root + "/../escaped") and not os.path.exists(t.folder + "/escaped"), "a file outside the store")
    t.muster("image", "verify")
