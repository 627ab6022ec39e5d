# SPDX-License-Identifier: Apache-2.0
"""up, plan, scale, create: the reconciler brings about what the file says, and nothing else."""
import json
import re
import signal

TWO = """
    services:
      web:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
        environment: {A: "1"}
      db:
        image: busybox
        command: sleep 1000
        stop_grace_period: 0s
    """


def test_up_creates_and_starts(t):
    """up -d makes the network and every container, says so in docker compose's words, and exits 0."""
    t.compose(TWO)
    said = t.up().err
    t.has(said, " Network p_default  Created", " Container p-web-1  Started", " Container p-db-1  Started")
    t.eq({n: c["State"] for n, c in t.ps().items()}, {"p-db-1": "running", "p-web-1": "running"})


def test_up_again_changes_nothing(t):
    """A second up -d leaves every container as it is: same id, same process, reported as Running."""
    t.compose(TWO)
    t.up()
    ids, pid = t.ids(), t.pid("p-web-1")
    said = t.up().err
    t.has(said, " Container p-web-1  Running", " Container p-db-1  Running")
    t.lacks(said, "Creating", "Recreate", "Starting")
    t.eq(t.ids(), ids, "ids")
    t.eq(t.pid("p-web-1"), pid, "pid of web")


def test_plan_exit_codes(t):
    """plan changes nothing: exit 2 while up would change something, exit 0 after it, and up --dry-run prints the same."""
    t.compose(TWO)
    before = t.muster("plan", rc=2)
    t.has(before.out, "p-web-1", "p-db-1")
    dry = t.muster("up", "--dry-run", rc=None)
    t.has(dry.out, before.out.strip())
    t.eq(t.ps(), {}, "containers after plan")
    t.up()
    t.has(t.muster("plan", rc=0).out, "No changes")


def test_plan_json(t):
    """plan --format json is one JSON document with an action per change, each with its reason."""
    t.compose(TWO)
    plan = json.loads(t.muster("plan", "--format", "json", rc=2).out)
    t.eq(plan["changes"], True)
    t.true(any(a["name"] == "p-web-1" for a in plan["actions"]), f"no action for p-web-1: {plan}")
    t.true(all(a["reason"] for a in plan["actions"]), f"an action without reason: {plan}")
    t.up()
    t.eq(json.loads(t.muster("plan", "--format", "json", rc=0).out)["changes"], False)


def test_plan_says_why(t):
    """A changed field is named in the plan, with the service that it belongs to and no other."""
    t.compose(TWO)
    t.up()
    t.compose(TWO.replace('A: "1"', 'A: "2"'))
    out = t.muster("plan", rc=2).out
    t.match(out, r"p-web-1.*environment|environment.*p-web-1")
    t.lacks("\n".join(x for x in out.splitlines() if re.search(r"create|stop|remove", x)), "p-db-1")


def test_environment_change_recreates_only_that(t):
    """Editing one service's environment recreates exactly that service."""
    t.compose(TWO)
    t.up()
    before = t.ids()
    t.compose(TWO.replace('A: "1"', 'A: "2"'))
    said = t.up().err
    t.has(said, " Container p-web-1  Recreated", " Container p-db-1  Running")
    after = t.ids()
    t.true(after["p-web-1"] != before["p-web-1"], "web was not recreated")
    t.eq(after["p-db-1"], before["p-db-1"], "id of db")
    t.eq(t.sh("web", "echo $A"), "2\n")


