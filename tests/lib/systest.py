# SPDX-License-Identifier: Apache-2.0
"""What a system test works with.

A test is a function test_NAME(t) in tests/system/*.py; its docstring names the invariant it protects. Each gets its own folder "p" (so the project is p), its own
pair of state roots with a busybox image in it and, unless marked @host, its own mount, pid and network namespaces: lists of links,
routes, rules, mounts and processes are then complete, tests cannot disturb each other or the machine, and whatever a test
leaves behind when it fails dies with its namespace. At its end everything is taken down and all these lists must read as before.
"""
import ctypes
import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import textwrap
import threading
import time
import urllib.request

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE, MS_BIND = 0x4000, 0x40000, 0x1000
LIBC = ctypes.CDLL(None, use_errno=True)
KERNEL = tuple(int(x) for x in os.uname().release.split("-")[0].split(".")[:2])
UPLINK_HOST, UPLINK_WORLD, WORLD_DNS = "192.0.2.2", "192.0.2.1", "198.51.100.53"


def unshare(flags):
    if LIBC.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")


def mount(source, target, kind, flags=0, data=None):
    if LIBC.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, data.encode() if data else None):
        raise OSError(ctypes.get_errno(), f"mount {target}")


class Failure(Exception):
    """An expectation that does not hold; printed without a traceback of the framework."""


class Skip(Exception):
    """What the machine lacks; must be listed in tests/skips."""


def host(fn):
    """The test needs the machine's own namespaces; it runs alone."""
    fn.host = fn.alone = True
    return fn


def alone(fn):
    fn.alone = True
    return fn


def prepared(*argv):
    """A command that has to run on the machine (with its network) before the test; the test gets its outcome as t.prepared."""
    def mark(fn):
        fn.prepare = argv
        return fn
    return mark


def timeout(seconds):
    def mark(fn):
        fn.timeout = seconds
        return fn
    return mark


class Result:
    def __init__(self, args, rc, out, err):
        self.args, self.rc, self.raw, self.err = args, rc, out, err.decode(errors="replace")

    @property
    def out(self):
        return self.raw.decode(errors="replace")

    @property
    def lines(self):
        return self.out.splitlines()

    def __str__(self):
        return f"$ muster {' '.join(self.args)}\n{self.out}--- stderr\n{self.err}--- exit {self.rc}"


class Job:
    """A muster that runs beside the test; its output is collected by threads, so it never blocks on a full pipe."""

    def __init__(self, t, args, **kw):
        self.args = args
        self.p = subprocess.Popen([t.binary, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  start_new_session=True, **kw)
        self.chunks = {"out": b"", "err": b""}
        self.threads = [threading.Thread(target=self.collect, args=(name, f), daemon=True)
                        for name, f in (("out", self.p.stdout), ("err", self.p.stderr))]
        for thread in self.threads:
            thread.start()

    def collect(self, name, f):
        while data := os.read(f.fileno(), 65536):
            self.chunks[name] += data

    @property
    def out(self):
        return self.chunks["out"].decode(errors="replace")

    @property
    def err(self):
        return self.chunks["err"].decode(errors="replace")

    def expect(self, pattern, seconds=10):
        wait_for(lambda: re.search(pattern, self.out + self.err), seconds, lambda: f"/{pattern}/ in the output of {self.args}:\n{self.out}--- stderr\n{self.err}")

    def signal(self, sig):
        self.p.send_signal(sig)

    def wait(self, seconds=15):
        try:
            rc = self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"muster {' '.join(self.args)} still runs after {seconds} s:\n{self.out}--- stderr\n{self.err}") from None
        for thread in self.threads:
            thread.join(2)
        return rc

    def kill(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()


class Terminal:
    """A muster on a terminal of its own."""

    def __init__(self, t, args, rows=24, cols=80, **kw):
        self.args, self.text, self.all = args, "", ""
        self.master, slave = os.openpty()
        self.resize(rows, cols)

        def controlling():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.p = subprocess.Popen([t.binary, *args], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                  preexec_fn=controlling, **kw)

    def resize(self, rows, cols):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def send(self, text):
        os.write(self.master, text.encode())

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536).decode(errors="replace")
                self.text += data
                self.all += data
            except OSError:
                return False
        return True

    def expect(self, pattern, seconds=10):
        """Waits for the pattern in what came since the last expect(), and drops the text up to its end."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            if time.monotonic() > end or not self.read(0.05):
                raise Failure(f"no /{pattern}/ on the terminal of {self.args}: {self.text!r}")

    def wait(self, seconds=15):
        end = time.monotonic() + seconds
        while self.p.poll() is None:
            if time.monotonic() > end:
                raise Failure(f"muster {' '.join(self.args)} still runs after {seconds} s: {self.text!r}")
            self.read(0.02)
        self.read(0.02)
        return self.p.returncode

    def kill(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        os.close(self.slave)
        os.close(self.master)


def wait_for(fn, seconds=5, what="the condition"):
    """Polls fn until it is true and returns its value; `what` (text or function) says what did not come."""
    end = time.monotonic() + seconds
    pause = 0.002
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"after {seconds} s still no {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def root_id(root, run):
    """As compose/paths.c makes it: tells the names of two roots on one kernel apart."""
    h = 0xcbf29ce484222325
    for byte in root.encode() + b"\0" + run.encode() + b"\0":
        h = ((h ^ byte) * 0x100000001b3) & 0xffffffffffffffff
    return f"{(h ^ h >> 32) & 0xffffffff:08x}"


def command(*args):
    return subprocess.run(args, capture_output=True, text=True, check=False).stdout


def processes():
    """{pid: (state, parent, name, command line)} of all that this pid namespace shows, kernel threads left out."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
                stat = f.read()
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        name = stat[stat.index("(") + 1:stat.rindex(")")]
        fields = stat[stat.rindex(")") + 2:].split()
        if not int(fields[6]) & 0x200000:  # PF_KTHREAD
            found[int(pid)] = (fields[0], int(fields[1]), name, line)
    return found


