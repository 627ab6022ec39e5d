# SPDX-License-Identifier: Apache-2.0
"""What others do behind our back: noticed and mended within 2 seconds, or said clearly."""
import json
import os
import shutil
import signal
import subprocess
import systest

SOON = 2
WEB = "command: \"sh -c 'hostname >/tmp/index.html; exec httpd -f -p 80 -h /tmp'\""
PAIR = f"""
    services:
      web: {{image: busybox, {WEB}, ports: ['18080:80'], stop_grace_period: 0s}}
      cli: {{image: busybox, command: sleep 1000, stop_grace_period: 0s}}
    """


def run(*args):
    subprocess.run(args, check=True, capture_output=True)


def bridge(t):
    return t.match(systest.command("ip", "-o", "link", "show", "type", "bridge"), r"^\d+: (mu\w+)").group(1)


def said(t, text):
    with open(t.run + "/p/muster.log", encoding="utf-8") as f:
        t.has(f.read(), text)


def reached(t, name="web"):
    """The published port from the host, and the name from a neighbour."""
    short = t.ids()[f"p-{name}-1"]

    def both():
        neighbour = t.muster("exec", "-T", "cli", "timeout", "1", "wget", "-q", "-O-", f"http://{name}/", rc=None).out.strip()
        host = subprocess.run(["timeout", "1", "busybox", "wget", "-q", "-O-", "http://127.0.0.1:18080/"], capture_output=True, text=True, check=False).stdout.strip()
        return neighbour == short and host == short
    systest.wait_for(both, SOON, "answer of web to its neighbour and the host")


def start(t):
    t.compose(PAIR)
    t.up()
    reached(t)


def test_bridge_deleted(t):
    """A deleted bridge comes back with its subnet and with the running containers on it; they keep pid, address and port."""
    start(t)
    name, pid, address = bridge(t), t.pid("p-web-1"), t.sh("web", "hostname -i")
    run("ip", "link", "del", name)
    t.wait(lambda: name in systest.command("ip", "-o", "link"), SOON, "bridge")
    reached(t)
    t.eq((t.pid("p-web-1"), t.sh("web", "hostname -i")), (pid, address))
    said(t, "was deleted or changed: made again")


def test_bridge_deleted_without_supervisor(t):
    """A bridge that goes while there is no supervisor is made again by the next one."""
    start(t)
    name = bridge(t)
    supervisor = t.daemons("supervise")[0]
    os.kill(supervisor, signal.SIGSTOP)
    run("ip", "link", "del", name)
    os.kill(supervisor, signal.SIGKILL)
    t.wait(lambda: name in systest.command("ip", "-o", "link"), SOON, "bridge")
    reached(t)


def test_bridge_changed(t):
    """A bridge that is set down or loses its address gets both back."""
    start(t)
    run("ip", "link", "set", bridge(t), "down")
    t.wait(lambda: ",UP" in systest.command("ip", "-o", "link", "show", bridge(t)), SOON, "bridge up")
    reached(t)
    run("ip", "addr", "flush", "dev", bridge(t))
    t.wait(lambda: "inet " in systest.command("ip", "addr", "show", bridge(t)), SOON, "address")
    reached(t)


def test_link_deleted(t):
    """A container's link, deleted on the host or inside, or taken from its bridge, is attached again."""
    start(t)
    port = systest.command("ip", "-o", "link", "show", "type", "veth").split(":")[1].split("@")[0].strip()
    run("ip", "link", "del", port)
    t.wait(lambda: systest.command("ip", "-o", "link", "show", "type", "veth").count("mv") == 2, SOON, "two links")
    reached(t)
    for line in ("link del eth0", "link set eth0 nomaster"):
        pid = t.pid("p-web-1")
        if "del" in line:
            run("nsenter", "-t", str(pid), "-n", "ip", *line.split())
        else:
            run("ip", "link", "set", systest.command("ip", "-o", "link", "show", "type", "veth").split(":")[1].split("@")[0].strip(), "nomaster")
        t.wait(lambda: systest.command("ip", "-o", "link", "show", "type", "veth").count("master mu") == 2, SOON, "two ports")
        reached(t)
    said(t, "attached again")


