# SPDX-License-Identifier: Apache-2.0
"""Containers that misbehave: only they suffer. Each is bounded by its own limits; a neighbour answers all the time, quickly."""
import os
import time
import systest

NEIGHBOUR = "web: {image: busybox, command: sleep 1000, stop_grace_period: 0s}"


def start(t, hostile, *args):
    t.compose(f"services:\n  {NEIGHBOUR}\n  bad: {hostile}\n")
    t.up(*args)


def fine(t, seconds=2):
    """The neighbour and the commands answer."""
    begun = time.monotonic()
    t.eq(t.sh("web", "echo fine").strip(), "fine")
    t.eq(t.ps()["p-web-1"]["State"], "running")
    t.true(time.monotonic() - begun < seconds, f"exec and ps took {time.monotonic() - begun:.1f} s")


def down(t, seconds=3):
    begun = time.monotonic()
    t.muster("down", "-t", "0")
    t.true(time.monotonic() - begun < seconds, f"down took {time.monotonic() - begun:.1f} s")


def memory(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith("Pss:")).split()[1])


def test_fork_bomb(t):
    """A fork bomb ends at pids_limit; the neighbour and down don't notice."""
    start(t, "{image: busybox, pids_limit: 40, cpus: 0.5, stop_grace_period: 0s, command: \"sh -c '(while :; do sleep 1000 & done) & sleep 1000'\"}")
    short = t.ids()["p-bad-1"]
    t.wait(lambda: len(t.container_pids(short)) >= 30, 3, "forty processes")
    t.true(len(t.container_pids(short)) <= 40, "more processes than its limit")
    fine(t)
    down(t)


def test_memory_hog(t):
    """A memory hog is killed inside its limit; that it was is on record."""
    start(t, "{image: busybox, mem_limit: 16m, stop_grace_period: 0s, command: \"sh -c 'x=xxxxxxxxxxxxxxxx; while :; do x=$$x$$x; done'\"}")
    t.wait(lambda: t.ps()["p-bad-1"]["State"] == "exited", 4, "its end")
    t.eq(t.ps()["p-bad-1"]["ExitCode"], 137)
    with open(f"{t.root}/projects/p/c/{t.ids()['p-bad-1']}/record.json", encoding="utf-8") as f:
        t.match(f.read(), r'"oom":\s*true')
    fine(t)


def test_log_flood(t):
    """Hundreds of megabytes of log: our processes don't grow, the neighbour and the commands answer."""
    start(t, "{image: busybox, cpus: 0.6, stop_grace_period: 0s, command: \"sh -c 'yes 0123456789012345678901234567890123456789 | head -c 300000000; sleep 1000'\"}")
    logs = t.daemons("logs")[0]
    before = memory(logs)
    time.sleep(1.5)
    fine(t)
    t.true(memory(logs) - before < 4096, f"the log process grew from {before} to {memory(logs)} kB")
    down(t)


def many_execs(t, left):
    t.compose(f"services: {{{NEIGHBOUR}}}")
    t.up()
    short, supervisor = t.ids()["p-web-1"], t.daemons("supervise")[0]
    t.sh("web", "true")
    descriptors = len(os.listdir(f"/proc/{supervisor}/fd"))
    running = []
    while left or running:
        while left and len(running) < 8:
            running.append(systest.subprocess.Popen([t.binary, "exec", "-T", "web", "sh", "-c", "exit 3"], env=t.environ(), cwd=t.dir,
                                                    stdin=systest.subprocess.DEVNULL))
            left -= 1
        t.eq(running.pop(0).wait(60), 3, "exit code")
    t.wait(lambda: len(t.container_pids(short)) == 1, 2, "one process in the container")
    t.eq(len(os.listdir(f"/proc/{supervisor}/fd")), descriptors, "descriptors of the supervisor")
    fine(t)


@systest.timeout(90)
def test_many_execs(t):
    """Hundreds of short execs, eight at a time: each tells its exit code; no process, descriptor or cgroup is left over."""
    many_execs(t, 250)


@systest.timeout(900)
def test_storm_of_execs(t):
    """The same ten thousand times."""
    many_execs(t, 10000)