def tree(top, skip=()):
    found = []
    for folder, folders, files in os.walk(top):
        at = os.path.relpath(folder, top)
        folders[:] = [f for f in folders if os.path.normpath(os.path.join(at, f)) not in skip]
        found += [os.path.normpath(os.path.join(at, f)) for f in folders + files]
    return sorted(found)


class Test:
    def __init__(self, name, binary, folder, template, private):
        self.name, self.binary, self.folder, self.private = name, binary, folder, private
        self.dir, self.root, self.run = folder + "/p", folder + "/root", folder + "/run"
        os.makedirs(self.dir)
        os.makedirs(folder + "/home")
        if template:
            subprocess.run(["cp", "-a", template, self.root], check=True)
        else:
            os.mkdir(self.root)
        os.mkdir(self.run)
        self.env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "HOME": folder + "/home", "LC_ALL": "C.UTF-8",
                    "TERM": "xterm", "MUSTER_ROOT": self.root, "MUSTER_RUN_ROOT": self.run}
        self.echo = os.path.normpath(folder + "/../../echo")  # tests/lib/echo.c, static
        self.writer = os.path.normpath(folder + "/../../writer")  # tests/lib/writer.c
        self.jobs, self.roots = [], [(self.root, self.run)]
        self.world = 0
        self.prepared = None

    # --- files and commands

    def file(self, name, text, mode=None):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(textwrap.dedent(text).encode() if isinstance(text, str) else text)
        if mode is not None:
            os.chmod(path, mode)
        return path

    def compose(self, text, name="compose.yaml"):
        return self.file(name, text)

    def environ(self, env=None):
        merged = {**self.env, **(env or {})}
        return {k: v for k, v in merged.items() if v is not None}

    def muster(self, *args, rc=0, stdin=b"", env=None, cwd=None, seconds=30, user=None, binary=None):
        """Runs muster and checks its exit code (rc None: any)."""
        args = [str(a) for a in args]
        more = {"user": user, "group": user, "extra_groups": []} if user is not None else {}
        try:
            done = subprocess.run([binary or self.binary, *args], input=stdin.encode() if isinstance(stdin, str) else stdin, capture_output=True,
                                  env=self.environ(env), cwd=cwd or self.dir, timeout=seconds, check=False, **more)
        except subprocess.TimeoutExpired as e:
            raise Failure(f"muster {' '.join(args)} took more than {seconds} s\n{e.stdout}\n--- stderr\n{e.stderr}") from None
        result = Result(args, done.returncode, done.stdout, done.stderr)
        if rc is not None and result.rc != rc:
            raise Failure(f"exit {result.rc}, not {rc}\n{result}")
        return result

    def up(self, *args, **kw):
        return self.muster("up", "-d", *args, **kw)

    def sh(self, service, script, rc=0, **kw):
        """The output of a shell line in the container."""
        return self.muster("exec", "-T", service, "sh", "-c", script, rc=rc, **kw).out

    def start(self, *args, env=None, cwd=None):
        job = Job(self, args, env=self.environ(env), cwd=cwd or self.dir)
        self.jobs.append(job)
        return job

    def terminal(self, *args, rows=24, cols=80, env=None):
        job = Terminal(self, args, rows, cols, env=self.environ(env), cwd=self.dir)
        self.jobs.append(job)
        return job

    # --- questions

    def ps(self, *args, **kw):
        """{name: what `ps --format json` says}, stopped ones too."""
        rows = [json.loads(line) for line in self.muster("ps", "-a", "--format", "json", *args, **kw).lines]
        return {row["Name"]: row for row in rows}

    def ids(self, *args):
        return {name: row["ID"] for name, row in self.ps(*args).items()}

    def pid(self, name):
        """Pid of a container's first process, found through its cgroup (in this pid namespace)."""
        short = self.ids()[name]
        found = [p for p in self.container_pids(short)]
        if not found:
            raise Failure(f"no process of {name} ({short})")
        return min(found)

    @staticmethod
    def container_pids(short):
        found = []
        for pid in processes():
            try:
                with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
                    if f"/c/{short}" in f.read():
                        found.append(pid)
            except OSError:
                pass
        return found

    @staticmethod
    def daemons(role):
        """Pids of `muster-run ROLE` (anchor, supervise, logs, dns)."""
        return [pid for pid, (state, _, _, line) in processes().items()
                if state != "Z" and re.match(rf"(\S*/)?muster-run {role}\b|muster-{role}\b|muster: {role}\b", line)]

    def another(self, role, old):
        """The one that has taken the place of those, as a list; looked up once, for between two looks one may go."""
        now = self.daemons(role)
        return now if len(now) == 1 and now != old else None

    def port(self, service, target, *args):
        return int(self.muster("port", *args, service, target).out.strip().rsplit(":", 1)[1])

    def http(self, url, seconds=5):
        """The body, tried again while nobody listens yet."""
        last = []

        def once():
            try:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=seconds) as f:
                    return (f.read().decode(),)
            except OSError as e:
                last[:] = [e]
                return None
        return wait_for(once, seconds, lambda: f"answer from {url}: {last}")[0]

    @staticmethod
    def refused(address, port):
        with socket.socket() as s:
            s.settimeout(2)
            return s.connect_ex((address, port)) != 0

    # --- expectations

    def eq(self, got, want, what="value"):
        if got != want:
            raise Failure(f"{what}: got {got!r}, not {want!r}")

    def has(self, text, *needles):
        for needle in needles:
            if needle not in str(text):
                raise Failure(f"no {needle!r} in:\n{text}")

    def lacks(self, text, *needles):
        for needle in needles:
            if needle in str(text):
                raise Failure(f"{needle!r} in:\n{text}")

    def match(self, text, pattern):
        found = re.search(pattern, str(text), re.M)
        if not found:
            raise Failure(f"no /{pattern}/ in:\n{text}")
        return found

    def true(self, value, what):
        if not value:
            raise Failure(what if isinstance(what, str) else str(what))

    def wait(self, fn, seconds=5, what="the condition"):
        return wait_for(fn, seconds, what)

    def one_message(self, result, *needles):
        """Bad input: exit code not 0, the needles on stderr, nothing created, no crash."""
        self.true(result.rc not in (0, None) and result.rc > 0 and result.rc < 128, f"exit {result.rc}\n{result}")
        self.has(result.err, *needles)
        self.lacks(result.err, "Sanitizer", "Assertion", "runtime error:")
        self.lacks(result.err, " Creating", " Started")
        self.eq(self.muster("ls", "-a", "-q").out, "", "projects after bad input")

    # --- a world behind an uplink (private network namespace only)

    def uplink(self):
        """Gives the namespace a default route (MTU 1400) and behind it a web server that tells who asks and a DNS server."""
        conf = self.file("resolv.conf", f"nameserver {WORLD_DNS}\nsearch corp.test\n")
        mount(conf, "/etc/resolv.conf", None, MS_BIND)
        ready, go = os.pipe()
        addressed, tell = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                unshare(CLONE_NEWNET)
                os.write(go, b"x")
                os.close(tell)
                os.read(addressed, 1)
                serve_world()
            finally:
                os._exit(1)
        os.read(ready, 1)
        with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as f:
            f.write("1")
        for line in (f"link add up0 mtu 1400 type veth peer name w0 netns {child}", f"addr add {UPLINK_HOST}/24 dev up0", "link set up0 up"):
            subprocess.run(["ip", *line.split()], check=True)
        enter = ["nsenter", "-t", str(child), "-n", "ip"]
        for line in (f"addr add {UPLINK_WORLD}/24 dev w0", f"addr add {WORLD_DNS}/32 dev lo", "link set w0 mtu 1400", "link set lo up", "link set w0 up"):
            subprocess.run([*enter, *line.split()], check=True)
        subprocess.run(["ip", "route", "add", "default", "via", UPLINK_WORLD], check=True)
        os.write(tell, b"x")
        for fd in (ready, go, addressed, tell):
            os.close(fd)
        self.world = child
        wait_for(lambda: not self.refused(UPLINK_WORLD, 80), 5, "web server behind the uplink")
        self.baseline = self.snapshot()

    # --- before and after

    def snapshot(self):
        """Everything that must read the same before and after, as sorted lists by kind."""
        ours = {os.getpid(), 1, self.world, *(j.p.pid for j in self.jobs)}
        ids = [root_id(os.path.realpath(r), os.path.realpath(u)) for r, u in self.roots]

        # on the machine itself others come and go: there only what has our root's id, or the name of a link of ours, counts
        named = [x.split(":")[1].split("@")[0].strip() for x in command("ip", "-o", "link").splitlines() if any(i + "/" in x for i in ids)]

        def mine(lines):
            return lines if self.private else [x for x in lines if any(i in x for i in ids + named)]
        links = [re.sub(r"^\d+: |\b(state|qlen|mode|group) \S+|<.*?>|@if\d+|link-netns\S* \S+", "", x) for x in command("ip", "-o", "link").splitlines()]
        routes = command("ip", "route", "show", "table", "all").splitlines() + command("ip", "-6", "route", "show", "table", "all").splitlines()
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            mounts = [" ".join(line.split()[2:]) for line in f]
        groups = []
        for top, folders, _ in os.walk("/sys/fs/cgroup"):
            found = [f for f in folders if f in [f"muster-{i}" for i in ids]]
            groups += [path for f in found for path, _, _ in os.walk(os.path.join(top, f))]
            folders[:] = [f for f in folders if not f.startswith("muster-")]
        running = [f"{name}: {line} ({state})" for pid, (state, parent, name, line) in processes().items() if pid not in ours and parent != self.world]
        if not self.private:
            running = [p for p in running if any(i in p for i in ids)]
        namespaces = command("ip", "netns", "list").splitlines()
        shown = {"links": mine(links), "routes": mine([r for r in routes if "cache" not in r]), "rules": mine(command("nft", "list", "ruleset").splitlines()),
                 "mounts": mine(mounts), "cgroups": groups, "processes": running, "network namespaces": mine(namespaces)}
        for i, (root, run) in enumerate(self.roots):
            shown[f"run directory {i}"] = tree(run)
            shown[f"state directory {i}"] = tree(root, ("images", "layers", "cache", "volumes", "projects", "store"))
            shown[f"volumes and projects {i}"] = [x for x in tree(root + "/volumes") + tree(root + "/projects") if x != ".lock"]
        return {kind: sorted(lines) for kind, lines in shown.items()}

    def difference(self, ignore=()):
        now = self.snapshot()
        found = []
        for kind, before in self.baseline.items():
            if kind.split(" ")[0] in ignore or kind in ignore:
                continue
            after = now.get(kind, [])
            found += [f"{kind}: + {x}" for x in sorted(set(after)) if after.count(x) > before.count(x)]
            if kind != "mounts":  # others' mount points may vanish under us
                # what an earlier test's last process was just taking away is no loss
                found += [f"{kind}: - {x}" for x in sorted(set(before)) if before.count(x) > after.count(x) and "/muster-" not in x]
        return found

    def nothing_left(self, seconds=5, ignore=("state",)):
        """All lists read as before the test, within `seconds`."""
        left = []

        def clean():
            left[:] = self.difference(ignore)
            return not left
        try:
            wait_for(clean, seconds, "")
        except Failure:
            raise Failure("left behind:\n  " + "\n  ".join(left[:40])) from None

    def begin(self):
        self.baseline = self.snapshot()

    def finish(self):
        """Takes down what still is up and checks that nothing stays."""
        for job in self.jobs:
            job.kill()
        self.jobs.clear()
        for root, run in self.roots:
            for at, _, files in os.walk(run):
                for f in (os.path.join(at, f) for f in files if f.endswith(".log")):
                    with open(f, encoding="utf-8", errors="replace") as log:
                        self.lacks(log.read(), "Sanitizer", "runtime error:", "Assertion")
            env = {"MUSTER_ROOT": root, "MUSTER_RUN_ROOT": run}
            listed = self.muster("ls", "-a", "-q", env=env, cwd=self.folder).lines
            kept = os.listdir(root + "/projects") if os.path.isdir(root + "/projects") else []  # a network may be all that is left
            for project in sorted({*listed, *(k for k in kept if not k.startswith("."))}):
                self.muster("-p", project, "down", "-v", "-t", "0", "--remove-orphans", env=env, cwd=self.folder)
            if os.path.isdir(root + "/networks"):
                self.muster("network", "prune", "-f", env=env, cwd=self.folder)
            for volume in self.muster("volume", "ls", "-q", env=env, cwd=self.folder).lines:
                self.muster("volume", "rm", volume, env=env, cwd=self.folder)
        self.nothing_left()

    def second_root(self, name="two"):
        """Another pair of roots on the same kernel: returns the environment that selects it."""
        root, run = f"{self.folder}/{name}-root", f"{self.folder}/{name}-run"
        subprocess.run(["cp", "-a", self.root, root], check=True)
        os.mkdir(run)
        self.roots.append((root, run))
        self.baseline = self.snapshot()
        return {"MUSTER_ROOT": root, "MUSTER_RUN_ROOT": run}


