# SPDX-License-Identifier: Apache-2.0
"""The builder's core: what instructions make, what the cache knows, what a kill leaves, what a hostile file can't do."""
import gzip
import hashlib
import io
import json
import os
import signal
import stat
import tarfile
import time
import systest


def config(t, name):
    return json.loads(t.muster("image", "inspect", name).out)[0]


def document(t, name):
    """The configuration as it is stored, with its history."""
    with open(f"{t.root}/images/config/{config(t, name)['Id'].split(':')[1]}.json", encoding="utf-8") as f:
        return json.load(f)


def merged(t, name):
    """{path: (type and mode, uid:gid, content or target)} of an image, seen as its layers say."""
    tree = {}
    for diff_id in document(t, name)["rootfs"]["diff_ids"]:
        top = f"{t.root}/layers/{diff_id.split(':')[1]}/diff"
        for at, folders, files in os.walk(top):
            for entry in sorted(folders + files):
                path, rel = os.path.join(at, entry), os.path.join(at, entry)[len(top):]
                st = os.lstat(path)
                gone = stat.S_ISCHR(st.st_mode) and st.st_rdev == 0
                if gone or not stat.S_ISDIR(st.st_mode) or b"trusted.overlay.opaque" in [os.fsencode(x) for x in os.listxattr(path, follow_symlinks=False)]:
                    for old in [p for p in tree if p == rel or p.startswith(rel + "/")]:
                        del tree[old]
                if gone:
                    continue
                what = ""
                if stat.S_ISLNK(st.st_mode):
                    what = os.readlink(path)
                elif stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as f:
                        what = f.read().decode(errors="replace")
                tree[rel] = (stat.filemode(st.st_mode), f"{st.st_uid}:{st.st_gid}", what)
    return tree


def build(t, dockerfile, *args, name="built", rc=0, **kw):
    t.file("Dockerfile", dockerfile)
    return t.muster("image", "build", "--progress", "plain", "-t", name, *args, ".", rc=rc, **kw)


def cached(result):
    """Texts of the steps that the cache answered."""
    text = result.out + result.err
    steps = {line.split(" ")[0]: line.split("] ", 1)[1] for line in text.splitlines() if line.startswith("#") and "] " in line}
    return [steps[line.split(" ")[0]] for line in text.splitlines() if line.endswith(" CACHED")]


def test_core_instructions(t):
    """Every instruction that changes the configuration does, with BuildKit's words in the history."""
    build(t, """\
        FROM busybox
        ARG V=1
        ARG UNSET
        ENV A=$V B="two words"
        LABEL l=$A m='x y'
        MAINTAINER me
        EXPOSE 80 53/udp
        VOLUME ["/data", "/more"]
        USER 7:8
        STOPSIGNAL SIGUSR1
        SHELL ["/bin/sh", "-ec"]
        HEALTHCHECK --interval=5s --retries=3 CMD true
        ONBUILD RUN echo later
        ENTRYPOINT ["/bin/echo", "a\\"b"]
        CMD run $A
        WORKDIR /w
        WORKDIR x
        """)
    c = config(t, "built")["Config"]
    t.eq(c["Env"][-2:], ["A=1", "B=two words"])
    t.eq((c["Labels"], c["User"], c["WorkingDir"], c["StopSignal"]), ({"l": "1", "m": "x y"}, "7:8", "/w/x", "SIGUSR1"))
    t.eq((sorted(c["ExposedPorts"]), sorted(c["Volumes"])), (["53/udp", "80/tcp"], ["/data", "/more"]))
    t.eq((c["Entrypoint"], c["Cmd"], c["Shell"]), (["/bin/echo", 'a"b'], ["/bin/sh", "-ec", "run $A"], ["/bin/sh", "-ec"]))
    doc = document(t, "built")
    t.eq(doc["config"]["Healthcheck"], {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000, "Retries": 3})
    t.eq((doc["config"]["OnBuild"], doc["author"]), (["RUN echo later"], "me"))
    said = [h["created_by"] for h in doc["history"] if h.get("comment") == "buildkit.dockerfile.v0"]
    t.eq(said, ["ARG V=1", "ARG UNSET", "ENV A=1 B=two words", "LABEL l=1 m=x y", "MAINTAINER me", "EXPOSE [53/udp 80/tcp]", "VOLUME [/data /more]",
                "USER 7:8", "STOPSIGNAL SIGUSR1", "SHELL [/bin/sh -ec]", 'HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" "0s" \'\\x03\'}',
 'ENTRYPOINT ["/bin/echo" "a\\"b"]', 'CMD ["/bin/sh" "-ec" "run $A"]', "WORKDIR /w", "WORKDIR /w/x"])
    t.eq([h.get("empty_layer", False) for h in doc["history"]][-3:], [True, False, False])
    t.eq(merged(t, "built")["/w/x"][:2], ("drwxr-xr-x", "7:8"), "WORKDIR belongs to USER")
    t.eq(sum(not h.get("empty_layer") for h in doc["history"]), len(doc["rootfs"]["diff_ids"]), "history and layers")


