# SPDX-License-Identifier: Apache-2.0
"""Disks that are full and records that are torn: a clear error or a rebuilt record, never a crash, and all well once there is room again."""
import os
import shutil
import signal
import systest

SIZE = 16 << 20
ONE = "services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s}}"


def small(folder):
    """Puts an empty 16 MB file system there."""
    os.makedirs(folder, exist_ok=True)
    systest.mount("none", folder, "tmpfs", 0, f"size={SIZE},mode=0700")


def small_root(t):
    """The whole state root on such a file system."""
    os.rename(t.root, t.root + ".all")
    small(t.root)
    systest.subprocess.run(["cp", "-a", t.root + ".all/.", t.root], check=True)
    t.baseline = t.snapshot()


def away(folder):
    systest.LIBC.umount2(folder.encode(), 2)


def fill(folder):
    """Takes all the room, to the last byte; returns the file to remove."""
    path = folder + "/.fill"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        for block in (1 << 20, 4096, 1):
            try:
                while True:
                    os.write(fd, b"\0" * block)
            except OSError:
                pass
    finally:
        os.close(fd)
    return path


def no_crash(t, result):
    t.true(0 <= result.rc < 126, result)
    t.lacks(result.err, "Sanitizer", "Assertion", "runtime error:")
    return result


def test_state_full(t):
    """up on a full disk says so and leaves nothing half; with room again it goes on."""
    small_root(t)
    t.compose(ONE)
    filler = fill(t.root)
    r = no_crash(t, t.muster("up", "-d", rc=None))
    t.true(r.rc != 0, "up on a full disk")
    t.has(r.err, "No space left on device")
    os.unlink(filler)
    t.up()
    t.eq(t.ps()["p-web-1"]["State"], "running")
    t.muster("down", "-t", "0")


def test_state_fills_while_running(t):
    """A disk that fills while containers run: they run on, exits are told, stop and down work; with room again up converges."""
    small_root(t)
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
          job: {image: busybox, command: "sh -c 'while ! [ -e /dev/shm/go ]; do sleep 0.02; done; exit 7'", stop_grace_period: 0s}
        """)
    t.up()
    pid = t.pid("p-web-1")
    filler = fill(t.root)
    t.sh("job", "touch /dev/shm/go")
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 3, "exit of the job")
    t.eq(t.ps()["p-job-1"]["ExitCode"], 7)
    t.eq(t.pid("p-web-1"), pid)
    os.kill(t.daemons("supervise")[0], signal.SIGKILL)
    t.wait(lambda: t.daemons("supervise") and t.ps()["p-job-1"]["ExitCode"] == 7, 3, "supervisor")
    t.eq(t.pid("p-web-1"), pid)
    no_crash(t, t.muster("up", "-d", "--scale", "web=3", rc=None))
    os.unlink(filler)
    t.up("--scale", "web=2")
    t.eq(t.pid("p-web-1"), pid)
    filler = fill(t.root)
    t.muster("down", "-t", "0")
    t.eq(t.ps(), {})
    os.unlink(filler)


def test_run_directory_full(t):
    """The run directory's file system full: up says so; running containers stay."""
    small(t.run)
    t.compose(ONE)
    t.up()
    pid = t.pid("p-web-1")
    filler = fill(t.run)
    no_crash(t, t.muster("up", "-d", "--scale", "web=2", rc=None))
    t.eq(t.pid("p-web-1"), pid)
    os.unlink(filler)
    t.up("--scale", "web=2")
    t.eq(t.pid("p-web-1"), pid)
    t.muster("down", "-t", "0")
    t.wait(lambda: not t.daemons("anchor"), 5, "end of the anchor")
    away(t.run)


