# SPDX-License-Identifier: Apache-2.0
"""The executor of builds: what a step may see, what it leaves, what a malicious one cannot reach. Rules that come from a published hole name it."""
import hashlib
import os
import signal
import socket
import stat
import threading
import time

import systest
from buildexec import Executor, send


def tree(top):
    return sorted(os.path.relpath(os.path.join(at, x), top) for at, folders, files in os.walk(top) for x in folders + files)


def contains(top, needle):
    found = []
    for at, _, files in os.walk(top):
        for name in files:
            try:
                with open(os.path.join(at, name), "rb") as f:
                    if needle in f.read():
                        found.append(os.path.join(at, name))
            except OSError:
                pass
    return found


def test_step(t):
    """A step is a container with docker's default rights; its layer holds what it has written and nothing of what was mounted."""
    e = Executor(t)
    out = e.sh("id -u; grep -E 'Cap(Eff|Bnd)|Seccomp:' /proc/self/status; hostname; cat /etc/hosts; echo x >/new; rm /etc/passwd; echo $A; pwd",
               env=["PATH=/bin", "A=b c"], cwd="/tmp", options={"extra_hosts": ["db=10.0.0.9"]})
    t.has(out, "CapEff:\t00000000a80425fb", "CapBnd:\t00000000a80425fb", "Seccomp:\t2", "10.0.0.9\tdb", "b c", "/tmp")
    t.eq(tree(e.diff(e.first + 1)), ["etc", "etc/passwd", "new"])
    t.true(stat.S_ISCHR(os.lstat(e.diff(e.first + 1) + "/etc/passwd").st_mode), "a removed file is no whiteout")
    t.has(e.sh("echo stdout; echo stderr >&2; exit 7", code=7), "stdout", "stderr")
    t.eq(e.sh("sh -c 'kill -9 $$'; exit $?", code=137), "Killed\n")
    t.has(e.error(argv=["nosuch"]), "nosuch")
    t.has(e.sh("cat /dev/pipes/EOF", file={"name": "EOF", "data": "#!/bin/sh\necho here\n"}), "echo here")
    t.eq(e.close(), 0)


def test_output_is_whole(t):
    """Not a byte of a step's output is lost, and none comes after "done", however slowly it is read."""
    e = Executor(t)
    n = e.run("seq 1 400000")
    time.sleep(0.5)  # nobody reads: the step waits
    e.wait(n, seconds=20)
    t.eq(e.text(n).split(), [str(i) for i in range(1, 400001)])
    e.close()


def test_many(t):
    """Many steps run at once and share nothing."""
    e = Executor(t)
    steps = [e.run(f"echo {i} >/x; sleep 0.2; cat /x; ls /proc | grep -c '^[0-9]'") for i in range(20)]
    begun = time.monotonic()
    e.wait(*steps, seconds=20)
    t.true(time.monotonic() - begun < 3, "they wait for each other")
    for i, n in enumerate(steps):
        t.eq(e.text(n).split()[0], str(i))
    e.close()


def test_layers_are_named(t):
    """A layer's name is nothing else than a name; what is no layer of a build is not written to."""
    e = Executor(t)
    for name in ("../..", "/etc", "", ".", "a/b", e.base.upper() if e.base.upper() != e.base else "A" * 64, ".tmp-../../../../etc"):
        t.has(e.error(layers=[name]), "layer")
        t.has(e.error(upper=name), "layer")
    t.has(e.error(upper=e.base), "layer")
    os.symlink("/etc", f"{t.root}/layers/{'f' * 64}")
    t.has(e.error(layers=["f" * 64]), "layer")
    os.unlink(f"{t.root}/layers/{'f' * 64}")
    e.close()


