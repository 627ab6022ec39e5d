# SPDX-License-Identifier: Apache-2.0
"""Nothing is lost: whatever process of ours is killed, running containers run on and exit codes are true; reboot; restart policies."""
import json
import os
import re
import shutil
import signal
import time
import systest

TICK = "sh -c 'i=0; while :; do i=$$((i+1)); echo $$i; sleep 0.01; done'"


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


# a pidfd tells the status of a process that is not our child
PIDFD_TELLS = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)


def survive(t, roles, rounds=3, code=137):
    """Kills the named processes of ours again and again; the container keeps its process and no log line is lost or doubled."""
    t.compose(f"services: {{web: {{image: busybox, command: \"{TICK}\"}}}}")
    t.up()
    ids, pid = t.ids(), t.pid("p-web-1")
    for _ in range(rounds):
        for role in roles:
            for victim in t.daemons(role):
                kill(victim)
        time.sleep(0.15)
        t.has(t.up().err, " Container p-web-1  Running")
        for role in ("anchor", "supervise", "logs", "dns"):
            t.wait(lambda role=role: len(t.daemons(role)) == 1, 5, f"one {role} again")
    t.eq((t.ids(), t.pid("p-web-1")), (ids, pid), "container")
    t.muster("kill")
    t.wait(lambda: t.ps()["p-web-1"]["State"] == "exited", 5, "the end")
    t.eq(t.ps()["p-web-1"]["ExitCode"], code)
    lines = t.muster("logs", "--no-log-prefix").lines
    t.eq(lines, [str(i) for i in range(1, len(lines) + 1)], "numbered lines")


def test_supervisor_killed(t):
    """kill -9 of the supervisor: the container runs on, its log is whole, its exit code is true."""
    survive(t, ["supervise"])


def test_anchor_killed(t):
    """kill -9 of the anchor: the same. (The supervisor takes its place; nobody stands above it to inherit the containers a second time.)"""
    survive(t, ["anchor"], 3 if PIDFD_TELLS else 1)


def test_another_build(t):
    """A command of another build replaces our processes, between two operations; containers run on, no line is lost, codes stay true, ports stay."""
    other = t.folder + "/other"
    os.makedirs(other)
    for name in ("muster", "muster-run", "muster-image"):
        shutil.copy(os.path.join(os.path.dirname(t.binary), name), other)
    t.compose(f"""
        services:
          web: {{image: busybox, command: "{TICK}", ports: ["127.0.0.1::80"]}}
          job: {{image: busybox, command: "sh -c 'sleep 1; exit 42'"}}
          tty: {{image: busybox, command: sleep 1000, tty: true, stop_grace_period: 0s}}
        """)
    t.up()
    before = {role: t.daemons(role) for role in ("anchor", "supervise", "logs", "dns")}
    ids, pid, port = t.ids(), t.pid("p-web-1"), t.port("web", 80)
    t.muster("ps", binary=other + "/muster")
    t.eq({role: t.daemons(role) for role in before}, before, "processes after a command that only looks")
    follower = t.start("logs", "-f", "--no-log-prefix", "web")
    for binary in (other + "/muster", t.binary, other + "/muster"):
        t.has(t.up(binary=binary).err, " Container p-web-1  Running")
        # an anchor that the command has started although there was one already is still on its way out
        t.wait(lambda: all(len(t.daemons(role)) == 1 for role in before), 5, "one process of each kind")
        now = {role: t.daemons(role) for role in before}
        t.eq(now["anchor"], before["anchor"], "the anchor's pid")
        t.true(all(now[r] != before[r] for r in ("supervise", "logs", "dns")), f"{before}, then {now}")
        before = now
        t.eq((t.ids(), t.pid("p-web-1"), t.port("web", 80)), (ids, pid, port), "containers")
    t.eq(t.sh("web", "nslookup web >/dev/null && echo fine").strip(), "fine")
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 5, "the end of job")
    t.eq(t.ps()["p-job-1"]["ExitCode"], 42)
    t.muster("kill", "web", binary=other + "/muster")
    t.wait(lambda: t.ps()["p-web-1"]["State"] == "exited", 5, "the end")
    t.eq(t.ps()["p-web-1"]["ExitCode"], 137)
    lines = t.muster("logs", "--no-log-prefix", "web").lines
    t.eq(lines, [str(i) for i in range(1, len(lines) + 1)], "numbered lines")
    t.wait(lambda: follower.out.split() == lines, 3, "the same lines for who followed")
    follower.kill()


def test_logs_killed(t):
    """kill -9 of the log process: no line lost, none twice."""
    survive(t, ["logs"])


def test_dns_killed(t):
    """kill -9 of the DNS process: names resolve again."""
    survive(t, ["dns"], 2)