def test_core_stages(t):
    """Stages: unused ones do not run, --target ends there, ONBUILD triggers run once, COPY --from takes what was built."""
    t.file("f", "text")
    build(t, """\
        FROM busybox AS unused
        RUN false
        FROM busybox AS made
        ONBUILD RUN echo trigger > /trigger
        ARG NAME=out
        RUN mkdir -p /o/d && echo $NAME > /o/d/$NAME && ln -s d/out /o/link && chown 5:6 /o/d/out
        FROM made AS child
        FROM scratch AS last
        COPY --from=made /o/link /o/d /one/
        COPY --from=1 --chown=9 /o /two
        COPY --from=child /trigger /
        """)
    tree = merged(t, "built")
    t.eq(tree["/one/link"], ("-rw-r--r--", "5:6", "out\n"), "a link that is named itself is followed")
    t.eq(tree["/two/link"], ("lrwxrwxrwx", "9:9", "d/out"))
    t.eq((tree["/two/d/out"][1], tree["/two"][1], tree["/trigger"][2]), ("9:9", "9:9", "trigger\n"))
    t.true("OnBuild" not in document(t, "built")["config"], "triggers of the base go no further")
    build(t, "FROM busybox AS a\nRUN touch /a\nFROM a AS b\nRUN false\n", "--target", "a")
    t.true("/a" in merged(t, "built") and "/b" not in merged(t, "built"), "--target")
    t.has(build(t, "FROM busybox AS a\n", "--target", "nope", rc=1).err, 'target stage "nope" could not be found')


def test_core_copy(t):
    """Here-documents, archives, --link, --parents and .dockerignore in a real build."""
    blob = io.BytesIO()
    with tarfile.open(fileobj=blob, mode="w:gz") as tar:
        for name, mode in (("in/x", 0o640), ("bin/tool", 0o4755)):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.gid = 2, mode, 11, 12
            tar.addfile(info, io.BytesIO(b"x\n"))
    t.file("a.bin", blob.getvalue())
    t.file("not.tar.gz", gzip.compress(b"no archive"))
    t.file("ctx/keep/a", "a")
    t.file("ctx/keep/b.log", "b")
    t.file("ctx/drop/c", "c")
    t.file(".dockerignore", "ctx/drop\n**/*.log\n!ctx/keep/b.log\n")
    build(t, """\
        FROM busybox
        ARG WHO=world
        COPY <<one <<"two" /h/
        hello $WHO
        one
        hello $WHO
        two
        ADD a.bin not.tar.gz /t/
        ADD --unpack=false a.bin /raw
        COPY --link ctx /bin/linked
        COPY --parents ctx/**/a /p/
        """)
    tree = merged(t, "built")
    t.eq((tree["/h/one"], tree["/h/two"][2]), (("-rw-r--r--", "0:0", "hello world\n"), "hello $WHO\n"))
    t.eq((tree["/t/in/x"], tree["/t/bin/tool"]), (("-rw-r-----", "11:12", "x\n"), ("-rwsr-xr-x", "11:12", "x\n")))
    t.eq((tree["/t/not.tar.gz"][0], tree["/raw"][0]), ("-rw-r--r--", "-rw-r--r--"))
    t.eq(sorted(p for p in tree if p.startswith(("/bin/linked", "/p/"))),
         ["/bin/linked", "/bin/linked/keep", "/bin/linked/keep/a", "/bin/linked/keep/b.log", "/p/ctx", "/p/ctx/keep", "/p/ctx/keep/a"])
    t.has(build(t, "FROM scratch\nCOPY ctx/drop /x\n", rc=1).err, '"/ctx/drop": not found')