def test_bind(t):
    """A bind shows the layers it names, read-only; with rw what is written is thrown away. A source is resolved inside them, links and ".." too
    (CVE-2024-23651, CVE-2024-9407)."""
    e = Executor(t)
    e.sh("mkdir -p /src/a /src/b; echo one >/src/a/f; ln -s ../../../../../../etc /src/up; ln -s /etc/shadow /src/shadow; ln -s /src/a /src/in")
    src = {"type": "bind", "layers": [e.base, e.upper(e.first + 1)]}
    t.has(e.sh("cat /m/f; echo x >/m/f || echo refused", mounts=[{**src, "source": "src/a", "target": "/m", "read_only": True}]), "one", "refused")
    t.eq(e.sh("echo two >/m/f; cat /m/f", mounts=[{**src, "source": "src/a", "target": "/m", "read_only": False}]), "two\n")
    t.eq(e.sh("cat /m/f", mounts=[{**src, "source": "src/in", "target": "/m"}]), "one\n")
    t.eq(e.sh("cat /file", mounts=[{**src, "source": "/src/a/f", "target": "/file"}]), "one\n")
    with open("/etc/hostname", encoding="utf-8") as f:
        host = f.read().strip()
    for way in ("src/up", "../../../../etc", "src/../../../../etc"):
        out = e.sh("cat /m/hostname 2>/dev/null; ls /m", mounts=[{**src, "source": way, "target": "/m"}])
        t.true(host not in out.split() and "passwd" in out, f"{way} shows the host's /etc: {out}")
    t.has(e.error(mounts=[{**src, "source": "src/shadow", "target": "/m"}]), "not found")
    t.has(e.error(mounts=[{**src, "source": "nosuch", "target": "/m"}]), "not found", "/m")
    t.eq([x for x in os.listdir(t.root + "/buildcache") if x.startswith(".exec")][0:1] and
         [x for x in os.listdir(f"{t.root}/buildcache/{os.listdir(t.root + '/buildcache')[0]}") if not x.startswith("empty")], [], "throw-away layers")
    e.close()
    t.eq(os.listdir(t.root + "/buildcache"), [], "what the executor leaves in buildcache")


def test_cache(t):
    """A cache mount keeps what is written, has the owner and mode it was made with; locked ones wait, private ones are alone, none deadlock."""
    e = Executor(t)
    key, other = "1" * 64, "2" * 64
    cache = {"type": "cache", "key": key, "target": "/c"}
    t.has(e.sh("stat -c '%a %u:%g' /c; echo kept >/c/x", mounts=[{**cache, "mode": 0o750, "uid": 12, "gid": 34}]), "750 12:34")
    t.eq(e.sh("cat /c/x", mounts=[cache]), "kept\n")
    t.lacks("\n".join(tree(e.diff(e.first + 1)) + tree(e.diff(e.first + 2))), "x")
    begun = time.monotonic()
    steps = [e.run("test ! -e /c/l && touch /c/l && sleep 0.3 && rm /c/l && echo alone", mounts=[{**cache, "sharing": "locked"}]) for _ in range(3)]
    e.wait(*steps)
    t.true(time.monotonic() - begun >= 0.9, "a locked cache was shared")
    t.eq([e.text(n) for n in steps], ["alone\n"] * 3)
    begun = time.monotonic()
    steps = [e.run("ls /c; touch /c/p; sleep 0.4", mounts=[{**cache, "sharing": "private"}]) for _ in range(3)]
    e.wait(*steps)
    t.true(time.monotonic() - begun < 1.1, "private caches wait for each other")
    t.eq(sorted(e.text(n) for n in steps), ["", "", "x\n"])
    a, b = {**cache, "sharing": "locked"}, {"type": "cache", "key": other, "target": "/d", "sharing": "locked"}
    e.wait(*[e.run("sleep 0.05", mounts=[a, b] if i % 2 else [b, a]) for i in range(6)])
    t.eq(e.sh("touch /c/same; ls /e/same", mounts=[a, {**a, "target": "/e"}]), "/e/same\n", "one cache at two places of a step")
    t.has(e.error(mounts=[{**cache, "key": "../../../../etc" + "a" * 50}]), "cache")
    n = e.run("sleep 100", mounts=[a])
    waits = e.run("true", mounts=[a])
    e.take(1)
    send(e.builder, {"op": "cancel", "id": waits})
    t.true(e.wait(waits).get("cancelled"), "a step that waits cannot be cancelled")
    send(e.builder, {"op": "cancel", "id": n})
    e.wait(n)
    e.close()