def test_logs_full(t):
    """A full log disk stops no application; what fits can be read; with room again the log goes on."""
    t.compose("""
        services:
          loud: {image: busybox, command: "sh -c 'yes 0123456789 | head -c 40000000; touch /done; while ! [ -e /go ]; do sleep 0.02; done; echo after'", stop_grace_period: 0s}
        """)
    t.muster("create")
    logs = f"{t.root}/projects/p/c/{t.ids()['p-loud-1']}/log"
    small(logs)
    t.muster("start")
    t.wait(lambda: t.muster("exec", "-T", "loud", "test", "-e", "/done", rc=None).rc == 0, 15, "end of what it writes")
    no_crash(t, t.muster("logs", "--tail", "5"))
    with open(f"{t.run}/p/muster.log", encoding="utf-8") as f:
        t.has(f.read(), "No space left on device")
    for f in os.listdir(logs):
        if os.path.getsize(f"{logs}/{f}") > 1 << 20:
            os.truncate(f"{logs}/{f}", 0)
    t.muster("exec", "-T", "loud", "touch", "/go", rc=None)  # it may be ended together with the container
    t.wait(lambda: t.ps()["p-loud-1"]["State"] == "exited", 5, "exit")
    t.eq(t.ps()["p-loud-1"]["ExitCode"], 0)
    away(logs)
    t.muster("down", "-t", "0")


def test_upper_full(t):
    """A container that fills the disk under its root gets ENOSPC; it, its neighbour and down go on."""
    small_root(t)
    t.compose("""
        services:
          hog: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
          web: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
        """)
    t.up()
    t.has(t.muster("exec", "-T", "hog", "sh", "-c", "dd if=/dev/zero of=/fill bs=1M count=30", rc=1).err, "No space left")
    t.has(t.sh("web", "echo fine"), "fine")
    t.sh("hog", "rm /fill; echo x >/small")
    t.muster("down", "-t", "0")


def torn(good):
    """Empty, zeroed, and at each 512 bytes cut off or zeroed from there on; not JSON at all, JSON of another kind."""
    yield b""
    yield b"\0" * len(good)
    for at in range(512, len(good), 512):
        yield good[:at]
        yield good[:at] + b"\0" * (len(good) - at)
    yield good[:-2]
    yield b"\xff\xfe{{{"
    yield b"[]"
    yield b'{"version": 99999}'


def tear(t, path):
    """Each torn form of the record, read by commands and by a new supervisor: no crash, and up leads to one running container. path: of an id."""
    kind, forms = 0, [b""]
    while kind < len(forms):
        if kind % 5 == 4:  # the anchor waits longer and longer before it starts a supervisor again
            t.muster("down", "-t", "0")
            t.up()
        record = path(t.ids()["p-web-1"])
        with open(record, "rb") as f:
            forms = list(torn(f.read()))
        with open(record, "wb") as f:
            f.write(forms[kind])
        old = t.daemons("supervise")
        os.kill(old[0], signal.SIGKILL)
        t.wait(lambda old=old: t.daemons("supervise") not in ([], old), 5, "supervisor")
        no_crash(t, t.muster("ps", "-a", rc=None))
        no_crash(t, t.up())
        t.eq([c["State"] for c in t.ps().values()], ["running"], f"after {forms[kind][:40]!r}")
        t.wait(lambda: sum(name == "sleep" for _, _, name, _ in systest.processes().values()) == 1, 2, "one process of containers")
        kind += 1


def started(t):
    t.compose(ONE)
    t.up()
    return t.ids()["p-web-1"]


def test_torn_record(t):
    """record.json torn: the container without a record is removed, and up makes another."""
    started(t)
    tear(t, lambda short: f"{t.root}/projects/p/c/{short}/record.json")


def test_torn_state(t):
    """state.json torn: what runs of the container ends, up starts it; never a second one beside it."""
    started(t)
    tear(t, lambda short: f"{t.run}/p/c/{short}/state.json")


def test_torn_desired(t):
    """desired.json torn: up writes it anew."""
    started(t)
    tear(t, lambda _: f"{t.root}/projects/p/desired.json")


def test_torn_networks(t):
    """networks.json torn: the network is made or found again, down removes it."""
    started(t)
    tear(t, lambda _: f"{t.root}/projects/p/networks.json")