def test_env_file_and_variable_change(t):
    """A change in an env_file, or of a variable in .env, recreates exactly the services that use it."""
    t.file("web.env", "COLOUR=red\n")
    t.file(".env", "SHAPE=round\n")
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, env_file: web.env}
          db: {image: busybox, command: sleep 1000, environment: {SHAPE: "$SHAPE"}}
          job: {image: busybox, command: sleep 1000}
        """)
    t.up("-t", "0")
    one = t.ids()
    t.file("web.env", "COLOUR=blue\n")
    t.up("-t", "0")
    two = t.ids()
    t.eq([n for n in one if one[n] != two[n]], ["p-web-1"], "recreated")
    t.eq(t.sh("web", "echo $COLOUR"), "blue\n")
    t.file(".env", "SHAPE=square\n")
    t.up("-t", "0")
    three = t.ids()
    t.eq([n for n in one if three[n] != two[n]], ["p-db-1"], "recreated")
    t.up("-t", "0", env={"SHAPE": "oval"})
    t.eq(t.sh("db", "echo $SHAPE"), "oval\n", "the shell's variable wins over .env")


def test_force_and_no_recreate(t):
    """--force-recreate replaces unchanged containers, --no-recreate keeps changed ones; together they are refused."""
    t.compose(TWO)
    t.up()
    one = t.ids()
    t.up("--force-recreate", "-t", "0", "web")
    two = t.ids()
    t.eq([n for n in one if one[n] != two[n]], ["p-web-1"], "recreated")
    t.compose(TWO.replace('A: "1"', 'A: "2"'))
    t.up("--no-recreate")
    t.eq(t.ids(), two, "ids with --no-recreate")
    t.muster("up", "-d", "--no-recreate", "--force-recreate", rc=1)


def test_scale_flag_and_return(t):
    """--scale sets replicas for this up; the next up without it returns to the file's count."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, deploy: {replicas: 2}}}")
    t.up("--scale", "web=4", "-t", "0")
    t.eq(sorted(t.ps()), [f"p-web-{i}" for i in (1, 2, 3, 4)])
    t.up("-t", "0")
    t.eq(sorted(t.ps()), ["p-web-1", "p-web-2"])


def test_scale_command(t):
    """scale web=3 and back to 1: the oldest replica stays the same container."""
    t.compose(TWO)
    t.up()
    first = t.ids()["p-web-1"]
    t.muster("scale", "web=3")
    t.eq(sorted(t.ps()), ["p-db-1", "p-web-1", "p-web-2", "p-web-3"])
    t.muster("scale", "web=1")
    t.eq(sorted(t.ps()), ["p-db-1", "p-web-1"])
    t.eq(t.ids()["p-web-1"], first, "id of p-web-1")


def test_scale_ephemeral_ports(t):
    """ports: ["3000"]: each of three replicas answers on a host port of its own."""
    t.compose("""
        services:
          web:
            image: busybox
            command: sh -c 'hostname >/tmp/index.html; exec httpd -f -p 3000 -h /tmp'
            stop_grace_period: 0s
            ports: ["3000"]
        """)
    t.up()
    t.muster("scale", "web=3")
    ports = [t.port("web", 3000, "--index", i) for i in (1, 2, 3)]
    t.eq(len(set(ports)), 3, "different ports")
    names = {t.http(f"http://127.0.0.1:{p}/index.html") for p in ports}
    t.eq(names, {short[:12] + "\n" for short in t.ids().values()}, "each port is another container")
    t.muster("scale", "web=1")
    t.true(t.refused("127.0.0.1", ports[2]), "the port of a removed replica still answers")


def test_scale_fixed_port_refused(t):
    """A fixed host port and three replicas: refused before anything starts, one message with the port and the way out."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, ports: ["127.0.0.1:18080:80"]}
        """)
    t.up()
    before = t.ids()
    said = t.muster("scale", "web=3", rc=1).err
    t.has(said, "18080", "web")
    t.match(said, r"[Rr]ange|drop the host port|ephemeral|without a host port")
    t.eq(t.ids(), before, "containers after the refusal")
    t.has(t.muster("up", "-d", "--scale", "web=2", rc=1).err, "18080")


def test_scale_unknown_service(t):
    """scale names an unknown service by what is close to it, and changes nothing."""
    t.compose(TWO)
    t.has(t.muster("scale", "wbe=2", rc=1).err, "no such service: wbe")
    t.muster("scale", "web=-1", rc=1)
    t.muster("scale", "web", rc=1)
    t.eq(t.ps(), {})


def test_orphans(t):
    """A container whose service left the file is warned of, and removed only with --remove-orphans."""
    t.compose(TWO)
    t.up()
    t.compose("services: {web: {image: busybox, command: sleep 1000, environment: {A: '1'}}}")
    t.has(t.up().err, "orphan", "p-db-1")
    t.eq(sorted(t.ps()), ["p-db-1", "p-web-1"])
    t.up("--remove-orphans", "-t", "0")
    t.eq(sorted(t.ps()), ["p-web-1"])


