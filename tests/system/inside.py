# SPDX-License-Identifier: Apache-2.0
"""Looks from inside a container: rights, namespaces, mounts, limits, environment; and what an image must not be able to do."""
import hashlib
import os
import resource
import signal
import subprocess
import systest

SLEEP = "services: {web: {image: busybox, command: sleep 1000}}"
# docker's default set: chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap
CAPS = "00000000a80425fb"


def status(t, pid="1"):
    out = t.muster("exec", "-T", "web", "cat", f"/proc/{pid}/status").out
    return dict(line.split(":", 1) for line in out.splitlines() if ":" in line)


def test_signals_are_default(t):
    """No signal is blocked or ignored in the first process nor in an exec'd one: else every stop takes the full grace."""
    t.compose(SLEEP)
    t.up()
    for pid in ("1", "self"):
        got = {k: int(v, 16) for k, v in status(t, pid).items() if k in ("SigBlk", "SigIgn")}
        t.eq(got, {"SigBlk": 0, "SigIgn": 0}, f"signals of {pid}")


def test_capabilities(t):
    """Docker's default capabilities, inheritable and ambient empty, for root; none effective for another user; exec the same."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}, app: {image: busybox, command: sleep 1000, user: app}}")
    t.up()
    for pid in ("1", "self"):
        got = {k: v.strip() for k, v in status(t, pid).items() if k.startswith("Cap")}
        t.eq(got, {"CapInh": "0" * 16, "CapPrm": CAPS, "CapEff": CAPS, "CapBnd": CAPS, "CapAmb": "0" * 16}, f"capabilities of {pid}")
    app = dict(line.split(":", 1) for line in t.sh("app", "cat /proc/1/status").splitlines())
    t.eq((int(app["CapPrm"], 16), int(app["CapEff"], 16), app["CapBnd"].strip()), (0, 0, CAPS))


def test_seccomp_is_on(t):
    """The filter is loaded in the first process and in exec'd ones, and refuses what it must."""
    t.compose(SLEEP)
    t.up()
    t.eq((status(t)["Seccomp"].strip(), status(t, "self")["Seccomp"].strip()), ("2", "2"))
    t.true("Operation not permitted" in t.sh("web", "unshare -m true 2>&1; true"), "unshare -m was allowed")
    t.true(t.muster("exec", "-T", "web", "mount", "-t", "tmpfs", "t", "/mnt", rc=None).rc != 0, "mount was allowed")


def test_cgroup_path(t):
    """/proc/1/cgroup reads "/" in every hierarchy that has the container, from the first process and from exec'd ones."""
    t.compose("services: {web: {image: busybox, command: sh -c 'cat /proc/self/cgroup; exec sleep 1000'}}")
    t.up()
    first = t.wait(lambda: t.muster("logs", "--no-log-prefix").out, 3, "output of the first process")
    for text in (first, t.sh("web", "cat /proc/1/cgroup"), t.sh("web", "cat /proc/self/cgroup")):
        t.true(text.strip(), "no cgroup lines")
        t.eq([x for x in text.splitlines() if not x.endswith(":/")], [], "cgroup paths that are not /")


def test_every_process_in_its_cgroup(t):
    """First and exec'd processes stand in the container's own cgroup on the host, in each v1 hierarchy that limits or in v2."""
    t.compose(SLEEP)
    t.up()
    short = t.ids()["p-web-1"]
    job = t.start("exec", "-T", "web", "sh", "-c", "echo in; exec sleep 500")
    job.expect("in")
    pids = t.container_pids(short)
    t.eq(len(pids), 2, f"processes in the cgroup: {pids}")
    for pid in pids:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
            lines = [x.strip() for x in f]
        limiting = ("memory", "pids", "cpu", "devices", "freezer") if any(":memory:" in x for x in lines) else ("",)
        bare = [x for x in lines if f"/c/{short}" not in x and set(x.split(":")[1].split(",")) & set(limiting)]
        t.eq(bare, [], f"hierarchies without the container's cgroup (pid {pid})")


def test_descriptors(t):
    """No descriptor but 0, 1, 2 reaches the first process or an exec'd one."""
    t.compose("services: {web: {image: busybox, command: sh -c 'ls -l /proc/self/fd; exec sleep 1000'}}")
    t.up()
    first = t.wait(lambda: t.muster("logs", "--no-log-prefix").out, 3, "output of the first process")
    for text in (first, t.sh("web", "ls -l /proc/self/fd")):
        fds = [x.split(" -> ")[0].split()[-1] for x in text.splitlines() if " -> " in x]
        t.eq([fd for fd in fds if fd not in ("0", "1", "2", "3")], [], "descriptors")  # 3 is ls's own
        t.lacks(text, "muster", "memfd", "eventpoll")
    t.eq(t.sh("web", "ls /proc/1/fd").split(), ["0", "1", "2"])