def test_ruleset_flushed(t):
    """A flushed ruleset, and flushed rules of the table, come back with every network and published port."""
    start(t)
    before = systest.command("nft", "list", "ruleset")
    run("nft", "flush", "ruleset")
    t.wait(lambda: sorted(systest.command("nft", "list", "ruleset").split()) == sorted(before.split()), SOON, "ruleset as before")
    reached(t)
    said(t, "packet rules were removed")
    table = t.match(before, r"table inet (muster_\w+)").group(1)
    run("nft", "flush", "table", "inet", table)
    t.wait(lambda: sorted(systest.command("nft", "list", "ruleset").split()) == sorted(before.split()), SOON, "rules as before")
    reached(t)


def test_mended_only_once(t):
    """Mending makes no events that lead to mending: afterwards the supervisor sleeps."""
    start(t)
    run("nft", "flush", "ruleset")
    reached(t)
    pid = t.daemons("supervise")[0]

    def woken():
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            return int(t.match(f.read(), r"^voluntary_ctxt_switches:\s+(\d+)").group(1))
    t.wait(lambda: [woken(), systest.time.sleep(0.6), woken()] and True)
    first = woken()
    systest.time.sleep(0.6)
    t.true(woken() - first <= 1, "the supervisor wakes up without a reason")


def test_network_removed_on_purpose(t):
    """What `down` removes is not mended."""
    for _ in range(3):
        start(t)
        t.muster("down", "-t", "0")
        t.lacks(systest.command("ip", "-o", "link"), ": mu")