CACHED = """\
FROM busybox AS one
COPY src /src
RUN cat /src/a > /out; date +%s%N > /when
FROM busybox
COPY --from=one /out /out
RUN date +%s%N > /last
"""


def test_core_cache(t):
    """A second build runs nothing and makes the same image; touched files and a moved checkout hit; what changed is done again, and nothing after
    a step whose outcome is the same."""
    t.file("src/a", "1")
    build(t, CACHED)
    first = config(t, "built")["Id"]
    again = build(t, CACHED)
    t.eq((len(cached(again)), config(t, "built")["Id"]), (4, first))
    os.utime(t.dir + "/src/a", (1, 2))
    t.eq(len(cached(build(t, CACHED))), 4, "steps from the cache after touch")
    systest.subprocess.run(["cp", "-r", t.dir, t.folder + "/moved"], check=True)
    t.eq(len(cached(t.muster("image", "build", "--progress", "plain", "-t", "built", t.folder + "/moved"))), 4, "steps from the cache elsewhere")
    t.file("src/b", "new")  # the first stage runs again, its /out is the same
    t.eq(sorted(x.split()[0] for x in cached(build(t, CACHED))), ["COPY", "RUN"], "after a rebuilt stage with the same result")
    t.eq(config(t, "built")["Id"], first)
    t.file("src/a", "2")
    t.eq(cached(build(t, CACHED)), [])
    t.true(config(t, "built")["Id"] != first, "another image")
    t.eq(cached(build(t, CACHED, "--no-cache")), [], "--no-cache")


def test_core_cache_arguments(t):
    """Build arguments count where they are used, proxies never."""
    text = "FROM busybox\nRUN echo before\nARG X\nRUN echo $X > /x\n"
    build(t, text, "--build-arg", "X=1", "--build-arg", "HTTP_PROXY=http://one")
    t.eq(len(cached(build(t, text, "--build-arg", "X=1", "--build-arg", "HTTP_PROXY=http://two"))), 2)
    t.eq(cached(build(t, text, "--build-arg", "X=2")), ["RUN echo before"])
    t.lacks(json.dumps(document(t, "built")), "http://")


def test_core_reproducible(t):
    """SOURCE_DATE_EPOCH: the same image from the same files, whenever and wherever."""
    t.file("d/f", "x")
    text = "FROM scratch\nCOPY d /d\nWORKDIR /w\nLABEL a=b\n"
    build(t, text, "--build-arg", "SOURCE_DATE_EPOCH=1000000000")
    first = config(t, "built")
    t.has(first["Created"], "2001-09-09T01:46:40")
    t.muster("image", "save", "-o", "saved.tar", "built")  # packed again to the same layers
    t.muster("image", "verify")
    os.utime(t.dir + "/d/f")
    env = t.second_root()
    build(t, text, "--build-arg", "SOURCE_DATE_EPOCH=1000000000", "--no-cache", env=env)
    t.eq(json.loads(t.muster("image", "inspect", "built", env=env).out)[0]["Id"], first["Id"])


def test_core_kill(t):
    """kill -9 in the middle of a build: no broken record, no temporary directory stays; what was done some time before is not done again."""
    text = "FROM busybox\nRUN echo 1 > /one\nRUN sleep 1.2\nRUN echo 2 > /two; sleep 100\n"
    t.file("Dockerfile", text)
    job = t.start("image", "build", "--progress", "plain", "-t", "built", ".")
    job.expect(r"RUN echo 2")
    time.sleep(1)
    job.signal(signal.SIGKILL)
    job.wait()
    again = build(t, text.replace("sleep 100", "true"))
    t.has("\n".join(cached(again)), "RUN echo 1")
    t.eq(merged(t, "built")["/two"][2], "2\n")
    t.wait(lambda: not [x for x in os.listdir(t.root + "/layers") if x.startswith(".")], 5, "no temporary layers")