def test_namespaces(t):
    """The container has its own pid, mount, uts, ipc, net and cgroup namespaces."""
    t.compose(SLEEP)
    t.up()
    for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup"):
        inside = t.sh("web", f"readlink /proc/1/ns/{kind}").strip()
        t.true(inside != os.readlink(f"/proc/self/ns/{kind}"), f"the {kind} namespace is the host's")
        t.eq(t.sh("web", f"readlink /proc/self/ns/{kind}").strip(), inside, f"{kind} namespace of exec")


def test_masked_paths(t):
    """Docker's masked and read-only paths hold: no kernel memory, timers or keys to read, no sysctl to write."""
    t.compose(SLEEP)
    t.up()
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug"):
        t.eq(t.sh("web", f"test -e {path} && head -c 10 {path} | wc -c || echo 0").strip(), "0", path)
    for path in ("/proc/acpi", "/proc/scsi", "/sys/firmware"):
        t.eq(t.sh("web", f"ls -A {path} 2>/dev/null || :"), "", path)
    for path in ("/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/mm/transparent_hugepage/enabled"):
        t.true(t.muster("exec", "-T", "web", "sh", "-c", f"[ ! -e {path} ] || ! echo x >{path}", rc=None).rc == 0, f"{path} was writable")


def test_mounts(t):
    """/proc, /sys, /dev, /dev/pts, /dev/shm, /dev/mqueue are there with docker's options; nothing of the host is seen."""
    t.compose(SLEEP)
    t.up()
    mounts = {line.split()[1]: line.split() for line in t.sh("web", "cat /proc/mounts").splitlines()}
    t.eq({p: mounts[p][2] for p in ("/", "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys")},
         {"/": "overlay", "/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue", "/sys": "sysfs"})
    t.has(mounts["/sys"][3].split(","), "ro")
    for path, options in {"/proc": ("nosuid", "nodev", "noexec"), "/dev/shm": ("nosuid", "nodev", "noexec")}.items():
        t.eq([o for o in options if o not in mounts[path][3].split(",")], [], f"options that {path} lacks")
    t.lacks(t.sh("web", "cat /proc/mounts; ls /"), t.folder + "/home")
    t.eq(t.sh("web", "ls /dev").split(), sorted(["core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
                                                "tty", "urandom", "zero"]))
    t.eq(t.sh("web", "for n in null zero full random urandom tty; do stat -c '%n %a %t:%T' /dev/$n; done").splitlines(),
         ["/dev/null 666 1:3", "/dev/zero 666 1:5", "/dev/full 666 1:7", "/dev/random 666 1:8", "/dev/urandom 666 1:9", "/dev/tty 666 5:0"])


def test_devices_are_limited(t):
    """A device node of a disk made inside cannot be opened."""
    t.compose(SLEEP)
    t.up()
    out = t.sh("web", "mknod /sda b 8 0 && mknod /vda b 254 0 && mknod /kmsg c 1 11; for d in /sda /vda /kmsg; do head -c 1 $d 2>&1; done; true")
    t.eq(out.count("Operation not permitted"), 3, f"devices refused: {out}")


def test_hostname_hosts_resolv(t):
    """The host name is the short id or what the file says; /etc/hosts and /etc/resolv.conf are ours and the container's to write."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}, named: {image: busybox, command: sleep 1000, hostname: box}}")
    t.up()
    short = t.ids()["p-web-1"]
    t.eq(t.sh("web", "hostname; cat /etc/hostname").split(), [short, short])
    t.eq(t.sh("named", "hostname").strip(), "box")
    t.match(t.sh("web", "cat /etc/hosts"), rf"^\d+\.\d+\.\d+\.\d+\s+{short}$")
    t.has(t.sh("web", "cat /etc/hosts"), "127.0.0.1\tlocalhost")
    t.has(t.sh("web", "cat /etc/resolv.conf"), "nameserver 127.0.0.11", "ndots:0")
    t.sh("web", "echo '192.0.2.9 other' >>/etc/hosts && grep -q other /etc/hosts")
    t.lacks(t.sh("named", "cat /etc/hosts"), "other")


def test_environment(t):
    """Exactly the image's, the service's and docker's own variables; nothing of whoever ran up."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, environment: {A: '1', FROM_SHELL: }}}")
    t.up(env={"SECRET": "x", "FROM_SHELL": "given"})
    short = t.ids()["p-web-1"]
    got = sorted(t.sh("web", "tr '\\0' '\\n' </proc/1/environ").splitlines())
    t.eq(got, sorted(["A=1", "FROM_SHELL=given", "HOME=/root", f"HOSTNAME={short}",
                      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]))