# --- the world behind the uplink

def dns_answer(question):
    """A small authority: echo.world.test is 203.0.113.7, anything else in world.test does not exist; others are refused."""
    end = 12
    labels = []
    while question[end]:
        labels.append(question[end + 1:end + 1 + question[end]].decode())
        end += question[end] + 1
    kind = struct.unpack(">H", question[end + 1:end + 3])[0]
    name = ".".join(labels).lower()
    section = question[12:end + 5]
    answer, code = b"", 0
    if name in ("echo.world.test", "db.corp.test") and kind == 1:
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("203.0.113.7")
    elif name == "big.world.test" and kind == 16:
        answer = b"".join(b"\xc0\x0c\0\x10\0\1\0\0\0\x3c" + struct.pack(">HB", 201, 200) + b"x" * 200 for _ in range(10))
    elif name not in ("echo.world.test", "db.corp.test", "big.world.test"):
        code = 3
    count = 10 if kind == 16 and answer else 1 if answer else 0
    return question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0) + section + answer


def serve_world():
    def dns_udp(s):
        while True:
            question, peer = s.recvfrom(4096)
            reply = dns_answer(question)
            s.sendto(reply if len(reply) <= 512 else reply[:2] + b"\x83\x80" + question[4:6] + b"\0\0\0\0\0\0" + question[12:], peer)

    def dns_tcp(s):
        while True:
            c, _ = s.accept()
            with c:
                n = struct.unpack(">H", c.recv(2))[0]
                reply = dns_answer(c.recv(n))
                c.sendall(struct.pack(">H", len(reply)) + reply)

    def web(s):
        while True:
            c, peer = s.accept()
            with c:
                c.recv(4096)
                body = f"you are {peer[0]}\n".encode()
                c.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def bound(kind, address, fn):
        s = socket.socket(socket.AF_INET, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(address)
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        threading.Thread(target=fn, args=(s,), daemon=True).start()

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    bound(socket.SOCK_DGRAM, (WORLD_DNS, 53), dns_udp)
    bound(socket.SOCK_STREAM, (WORLD_DNS, 53), dns_tcp)
    bound(socket.SOCK_STREAM, ("0.0.0.0", 80), web)
    while True:
        time.sleep(3600)