def test_core_torn_records(t):
    """Records of the cache that are torn, empty or lead nowhere are as good as none."""
    text = "FROM busybox\nRUN echo 1 > /one\nRUN echo 2 > /two\n"
    build(t, text)
    records = [os.path.join(at, f) for at, _, files in os.walk(t.root + "/buildcache/records") for f in files]
    t.true(len(records) >= 2, "records")
    for i, path in enumerate(records):
        with open(path, "r+", encoding="utf-8") as f:
            body = f.read()
            f.seek(0)
            f.truncate()
            f.write(["", body[:20], body.replace('"diff_id":"', '"diff_id":"0'), '{"schema":1,"diff_id":"' + "0" * 64 + '","content":"' + "0" * 64 + '"}'][i % 4])
    t.eq(cached(build(t, text)), [])
    t.eq(len(cached(build(t, text))), 2)


def test_core_two_builds(t):
    """Two builds of the same files at once: each step runs once, both have the image."""
    t.file("Dockerfile", "FROM busybox\nRUN echo step >> /log; sleep 0.5; date +%s%N > /when\n")
    jobs = [t.start("image", "build", "--progress", "plain", "-t", f"built{i}", ".") for i in range(2)]
    for job in jobs:
        t.eq(job.wait(30), 0, "exit code")
    t.eq(config(t, "built0")["Id"], config(t, "built1")["Id"])


@systest.timeout(90)
def test_core_two_builds_one_killed(t):
    """Of two builds of the same files one waits for the other's step; when that one is killed, whichever of its processes it is, the other runs the step
    itself and ends well."""
    find = lambda role: next(pid for pid, (state, *_, line) in systest.processes().items() if role in line and state != "Z")
    for i, victim in enumerate(("muster", "muster-image build", "muster-run build")):
        t.file("Dockerfile", f"FROM busybox\nRUN echo begun {i}; sleep 2; echo {i} > /made\nRUN cat /made > /seen\n")
        first = t.start("image", "build", "--progress", "plain", "-t", "first", ".")
        first.expect(f"(?m)^#\\d+ [0-9.]+ begun {i}$")
        pid = first.p.pid if victim == "muster" else find(victim)
        second = t.start("image", "build", "--progress", "plain", "-t", "second", ".")
        time.sleep(0.4)
        t.lacks(second.err, f" begun {i}\n#")
        os.kill(pid, signal.SIGKILL)
        t.true(first.wait(20) != 0, f"success without {victim}")
        t.eq(second.wait(30), 0, f"{victim}: {second.err}")
        t.match(second.err, f"(?m)^#\\d+ [0-9.]+ begun {i}$")
        t.eq(merged(t, "second")["/seen"][2], f"{i}\n")
        t.nothing_left(10, ignore=("state", "run"))


def test_core_parallel(t):
    """Stages that do not need each other run at the same time."""
    stages = "".join(f"FROM busybox AS s{i}\nRUN sleep 1; echo {i} > /r{i}\n" for i in range(4))
    begun = time.monotonic()
    build(t, stages + "FROM scratch\n" + "".join(f"COPY --from=s{i} /r{i} /\n" for i in range(4)))
    t.true(time.monotonic() - begun < 3.5, f"four stages of a second each took {time.monotonic() - begun:.1f} s")
    t.eq(sorted(merged(t, "built")), ["/r0", "/r1", "/r2", "/r3"])


