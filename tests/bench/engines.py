# SPDX-License-Identifier: Apache-2.0
"""The engines that are installed (docker, podman, runc, crun), each with its version, doing one container at a time what muster does for a project:
start one detached, exec, run --rm, fifty in a row, remove them. They get namespaces, data roots and sockets of their own, and what they leave
in the kernel is taken away."""
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import time

COMMAND = ["sleep", "100000"]


def quiet(argv, check=True, **kw):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, **kw)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv[:6])} …: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def clock(argv, **kw):
    begun = time.perf_counter()
    quiet(argv, **kw)
    return (time.perf_counter() - begun) * 1000


def groups_of(name):
    """The hierarchies that have a cgroup of that name."""
    return {g for g in os.listdir("/sys/fs/cgroup") if os.path.isdir(f"/sys/fs/cgroup/{g}/{name}")}


def remove_groups(name, but):
    for hierarchy in groups_of(name) - but:
        for folder, _, _ in os.walk(f"/sys/fs/cgroup/{hierarchy}/{name}", topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass


class Engine:
    """One of them. `inside` puts a command into the engine's own namespaces."""

    def __init__(self, work, image):
        self.work, self.image, self.holder = f"{work}/{self.name}", image, None
        os.makedirs(self.work)

    @property
    def name(self):
        return type(self).__name__.lower()

    def hold(self, script="exec sleep 100000"):
        """A process in network and mount namespaces of its own, with an empty /run and /dev/shm."""
        self.holder = subprocess.Popen(["unshare", "-n", "-m", "--propagation", "private", "sh", "-c",
                                        f"ip link set lo up; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /dev/shm; {script}"],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=open(f"{self.work}/log", "w", encoding="utf-8"))  # pylint: disable=consider-using-with
        time.sleep(0.3)

    def inside(self, *argv):
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", *argv]

    def close(self):
        if self.holder:
            self.holder.send_signal(signal.SIGTERM)
            try:
                self.holder.wait(15)
            except subprocess.TimeoutExpired:
                self.holder.kill()
                self.holder.wait()

    def measure(self, n, replicas):
        figures = {}
        one, gone = [], []
        self.start("warm")
        self.remove(["warm"])
        for _ in range(n):
            one.append(self.start("one"))
            gone.append(self.remove(["one"]))
        figures["one container, detached"], figures["one container gone"] = statistics.median(one), statistics.median(gone)
        self.start("one")
        figures["exec true"] = statistics.median(self.execute("one") for _ in range(n))
        figures["run --rm true"] = statistics.median(self.run_once() for _ in range(n))
        self.remove(["one"])
        names = [f"c{i}" for i in range(replicas)]
        figures[f"{replicas} containers, one by one"] = sum(self.start(name) for name in names)
        figures[f"{replicas} containers gone"] = self.remove(names)
        return figures


class Docker(Engine):
    """dockerd in its own network and mount namespaces."""

    def version(self):
        daemon, client = (re.search(r"version ([\w.]+)", quiet([program, "--version"]))[1] for program in ("dockerd", "docker"))
        if daemon != client:
            print(f"docker {daemon}: asked by the client of {client}")
        return daemon

    def open(self):
        self.groups = groups_of("docker")
        self.hold(f"exec dockerd --data-root {self.work}/data --exec-root {self.work}/exec -H unix://{self.work}/sock --pidfile {self.work}/pid")
        self.cli = ["docker", "-H", f"unix://{self.work}/sock"]
        for _ in range(150):
            if subprocess.run([*self.cli, "info"], capture_output=True, check=False).returncode == 0:
                break
            if self.holder.poll() is not None:
                with open(f"{self.work}/log", encoding="utf-8", errors="replace") as f:
                    raise RuntimeError(f"dockerd ended: {f.read()[-300:]}")
            time.sleep(0.1)
        quiet([*self.cli, "import", self.image, "busybox:latest"])

    def start(self, name):
        return clock([*self.cli, "run", "-d", "--name", name, "busybox", *COMMAND])

    def execute(self, name):
        return clock([*self.cli, "exec", name, "true"])

    def run_once(self):
        return clock([*self.cli, "run", "--rm", "busybox", "true"])

    def remove(self, names):
        return clock([*self.cli, "rm", "-f", *names])

    def close(self):
        super().close()
        remove_groups("docker", self.groups)


class Podman(Engine):
    """Without a daemon; conmon for each container."""
    LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]  # its default needs a right that a nested root lacks

    def version(self):
        return quiet(["podman", "--version"]).split()[-1]

    def open(self):
        self.groups = groups_of("libpod_parent")
        self.hold()
        self.cli = self.inside("podman", "--runtime", "runc" if shutil.which("runc") else "crun", "--root", f"{self.work}/data", "--runroot", f"{self.work}/run", "--cgroup-manager", "cgroupfs", "--tmpdir",
                               f"{self.work}/tmp")
        quiet([*self.cli, "import", self.image, "busybox:latest"])

    def start(self, name):
        return clock([*self.cli, "run", "-d", *self.LIMITS, "--name", name, "busybox", *COMMAND])

    def execute(self, name):
        return clock([*self.cli, "exec", name, "true"])

    def run_once(self):
        return clock([*self.cli, "run", "--rm", *self.LIMITS, "busybox", "true"])

    def remove(self, names):
        return clock([*self.cli, "rm", "-f", "-t", "0", *names])

    def close(self):
        super().close()
        remove_groups("libpod_parent", self.groups)


