# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each of our processes at any moment of any command: the command succeeds all the same, what ran runs on (same process, every
log line once), a job runs once for each `up`, and `down` leaves nothing. The moments are random; the seed is printed when a test fails."""
import os
import random
import re
import signal
import socket
import time
import systest

TICK = "sh -c 'i=0; while :; do i=$$((i+1)); echo $$i; sleep 0.005; done'"
PAIR = ("anchor", "supervise")
ALL = ("anchor", "supervise", "logs", "dns")


def victims(t, roles):
    """Kills the named processes, not the containers that are just being forked off; how many there were."""
    shown = systest.processes()
    pids = [pid for role in roles for pid in t.daemons(role)]
    # a fork that has not exec'd yet has its parent's command line
    pids = [pid for pid in pids if pid in shown and shown.get(shown[pid][1], ("", 0, "", ""))[3] != shown[pid][3]]
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return len(pids)


def no_crash(t):
    """None of ours died by anything but our kill."""
    with open(t.run + "/p/muster.log", encoding="utf-8", errors="replace") as f:
        log = f.read()
    t.lacks(log, "Sanitizer", "runtime error:", "Assertion")
    bad = [line for line in re.findall(r"\S+ ended with status \d+", log) if not line.endswith(" 137")]
    t.eq(bad, [], "ends in muster.log")


def start_time(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as f:
        return f.read().rsplit(")", 1)[1].split()[19]


def runs(t):
    try:
        with open(t.dir + "/count/runs", encoding="ascii") as f:
            return len(f.read())
    except FileNotFoundError:
        return 0


def shot(t, rng, roles, *args, latest=0.12):
    """A command, and somewhere in it (or right after) a kill."""
    job = t.start(*args)
    time.sleep(rng.random() * rng.random() * latest)
    killed = victims(t, roles)
    rc = job.wait(30)
    if set(PAIR) <= set(roles) and rc == 1 and "exit status is unknown" in job.err:
        return killed  # nobody was there to see it, and the command says so
    t.eq(rc, 0, f"exit code of muster {' '.join(args)} ({', '.join(roles)} killed)\n{job.out}--- stderr\n{job.err}\n--- code")
    return killed


STORM = f"""
    services:
      keep:
        image: busybox
        command: "{TICK}"
      web:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
        depends_on: {{job: {{condition: service_completed_successfully}}}}
        ports: ['80']
      job:
        image: busybox
        command: sh -c 'printf x >>/count/runs'
        volumes: ['./count:/count']
    """


def job_done(t):
    """What ps says once the job has exited."""
    return t.wait(lambda: [s for s in [t.ps()] if s["p-job-1"]["State"] == "exited"], 5, "the end of the job")[0]


def storm(t, roles, seconds):
    """Commands on a living project, each with a kill somewhere, for some seconds."""
    seed = int.from_bytes(os.urandom(4), "little")
    rng = random.Random(seed)
    print(f"seed {seed}")
    t.compose(STORM)
    t.up()
    ident, pid = t.ids()["p-keep-1"], t.pid("p-keep-1")
    born, end, killed, ups = start_time(pid), time.monotonic() + seconds, 0, runs(t)
    t.eq(ups, 1, "runs of the job")
    while time.monotonic() < end:
        n = rng.randrange(1, 6)
        command = rng.choice([("up", "-d"), ("up", "-d"), ("scale", f"web={n}"), ("restart", "-t", "0", "web"), ("stop", "-t", "0", "web"),
                              ("up", "-d", "--force-recreate", "-t", "0", "web"), ("up", "-d", "--scale", f"web={n}")])
        before = runs(t)
        killed += shot(t, rng, roles, *command)
        job_done(t)
        more = runs(t) - before
        t.true(more <= 1 if command[0] in ("up", "scale") else more == 0, f"the job ran {more} times for {command}")
        t.up()
        state = job_done(t)
        t.eq({n: c["State"] for n, c in state.items()}, {"p-keep-1": "running", "p-web-1": "running", "p-job-1": "exited"}, f"state after {command}")
        t.eq(state["p-job-1"]["ExitCode"], 0, "exit code of the job")
        t.eq((state["p-keep-1"]["ID"], t.pid("p-keep-1"), start_time(pid)), (ident, pid, born), "the container that nobody touched")
    no_crash(t)
    t.true(killed >= 5, f"only {killed} kills: not tested")
    t.muster("kill", "keep")
    t.wait(lambda: t.ps()["p-keep-1"]["State"] == "exited", 5, "the end of keep")
    t.eq(t.ps()["p-keep-1"]["ExitCode"], 137)
    lines = t.muster("logs", "--no-log-prefix", "keep").lines
    t.eq(lines, [str(i) for i in range(1, len(lines) + 1)], "numbered lines")


def test_storm_supervisor(t):
    """kill -9 of the supervisor during up, scale, restart, stop, recreate."""
    storm(t, ("supervise",), 5)


def test_storm_anchor(t):
    """kill -9 of the anchor: its supervisor takes its place."""
    storm(t, ("anchor",), 5)


def test_storm_logs_and_dns(t):
    """kill -9 of the log and DNS processes."""
    storm(t, ("logs", "dns"), 3)


def test_storm_pair(t):
    """kill -9 of anchor and supervisor at once: the command (or the next one) starts both again and carries on."""
    storm(t, PAIR, 5)


def test_storm_all(t):
    """kill -9 of all four at once."""
    storm(t, ALL, 3)


def down_storm(t, roles, rounds):
    seed = int.from_bytes(os.urandom(4), "little")
    rng = random.Random(seed)
    print(f"seed {seed}")
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, volumes: ['data:/data', '/anonymous'], ports: ['80'], networks: [one, two], scale: 3}
          db: {image: busybox, command: sleep 1000, networks: [two]}
        networks: {one: , two: }
        volumes: {data: }
        """)
    for _ in range(rounds):
        shot(t, rng, roles, "up", "-d")
        t.eq(len([c for c in t.ps().values() if c["State"] == "running"]), 4, "running containers")
        no_crash(t)
        shot(t, rng, roles, "down", "-v", "-t", "0")
        t.muster("down", "-v", "-t", "0")
        t.nothing_left()


