# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles, contexts and base images that mean harm: whatever they name, link, swap or ask for, nothing of the host is read, written, removed or
granted. One test for each rule that a CVE of a builder or runtime has taught."""
import io
import os
import re
import tarfile
import systest


def build(t, dockerfile, *args, rc=0, **kw):
    t.file("ctx/Dockerfile", dockerfile)
    return t.muster("image", "build", "--progress", "plain", "-t", "built", *args, "ctx", rc=rc, seconds=60, **kw)


def bait(t):
    """A folder of the host that no build may see or change: its path. Its file's text is in no output, its empty folder stays."""
    outside = t.folder + "/outside"
    os.makedirs(outside + "/stub/empty")
    with open(outside + "/secret", "w", encoding="ascii") as f:
        f.write("text-of-the-host\n")
    return outside


def untouched(t, outside, *results):
    found = sorted(os.path.relpath(os.path.join(at, x), outside) for at, folders, files in os.walk(outside) for x in folders + files)
    t.eq(found, ["secret", "stub", "stub/empty"], "the folder of the host")
    with open(outside + "/secret", encoding="ascii") as f:
        t.eq(f.read(), "text-of-the-host\n")
    for r in results:
        t.lacks(r.out + r.err, "text-of-the-host")


def archive(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, what in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(what, bytes):
                info.size = len(what)
            else:
                info.type, info.linkname = what
            tar.addfile(info, io.BytesIO(what) if isinstance(what, bytes) else None)
    return out.getvalue()


SYM, DIR, HARD = tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE


@systest.timeout(90)
def test_workdir_of_descriptors(t):
    """A working directory below /proc/self/fd is no way to a descriptor that the runtime forgot (CVE-2024-21626): the step is refused or stands inside."""
    outside = bait(t)
    for n in range(3, 13):
        for way in (f"/proc/self/fd/{n}", f"/proc/self/fd/{n}/../../..") if n < 5 else (f"/proc/self/fd/{n}",):
            done = build(t, f"FROM busybox\nWORKDIR {way}\nRUN pwd; for up in . .. ../.. ../../.. ../../../../../..; do cat $up{outside}/secret; "
                            f"touch $up{outside}/made; done; true\n", rc=None)
            untouched(t, outside, done)


def test_image_links_over_mounts(t):
    """A base image whose /dev, /proc, /sys, /etc/hosts, /etc/resolv.conf and /dev/null are links (CVE-2025-31133, CVE-2025-52565, CVE-2019-19921): what
    is mounted stays inside the step, what the links lead to is neither covered nor changed, in the image or on the host."""
    outside = bait(t)
    for i, links in enumerate(({"etc/hosts": outside + "/secret", "etc/resolv.conf": "../../../../../.." + outside + "/secret"},
                               {"dev": outside}, {"proc": outside + "/stub"}, {"sys": outside + "/stub"},
                               {"dev/null": "/victim", "dev/console": "/victim", "dev/ptmx": outside + "/secret", "dev/shm": outside + "/stub"})):
        folder = t.dir + "/ctx"
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/evil.tar", "wb") as f:
            f.write(archive([("victim", b"mine"), *((name, (SYM, to)) for name, to in links.items())]))
        top = next(iter(links)).split("/")[0]
        remove = f"RUN rm -rf /{top} 2>/dev/null; true\n" if top == "etc" else ""
        done = build(t, f"FROM busybox AS base\n{remove}FROM scratch\nCOPY --from=base /bin /bin\nADD evil.tar /\n"
                        f"RUN echo x > /dev/null; echo y > /etc/hosts; echo run {i}; cat /dev/console < /dev/null; cat {outside}/secret /etc/hosts; true\n", rc=None)
        untouched(t, outside, done)
        if done.rc == 0:
            t.has(build(t, "FROM built\nRUN cat /victim && echo\n").err, "mine")


@systest.timeout(90)
def test_race_of_mount_targets(t):
    """While one step swaps a folder of a shared cache for a link to the host's files, others mount below it and remove their mount points again
    (CVE-2021-30465, CVE-2024-23651, CVE-2024-23652): mounts and removals stay inside."""
    outside = bait(t)
    up = "../../../../../../../../.." + outside
    swap = f"i=0; while [ $i -lt 400 ]; do rm -rf /c/d; mkdir -p /c/d/stub; rm -rf /c/d; ln -s {up} /c/d; i=$((i+1)); done"
    stages = [f"FROM busybox AS swap\nRUN --mount=type=cache,id=x,target=/c {swap}\n"]
    for i in range(3):
        mount = "--mount=type=cache,id=x,target=/c --mount=type=tmpfs,target=/c/d/stub --mount=type=tmpfs,target=/c/d/stub/empty"
        stages.append(f"FROM busybox AS s{i}\n" + "".join(f"RUN {mount} cat /c/d/secret; touch /c/d/made /c/d/stub/made; echo {i} {k}\n" for k in range(3)))
    last = "FROM scratch\n" + "".join(f"COPY --from=s{i} /etc/passwd /p{i}\n" for i in range(3)) + "COPY --from=swap /etc/passwd /p\n"
    ran = set()
    done = build(t, "".join(stages) + last, "--no-cache", rc=None)
    untouched(t, outside, done)
    for i in range(3):  # each alone, as a step that could not mount ends all of them
        done = build(t, stages[0] + stages[i + 1] + f"FROM scratch\nCOPY --from=s{i} /etc/passwd /p\nCOPY --from=swap /etc/passwd /q\n", "--no-cache", rc=None)
        untouched(t, outside, done)
        ran |= set(re.findall(r"(?m)^#\d+ [0-9.]+ (\d \d)$", done.out + done.err))
    t.true(len(ran) >= 2, f"steps that could mount: {ran}")
    t.nothing_left(ignore=("state", "run"))


def test_archives(t):
    """Archives as contexts and of ADD (CVE-2024-24557's kin, go-archive): names with dots, absolute ones, files through links and hard links to files of
    the host stay inside or are refused; a Dockerfile or .dockerignore that is a link to the host's is not read."""
    outside = bait(t)
    evil = [[("../" * 12 + outside[1:] + "/made", b"x")], [(outside + "/made", b"x")], [("l", (SYM, outside)), ("l/made", b"x")],
            [("l", (SYM, "../" * 12 + outside[1:])), ("l/stub/empty", (SYM, "x"))], [("h", (HARD, outside + "/secret"))],
            [("h", (HARD, "../" * 12 + outside[1:] + "/secret"))], [("l", (SYM, outside + "/secret")), ("l", b"x")],
            [("l", (SYM, outside)), ("l", (DIR, "")), ("l/.wh.secret", b"")], [(".wh..", b""), (".wh...", b""), ("..", (SYM, outside))]]
    for members in evil:
        with open(t.file("ctx/evil.tar", ""), "wb") as f:
            f.write(archive(members))
        untouched(t, outside, build(t, "FROM busybox\nADD evil.tar /in/\nRUN cat /in/h /in/l/secret /in/l; true\n", rc=None))
        context = archive([*members, ("Dockerfile", b"FROM busybox\nCOPY . /in/\nRUN cat /in/h /in/l/secret /in/l; true\n")])
        untouched(t, outside, t.muster("image", "build", "--progress", "plain", "-", stdin=context, rc=None))
    for name in ("Dockerfile", ".dockerignore", "sub/.dockerignore"):
        context = archive([(name, (SYM, outside + "/secret")), *([] if name == "Dockerfile" else [("Dockerfile", b"FROM busybox\nCOPY . /in/\nRUN true\n")])])
        untouched(t, outside, t.muster("image", "build", "--progress", "plain", "-", stdin=context, rc=None))


def test_entitlements(t):
    """A step is never given more than was allowed (CVE-2024-23653): not by a flag, not by a trigger of the base image, not in a stage that another build
    has run with it and left in the cache."""
    check = "mount -t tmpfs x /tmp && echo mounted; true"
    mounted = lambda r: re.search(r"(?m)^#\d+ [0-9.]+ mounted$", r.out + r.err) is not None
    done = build(t, f"FROM busybox\nRUN --security=insecure {check}\n", rc=1)
    t.has(done.err, "security.insecure is not allowed")
    t.true(not mounted(done), done)
    build(t, f"FROM busybox\nONBUILD RUN --security=insecure {check}\n")
    t.muster("image", "tag", "built", "trigger")
    t.has(build(t, "FROM trigger\n", rc=1).err, "security.insecure is not allowed")
    t.true(mounted(build(t, f"FROM busybox\nRUN --security=insecure {check}\n", "--allow", "security.insecure")), "what was allowed")
    done = build(t, f"FROM busybox\nRUN {check}\n")
    t.true(not mounted(done) and "CACHED" not in done.err, done)
    t.has(build(t, f"FROM busybox\nRUN --security=insecure {check}\n", rc=1).err, "security.insecure is not allowed")
    t.has(build(t, "FROM busybox\nRUN --network=host true\n", rc=1).err, "network.host is not allowed")


def test_bind_sources(t):
    """A bind mount's source is found inside what it is taken from (CVE-2024-9407, CVE-2024-1753): links and dots of a context, a stage or an image lead
    nowhere else; with rw nothing of the source changes."""
    outside = bait(t)
    os.makedirs(t.dir + "/ctx/in")
    os.symlink(outside, t.dir + "/ctx/up")
    os.symlink("../" * 12 + outside[1:], t.dir + "/ctx/dots")
    t.file("ctx/in/f", "of the context\n")
    stage = f"FROM busybox AS made\nRUN mkdir /in; echo of the stage > /in/f; ln -s {outside} /up; ln -s {'../' * 12 + outside[1:]} /dots\nFROM busybox\n"
    for source in ("up", "dots", "../outside", "../../outside", "up/secret", "dots/stub"):
        for where in ("", ",from=made"):
            done = build(t, stage + f"RUN --mount=type=bind{where},source={source},target=/m,rw cat /m/secret /m; touch /m/made; rmdir /m/stub/empty; true\n", rc=None)
            untouched(t, outside, done)
    for where in ("", ",from=made"):
        build(t, stage + f"RUN --mount=type=bind{where},source=in,target=/m,rw echo changed > /m/f && rm -rf /m/*\n")
    with open(t.dir + "/ctx/in/f", encoding="ascii") as f:
        t.eq(f.read(), "of the context\n")
    t.has(build(t, stage + "RUN --mount=type=bind,from=made,source=in,target=/m cat /m/f\n").err, "of the stage")