def test_dockerd_comes_and_goes(t):
    """FORWARD that drops, then DOCKER-USER, then both gone again: containers reach the world and are reached all the time; no residue."""
    t.uplink()
    start(t)

    def out():
        return t.muster("exec", "-T", "web", "timeout", "1", "wget", "-q", "-O-", f"http://{systest.UPLINK_WORLD}/", rc=None).rc == 0
    t.wait(out, SOON, "way out")
    run("nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    t.wait(lambda: "muster_" in systest.command("nft", "list", "chain", "ip", "filter", "FORWARD"), SOON, "our rules in FORWARD")
    t.wait(out, SOON, "way out with FORWARD drop")
    run("nft", "add chain ip filter DOCKER-USER; insert rule ip filter FORWARD jump DOCKER-USER")
    t.wait(lambda: "muster_" in systest.command("nft", "list", "chain", "ip", "filter", "DOCKER-USER"), SOON, "our rules in DOCKER-USER")
    t.wait(out, SOON, "way out with DOCKER-USER")
    run("nft", "flush chain ip filter DOCKER-USER")
    t.wait(out, SOON, "way out after a flush")
    run("nft", "delete table ip filter")
    t.wait(out, SOON, "way out without docker")
    t.muster("down", "-t", "0")


def dockerd(t, at):
    """A dockerd of its own, once it listens; it is not asked to run anything. Its sockets are in the test's own /run: a socket's path is short."""
    with open(at + "/log", "wb") as log:
        docker = subprocess.Popen(["dockerd", "--data-root", at + "/data", "--exec-root", "/run/exec", "--pidfile", at + "/pid", "-H", "unix:///run/sock",
                                   "--storage-driver", "vfs"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def said_so():
        with open(at + "/log", encoding="utf-8") as log:
            text = log.read()
        t.true(docker.poll() is None, text)
        return "API listen on" in text
    t.wait(said_so, 60, "dockerd")
    return docker


@systest.timeout(180)
def test_dockerd_itself(t):
    """Beside a real dockerd, whose FORWARD drops, containers reach the world and are reached; while it ends and comes back, too."""
    if not shutil.which("dockerd") or not shutil.which("containerd"):
        raise systest.Skip("no dockerd")
    at = t.folder + "/docker"
    os.makedirs(at)
    t.uplink()
    run("sysctl", "-qw", "net.ipv4.ip_forward=0")  # dockerd makes FORWARD drop when it is the one who turns forwarding on
    folders = [f for f in ("/run", "/var/lib/docker", "/etc/docker") if os.path.isdir(f)]
    for folder in folders:
        systest.mount("none", folder, "tmpfs")

    def out():
        return t.muster("exec", "-T", "web", "timeout", "1", "wget", "-q", "-O-", f"http://{systest.UPLINK_WORLD}/", rc=None).rc == 0
    docker = dockerd(t, at)
    t.has(systest.command("nft", "list", "ruleset"), "DOCKER-USER", "policy drop")
    start(t)
    pid = t.pid("p-web-1")
    t.wait(out, SOON, "way out beside dockerd")
    for _ in range(2):
        docker.terminate()
        docker.wait(30)
        t.wait(out, SOON, "way out after dockerd")
        reached(t)
        docker = dockerd(t, at)
        t.wait(lambda: "muster_" in systest.command("nft", "list", "chain", "ip", "filter", "DOCKER-USER"), SOON, "our rules in DOCKER-USER")
        t.wait(out, SOON, "way out beside the next dockerd")
        reached(t)
    t.eq(t.pid("p-web-1"), pid)
    t.muster("down", "-t", "0")
    t.lacks(systest.command("nft", "list", "ruleset"), "muster_")
    docker.terminate()
    docker.wait(30)
    run("ip", "link", "del", "docker0")
    for table in systest.command("nft", "list", "tables").splitlines():
        run("nft", "delete", *table.split())
    for folder in folders:
        systest.LIBC.umount2(folder.encode(), 2)


def test_foreign_firewall(t):
    """Another firewall that starts to drop is not ours to change: it is said, once, and who follows hears it."""
    t.uplink()
    start(t)
    run("nft", "add table inet wall; add chain inet wall fw { type filter hook forward priority 5; policy drop; }")
    t.wait(lambda: "another firewall" in open(t.run + "/p/muster.log", encoding="utf-8").read(), SOON, "warning")
    run("nft", "delete table inet wall")
    t.wait(lambda: "nothing drops" in open(t.run + "/p/muster.log", encoding="utf-8").read(), SOON, "all-clear")
    t.eq(open(t.run + "/p/muster.log", encoding="utf-8").read().count("another firewall"), 1)


def test_forwarding_off(t):
    """ip_forward turned off comes on again."""
    t.uplink()
    start(t)
    run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    t.wait(lambda: open("/proc/sys/net/ipv4/ip_forward", encoding="ascii").read() == "1\n", SOON, "ip_forward")
    reached(t)


def test_resolver_changed(t):
    """Another resolver of the host is asked from then on, without a restart of anything."""
    t.uplink()
    conf = t.dir + "/resolv.conf"
    good = open(conf, encoding="utf-8").read()
    with open(conf, "w", encoding="utf-8") as f:
        f.write("nameserver 192.0.2.77\n")  # nobody
    start(t)
    pid = t.pid("p-cli-1")

    def known():
        return "203.0.113.7" in t.muster("exec", "-T", "cli", "timeout", "1", "nslookup", "-type=a", "echo.world.test", rc=None).out
    t.true(not known(), "an answer from nobody")
    with open(conf, "w", encoding="utf-8") as f:
        f.write(good)
    t.wait(known, SOON, "answer of the new resolver")
    t.eq(t.pid("p-cli-1"), pid)
    said(t, "resolver has changed")


def test_first_process_killed(t):
    """kill -9 from outside (the network namespace goes with it): the status is 137, the restart policy brings it back with its port."""
    t.compose(PAIR.replace("image: busybox, command: \"sh", "image: busybox, restart: always, command: \"sh"))
    t.up()
    reached(t)
    pid = t.pid("p-web-1")
    os.kill(pid, signal.SIGKILL)
    t.wait(lambda: [p for p in t.container_pids(t.ids()["p-web-1"]) if p != pid], SOON, "another process")
    reached(t)


def test_clock_set_back(t):
    """Records from the future (the clock was set back): status and times stay sensible, the next run's exit code is its own."""
    t.compose("services: {job: {image: busybox, command: sleep 1000, stop_grace_period: 0s}}")
    t.up()
    short = t.ids()["p-job-1"]
    state, record = f"{t.run}/p/c/{short}/state.json", f"{t.root}/projects/p/c/{short}/record.json"
    t.muster("kill", "-s", "KILL")
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 3, "exit")
    os.kill(t.daemons("supervise")[0], signal.SIGSTOP)
    old = t.daemons("supervise")[0]
    with open(record, encoding="utf-8") as f:
        j = json.load(f)
    j["finished_ns"], j["exit_code"] = j["finished_ns"] + 3600 * 10**9, 3
    with open(record, "w", encoding="utf-8") as f:
        json.dump(j, f)
    os.kill(old, signal.SIGKILL)
    t.muster("start")
    pid = t.pid("p-job-1")
    with open(state, encoding="utf-8") as f:
        t.true(json.load(f)["started_ns"] > j["finished_ns"], "it started before its last end")
    supervisor = t.daemons("supervise")[0]
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    t.wait(lambda: t.daemons("supervise") not in ([], [supervisor]), 3, "supervisor")
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 3, "exit")
    t.eq(t.ps()["p-job-1"]["ExitCode"], 137)


def remove_cgroups(short):
    """What an administrator's script might do: empties the container's cgroup in every hierarchy and removes it; where it was."""
    removed = []
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        for f in [f for f in folders if f == short]:
            at = os.path.join(top, f)
            base = at[:at.index("/muster-")]
            with open(at + "/cgroup.procs", encoding="ascii") as procs:
                inside = procs.read().split()
            for p in inside:
                with open(base + "/cgroup.procs", "w", encoding="ascii") as out:
                    out.write(p)
            os.rmdir(at)
            removed.append((at, sorted(map(int, inside))))
        folders[:] = [f for f in folders if f != short]
    return removed


def test_cgroup_removed(t):
    """A running container's cgroups, emptied and removed, are made again with their limits and all of its processes; it runs on."""
    t.compose(PAIR.replace("web: {", "web: {mem_limit: 48m, pids_limit: 30, init: true, "))
    t.up()
    reached(t)
    short, pid = t.ids()["p-web-1"], t.pid("p-web-1")
    removed = remove_cgroups(short)
    t.true(removed, "nothing was removed")
    for at, inside in removed:
        def whole(at=at, inside=inside):
            try:
                with open(at + "/cgroup.procs", encoding="ascii") as f:
                    return sorted(map(int, f.read().split())) == inside
            except OSError:
                return False
        t.wait(whole, SOON, f"{inside} in {at}")
    limits = {}
    for at, _ in removed:
        for name in ("memory.limit_in_bytes", "memory.max", "pids.max"):
            if os.path.exists(f"{at}/{name}"):
                with open(f"{at}/{name}", encoding="ascii") as f:
                    limits[name] = f.read().strip()
    t.eq(sorted(limits.values()), ["30", str(48 << 20)])
    t.eq(t.pid("p-web-1"), pid)
    said(t, "its cgroup was removed: made again")
    reached(t)
    supervisor = t.daemons("supervise")
    os.kill(supervisor[0], signal.SIGSTOP)
    removed = remove_cgroups(short)
    os.kill(supervisor[0], signal.SIGKILL)
    t.wait(lambda: all(os.path.exists(at) for at, _ in removed), SOON + 1, "the same by the next supervisor")
    t.muster("restart", "web")
    reached(t)
    t.muster("stop", "-t", "0")