def test_down_storm_supervisor(t):
    """The supervisor is killed in up, then in down -v: nothing is left, no link, rule, cgroup, volume, directory."""
    down_storm(t, ("supervise",), 8)


def test_down_storm_anchor(t):
    """The same with the anchor."""
    down_storm(t, ("anchor",), 8)


def test_down_storm_pair(t):
    """The same with both at once."""
    down_storm(t, PAIR, 8)


def test_client_killed_in_down(t):
    """The command is killed somewhere in restart and down -v: what it asked for happens."""
    rng = random.Random(7)
    t.compose("services: {web: {image: busybox, command: sleep 1000, volumes: ['data:/data'], scale: 3}}\nvolumes: {data: }")
    for i in range(8):
        t.up()
        if i % 2:
            job = t.start("restart", "-t", "0")
            time.sleep(0.005 + rng.random() * 0.05)
            job.kill()
            t.up()
            t.eq([c["State"] for c in t.ps().values()], ["running"] * 3, "after a restart whose command was killed")
        job = t.start("down", "-v", "-t", "0")
        time.sleep(0.01 + rng.random() * 0.05)
        job.kill()
        t.muster("down", "-v", "-t", "0")
        t.nothing_left()


CODES = [0, 1, 2, 3, 42, 100, 125, 126, 127, 128, 137, 143, 200, 254, 255]


def codes(t, roles=()):
    """Jobs that exit with each of CODES while the named processes are killed; {code wanted: what ps says}."""
    services = "".join(f"  c{c}: {{image: busybox, command: sh -c 'sleep 0.{i % 7 + 2}; exit {c}'}}\n" for i, c in enumerate(CODES))
    t.compose("services:\n" + services)
    t.up()
    t.eq(len(t.ids()), len(CODES), "containers")
    end = time.monotonic() + (0.9 if roles else 0)
    while time.monotonic() < end:
        old = t.daemons("supervise")
        victims(t, roles)
        t.wait(lambda old=old: t.daemons("supervise") not in ([], old) and listens(t), 5, "the next ones")
        time.sleep(0.02)
    return wait_codes(t)


def listens(t):
    """Whether the supervisor has taken everything over: then it listens."""
    with socket.socket(socket.AF_UNIX) as s:
        return s.connect_ex(t.run + "/p/control") == 0


def wait_codes(t):
    t.wait(lambda: all(c["State"] == "exited" for c in t.ps().values()), 10, "the end of all")
    no_crash(t)
    return {int(c["Service"][1:]): c["ExitCode"] for c in t.ps().values()}


def test_exit_codes(t):
    """Every exit code is recorded as it was."""
    t.eq(codes(t), {c: c for c in CODES})


def test_exit_codes_supervisor_killed(t):
    """... while the supervisor is killed again and again: the anchor reaps and notes."""
    t.eq(codes(t, ("supervise",)), {c: c for c in CODES})