def test_torn_operation(t):
    """op.json torn: what a command had asked is forgotten, the next one works."""
    started(t)

    def path(_):
        with open(f"{t.run}/p/op.json", "w", encoding="ascii") as f:
            f.write('{"request":{"op":"up"}}' * 40)
        return f"{t.run}/p/op.json"
    tear(t, path)


def test_torn_image_index(t):
    """images/index.json torn: said clearly, with its name, and all well when it is back."""
    started(t)
    path = next(p for p in (f"{t.root}/images/index.json", f"{t.root}/images.json", f"{t.root}/store/index.json") if os.path.exists(p))
    good = open(path, "rb").read()
    for form in torn(good):
        with open(path, "wb") as f:
            f.write(form)
        for args in (("images",), ("image", "ls"), ("up", "-d", "--force-recreate")):
            r = no_crash(t, t.muster(*args, rc=None))
            t.true(r.rc == 0 or r.err.strip(), r)
    with open(path, "wb") as f:
        f.write(good)
    t.up("--force-recreate")


def test_projects_on_their_own(t):
    """projects/ on a file system of its own: containers come, are replaced and go all the same, and nothing stays."""
    small(t.root + "/projects")
    t.baseline = t.snapshot()
    t.compose(ONE.replace("web: {", "web: {volumes: [/anonymous], "))
    t.up()
    t.up("--force-recreate")
    t.muster("run", "--rm", "-T", "web", "true")
    t.muster("down", "-v", "-t", "0")
    t.nothing_left()
    t.eq([f for f in os.listdir(t.root + "/projects") if f != ".lock"], [], "left in projects/")
    away(t.root + "/projects")
    t.baseline = t.snapshot()


def test_ext4_full(t):
    """The state root on a full ext4, which needs room even to rename: stop, rm and down work, exits are told; with room again up converges."""
    image, at = t.dir + "/disk", t.root + ".ext4"
    if not shutil.which("mke2fs", path="/usr/sbin:/sbin:" + os.environ.get("PATH", "")):
        raise systest.Skip("no mke2fs")
    with open(image, "wb") as f:
        f.truncate(SIZE)
    made = systest.subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", image], capture_output=True, check=False,
                                  env={**os.environ, "PATH": "/usr/sbin:/sbin:" + os.environ.get("PATH", "")})
    os.mkdir(at)
    if made.returncode or systest.subprocess.run(["mount", "-o", "loop", image, at], capture_output=True, check=False).returncode:
        raise systest.Skip("no loop device or no mke2fs")
    systest.subprocess.run(["cp", "-a", t.root + "/.", at], check=True)
    systest.mount(at, t.root, None, systest.MS_BIND)
    t.baseline = t.snapshot()
    t.compose(ONE.replace("services: {", "services: {job: {image: busybox, command: \"sh -c 'exit 7'\"}, ").replace("web: {", "web: {scale: 3, "))
    t.up()
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 5, "the end of job")
    filler = fill(t.root)
    os.kill(t.pid("p-web-1"), signal.SIGKILL)
    t.wait(lambda: t.ps()["p-web-1"]["State"] == "exited", 5, "the end of web-1")
    t.eq((t.ps()["p-web-1"]["ExitCode"], t.ps()["p-job-1"]["ExitCode"]), (137, 7))
    t.muster("stop", "-t", "0", "web")
    no_crash(t, t.muster("up", "-d", rc=None))
    t.muster("rm", "-f", "job")
    t.lacks("\n".join(t.ps()), "job")
    os.unlink(filler)
    t.up()
    t.eq(sorted((n, c["State"]) for n, c in t.ps().items() if "web" in n), [(f"p-web-{i}", "running") for i in (1, 2, 3)])
    fill(t.root)
    t.muster("down", "-v", "-t", "0")
    t.nothing_left(ignore=("state", "volumes"))
    away(t.root)
    away(at)
    t.baseline = t.snapshot()