def test_core_hostile(t):
    """Links of a context or an image lead nowhere but inside: nothing of the host is read or written."""
    outside = t.folder + "/outside"
    os.mkdir(outside)
    with open(outside + "/secret", "w", encoding="utf-8") as f:
        f.write("secret of the host")
    os.symlink(outside + "/secret", t.file("link", "") + "2")
    os.remove(t.dir + "/link")
    os.symlink("../../../../../../../../" + outside, t.dir + "/up")
    for source in ("link2", "up/secret", "../../outside/secret", outside + "/secret"):
        t.has(build(t, f"FROM scratch\nCOPY {source} /x\n", rc=1).err, "not found")
    build(t, "FROM scratch\nCOPY . /all/\n")
    t.eq(merged(t, "built")["/all/link2"][0][0], "l", "a link inside a directory is copied as it is")
    t.file("f", "written")
    build(t, f"FROM busybox AS evil\nRUN ln -s {outside} /o; ln -s / /r; ln -s /proc/self/root /p\n"
             "FROM evil\nCOPY f /o/f\nCOPY f /r/r/r/g\nWORKDIR /o/w\nADD f /p/h\n")
    t.eq(os.listdir(outside), ["secret"])
    t.eq(merged(t, "built")[outside + "/f"][2], "written")
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, kind, target in (("l", tarfile.SYMTYPE, outside), ("l/escaped", tarfile.REGTYPE, ""), ("h", tarfile.LNKTYPE, "/etc/passwd")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    t.file("evil.tar", tar.getvalue())
    build(t, "FROM scratch\nADD evil.tar /x/\n", rc=None)
    t.eq(os.listdir(outside), ["secret"])


def test_core_changing_context(t):
    """A file that changes while it is copied is never remembered under its old digest."""
    t.file("f", "old")
    digest = hashlib.sha256(b"old").hexdigest()
    build(t, "FROM scratch\nCOPY f /f\n")
    t.file("f", "new")
    build(t, "FROM scratch\nCOPY f /f\n")
    t.eq(merged(t, "built")["/f"][2], "new", digest)


def test_core_users(t):
    """--chown and USER by name are looked up in the image; unknown names are errors."""
    t.file("f", "x")
    build(t, "FROM busybox AS b\nRUN printf 'root:x:0:0::/:\\nme:x:7:8::/:\\n' > /etc/passwd; printf 'them:x:99:\\n' > /etc/group\n"
             "FROM b\nCOPY --chown=me f /a\nCOPY --chown=me:them f /b\nCOPY --chown=5 f /c\nCOPY --chown=5:them f /d\nUSER me\nWORKDIR /home/me\n")
    tree = merged(t, "built")
    t.eq([tree[p][1] for p in ("/a", "/b", "/c", "/d", "/home/me")], ["7:8", "7:99", "5:5", "5:99", "7:8"])
    t.has(build(t, "FROM scratch\nCOPY --chown=nobody f /\n", rc=1).err, "unable to find user nobody")


def test_core_errors(t):
    """A mistake is told with its place; what was built before stays in the cache."""
    r = build(t, "FROM busybox\nRUN echo fine\nRUN echo broken; exit 7\n", rc=1)
    t.has(r.out + r.err, "Dockerfile:3", ">>> RUN echo broken; exit 7", "exit code: 7")
    t.eq(cached(build(t, "FROM busybox\nRUN echo fine\n")), ["RUN echo fine"])
    t.has(build(t, "FROM busybox\nCOPPY a b\n", rc=1).err, 'unknown instruction "COPPY"', "did you mean COPY?")
    t.has(build(t, "FROM busybox\nENV A=${B?is needed}\n", rc=1).err, "is needed")
    t.has(build(t, "FROM scratch\nCOPY a b\nCOPY --chmod=9 a b\n", rc=1).err, "not found")


def test_core_failure_ends_all(t):
    """A stage that fails ends the others at once, with nothing left running."""
    begun = time.monotonic()
    r = build(t, "FROM busybox AS slow\nRUN sleep 60\nFROM busybox AS bad\nRUN sleep 0.3; exit 3\nFROM scratch\n"
                 "COPY --from=slow / /a\nCOPY --from=bad / /b\n", rc=1)
    t.has(r.out + r.err, "exit code: 3")
    t.true(time.monotonic() - begun < 20, f"it took {time.monotonic() - begun:.1f} s")


def test_core_context_mounts(t):
    """A bind mount of the context shows what .dockerignore leaves, can't be written through, and counts for the cache by content."""
    t.file("in/a", "1")
    t.file("in/ignored", "x")
    t.file(".dockerignore", "in/ignored\n")
    text = "FROM busybox\nRUN --mount=type=bind,source=in,target=/in,rw ls /in > /list; cat /in/a >> /list; echo changed > /in/a\n"
    build(t, text)
    t.eq(merged(t, "built")["/list"][2], "a\n1")
    with open(t.dir + "/in/a", encoding="utf-8") as f:
        t.eq(f.read(), "1")
    t.true("/in/a" not in merged(t, "built"), "what is mounted is not in the layer")
    t.file("in/ignored", "y")
    t.eq(len(cached(build(t, text))), 1)
    t.file("in/a", "2")
    t.eq(cached(build(t, text)), [])
    t.eq(merged(t, "built")["/list"][2], "a\n2")
