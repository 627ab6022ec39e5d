# SPDX-License-Identifier: Apache-2.0
"""Keys of a service that concern its process and its root: each has the effect that docker gives it, in exec, too; nonsense is told with its place."""
import os
import re
import systest

CAPS = "grep -E '^Cap(Eff|Bnd)' /proc/self/status | cut -f2 | sort -u"


def have(wanted):
    """Of these capabilities, those that this machine's root has."""
    with open("/proc/self/status", encoding="ascii") as f:
        return wanted & int(re.search(r"^CapBnd:\s*(\S+)", f.read(), re.M)[1], 16)


def one(t, keys, command="sleep 1000"):
    t.compose(f"services: {{web: {{image: busybox, command: {command}, stop_grace_period: 0s, {keys}}}}}")
    return t.up()


def status(t, field, pid=None):
    with open(f"/proc/{pid or t.pid('p-web-1')}/status", encoding="ascii") as f:
        return t.match(f.read(), rf"^{field}:\s*(\S+)")[1]


def test_capabilities(t):
    """cap_drop ALL and cap_add leave what was added; ALL with a drop is all but that; docker's defaults otherwise. exec has the same."""
    for keys, want in (("cap_drop: [ALL], cap_add: [net_admin, CAP_CHOWN]", 1 << 12 | 1 << 0), ("cap_add: [SYS_TIME]", 0xa80425fb | 1 << 25),
                       ("cap_drop: [CHOWN, net_raw]", 0xa80425fb & ~(1 << 0 | 1 << 13)), ("cap_add: [ALL], cap_drop: [ALL, SYS_ADMIN]", (1 << 41) - 1 & ~(1 << 21))):
        one(t, keys)
        want = have(want)
        t.eq(int(status(t, "CapBnd"), 16), want, keys)
        t.eq({int(x, 16) for x in t.sh("web", CAPS).split()}, {want}, keys + " in exec")


def test_privileged_and_security_opt(t):
    """privileged has every capability, no filter and may mount; no-new-privileges and seccomp:unconfined are what they say, in exec, too."""
    one(t, "privileged: true")
    t.eq((int(status(t, "CapEff"), 16), status(t, "Seccomp")), (have((1 << 41) - 1), "0"))
    t.sh("web", "mount -t tmpfs none /tmp && echo 1 >/proc/sys/kernel/msgmni")
    one(t, "security_opt: ['no-new-privileges:true']")
    t.eq((status(t, "NoNewPrivs"), status(t, "Seccomp")), ("1", "2"))
    t.has(t.sh("web", "cat /proc/self/status"), "NoNewPrivs:\t1")
    one(t, "security_opt: ['seccomp=unconfined', 'apparmor:unconfined', 'label:disable']")
    t.eq((status(t, "NoNewPrivs"), status(t, "Seccomp")), ("0", "0"))


def test_root_tmpfs_and_shm(t):
    """read_only keeps the root from writes, tmpfs takes them, with its size and mode; shm_size is /dev/shm's."""
    one(t, "read_only: true, tmpfs: ['/a:exec,ro,noexec,rw', '/b:size=1m,mode=0750,exec'], shm_size: 8m, volumes: [{type: tmpfs, target: /c, tmpfs: {size: 2m, mode: 0700}}]")
    t.has(t.sh("web", "touch /x 2>&1; true"), "Read-only file system")
    t.eq(t.sh("web", "touch /a/x /b/x /c/x /dev/shm/x && stat -c '%a' /a /b /c").split(), ["1777", "750", "700"])
    sizes = [line.split()[1] for line in t.sh("web", "df -k /b /c /dev/shm").splitlines()[1:]]
    t.eq(sizes, ["1024", "2048", "8192"])
    mounts = t.sh("web", "cat /proc/mounts")
    t.match(mounts, r"^\S+ /a tmpfs \S*noexec")
    t.true("noexec" not in t.match(mounts, r"^\S+ /b tmpfs \S+")[0], "noexec in spite of exec")


def test_ulimits_and_sysctls(t):
    """ulimits and sysctls are set before the command runs, and for this container only."""
    with open("/proc/sys/kernel/shmmni", encoding="ascii") as f:
        before = f.read()
    one(t, "ulimits: {nofile: {soft: 100, hard: 200}, core: 0, nproc: 50}, sysctls: {net.ipv4.ip_unprivileged_port_start: 70, kernel.shmmni: 77}",
        "sh -c 'ulimit -n; ulimit -Hn; ulimit -c; ulimit -u; cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni; sleep 1000'")
    t.wait(lambda: len(t.muster("logs", "--no-log-prefix", "web").lines) == 6, 5, "six lines")
    t.eq(t.muster("logs", "--no-log-prefix", "web").lines, ["100", "200", "0", "50", "70", "77"])
    with open("/proc/sys/kernel/shmmni", encoding="ascii") as f:
        t.eq(f.read(), before)