def test_all_killed(t):
    """kill -9 of all of ours at once: the next command adopts the running container; its status is true or unknown, never 0."""
    survive(t, ["anchor", "supervise", "logs", "dns"], 2, 137 if PIDFD_TELLS else -1)


def test_dns_answers_after_kill(t):
    """After a kill of the DNS process names resolve again within a second, in the same container."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    t.up()
    for victim in t.daemons("dns"):
        kill(victim)
    t.wait(lambda: t.muster("exec", "-T", "web", "nslookup", "web", rc=None).rc == 0, 5, "an answer")


def test_exit_code_while_supervisor_is_dead(t):
    """A container that ends while no supervisor lives: its exit code is still true."""
    t.compose("services: {web: {image: busybox, command: \"sh -c 'sleep 0.6; exit 42'\"}}")
    t.up()
    for victim in t.daemons("supervise"):
        kill(victim)
    t.wait(lambda: t.ps()["p-web-1"]["State"] == "exited", 5, "the end")
    t.eq(t.ps()["p-web-1"]["ExitCode"], 42)


def test_job_runs_once(t):
    """A one-shot job runs once, even when the supervisor is killed while it runs and after it."""
    t.compose("""
        services:
          job: {image: busybox, command: "sh -c 'echo ran >>/data/log; sleep 0.4'", volumes: ["data:/data"]}
          web: {image: busybox, command: sleep 1000, volumes: ["data:/data"]}
        volumes: {data: }
        """)
    t.up()
    for _ in range(2):
        for victim in t.daemons("supervise"):
            kill(victim)
        time.sleep(0.3)
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 5, "the end of job")
    for victim in t.daemons("supervise"):
        kill(victim)
    time.sleep(0.3)
    t.eq(t.sh("web", "cat /data/log"), "ran\n")
    t.eq(t.ps()["p-job-1"]["ExitCode"], 0)


def test_up_runs_finished_job_again_only_when_asked(t):
    """up starts an exited job again, as docker compose does, and says so; plan tells it beforehand."""
    t.compose("services: {job: {image: busybox, command: \"sh -c 'echo ran'\"}}")
    t.up()
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 5, "the end of job")
    t.has(t.muster("plan", rc=2).out, "p-job-1")
    t.up()
    t.wait(lambda: t.muster("logs", "--no-log-prefix").lines == ["ran", "ran"], 5, "a second run")


def test_restart_always_backs_off(t):
    """restart: always starts again with growing pauses, counts, and stop ends it."""
    t.compose("services: {web: {image: busybox, restart: always, command: \"sh -c 'echo started; exit 1'\"}}")
    t.up()
    t.wait(lambda: len(t.muster("logs", "--no-log-prefix").lines) >= 3, 8, "three starts")
    stamps = [x.split()[0] for x in t.muster("logs", "-t", "--no-log-prefix").lines]
    seconds = [float(re.search(r":(\d+\.\d+)Z", s).group(1)) + 60 * int(s[14:16]) for s in stamps[:4]]
    pauses = [b - a for a, b in zip(seconds, seconds[1:])]
    t.true(pauses[0] >= 0.09 and pauses[1] >= 0.19, f"pauses do not grow: {pauses}")  # 100 and 200 ms; a busy machine only adds
    t.muster("stop", "-t", "0")
    n = len(t.muster("logs").lines)
    time.sleep(0.8)
    t.eq(len(t.muster("logs").lines), n, "lines after stop")
    t.eq(t.ps()["p-web-1"]["State"], "exited")


def test_restart_on_failure_counts(t):
    """on-failure:2 tries twice more and then leaves the exit code; exit 0 is not restarted."""
    t.compose("""
        services:
          bad: {image: busybox, restart: "on-failure:2", command: "sh -c 'echo try; exit 3'"}
          good: {image: busybox, restart: on-failure, command: "echo once"}
          none: {image: busybox, restart: "no", command: "sh -c 'echo once; exit 1'"}
        """)
    t.up()
    t.wait(lambda: t.muster("logs", "--no-log-prefix", "bad").lines == ["try"] * 3, 8, "three tries")
    t.wait(lambda: t.ps()["p-bad-1"]["State"] == "exited", 3, "the end of bad")
    time.sleep(0.5)
    t.eq(t.muster("logs", "--no-log-prefix", "bad").lines, ["try"] * 3)
    t.eq(t.ps()["p-bad-1"]["ExitCode"], 3)
    t.eq(t.muster("logs", "--no-log-prefix", "good", "none").lines, ["once", "once"])


def test_unless_stopped(t):
    """unless-stopped restarts a killed process, but not one that stop stopped."""
    t.compose("services: {web: {image: busybox, restart: unless-stopped, command: sleep 1000}}")
    t.up()
    first = t.pid("p-web-1")
    kill(first)
    t.wait(lambda: t.ps()["p-web-1"]["State"] == "running" and t.container_pids(t.ids()["p-web-1"]) not in ([], [first]), 5, "a new process")
    t.muster("stop", "-t", "0")
    time.sleep(0.4)
    t.eq(t.ps()["p-web-1"]["State"], "exited")


def test_restart_policy_survives_supervisor(t):
    """The policy holds while the supervisor is killed again and again."""
    t.compose("services: {web: {image: busybox, restart: always, command: sleep 1000}}")
    t.up()
    for _ in range(3):
        first = t.pid("p-web-1")
        for victim in t.daemons("supervise"):
            kill(victim)
        kill(first)
        t.wait(lambda first=first: [p for p in t.container_pids(t.ids()["p-web-1"]) if p != first], 6, "a new process")


def test_reboot(t):
    """After a reboot (nothing runs, empty run directory) ps -a shows what exited; up converges; volumes are intact."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, volumes: ["data:/data"]}
          job: {image: busybox, command: "true"}
        volumes: {data: }
        """)
    t.up()
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 5, "the end of job")
    t.sh("web", "echo kept >/data/f")
    ids = t.ids()
    reboot(t)
    state = {n: c["State"] for n, c in t.ps().items()}
    t.eq(state, {"p-web-1": "exited", "p-job-1": "exited"})
    t.eq(t.muster("ps").lines[1:], [])
    t.up()
    t.eq(t.ps()["p-web-1"]["State"], "running")
    t.eq(t.ids()["p-web-1"], ids["p-web-1"], "the same container")
    t.eq(t.sh("web", "cat /data/f"), "kept\n")


def test_reboot_changes_boot_id(t):
    """Records of another boot never pass for running containers, even when a process has the recorded pid and start time."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    t.up()
    states = [os.path.join(at, f) for at, _, files in os.walk(t.run) for f in files if f == "state.json"]
    t.eq(len(states), 1, "state files")
    with open(states[0], encoding="utf-8") as f:
        state = json.load(f)
    reboot(t)
    with open("/proc/self/stat", encoding="utf-8") as f:
        ticks = int(f.read().rsplit(")", 1)[1].split()[19])
    t.true("pid" in state and "boot_id" in state, f"members of state.json: {sorted(state)}")
    state.update({"pid": os.getpid(), "boot_id": "00000000-0000-4000-8000-000000000000", **{k: ticks for k in state if "ticks" in k}})
    os.makedirs(os.path.dirname(states[0]), mode=0o700)
    with open(states[0], "w", encoding="utf-8") as f:
        json.dump(state, f)
    t.eq(t.ps()["p-web-1"]["State"], "exited")
    said = t.up().err
    t.eq(t.ps()["p-web-1"]["State"], "running", said)