def test_cache_seed(t):
    """A new cache takes over what it is filled from, once."""
    e = Executor(t)
    e.sh("mkdir /seed; echo 1 >/seed/a; ln -s a /seed/l; chmod 4755 /seed/a")
    mount = {"type": "cache", "key": "3" * 64, "target": "/c", "layers": [e.base, e.upper(e.first + 1)], "source": "/seed"}
    t.has(e.sh("cat /c/l; stat -c %a /c/a; echo 2 >/c/a", mounts=[mount]), "1\n4755")
    t.eq(e.sh("cat /c/a", mounts=[mount]), "2\n")
    e.close()


def test_secrets(t):
    """A secret is where the step asked for it, with its owner and mode, and nowhere else: not in a layer, not in the state, not in a message."""
    secret = b"swordfish-" + os.urandom(8).hex().encode()
    e = Executor(t, secrets={"key": secret, "dir/token": b"t0ken"})
    out = e.sh("cat /run/secrets/key | sha256sum; stat -c '%a %u %g' /run/secrets/key; echo x >/run/secrets/key || echo refused; mount | grep secrets",
               mounts=[{"type": "secret", "id": "key"}])
    t.has(out, hashlib.sha256(secret).hexdigest(), "400 0 0", "refused", "tmpfs")
    t.has(e.sh("stat -c '%a %u %g' /s; cat /s", user="5", mounts=[{"type": "secret", "id": "dir/token", "target": "/s", "mode": 0o440, "uid": 5, "gid": 6}]),
          "440 5 6", "t0ken")
    out = e.sh("echo $TOKEN | sha256sum; ls /run/secrets", code=1, mounts=[{"type": "secret", "id": "key", "env": "TOKEN"}])
    t.has(out, hashlib.sha256(secret + b"\n").hexdigest())
    t.has(e.sh("cat /run/secrets/token", mounts=[{"type": "secret", "id": "dir/token"}]), "t0ken")
    t.has(e.error(mounts=[{"type": "secret", "id": "nosuch", "required": True}]), "nosuch")
    t.eq(e.sh("ls /run/secrets 2>/dev/null", code=1, mounts=[{"type": "secret", "id": "nosuch"}]), "")
    t.eq(contains(t.root, secret) + contains(t.run, secret), [], "files with the secret")
    for n in range(e.first + 1, e.n + 1):
        t.eq(tree(e.diff(n)), [], f"layer of step {n}")
    t.lacks(str(e.done) + str(e.warnings), secret.decode())
    e.close()


def test_agent(t):
    """An agent answers to lists and signatures only; keys cannot be added or removed through the step's socket, and it is the owner's alone."""
    path = t.folder + "/agent"
    asked = []

    def agent():
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()
            while True:
                c, _ = s.accept()
                while data := c.recv(1000):
                    asked.append(data)
                    c.sendall(b"\0\0\0\5\x0c\0\0\0\0")
    thread = threading.Thread(target=agent, daemon=True)
    thread.start()
    t.wait(lambda: os.path.exists(path))
    e = Executor(t, ssh={"default": path})
    # 17: add a key, 19: remove all; then 11: list
    ask = r"printf '\0\0\0\1\23\0\0\0\1\13\0\0\0\1\21' | nc -U $SSH_AUTH_SOCK -w 1 2>/dev/null | od -An -tx1; stat -c %a:%u:%F $SSH_AUTH_SOCK"
    n = e.run(ask, mounts=[{"type": "ssh", "id": "", "mode": 0o640, "uid": 3}])
    e.wait(n)
    out = e.text(n)
    t.has(out, "640:3:socket")
    with socket.socket(socket.AF_UNIX) as s:  # busybox has no Unix sockets: speak to the same socket from outside, while a step holds it
        n = e.run("sleep 20", mounts=[{"type": "ssh", "id": "default"}])
        session = t.wait(lambda: [os.path.join(at, f) for at, _, files in os.walk(t.run + "/.build") for f in files if ".ssh" in f])
        t.wait(lambda: s.connect_ex(session[0]) == 0)  # it has its name a moment before it listens
        s.sendall(b"\0\0\0\1\x13" b"\0\0\0\1\x0b" b"\0\0\0\1\x11")
        s.settimeout(3)
        got = b""
        while len(got) < 19:
            got += s.recv(100)
    with socket.socket(socket.AF_UNIX) as deaf:  # who asks and never reads does not fill our memory
        deaf.connect(session[0])
        deaf.settimeout(10)
        try:
            for _ in range(40):
                deaf.sendall(b"\0\0\0\1\x13" * 20000)
            t.true(False, "four megabytes of questions, no answer read, and still connected")
        except (BrokenPipeError, ConnectionResetError):
            pass
    t.eq(got, b"\0\0\0\1\x05" b"\0\0\0\5\x0c\0\0\0\0" b"\0\0\0\1\x05")
    t.eq(b"".join(asked), b"\0\0\0\1\x0b", "what reached the agent")
    send(e.builder, {"op": "cancel", "id": n})
    e.wait(n)
    t.has(e.error(mounts=[{"type": "ssh", "id": "other", "required": True}]), "other")
    e.close()