@systest.timeout(300)
def test_storm_of_log(t):
    """Gigabytes of log as fast as a container can write them: our processes don't grow, the neighbour answers, the container goes on at its speed."""
    start(t, "{image: busybox, stop_grace_period: 0s, command: \"sh -c 'yes $$(printf %04000d 0) | head -c 2147483648; touch /done; sleep 1000'\"}")
    logs = t.daemons("logs")[0]
    before, begun = memory(logs), time.monotonic()
    while t.muster("exec", "-T", "bad", "test", "-e", "/done", rc=None).rc:
        t.true(time.monotonic() - begun < 240, "it has not come to its end")
        fine(t, 5)
    took = time.monotonic() - begun
    print(f"2 GiB of log in {took:.1f} s")
    t.true(memory(logs) - before < 4096, f"the log process grew from {before} to {memory(logs)} kB")
    down(t, 10)


def test_ignores_sigterm(t):
    """SIGTERM ignored: killed when the grace period is over, not before and not much later."""
    start(t, "{image: busybox, stop_grace_period: 1s, command: \"sh -c 'trap : TERM; while :; do sleep 0.1; done'\"}")
    begun = time.monotonic()
    t.muster("stop", "bad")
    took = time.monotonic() - begun
    t.true(0.9 < took < 2.5, f"stop took {took:.1f} s")
    t.eq(t.ps()["p-bad-1"]["ExitCode"], 137)
    fine(t)


def test_closed_stdout(t):
    """A first process that closes its descriptors costs nothing: our processes sleep, logs ends, stop works."""
    start(t, "{image: busybox, stop_grace_period: 0s, command: \"sh -c 'echo before; exec sleep 1000 <&- >&- 2>&-'\"}")
    t.wait(lambda: "before" in t.muster("logs", "bad").out, 2, "its only line")

    def used():
        total = 0
        for role in ("logs", "supervise", "anchor"):
            with open(f"/proc/{t.daemons(role)[0]}/stat", encoding="ascii") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total
    before = used()
    time.sleep(1)
    t.true(used() - before <= 5, f"{used() - before} ticks of processor time in a second")
    fine(t)
    down(t)


def test_never_reaps(t):
    """A first process that never reaps: its zombies are its own; exec, stop and down work, and nothing is left."""
    start(t, "{image: busybox, stop_grace_period: 0s, command: \"sh -c '(for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.05 & exec sleep 0.01) & done); exec sleep 1000'\"}")
    short = t.ids()["p-bad-1"]
    time.sleep(0.3)
    t.eq(t.sh("bad", "echo fine").strip(), "fine")
    t.true(t.container_pids(short), "no processes")
    fine(t)
    down(t)


def test_dns_flood(t):
    """A container that floods the DNS server and sends garbage: the neighbour's names resolve, the server lives and does not grow."""
    start(t, "{image: busybox, cpus: 0.6, stop_grace_period: 0s, command: \"sh -c 'for i in 1 2 3 4; do (while :; do head -c 40000 /dev/urandom | nc -u -w 1 127.0.0.11 53; done) & done; "
             "while :; do nslookup web; nslookup nothing; done >/dev/null 2>&1'\"}")
    server = t.daemons("dns")[0]
    before = memory(server)
    begun = time.monotonic()
    for _ in range(10):
        t.has(t.muster("exec", "-T", "web", "timeout", "1", "nslookup", "-type=a", "bad").out, "Address")
    t.true(time.monotonic() - begun < 3, f"ten questions took {time.monotonic() - begun:.1f} s")
    t.eq(t.daemons("dns"), [server], "the DNS server's pid")
    t.true(memory(server) - before < 4096, f"it grew from {before} to {memory(server)} kB")
    fine(t)
    down(t)


def test_kills_itself(t):
    """A first process that signals everything it can see reaches nobody outside."""
    start(t, "{image: busybox, stop_grace_period: 0s, command: \"sh -c 'kill -9 -1; kill -9 1; exit 4'\"}")
    ours = {role: t.daemons(role) for role in ("anchor", "supervise", "logs", "dns")}
    t.wait(lambda: t.ps()["p-bad-1"]["State"] == "exited", 3, "its end")
    t.eq({role: t.daemons(role) for role in ours}, ours, "our processes")
    t.eq(t.ps()["p-bad-1"]["ExitCode"], 4)
    fine(t)


if not os.environ.get("MUSTER_STORM"):
    del test_storm_of_execs, test_storm_of_log