def reboot(t):
    """What a reboot leaves: no process, no link, no rule, no cgroup, an empty run directory."""
    for _ in range(100):
        left = [p for p, (state, parent, name, line) in systest.processes().items() if p not in (1, os.getpid(), t.world) and state != "Z"]
        if not left:
            break
        for p in left:
            kill(p)
        time.sleep(0.02)
    for line in systest.command("ip", "-o", "link").splitlines():
        name = line.split(":")[1].strip().split("@")[0]
        if name.startswith("mu"):
            systest.command("ip", "link", "del", name)
    systest.command("nft", "flush", "ruleset")
    for root, run in t.roots:
        rootid = systest.root_id(root, run)
        for top, folders, _ in os.walk("/sys/fs/cgroup"):
            for f in [f for f in folders if f == f"muster-{rootid}"]:
                for at, _, _ in os.walk(os.path.join(top, f), topdown=False):
                    systest.wait_for(lambda at=at: remove_dir(at), 3, f"removal of {at}")
            folders[:] = [f for f in folders if not f.startswith("muster-")]
        shutil.rmtree(run)


def remove_dir(path):
    try:
        os.rmdir(path)
        return True
    except FileNotFoundError:
        return True
    except OSError:
        return False


def test_torn_record(t):
    """A truncated or zeroed record never crashes a command; down still takes everything away."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}, db: {image: busybox, command: sleep 1000}}")
    t.up()
    for victim in t.daemons("anchor") + t.daemons("supervise"):
        kill(victim)
    records = [os.path.join(at, f) for at, _, files in os.walk(t.root + "/projects") for f in files if f == "record.json"]
    t.eq(len(records), 2, "records")
    with open(records[0], "r+b") as f:
        f.truncate(os.path.getsize(records[0]) // 2)
    with open(records[1], "r+b") as f:
        f.write(b"\0" * os.path.getsize(records[1]))
    for verb in (("ps", "-a"), ("logs",), ("up", "-d"), ("down", "-t", "0")):
        done = t.muster(*verb, rc=None)
        t.true(0 <= done.rc < 128, f"{verb}: {done}")
    t.muster("down", "-t", "0", "-v")