def test_tmpfs(t):
    """A tmpfs has its size, runs programs, and is in no layer."""
    e = Executor(t)
    out = e.sh("df -k /t | tail -1; cp /bin/busybox /t/echo && /t/echo runs", mounts=[{"type": "tmpfs", "target": "/t", "size_bytes": 4 << 20}])
    t.has(out, "4096", "runs")
    t.eq(tree(e.diff(e.first + 1)), [])
    e.close()


def test_mountpoints(t):
    """Mount points that had to be made are gone from the layer, unless the step made something of them; what it put in their place, behind a link
    or elsewhere, is not touched (CVE-2024-23652)."""
    e = Executor(t)
    cache = {"type": "cache", "key": "4" * 64, "target": "/deep/er/cache"}
    e.sh("true", mounts=[cache, {"type": "tmpfs", "target": "/t"}])
    t.eq(tree(e.diff(e.first + 1)), [])
    e.sh("mkdir /precious; echo keep >/precious/cache; touch /precious/empty; mkdir /precious/dir")
    n = e.run("mv /deep /moved; ln -s /precious /deep; ln -s . /precious/er; rm -rf /t 2>/dev/null; echo x >/moved/er/file; exit 0",
              layers=[e.base, e.upper(e.first + 2)], mounts=[cache, {"type": "tmpfs", "target": "/t"}])
    e.wait(n)
    t.eq(e.done[n].get("exit_code"), 0)
    merged = e.run("cat /precious/cache; ls /precious; ls -d /deep /moved/er/file", layers=[e.base, e.upper(e.first + 2), e.upper(n)])
    e.wait(merged)
    t.has(e.text(merged), "keep", "empty", "dir", "/moved/er/file")
    e.close()


def test_networks(t):
    """default: a way out behind the host's address and the host's resolvers; none: nothing but lo; host: only when it is allowed."""
    t.uplink()
    e = Executor(t)
    steps = [e.run("ip -o addr | grep -v inet6; wget -qO- http://192.0.2.1/; nslookup echo.world.test | grep 203; cat /etc/resolv.conf", network="default")
             for _ in range(3)]
    e.wait(*steps)
    addresses = {t.match(e.text(n), r"eth0\s+inet (\S+)/24").group(1) for n in steps}
    t.eq(len(addresses), 3, "different addresses")
    for n in steps:
        t.has(e.text(n), "192.0.2.2", "203.0.113.7", "nameserver 198.51.100.53", "search corp.test")
    t.has(e.sh("ip -o link; wget -T 1 -qO- http://192.0.2.1/ || echo nothing", network="none"), "nothing")
    t.has(e.error(network="host"), "network.host is not allowed")
    t.has(e.error(network="container:x"), "container:x")
    gateway = e.sh("grep gw /etc/hosts; ip route", network="default", options={"extra_hosts": ["gw=host-gateway"]})
    t.eq(gateway.split()[0], t.match(gateway, r"default via (\S+)").group(1))
    t.has(e.error(options={"extra_hosts": ["bad name=1.2.3.4"]}), "extra host")
    t.has(e.error(options={"extra_hosts": ["x=1.2.3.4\n5.6.7.8 evil"]}), "extra host")
    e.close()
    h = Executor(t, host_network=True)
    t.has(h.sh("ip -o link", network="host"), "up0")
    h.close()
    t.nothing_left()


