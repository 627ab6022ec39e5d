# SPDX-License-Identifier: Apache-2.0
"""Building, by muster and by what is installed beside (docker's classic builder and its BuildKit, buildah; each with its version): a Dockerfile of
ten steps (nine after FROM, five of them RUN, a COPY of 1000 small files) from nothing, from the cache, and with one file changed; four stages that
sleep for half a second each; a context of 100 000 files of which one is copied, first and again. dockerd and buildah get namespaces and data
roots of their own (buildah's steps run by chroot, which needs no cgroup v2); nothing is pulled."""
import os
import shutil
import statistics
import subprocess
import time

import engines

TEN = """FROM busybox
RUN echo 1 >/one
WORKDIR /app
COPY src /app/src
RUN ls -R /app/src | wc -l >/two
ENV A=b
RUN cat /one /two >/three
RUN mkdir -p /data && cp -r /app/src/d0 /data
LABEL x=y
RUN rm -rf /data/d0
"""
STAGES = "".join(f"FROM busybox AS s{i}\nRUN sleep 0.5; echo {i} >/f\n" for i in range(4)) + \
         "FROM busybox\n" + "".join(f"COPY --from=s{i} /f /f{i}\n" for i in range(4))
BIG = "FROM busybox\nCOPY d0/f0 /f\n"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def contexts(work, big):
    write(f"{work}/ten/Dockerfile", TEN)
    for i in range(1000):
        write(f"{work}/ten/src/d{i // 100}/f{i}", f"file {i}\n" * 20)
    write(f"{work}/stages/Dockerfile", STAGES)
    if big:
        write(f"{work}/big/Dockerfile", BIG)
        for i in range(big):
            write(f"{work}/big/d{i // 1000}/f{i}", f"{i}\n")


class Builder:
    """build(context, fresh): milliseconds; fresh: without anything cached."""

    def __init__(self, name, argv, no_cache, **kw):
        self.name, self.argv, self.no_cache, self.kw = name, argv, no_cache, kw

    def build(self, context, fresh=False):
        argv = [*self.argv, *(self.no_cache if fresh else []), context]
        begun = time.perf_counter()
        done = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL, **self.kw)
        took = (time.perf_counter() - begun) * 1000
        if done.returncode:
            raise RuntimeError(f"{self.name}: {done.stderr.decode(errors='replace')[-400:]}")
        return took

    def measure(self, work, rounds, big):
        figures = {"ten steps, cold": [], "ten steps, cached": [], "ten steps, one file changed": [], "four stages of 0.5 s": []}
        for n in range(rounds):
            figures["ten steps, cold"].append(self.build(f"{work}/ten", True))
            self.build(f"{work}/ten")
            figures["ten steps, cached"].append(self.build(f"{work}/ten"))
            write(f"{work}/ten/src/d5/f555", f"{self.name} {n} {time.time()}\n")
            figures["ten steps, one file changed"].append(self.build(f"{work}/ten"))
            figures["four stages of 0.5 s"].append(self.build(f"{work}/stages", True))
        if big:
            figures[f"{big} files, first"] = [self.build(f"{work}/big")]
            figures[f"{big} files, again"] = [self.build(f"{work}/big") for _ in range(rounds)]
        return {k: statistics.median(v) for k, v in figures.items()}


def muster(binary, work, image):
    env = {**os.environ, "MUSTER_ROOT": f"{work}/muster/root", "MUSTER_RUN_ROOT": f"{work}/muster/run"}
    os.makedirs(f"{work}/muster")
    engines.quiet([binary, "image", "import", image, "busybox"], env=env)
    return Builder("muster", [binary, "image", "build", "-q", "-t", "bench"], ["--no-cache"], env=env)


def peers(work, image, close):
    """Those that are installed, set up one after the other; close: what to call at the end."""
    if shutil.which("dockerd") and shutil.which("docker"):
        docker = engines.Docker(work, image)
        close.append(docker.close)
        docker.open()
        version = docker.version()
        for name, kit in (("docker", "0"), ("buildkit", "1")):
            yield Builder(f"{name} {version}", [*docker.cli, "build", "-q", "-t", name], ["--no-cache"], env={**os.environ, "DOCKER_BUILDKIT": kit})
    if shutil.which("buildah"):
        store = ["buildah", "--root", f"{work}/buildah", "--runroot", f"{work}/buildah-run"]
        version = engines.quiet(["buildah", "--version"]).split()[2]
        engines.quiet(["unshare", "-m", "--propagation", "private", "sh", "-c",
                       f"c=$({' '.join(store)} from scratch) && {' '.join(store)} add $c {image} / && {' '.join(store)} commit $c busybox"])
        yield Builder(f"buildah {version}", ["unshare", "-m", "--propagation", "private", *store, "bud", "--isolation", "chroot", "--layers", "--pull-never", "-q", "-t", "bench"],
                      ["--no-cache"])


def measure(binary, work, image, rounds, big=100000, with_peers=True):
    """[(name, figures)], ours first; what a peer cannot do is printed."""
    columns, close = [], []
    contexts(work, big)
    try:
        columns.append(("muster", muster(binary, work, image).measure(work, rounds, big)))
        for builder in peers(work, image, close) if with_peers else ():
            try:
                columns.append((builder.name, builder.measure(work, max(1, rounds // 3), big)))
            except RuntimeError as e:
                print(e)
    except RuntimeError as e:
        print(e)
    finally:
        for done in close:
            done()
    return columns