def test_no_start_and_create(t):
    """up --no-start and create make containers that have not run; start runs them."""
    t.compose(TWO)
    t.muster("up", "--no-start")
    t.eq({c["State"] for c in t.ps().values()}, {"created"})
    t.muster("start")
    t.eq({c["State"] for c in t.ps().values()}, {"running"})
    t.muster("down", "-t", "0")
    t.muster("create", "web")
    t.eq({n: c["State"] for n, c in t.ps().items()}, {"p-web-1": "created"})


def test_no_deps(t):
    """up SERVICE starts what it depends on; with --no-deps only itself."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, depends_on: [db]}
          db: {image: busybox, command: sleep 1000}
        """)
    t.up("--no-deps", "web")
    t.eq(sorted(t.ps()), ["p-web-1"])
    t.up("web")
    t.eq(sorted(t.ps()), ["p-db-1", "p-web-1"])


def test_dependency_order(t):
    """A service starts after what it depends on; service_completed_successfully waits for the exit."""
    t.compose("""
        services:
          web:
            image: busybox
            command: sh -c 'cat /data/done && sleep 1000'
            volumes: ["shared:/data"]
            depends_on:
              job: {condition: service_completed_successfully}
          job:
            image: busybox
            command: sh -c 'sleep 0.3; echo ready >/data/done'
            volumes: ["shared:/data"]
        volumes: {shared: }
        """)
    t.up()
    t.eq({n: c["State"] for n, c in t.ps().items()}, {"p-job-1": "exited", "p-web-1": "running"})
    t.wait(lambda: "ready" in t.muster("logs", "--no-log-prefix", "web").out, 3, "ready in the log of web")


def test_failed_dependency(t):
    """A job that fails stops those that wait for it: exit 1, its exit code named, the dependent not started."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, depends_on: {job: {condition: service_completed_successfully}}}
          job: {image: busybox, command: "sh -c 'exit 3'"}
        """)
    said = t.up(rc=1).err
    t.has(said, 'service "job" didn\'t complete successfully: exit 3')
    t.true(t.ps().get("p-web-1", {}).get("State") != "running", "web runs although its job failed")


def test_profiles(t):
    """A service with a profile runs only when the profile is on or the service is named."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000}
          debug: {image: busybox, command: sleep 1000, profiles: [tools]}
        """)
    t.up()
    t.eq(sorted(t.ps()), ["p-web-1"])
    t.muster("--profile", "tools", "up", "-d")
    t.eq(sorted(t.ps()), ["p-debug-1", "p-web-1"])


def test_wait(t):
    """up --wait returns 0 once all run; exit 1 when one fails instead, and 1 when the time is up."""
    t.compose(TWO)
    t.muster("up", "--wait", "--wait-timeout", "10")
    t.eq({c["State"] for c in t.ps().values()}, {"running"})
    t.muster("down", "-t", "0")
    t.compose("services: {web: {image: busybox, command: sh -c 'exit 4'}}")
    t.muster("up", "--wait", rc=1)


def test_attached_up_and_ctrl_c(t):
    """Attached up shows prefixed logs; SIGINT stops the containers gracefully and ends with 130 or 0."""
    t.compose("""
        services:
          web:
            image: busybox
            command: sh -c 'trap "echo bye; exit 0" TERM; echo hello; while :; do sleep 0.05; done'
        """)
    job = t.start("up")
    job.expect(r"web-1\s+\| hello")
    job.signal(signal.SIGINT)
    t.true(job.wait() in (0, 130), f"exit {job.p.returncode}")
    t.has(job.out, "bye")
    t.match(job.out + job.err, r"[Gg]racefully")
    t.eq(t.ps()["p-web-1"]["State"], "exited")
    t.eq(t.ps()["p-web-1"]["ExitCode"], 0)