def test_two_executors_share_the_bridge(t):
    """Concurrent builds use one bridge and different addresses; the last one takes it away."""
    t.uplink()
    a, b = Executor(t), Executor(t)
    show = "ip -o addr | grep eth0"
    x, y = a.run(show + "; sleep 0.5", network="default"), b.run(show, network="default")
    a.wait(x)
    b.wait(y)
    one, two = (t.match(e.text(n), r"inet (\S+)/").group(1) for e, n in ((a, x), (b, y)))
    t.true(one != two and one.rsplit(".", 1)[0] == two.rsplit(".", 1)[0], f"{one} and {two}")
    a.close()
    t.has(b.sh("wget -qO- http://192.0.2.1/", network="default"), "192.0.2.2")
    b.close()
    t.nothing_left()


def test_insecure(t):
    """--security=insecure is refused unless it was allowed; then it has every capability."""
    e = Executor(t)
    t.has(e.error(insecure=True), "security.insecure is not allowed")
    e.close()
    e = Executor(t, insecure=True)
    t.has(e.sh("mount -t tmpfs x /tmp && echo mounted; grep CapEff /proc/self/status", insecure=True), "mounted", "CapEff:\t000001ff")
    t.has(e.sh("mount -t tmpfs x /tmp || echo refused"), "refused")
    e.close()


def test_limits(t):
    """ulimits, shm_size and the memory limit are a step's; one killed for lack of memory is told."""
    e = Executor(t)
    out = e.sh("ulimit -n; ulimit -Hn; df -k /dev/shm | tail -1", options={"ulimits": {"nofile": {"soft": 100, "hard": 200}}, "shm_size": 2 << 20})
    t.has(out, "100\n200\n", "2048")
    t.has(e.error(options={"ulimits": {"nosuch": {"soft": 1, "hard": 1}}}), "nosuch")
    n = e.run("x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", options={"memory_bytes": 16 << 20})
    t.eq(e.wait(n).get("exit_code"), 137)
    t.wait(lambda: (e.text(n), "memory" in str(e.warnings))[1], 5, "word of the lack of memory")
    e.close()


def test_proc_self_exe(t):
    """An image whose program is /proc/self/exe runs the sealed copy in memory, which nobody can write, never the binary on the disk (CVE-2019-5736)."""
    binary = os.path.join(os.path.dirname(t.binary), "muster-run")
    with open(binary, "rb") as f:
        before = hashlib.sha256(f.read()).hexdigest()
    e = Executor(t)
    n = e.run("", argv=["/proc/self/exe", "x"])
    t.eq(e.wait(n).get("exit_code"), 2, "what it says to somebody who runs it by hand")
    t.has(e.text(n), "started by muster")
    e.sh("for p in /proc/[0-9]*; do dd if=/dev/zero of=$p/exe bs=1 count=1 conv=notrunc; done 2>/dev/null; true")
    t.eq(e.sh("echo fine"), "fine\n")
    with open(binary, "rb") as f:
        t.eq(hashlib.sha256(f.read()).hexdigest(), before, "the binary on the disk")
    e.close()


def test_platform(t):
    """A program of another machine: why it does not run, and what helps."""
    e = Executor(t)
    with open(t.root + "/layers/" + e.base + "/diff/foreign", "wb") as f:
        f.write(b"\x7fELF\2\1\1" + b"\0" * 9 + b"\2\0\xf3\0" + b"\0" * 200)
    os.chmod(f.name, 0o755)
    t.has(e.error(argv=["/foreign"], platform="linux/riscv64"), "linux/riscv64", "binfmt_misc")
    os.unlink(f.name)
    e.close()