class Runc(Engine):
    """The runtime alone: no image, no overlay, an empty network."""
    OPTIONS = []

    def version(self):
        return quiet([self.name, "--version"]).split()[2]

    def open(self):
        rootfs = f"{self.work}/rootfs"
        os.makedirs(rootfs)
        quiet(["tar", "-C", rootfs, "-xf", self.image])
        for name, args in (("long", COMMAND), ("short", ["true"])):
            os.makedirs(f"{self.work}/{name}")
            quiet([self.name, "spec"], cwd=f"{self.work}/{name}")
            with open(f"{self.work}/{name}/config.json", encoding="utf-8") as f:
                spec = json.load(f)
            spec["process"]["terminal"] = False
            spec["process"]["args"] = args
            spec["root"] = {"path": rootfs, "readonly": True}
            with open(f"{self.work}/{name}/config.json", "w", encoding="utf-8") as f:
                json.dump(spec, f)
        self.cli = [self.name, "--root", f"{self.work}/state", *self.OPTIONS]

    def start(self, name):
        begun = time.perf_counter()  # the container keeps the output open: no pipe
        done = subprocess.run([*self.cli, "run", "-d", "-b", f"{self.work}/long", name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False)
        took = (time.perf_counter() - begun) * 1000
        if done.returncode:
            quiet([*self.cli, "run", "-b", f"{self.work}/short", "why"])  # raises with the reason
            raise RuntimeError(f"{self.name} run: exit {done.returncode}")
        return took

    def execute(self, name):
        return clock([*self.cli, "exec", name, "true"])

    def run_once(self):
        return clock([*self.cli, "run", "-b", f"{self.work}/short", "once"])

    def remove(self, names):
        begun = time.perf_counter()
        for name in names:
            quiet([*self.cli, "delete", "-f", name])
        return (time.perf_counter() - begun) * 1000


class Crun(Runc):
    """The same; 1.8 refuses hosts whose v2 hierarchy has controllers beside v1's."""
    OPTIONS = ["--cgroup-manager", "cgroupfs"]


PROGRAMS = {Docker: ("dockerd", "docker"), Podman: ("podman",), Runc: ("runc",), Crun: ("crun",)}


def measure(work, image, n, replicas):
    """[(name and version, figures)] of those that are installed; one that does not work here is named and left out."""
    columns = []
    for kind, programs in PROGRAMS.items():
        if not all(shutil.which(p) for p in programs):
            continue
        engine = kind(work, image)
        try:
            title = f"{engine.name} {engine.version()}"
            try:
                engine.open()
                columns.append((title, engine.measure(n, replicas)))
            finally:
                engine.close()
        except (RuntimeError, OSError, TypeError) as e:
            print(f"{engine.name}: left out: {e}")
    return columns