def test_second_ctrl_c_kills(t):
    """The second SIGINT does not wait for the grace period."""
    t.compose("""
        services:
          web: {image: busybox, command: "sh -c 'trap \\"\\" TERM; echo up; while :; do sleep 1; done'", stop_grace_period: 30s}
        """)
    job = t.start("up")
    job.expect(r"\| up")
    job.signal(signal.SIGINT)
    job.expect("[Gg]racefully")
    job.signal(signal.SIGINT)
    job.wait(8)
    t.eq(t.ps()["p-web-1"]["State"], "exited")
    t.eq(t.ps()["p-web-1"]["ExitCode"], 137)


def test_sigterm_and_sighup_stop(t):
    """SIGTERM and SIGHUP act like the first Ctrl+C: the project stops gracefully."""
    t.compose("""
        services:
          web: {image: busybox, command: "sh -c 'trap \\"echo bye; exit 0\\" TERM; echo up; while :; do sleep 0.05; done'"}
        """)
    for sig in (signal.SIGTERM, signal.SIGHUP):
        job = t.start("up")
        job.expect(r"\| up")
        job.signal(sig)
        job.wait()
        t.has(job.out, "bye")
        t.eq(t.ps()["p-web-1"]["State"], "exited")


def test_cli_killed_leaves_project(t):
    """kill -9 of an attached up leaves the containers running and the project usable."""
    t.compose(TWO)
    job = t.start("up")
    t.wait(lambda: len([c for c in t.ps().values() if c["State"] == "running"]) == 2, 5, "two running containers")
    ids, pid = t.ids(), t.pid("p-web-1")
    job.p.kill()
    job.wait()
    t.eq(t.ids(), ids, "ids")
    t.eq(t.pid("p-web-1"), pid, "pid of web")
    t.has(t.up().err, " Container p-web-1  Running")


def test_cli_killed_during_up(t):
    """kill -9 of up -d at any moment stops nothing halfway: the containers come up all the same."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, depends_on: {job: {condition: service_completed_successfully}}}
          job: {image: busybox, command: sleep 0.5}
        """)
    job = t.start("up", "-d")
    t.wait(lambda: t.ps().get("p-job-1", {}).get("State") == "running", 5, "running job")
    job.p.kill()
    job.wait()
    t.wait(lambda: t.ps().get("p-web-1", {}).get("State") == "running", 5, "web after its job")


def test_abort_on_container_exit(t):
    """--abort-on-container-exit stops the rest when one ends and returns its exit code."""
    t.compose("""
        services:
          a: {image: busybox, command: "sh -c 'sleep 0.2; exit 3'"}
          b: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
        """)
    job = t.muster("up", "--abort-on-container-exit", rc=3)
    t.has(job.out, "a-1 exited with code 3")
    t.eq({c["State"] for c in t.ps().values()}, {"exited"})


def test_exit_code_from(t):
    """--exit-code-from returns that service's code."""
    t.compose("""
        services:
          a: {image: busybox, command: "sh -c 'sleep 0.1; exit 3'"}
          b: {image: busybox, command: "sh -c 'trap \\"exit 5\\" TERM; while :; do sleep 0.05; done'"}
        """)
    t.muster("up", "--exit-code-from", "b", rc=5)
    t.has(t.muster("up", "--exit-code-from", "zzz", rc=1).err, "zzz")


def test_abort_on_container_failure(t):
    """--abort-on-container-failure goes on after an exit with 0 and stops at the first other one."""
    t.compose("""
        services:
          ok: {image: busybox, command: "true"}
          bad: {image: busybox, command: "sh -c 'sleep 0.5; exit 7'"}
          long: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
        """)
    t.muster("up", "--abort-on-container-failure", rc=7)
    t.eq({c["State"] for c in t.ps().values()}, {"exited"})


def test_attach_ends_when_all_exit(t):
    """Attached up ends with 0 when the last container has ended, and says each one's code."""
    t.compose("""
        services:
          a: {image: busybox, command: "sh -c 'echo one; echo two >&2; exit 4'"}
        """)
    done = t.muster("up")
    t.has(done.out + done.err, "one", "two", "a-1 exited with code 4")