def test_cancel(t):
    """A cancelled step's processes are gone before it is answered, grandchildren too."""
    e = Executor(t)
    n = e.run("(setsid sleep 4242 &); (sleep 4242 & sleep 4242) & trap '' TERM; sleep 4242")
    t.wait(lambda: sum("sleep 4242" == line for *_, line in systest.processes().values()) == 4, 5, "its processes")
    begun = time.monotonic()
    send(e.builder, {"op": "cancel", "id": n})
    t.true(e.wait(n).get("cancelled"), "not cancelled")
    t.true(time.monotonic() - begun < 2, "it takes its time")
    t.eq([line for *_, line in systest.processes().values() if "4242" in line], [])
    e.close()
    t.nothing_left()


def test_end_of_a_channel(t):
    """The end of muster or of the builder is the end of the build: no process, mount, cgroup, link or file stays."""
    for side in ("cli", "builder"):
        e = Executor(t)
        e.run("sleep 4243", network="default")
        e.run("sleep 4243", mounts=[{"type": "cache", "key": "5" * 64, "target": "/c"}])
        t.wait(lambda: sum("sleep 4243" == line for *_, line in systest.processes().values()) == 2, 5, "two steps")
        getattr(e, side).close()
        e.p.wait(10)
        t.nothing_left()


def test_killed(t):
    """kill -9 of the executor ends its steps at once; what the kernel keeps (cgroup, bridge, rules, scratch) the next executor removes."""
    e = Executor(t)
    e.run("sleep 4244", network="default")
    e.run("sleep 4244", mounts=[{"type": "bind", "layers": [e.base], "source": "/", "target": "/m", "read_only": False}])
    t.wait(lambda: sum("sleep 4244" == line for *_, line in systest.processes().values()) == 2, 5, "two steps")
    e.p.send_signal(signal.SIGKILL)
    e.p.wait()
    t.wait(lambda: not any("4244" in line for *_, line in systest.processes().values()), 5, "end of its steps")
    other = Executor(t)
    t.eq(other.sh("echo fine", network="default"), "fine\n")
    other.close()
    t.eq(os.listdir(t.root + "/buildcache"), [])
    t.nothing_left()


def test_unsent_data_holds_no_link(t):
    """A step that ends with data its peer does not take leaves a TCP socket, and with it the kernel would keep its namespace and veth for minutes: its
    executor removes the link, or, when that was killed, the next one."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        flood = f"nc $(ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p') {server.getsockname()[1]} </dev/zero & "
        for killed in (False, True):
            e = Executor(t)
            if killed:
                e.run(flood + "sleep 4245", network="default")
            else:
                e.sh(flood + "sleep 0.5; netstat -tn | grep -q ESTABLISHED", network="default")
            peer, _ = server.accept()
            t.wait(lambda: len(peer.recv(1 << 16, socket.MSG_PEEK)) > 1000, 5, "data")
            if killed:
                e.p.send_signal(signal.SIGKILL)
                e.p.wait()
                e = Executor(t)
            e.close()
            t.nothing_left()
            peer.close()


def test_nonsense(t):
    """What makes no sense is an error of its step or is ignored; the executor goes on."""
    e = Executor(t)
    for junk in (b"J{", b"J[]", b"X", b"M", b'J{"op":7}', b'J{"op":"run"}', b'J{"op":"cancel","id":"x"}'):
        e.builder.send(junk)
    t.has(e.error(mounts=[{"type": "devil", "target": "/x"}]), "mount")
    t.has(e.error(mounts=[{"type": "tmpfs", "target": "relative"}]), "absolute")
    t.has(e.error(mounts=[{"type": "tmpfs", "target": "/proc/x"}]), "/proc")
    t.has(e.error(mounts=[{"type": "tmpfs", "target": "/"}]), "root")
    t.has(e.error(mounts=[{"type": "tmpfs", "target": "/t"}] * 65), "mounts")
    t.has(e.error(argv=[]), "command")
    t.has(e.error(file={"name": "../../etc/x", "data": ""}), "here-document")
    t.has(e.error(devices=[{"name": "vendor.com/gpu=0", "required": True}]), "vendor.com/gpu")
    t.eq(e.sh("echo fine"), "fine\n")
    e.close()