def test_exit_codes_anchor_killed(t):
    """... while the anchor is killed again and again: whoever takes its place is still their parent. The second time it is the parent itself
    that dies; then a kernel before 6.15 tells nobody, and the code is unknown, never a wrong one."""
    got = codes(t, ("anchor",))
    t.eq(got if systest.KERNEL >= (6, 15) else {c: n for c, n in got.items() if n not in (-1, 255)},
         {c: c for c in CODES if systest.KERNEL >= (6, 15) or got[c] not in (-1, 255)})


def test_exit_codes_nobody(t):
    """... when they end while neither anchor nor supervisor lives: the code may be unknown, it is never a wrong one."""
    t.compose("services:\n" + "".join(f"  c{c}: {{image: busybox, command: sh -c 'sleep 0.4; exit {c}'}}\n" for c in CODES))
    t.up()
    victims(t, PAIR)
    time.sleep(1)
    t.muster("stop", "c0")
    wrong = {c: got for c, got in wait_codes(t).items() if got not in (c, -1, 255)}
    t.eq(wrong, {}, "wrong exit codes")


def test_exit_codes_after_adoption(t):
    """... when anchor and supervisor were killed and have come back before: the kernel tells (Linux 6.15), or the code is unknown."""
    t.compose("services:\n" + "".join(f"  c{c}: {{image: busybox, command: sh -c 'sleep 1; exit {c}'}}\n" for c in CODES))
    t.up()
    victims(t, PAIR)
    t.muster("start")
    got = wait_codes(t)
    t.eq(got if systest.KERNEL >= (6, 15) else {c: n for c, n in got.items() if n not in (-1, 255)},
         {c: c for c in CODES if systest.KERNEL >= (6, 15) or got[c] not in (-1, 255)})


def test_signals_are_codes(t):
    """A command that a signal ends is recorded as 128 + its number."""
    signals = (1, 2, 6, 9, 11, 15)
    t.compose("services:\n" + "".join(f"  c{128 + s}: {{image: busybox, init: true, command: sh -c 'kill -{s} $$$$'}}\n" for s in signals))
    t.up()
    t.eq(wait_codes(t), {128 + s: 128 + s for s in signals})


def test_anchor_is_replaced(t):
    """After a kill of the anchor alone there is one of each of our processes again, without any command, and the policy of a crashing service holds."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}, bad: {image: busybox, command: sh -c 'sleep 0.1; exit 3', restart: always}}")
    t.up()
    pid = t.pid("p-web-1")
    for _ in range(3):
        old = t.daemons("anchor")
        victims(t, ("anchor",))
        for role in ALL:
            t.wait(lambda role=role, old=old: t.another(role, old), 5, f"one {role} again")
        t.wait(lambda: listens(t), 5, "the supervisor")
    t.wait(lambda: t.muster("exec", "-T", "web", "nslookup", "web", rc=None).rc == 0, 5, "names")
    t.eq(t.pid("p-web-1"), pid, "pid of web")
    with open(f"{t.run}/p/c/{t.ids()['p-bad-1'][:12]}/state.json", encoding="utf-8") as f:
        before = f.read()
    t.wait(lambda: open(f"{t.run}/p/c/{t.ids()['p-bad-1'][:12]}/state.json", encoding="utf-8").read() != before, 10, "another restart of bad")


def test_ports_stay_reserved(t):
    """restart: always keeps its ephemeral port over exits, back-off and kills of the supervisor: nobody else can bind it meanwhile."""
    t.compose("services: {web: {image: busybox, restart: always, ports: ['127.0.0.1::80'], command: sh -c 'sleep 0.25; exit 1'}}")
    t.up()
    port = t.port("web", 80)
    end, seen, kills = time.monotonic() + 3, set(), 0
    while time.monotonic() < end:
        t.true(bound(port), f"port {port} was free")
        out = t.muster("port", "web", "80", rc=None).out.strip()
        if out:
            seen.add(out)
        if kills < 4 and time.monotonic() > end - 2.5 + kills * 0.5:
            kills += victims(t, ("supervise",))
    t.eq(seen, {f"127.0.0.1:{port}"}, "addresses seen")
    t.muster("stop")
    t.wait(lambda: not bound(port), 2, "the port's release")


def bound(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
            return False
        except OSError:
            return True


def test_fixed_port_through_changes(t):
    """A fixed host port is taken over without a gap that looks like a conflict: restart, recreate, stop and start, ten times."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s, ports: ['127.0.0.1:18123:80']}}")
    t.up()
    for _ in range(10):
        t.muster("restart")
        t.up("--force-recreate")
        t.muster("stop")
        t.muster("start")
    t.eq(t.port("web", 80), 18123)