def test_flag_conflicts(t):
    """Flags that contradict each other are refused before anything happens."""
    t.compose(TWO)
    for flags in (("-d", "--abort-on-container-exit"), ("--wait", "--abort-on-container-exit"), ("--no-recreate", "-V"),
                  ("--always-recreate-deps", "--no-recreate"), ("--abort-on-container-exit", "--abort-on-container-failure")):
        done = t.muster("up", *flags, rc=1)
        t.true(done.err.strip(), f"no message for {flags}")
    t.eq(t.ps(), {})


def test_later_flags_refused(t):
    """What a later version brings answers "not supported yet" with exit 1 and does nothing."""
    t.compose(TWO)
    for args in (("watch",), ("cp", "web:/a", "b"), ("events",), ("top",), ("up", "--watch")):
        done = t.muster(*args, rc=1)
        t.has(done.err, "not supported yet")
    t.eq(t.ps(), {})


def test_unsupported_keys_refused(t):
    """Valid keys that are not honoured yet: config accepts them; up refuses, all in one answer with positions, nothing started."""
    t.compose("""\
        services:
          web:
            image: busybox
            command: sleep 1000
            runtime: kata
            userns_mode: private
        """)
    t.has(t.muster("config").out, "runtime: kata")
    for verb in (("up", "-d"), ("create",), ("run", "--rm", "web", "true")):
        said = t.muster(*verb, rc=1).err
        t.has(said, "compose.yaml:5:", "compose.yaml:6:", "runtime", "userns_mode", "not supported yet")
    t.eq(t.ps(), {})
    t.eq(t.muster("network", "ls", "-q").out, "")


def test_restart_uses_same_container(t):
    """restart keeps the container and its file system, with a new process."""
    t.compose(TWO)
    t.up()
    ids, pid = t.ids(), t.pid("p-web-1")
    t.sh("web", "echo kept >/kept")
    t.has(t.muster("restart", "-t", "0", "web").err, " Container p-web-1  Started")
    t.eq(t.ids(), ids)
    t.true(t.pid("p-web-1") != pid, "same process after restart")
    t.eq(t.sh("web", "cat /kept"), "kept\n")


def test_concurrent_ups(t):
    """Two ups at once serialise: both end with 0, one set of containers."""
    t.compose(TWO)
    jobs = [t.start("up", "-d") for _ in range(3)]
    t.eq([j.wait() for j in jobs], [0, 0, 0], "exit codes")
    t.eq(sorted(t.ps()), ["p-db-1", "p-web-1"])


def test_labels(t):
    """Containers carry docker compose's labels, so that other tools find them."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, labels: {com.x: y}, depends_on: []}}")
    t.up()
    labels = dict(x.split("=", 1) for x in t.ps()["p-web-1"]["Labels"].split(","))
    want = {"com.docker.compose.project": "p", "com.docker.compose.service": "web", "com.docker.compose.container-number": "1",
            "com.docker.compose.oneoff": "False", "com.docker.compose.project.working_dir": t.dir,
            "com.docker.compose.project.config_files": t.dir + "/compose.yaml", "com.x": "y"}
    t.eq({k: labels.get(k) for k in want}, want, "labels")
    t.match(labels.get("com.docker.compose.config-hash", ""), r"^[0-9a-f]{64}$")
    t.match(labels.get("com.docker.compose.image", ""), r"^sha256:[0-9a-f]{64}$")
    t.true(labels.get("com.docker.compose.version"), "no version label")


def test_attached_up_keeps_streams_apart(t):
    """What containers write to their stderr comes out of `up` on stderr, the rest on stdout, each in order; `logs` has both on stdout."""
    t.compose("""
        services:
          web:
            image: busybox
            command: sh -c 'for i in 1 2 3; do echo out $$i; echo err $$i >&2; done'
        """)
    r = t.muster("up")
    lines = [f"web-1  | out {i}" for i in (1, 2, 3)]
    t.eq([x for x in r.lines if "|" in x], lines)
    t.eq([x for x in r.err.splitlines() if " | " in x], [x.replace("out", "err") for x in lines])
    t.has(r.out, "web-1 exited with code 0")
    logs = t.muster("logs")
    t.eq((sorted(logs.lines), logs.err), (sorted(lines + [x.replace("out", "err") for x in lines]), ""))