def test_names(t):
    """extra_hosts, host-gateway, domainname, dns_search and dns_opt are in the container's files."""
    one(t, "extra_hosts: ['a=192.0.2.7', 'six:2001:db8::1', 'host.docker.internal:host-gateway'], hostname: box, domainname: corp.test, "
        "dns_search: [one.test, two.test], dns_opt: ['timeout:1']")
    hosts = t.sh("web", "cat /etc/hosts")
    gateway = t.sh("web", "ip route | sed -n 's/default via \\([^ ]*\\).*/\\1/p'").strip()
    t.has(hosts, "192.0.2.7\ta\n", "2001:db8::1\tsix\n", f"{gateway}\thost.docker.internal\n", "\tbox.corp.test box\n")
    resolv = t.sh("web", "cat /etc/resolv.conf")
    t.has(resolv, "nameserver 127.0.0.11", "search one.test two.test\n", "options timeout:1\n")
    with open("/proc/sys/kernel/domainname", encoding="ascii") as f:
        t.true(f.read() != "corp.test\n", "the host's domain name")
    t.eq(t.sh("web", "cat /proc/sys/kernel/domainname").strip(), "corp.test")


def test_network_modes(t):
    """network_mode none has a loopback only; host is the host's network, without reservations of ports, and both go without a trace."""
    t.uplink()
    t.compose("""
        services:
          none: {image: busybox, command: sleep 1000, stop_grace_period: 0s, network_mode: none}
          host: {image: busybox, command: sh -c 'hostname >/tmp/index.html; exec httpd -f -p 18066 -h /tmp', stop_grace_period: 0s, network_mode: host}
        """)
    t.up()
    t.eq(t.sh("none", "ls /sys/class/net").split(), ["lo"])
    t.has(t.sh("none", "ip addr show lo"), "127.0.0.1/8")
    t.eq(t.http("http://127.0.0.1:18066/").strip(), os.uname().nodename)
    t.has(t.sh("host", "cat /etc/resolv.conf"), systest.WORLD_DNS)
    t.has(t.sh("host", "ls /sys/class/net"), "up0")
    for pid in t.daemons("supervise"):
        os.kill(pid, 9)
    t.wait(lambda: t.muster("ps", "-q", rc=None).rc == 0 and t.up(rc=None).rc == 0, 5, "a supervisor")
    t.eq(t.http("http://127.0.0.1:18066/").strip(), os.uname().nodename)
    t.muster("restart", "-t", "0")
    t.http("http://127.0.0.1:18066/")
    t.muster("down")
    t.nothing_left()


def test_wrong_values(t):
    """What no container can have is told with its place before anything starts."""
    for keys, path, said in (("cap_add: [NONSENSE]", "cap_add[0]", 'there is no capability "NONSENSE"'), ("ulimits: {files: 3}", "ulimits.files", "no limit"),
                             ("ulimits: {nofile: {soft: 9, hard: 3}}", "ulimits.nofile", "soft is above hard"), ("tmpfs: [x]", "tmpfs[0]", "not absolute"),
                             ("tmpfs: ['/x:nonsense']", "tmpfs[0]", "nonsense"), ("tmpfs: ['/x:noatime']", "tmpfs[0]", "noatime"), ("security_opt: ['seccomp:file.json']", "security_opt[0]", "seccomp=file.json"),
                             ("sysctls: {kernel.panic: 1}", "sysctls", "kernel.panic"), ("network_mode: host, sysctls: {net.core.somaxconn: 1}", "sysctls", "somaxconn")):
        t.compose(f"services: {{web: {{image: busybox, command: sleep 1000, {keys}}}}}")
        t.one_message(t.muster("up", "-d", rc=1), f"services.web.{path}", said)


def test_links(t):
    """links without another name order the start and resolve; with another name they are refused with their place."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, links: [db, 'db:db']}, db: {image: busybox, command: sleep 1000}}")
    t.up("web")
    t.sh("web", "nslookup -type=a db")
    t.compose("services: {web: {image: busybox, links: ['db:sql']}, db: {image: busybox}}")
    t.has(t.muster("up", "-d", rc=1).err, "services.web.links[0]: another name is not supported yet")


def test_run_capabilities(t):
    """`run --cap-add` and `--cap-drop` go on top of the service's; an unknown one is one message and leaves nothing."""
    t.compose("services: {web: {image: busybox, cap_drop: [ALL]}}")
    got = t.muster("run", "--rm", "-T", "--cap-add", "NET_ADMIN", "--cap-add", "chown", "web", "sh", "-c", CAPS).out
    t.eq({int(x, 16) for x in got.split()}, {have(1 << 12 | 1)})
    t.has(t.muster("run", "--rm", "-T", "--cap-add", "NONSENSE", "web", "true", rc=1).err, 'there is no capability "NONSENSE"')
    t.eq(t.ps(), {})