def test_clean_state(t):
    """umask 022, nice 0, cwd, no controlling terminal and default limits whoever ran up, and however."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, working_dir: /var/tmp}}")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    number = {"x86_64": 13, "aarch64": 134}[os.uname().machine]
    for sig in (32, 33, 40):  # rt_sigaction itself: the C library keeps 32 and 33 to itself
        t.eq(systest.LIBC.syscall(number, sig, (1).to_bytes(8, "little") + bytes(56), None, 8), 0, f"ignoring signal {sig}")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
    os.umask(0o077)
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    leak = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leak, True)
    t.up()
    t.eq(t.sh("web", "umask").strip(), "0022")
    t.eq(t.sh("web", "readlink /proc/1/cwd").strip(), "/var/tmp")
    t.eq(t.sh("web", "cut -d' ' -f19 /proc/1/stat").strip(), "0", "nice")
    t.eq(t.sh("web", "cut -d' ' -f7 /proc/1/stat").strip(), "0", "controlling terminal")
    t.eq(t.sh("web", "ls /proc/1/fd").split(), ["0", "1", "2"])
    got = {k: int(v, 16) for k, v in status(t).items() if k in ("SigBlk", "SigIgn")}
    t.eq(got, {"SigBlk": 0, "SigIgn": 0})
    soft = int([x for x in t.sh("web", "cat /proc/1/limits").splitlines() if x.startswith("Max open files")][0].split()[3])
    t.true(soft >= 1024, f"open files limited to {soft} by the caller's limit")


def test_users(t):
    """user: by name, by number, with group; supplementary groups from the image's /etc/group; an unknown one is an error."""
    t.compose("""
        services:
          name: {image: busybox, command: sleep 1000, user: app}
          number: {image: busybox, command: sleep 1000, user: "4321"}
          pair: {image: busybox, command: sleep 1000, user: "app:staff"}
        """)
    t.up()
    t.eq(t.sh("name", "id -u; id -g; id -G; echo $HOME").split(), ["1000", "1000", "1000", "50", "2000", "/home/app"])
    t.eq(t.sh("number", "id -u; id -g").split(), ["4321", "0"])
    t.eq(t.sh("pair", "id -u; id -g").split(), ["1000", "50"])
    t.muster("down", "-t", "0")
    t.compose("services: {web: {image: busybox, command: sleep 1000, user: ghost}}")
    t.has(t.up(rc=1).err, "ghost")


def test_stdout_of_users(t):
    """/dev/stdout works for another user than root (web servers log there)."""
    t.compose("services: {web: {image: busybox, user: app, command: sh -c 'echo one >/dev/stdout; echo two >/dev/stderr'}}")
    t.up()
    t.wait(lambda: t.ps()["p-web-1"]["State"] == "exited", 5, "the end")
    done = t.muster("logs", "--no-log-prefix")
    t.has(done.out + done.err, "one", "two")