def test_stop_wins(t):
    """stop, down and kill end a service that crashes and restarts all the time, at whatever moment they come."""
    t.compose("services: {web: {image: busybox, restart: always, command: sh -c 'sleep 0.02; exit 1', scale: 3}}")
    rng = random.Random(3)
    for _ in range(8):
        t.up()
        time.sleep(rng.random() * 0.3)
        t.muster("stop")
        t.eq([c["State"] for c in t.ps().values()], ["exited"] * 3, "after stop")
        time.sleep(0.25)
        t.eq([c["State"] for c in t.ps().values()], ["exited"] * 3, "a moment after stop")
        t.up()
        time.sleep(rng.random() * 0.3)
        no_crash(t)
        t.muster("down")
        t.eq(t.ps(), {}, "after down")


def test_start_while_it_ends(t):
    """up right when a service has ended starts it: a command never believes an end that is not yet recorded to be running."""
    t.compose("services: {web: {image: busybox, command: sh -c 'sleep 0.05; echo end', stop_grace_period: 0s}}")
    for i in range(12):
        t.up()
        time.sleep(0.045 + i * 0.001)
        started = t.up().err
        t.true("Started" in started or "Running" in started, started)
        if "Started" in started:
            t.wait(lambda: t.ps()["p-web-1"]["State"] == "exited", 5, "the end")
    t.wait(lambda: t.ps()["p-web-1"]["State"] == "exited", 5, "the end")
    no_crash(t)


def test_concurrent_commands(t):
    """Ten ups at once, then up and down at once: each exits 0, the last state is one of theirs, nothing is left."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s, scale: 2}}")
    for job in [t.start("up", "-d") for _ in range(10)]:
        t.eq(job.wait(30), 0, job.err)
    t.eq([c["State"] for c in t.ps().values()], ["running"] * 2)
    for _ in range(4):
        jobs = [t.start("up", "-d"), t.start("down"), t.start("scale", "web=4"), t.start("restart", "-t", "0")]
        time.sleep(0.03)
        victims(t, ("supervise",))
        for job in jobs:
            rc = job.wait(30)
            t.true(rc == 0 or job.args[0] == "restart", f"{job.args}: exit {rc}: {job.err}")
    t.muster("down", "-t", "0")
    t.nothing_left()


def test_two_at_once(t):
    """Two ups, up and down, scale and kill at the same moment: none hangs, each says what happened, and the next up makes it all right."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s, restart: always, scale: 2}}")
    for one, other in ((("up", "-d"), ("up", "-d")), (("up", "-d"), ("down",)), (("scale", "web=4"), ("kill", "web")), (("scale", "web=1"), ("kill", "web")),
                       (("kill", "web"), ("scale", "web=3")), (("down",), ("scale", "web=2"))):
        t.up()
        for job in [t.start(*one), t.start(*other)]:
            rc = job.wait(30)
            t.true(rc == 0 or (rc == 1 and job.err.strip() and "kill" in (one[0], other[0])), f"{job.args} beside {one}, {other}: exit {rc}: {job.err}")
        t.up()
        t.wait(lambda: [c["State"] for c in t.ps().values()] == ["running"] * 2, 5, lambda: f"two running ones: {t.ps()}")
        no_crash(t)
    t.muster("down", "-t", "0")
    t.nothing_left()


def test_broken_start_says_why(t):
    """When the supervisor cannot start, the command says why at once and leaves no process."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    t.up()
    t.muster("down", "-t", "0")
    t.nothing_left()
    os.makedirs(t.root + "/projects", exist_ok=True)
    with open(t.root + "/projects/p", "w", encoding="ascii") as f:
        f.write("not a directory")
    begun = time.monotonic()
    result = t.up(rc=1)
    os.unlink(t.root + "/projects/p")
    t.true(time.monotonic() - begun < 3, f"it took {time.monotonic() - begun:.1f} s")
    t.has(result.err, "projects/p")
    t.nothing_left()


# random moments belong into `make fault`, where a seed that finds something can be looked into; check has each failpoint once
if not os.environ.get("MUSTER_STORM"):
    for storm in [name for name in globals() if name.startswith(("test_storm", "test_down_storm"))]:
        del globals()[storm]


def test_run_finds_its_end(t):
    """A `run --rm` whose supervisor is killed, and which gets to the next one only when its container has ended and gone: the exit code is the
    command's all the same."""
    t.compose("services: {a: {image: busybox, command: sleep 1000, stop_grace_period: 0s}}")
    t.muster("debug", "failpoints", "on")
    t.up()
    for at in (1, 2):  # the new connection's greeting, its question
        job = t.start("run", "--rm", "-T", "a", "sh", "-c", "echo out; sleep 0.3; exit 7")
        t.wait(lambda: [j for j in [job] if "out" in j.out], 5, "the container's output")
        t.muster("debug", "failpoints", f"muster.send=delay:800@{at}")
        t.true(victims(t, ("supervise",)), "nobody to kill")
        t.eq(job.wait(), 7, f"exit code\n{job.err}\n")
        t.eq((job.out, job.err), ("out\n", ""))
    t.muster("debug", "failpoints", "off")
    t.muster("down", "-t", "0")
    t.nothing_left()