def test_limits(t):
    """mem_limit, cpus and pids_limit are in force; deploy.resources.limits are the same limits."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, mem_limit: 64m, cpus: 0.5}
          few: {image: busybox, command: sleep 1000, pids_limit: 20, init: true}
          dep: {image: busybox, command: sleep 1000, deploy: {resources: {limits: {memory: 32M, pids: 10, cpus: "0.25"}}}}
        """)
    t.up()
    forks = "i=0; while [ $i -lt 40 ]; do sleep 2 & i=$((i+1)); done 2>&1; true"
    done = t.muster("exec", "-T", "few", "sh", "-c", forks, rc=None)
    t.has(done.out + done.err, "fork")
    for service, megabytes, v2cpu in (("web", 64, "50000 100000"), ("dep", 32, "25000 100000")):
        limit = t.sh(service, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max").strip()
        t.eq(limit, str(megabytes << 20), "memory")
        cpu = t.sh(service, "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max")
        t.eq(" ".join(cpu.split()), v2cpu, "cpu")


def test_limits_change_in_place(t):
    """A changed limit is applied to the running container: same id, same process."""
    text = "services: {web: {image: busybox, command: sleep 1000, mem_limit: %s}}"
    t.compose(text % "64m")
    t.up()
    ids, pid = t.ids(), t.pid("p-web-1")
    t.compose(text % "48m")
    t.has(t.muster("plan", rc=2).out, "mem_limit")
    t.up()
    t.eq((t.ids(), t.pid("p-web-1")), (ids, pid), "container")
    t.eq(t.sh("web", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max").strip(), str(48 << 20))
    t.muster("plan", rc=0)


def test_oom_is_recorded(t):
    """A process over the memory limit is killed alone: exit 137, other services untouched."""
    t.compose("""
        services:
          hog: {image: busybox, mem_limit: 16m, command: "sh -c 'x=$$(head -c 64000000 /dev/zero | tr \\"\\\\\\\\0\\" a); echo $${#x}'"}
          web: {image: busybox, command: sleep 1000}
        """)
    t.up()
    t.wait(lambda: t.ps()["p-hog-1"]["State"] == "exited", 10, "the end of hog")
    t.true(t.ps()["p-hog-1"]["ExitCode"] != 0, "hog went through its limit")
    t.eq(t.ps()["p-web-1"]["State"], "running")


def test_host_binary_is_safe(t):
    """An entrypoint of /proc/self/exe, and writing through it, leave the host's binaries unchanged."""
    def digest():
        out = []
        for name in ("muster", "muster-run", "muster-image"):
            with open(os.path.join(os.path.dirname(t.binary), name), "rb") as f:
                out.append(hashlib.sha256(f.read()).hexdigest())
        return out
    before = digest()
    t.compose("""
        services:
          evil: {image: busybox, entrypoint: [/proc/self/exe], command: ["--help"]}
          web: {image: busybox, command: sleep 1000}
        """)
    t.up(rc=None)
    t.sh("web", "ln -sf /proc/self/exe /self; (echo pwned >/proc/1/exe; echo pwned >/proc/self/exe) 2>/dev/null; true")
    t.muster("exec", "-T", "web", "/proc/self/exe", rc=None)
    t.muster("exec", "-T", "web", "/self", "true", rc=None)
    t.eq(digest(), before, "digests of our binaries")


def test_stop_kills_whole_cgroup(t):
    """Daemons that left the process tree of a container die with it."""
    t.compose("services: {web: {image: busybox, command: sh -c 'setsid sleep 777 & sleep 1000'}}")
    t.up()
    short = t.ids()["p-web-1"]
    t.wait(lambda: len(t.container_pids(short)) >= 2, 5, "two processes")
    t.muster("stop", "-t", "0")
    t.eq(t.container_pids(short), [], "processes after stop")


def test_tty_service(t):
    """tty: true gives the service a terminal; its output is in the log."""
    t.compose("services: {web: {image: busybox, tty: true, command: sh -c 'tty; sleep 1000'}}")
    t.up()
    t.wait(lambda: "/dev/" in t.muster("logs", "--no-log-prefix").out, 5, "output of tty")
    t.match(t.muster("logs", "--no-log-prefix").out, r"^/dev/(pts/0|console)\r?$")


def test_read_only_host(t):
    """Nothing inside can be resolved out of the root: links to absolute paths stay inside."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    t.up()
    t.sh("web", "ln -s /../../../../../../.. /up; ln -s / /top")
    t.eq(t.sh("web", "ls /up/ /top/ | grep -c busybox || :").strip(), "0")
    t.true(not os.path.exists("/top") and not os.path.exists("/up"), "links appeared on the host")


def test_started_in_a_chroot(t):
    """The container's tree is the only one in its mount namespace even when `up` ran in a chroot: what is exec'd can't meet the host's."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    root = t.folder + "/chroot"
    os.mkdir(root)
    inside = f"mount --make-rprivate / && mount --rbind / {root} && cd {root} && exec chroot . sh -c 'cd {t.dir} && {t.binary} up -d'"
    done = subprocess.run(["unshare", "-m", "sh", "-c", inside], env=t.environ(), capture_output=True, text=True, timeout=30, check=False)
    t.eq(done.returncode, 0, done.stderr)
    t.sh("web", "touch /made-inside")
    t.true(not os.path.exists("/made-inside"), "an exec'd process wrote to the host's root")
    t.eq(t.sh("web", "ls /proc/1/root/ / | grep -c work || :").strip(), "0")