def test_run_is_not_started_later(t):
    """A supervisor killed before the command of a `run` has begun: the client says so, and nobody starts the command after that. One in the
    background is carried on, and runs once."""
    t.compose("""
        services:
          a: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
          b: {image: busybox, command: sh -c 'printf x >>/count/runs', volumes: ['./count:/count']}
        """)
    os.mkdir(t.dir + "/count")
    t.muster("debug", "failpoints", "on")
    t.up("a")
    for point in ("op.saved", "start.layers", "start.recorded"):
        t.muster("debug", "failpoints", f"{point}=kill9@1")
        t.has(t.muster("run", "--rm", "-T", "b", rc=1).err, "before the command was started")
        t.muster("ps")
        t.wait(lambda: len(t.ids()) == 1, 5, "the end of what was made")
        t.eq(runs(t), 0, f"runs after {point}")
    for n, point in enumerate(("op.saved", "start.layers", "start.recorded")):
        t.muster("debug", "failpoints", f"{point}=kill9@1")
        t.match(t.muster("run", "--rm", "-d", "b").out.strip(), r"^[0-9a-f]{64}$")
        t.wait(lambda: len(t.ids()) == 1, 5, "the end of the container")
        t.eq(runs(t), n + 1, f"runs after {point}")
    t.muster("debug", "failpoints", "off")
    t.muster("down", "-t", "0")
    t.nothing_left()


def test_run_is_not_started_for_nobody(t):
    """A `run` that is interrupted or killed while it waits, for what it depends on or for another command, is not carried out later."""
    t.compose("""
        services:
          a: {image: busybox, command: sleep 1000, stop_signal: SIGUSR1, stop_grace_period: 2s, init: false}
          slow: {image: busybox, command: sleep 2}
          b: {image: busybox, command: sh -c 'printf x >>/count/runs', volumes: ['./count:/count'], depends_on: {slow: {condition: service_completed_successfully}}}
        """)
    os.mkdir(t.dir + "/count")
    for sig, rc in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        job = t.start("run", "--rm", "-T", "b")
        t.wait(lambda: t.ps().get("p-slow-1", {}).get("State") == "running", 5, "what it depends on")
        os.kill(job.p.pid, sig)
        t.eq(job.wait(), rc)
        t.wait(lambda: t.ps()["p-slow-1"]["State"] == "exited", 5, "the end of it")
        t.muster("up", "-d", "a")
        t.eq((runs(t), sorted(t.ids())), (0, ["p-a-1", "p-slow-1"]), f"runs after {sig.name}")
    stop = t.start("stop", "a")
    t.wait(lambda: t.ps()["p-a-1"]["State"] == "running" and stop.p.poll() is None, 2, "the stop")
    job = t.start("run", "--rm", "-T", "--no-deps", "b")
    time.sleep(0.3)
    job.kill()
    t.eq(stop.wait(), 0)
    t.muster("up", "-d", "a")
    t.eq((runs(t), sorted(t.ids())), (0, ["p-a-1", "p-slow-1"]), "runs after a kill in the queue")
    t.muster("run", "--rm", "-T", "--no-deps", "b")
    t.eq(runs(t), 1)


def test_anchor_dies_handing_over(t):
    """An anchor that is killed after any number of the descriptors that it hands to a new supervisor: names are found afterwards."""
    t.compose("services: {a: {image: busybox, command: sleep 1000, stop_grace_period: 0s}, b: {image: busybox, command: sleep 1000, stop_grace_period: 0s}}")
    t.muster("debug", "failpoints", "on")
    t.up()
    for at in range(1, 11):
        t.muster("debug", "failpoints", f"anchor.list=kill9@{at}")
        t.wait(lambda: victims(t, ("supervise",)), 5, "a supervisor to kill")
        t.up()  # answered by the one that has taken over
        for name, other in (("a", "b"), ("b", "a")):
            t.wait(lambda n=name, o=other: t.muster("exec", "-T", n, "nslookup", o, rc=None).rc == 0, 5, f"{other} inside of {name}, {at}")
    t.muster("debug", "failpoints", "off")
    t.muster("down", "-t", "0")
    t.nothing_left()
