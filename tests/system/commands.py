# SPDX-License-Identifier: Apache-2.0
"""ps, logs, exec, run and the other verbs: what tools parse is as docker compose prints it, what people type works."""
import gzip
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import termios
import threading
import time

WEB = """
    services:
      web:
        image: busybox
        command: sleep 1000
    """
# says hello, ends gracefully
TALK = """
    services:
      web:
        image: busybox
        command: sh -c 'trap "echo bye; exit 0" TERM; echo hello; while :; do sleep 0.05; done'
    """


def test_ps_table(t):
    """ps has docker compose's columns; stopped containers only with -a."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, ports: ["127.0.0.1:18081:80"]}
          job: {image: busybox, command: "sh -c 'exit 3'"}
        """)
    t.up()
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 5, "the end of job")
    head, *rows = t.muster("ps").lines
    t.eq(head.split(), ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"])
    t.eq(len(rows), 1, "running containers")
    t.match(rows[0], r'^p-web-1 +busybox +"sleep 1000" +web +.* ago +Up .* 127\.0\.0\.1:18081->80/tcp')
    t.match(t.muster("ps", "-a").out, r"^p-job-1 .*Exited \(3\)")


def test_ps_flags(t):
    """-q, --services, --status, --filter, --no-trunc, --format with a template."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000}
          job: {image: busybox, command: "true"}
        """)
    t.up()
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 5, "the end of job")
    t.match(t.muster("ps", "-q").out, r"\A[0-9a-f]{64}\n\Z")
    t.eq(len(t.muster("ps", "-a", "-q").lines), 2, "ids")
    t.eq(t.muster("ps", "--services").lines, ["web"])
    t.eq(t.muster("ps", "--services", "--status", "exited").lines, ["job"])
    t.eq(t.muster("ps", "-a", "--filter", "status=exited", "--format", "{{.Name}}").lines, ["p-job-1"])
    t.eq(t.muster("ps", "web", "--format", "{{.Service}} {{.State}}").out, "web running\n")
    t.has(t.muster("ps", "zzz", rc=1).err, "no such service: zzz")


def test_ps_json(t):
    """ps --format json is one object a line with docker compose's members."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, ports: ['127.0.0.1:18082:80/udp'], volumes: ['data-of-the-web:/d']},"
              " b: {image: busybox, command: sleep 1000}}\nvolumes: {data-of-the-web: {}}")
    t.up()
    row, plain = t.ps()["p-web-1"], t.ps()["p-b-1"]
    want = {"Command", "CreatedAt", "ExitCode", "Health", "ID", "Image", "Labels", "LocalVolumes", "Mounts", "Name", "Names", "Networks",
            "Ports", "Project", "Publishers", "RunningFor", "Service", "Size", "State", "Status"}
    t.eq(want - set(row), set(), "members that are missing")
    t.match(row["ID"], "^[0-9a-f]{12}$")
    t.eq(row["Publishers"], [{"URL": "127.0.0.1", "TargetPort": 80, "PublishedPort": 18082, "Protocol": "udp"}])
    t.eq((row["LocalVolumes"], row["Mounts"]), ("1", "p_data-of-the-…"), "a number is text, a name is cut to 15 characters")
    t.eq((plain["Publishers"], plain["LocalVolumes"], plain["Mounts"]), ([], "0", ""), "a list that may be iterated over")
    t.match(row["CreatedAt"], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC$")
    t.eq(row["Networks"], "p_default")


def test_logs_merged_by_time(t):
    """logs of several services are one stream ordered by time, each line with its prefix."""
    t.compose("""
        services:
          a: {image: busybox, command: "sh -c 'for i in 1 3 5; do echo $$i; sleep 0.4; done'"}
          b: {image: busybox, command: "sh -c 'sleep 0.2; for i in 2 4 6; do echo $$i >&2; sleep 0.4; done'"}
        """)
    t.up()
    t.wait(lambda: {c["State"] for c in t.ps().values()} == {"exited"}, 5, "the end of both")
    done = t.muster("logs", "-t", "--no-log-prefix")
    stamps = [x.split()[0] for x in (done.out + done.err).splitlines()]
    t.eq(stamps, sorted(stamps), "time stamps")
    t.match(stamps[0], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
    lines = t.muster("logs").out.splitlines()
    t.eq([x for x in lines if x.startswith("a-1")], ["a-1  | 1", "a-1  | 3", "a-1  | 5"])
    one = t.start("logs", "--no-log-prefix")
    one.wait()
    t.eq(sorted((one.out + one.err).split()), list("123456"))


def test_logs_tail_since_until(t):
    """--tail counts per container, --since and --until take times and durations."""
    t.compose("services: {a: {image: busybox, command: \"sh -c 'seq 1 20; sleep 1.2; echo late'\"}}")
    t.up()
    t.wait(lambda: t.ps()["p-a-1"]["State"] == "exited", 5, "the end of a")
    t.eq(t.muster("logs", "--tail", "2", "--no-log-prefix").lines, ["20", "late"])
    t.eq(t.muster("logs", "-n", "0", "--no-log-prefix").lines, [])
    t.eq(len(t.muster("logs", "--tail", "all").lines), 21)
    stamps = [x.split()[0] for x in t.muster("logs", "-t", "--no-log-prefix").lines]
    t.eq(t.muster("logs", "--since", stamps[-1], "--no-log-prefix").lines, ["late"])
    t.eq(t.muster("logs", "--until", stamps[0], "--no-log-prefix").lines[:1], ["1"])
    t.eq(len(t.muster("logs", "--since", "10m").lines), 21)
    t.eq(t.muster("logs", "--since", "2099-01-01T00:00:00Z").lines, [])
    t.muster("logs", "--since", "yesterday-ish", rc=1)
    t.muster("logs", "--tail", "many", rc=1)


def test_logs_follow(t):
    """logs -f shows what comes, follows a restart of the container, and ends with SIGINT without touching it."""
    t.compose(TALK)
    t.up()
    job = t.start("logs", "-f", "web")
    job.expect(r"hello")
    t.muster("restart", "-t", "5", "web")
    t.wait(lambda: job.out.count("hello") == 2 and "bye" in job.out, 5, lambda: f"second hello:\n{job.out}")
    job.signal(signal.SIGINT)
    job.wait()
    t.eq(t.ps()["p-web-1"]["State"], "running")


def test_logs_are_complete(t):
    """A hundred thousand numbered lines arrive once each and in order."""
    t.compose("services: {a: {image: busybox, command: seq 1 100000}}")
    t.up()
    t.wait(lambda: t.ps()["p-a-1"]["State"] == "exited", 10, "the end of a")
    out = t.muster("logs", "--no-log-prefix").out
    t.eq(hashlib.sha256(out.encode()).hexdigest(), hashlib.sha256("".join(f"{i}\n" for i in range(1, 100001)).encode()).hexdigest(), "digest of the log")


def test_logs_without_newline_and_binary(t):
    """A last line without newline and bytes that are no UTF-8 come through."""
    t.compose("services: {a: {image: busybox, command: ['printf', 'x\\377y\\nend']}}")
    t.up()
    t.wait(lambda: t.ps()["p-a-1"]["State"] == "exited", 5, "the end of a")
    t.eq(t.muster("logs", "--no-log-prefix").raw.rstrip(b"\n"), b"x\xffy\nend")


def test_exec_exit_codes(t):
    """exec returns the command's code; 127 not found, 126 not executable, 128+n on a signal."""
    t.compose(WEB)
    t.up()
    t.muster("exec", "-T", "web", "true")
    t.muster("exec", "-T", "web", "sh", "-c", "exit 42", rc=42)
    t.has(t.muster("exec", "-T", "web", "nosuchcmd", rc=127).err, "nosuchcmd")
    t.muster("exec", "-T", "web", "/etc/passwd", rc=126)
    t.muster("exec", "-T", "web", "sh", "-c", "kill -9 $$", rc=137)
    t.has(t.muster("exec", "-T", "zzz", "true", rc=1).err, "zzz")


def test_exec_streams(t):
    """exec -T: stdin to its end, stdout and stderr apart and byte-exact."""
    t.compose(WEB)
    t.up()
    data = os.urandom(3_000_000)
    done = t.muster("exec", "-T", "web", "sh", "-c", "cat; echo problem >&2", stdin=data)
    t.eq(done.raw == data, True, "bytes through exec are equal")
    t.eq(done.err, "problem\n")


def test_exec_flags(t):
    """-u, -w, -e, -d, --index."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, environment: {A: '1'}, scale: 2}}")
    t.up()
    t.eq(t.muster("exec", "-T", "-u", "app", "-w", "/tmp", "-e", "A=2", "-e", "B=3", "web", "sh", "-c", "id -un; pwd; echo $A$B$HOME").lines,
         ["app", "/tmp", "23/home/app"])
    t.eq(t.muster("exec", "-T", "-u", "1234:50", "web", "sh", "-c", "id -u; id -g").lines, ["1234", "50"])
    t.has(t.muster("exec", "-T", "-u", "nobodyhere", "web", "true", rc=None).err, "nobodyhere")
    ids = t.ids()
    t.eq(t.muster("exec", "-T", "--index", "2", "web", "hostname").out.strip(), ids["p-web-2"])
    t.muster("exec", "-d", "web", "sh", "-c", "echo yes >/done")
    t.wait(lambda: t.muster("exec", "-T", "web", "cat", "/done", rc=None).out == "yes\n", 3, "the detached command's file")
    t.true(t.muster("exec", "-T", "-w", "/nosuch", "web", "true", rc=None).rc != 0, "exec in a missing directory worked")


def test_exec_terminal(t):
    """exec on a terminal: a real tty with job control, the window's size and its changes, the exit code, settings restored."""
    t.compose(WEB)
    t.up()
    tty = t.terminal("exec", "web", "sh", rows=33, cols=101)
    tty.expect("# ")
    tty.send("tty; stty size\n")
    tty.expect(r"/dev/pts/\d+")
    tty.expect("33 101")
    tty.resize(20, 66)
    time.sleep(0.15)
    tty.send("stty size\n")
    tty.expect("20 66")
    tty.send("sleep 100\n")
    time.sleep(0.2)
    tty.send("\x03")
    tty.expect("# ")
    tty.send("echo after=$?\n")
    tty.expect("after=130")
    tty.send("sleep 100\n")
    time.sleep(0.2)
    tty.send("\x1a")
    tty.expect("[Ss]topped")
    tty.send("fg\n")
    time.sleep(0.2)
    tty.send("\x03")
    tty.expect("# ")
    tty.send("exit 9\n")
    t.eq(tty.wait(), 9, "exit code")
    t.eq(termios.tcgetattr(tty.slave)[:4], tty.before[:4], "terminal settings after exec")


def test_exec_broken_pipe(t):
    """`exec … | head -1` ends at once and leaves no process in the container."""
    t.compose(WEB)
    t.up()
    done = subprocess.run(["sh", "-c", '"$0" exec -T web yes | head -1', t.binary], env=t.environ(), cwd=t.dir, capture_output=True, timeout=10, check=False)
    t.eq(done.stdout, b"y\n")
    t.wait(lambda: "yes" not in t.sh("web", "ps | grep '[y]es' || :"), 3, "the end of yes")


def test_run_byte_exact(t):
    """cat dump | run -T is byte-exact, exit code and stderr its own; --rm leaves nothing."""
    t.compose(WEB)
    data = os.urandom(2_000_000)
    done = t.muster("run", "--rm", "-T", "web", "sh", "-c", "cat; echo e >&2; exit 6", stdin=data, rc=6)
    t.eq(done.raw == data, True, "bytes through run are equal")
    t.has(done.err, "e\n")
    t.eq(t.ps(), {}, "containers after run --rm")


def test_run_flags(t):
    """-e, -u, -w, --entrypoint, --name, -d, -l; the name is project-service-run-xxxx otherwise."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, entrypoint: [sh, -c, 'echo wrong']}}")
    t.eq(t.muster("run", "--rm", "-T", "-e", "A=5", "-u", "app", "-w", "/tmp", "--entrypoint", "sh", "web", "-c", "echo $A; id -un; pwd").lines,
         ["5", "app", "/tmp"])
    run_id = t.muster("run", "-d", "--entrypoint", "sleep", "web", "1000").out.strip()
    t.match(run_id, r"^[0-9a-f]{64}$")
    (name,) = t.ps()
    t.eq(t.ps("--no-trunc")[name]["ID"], run_id)
    t.eq(t.ps()[name]["State"], "running")
    t.has(t.ps()[name]["Labels"], "com.docker.compose.oneoff=True")
    run_id = t.muster("run", "-d", "--name", "my-name", "--entrypoint", "sleep", "web", "1000").out.strip()
    t.eq(t.ps("--no-trunc")["my-name"]["ID"], run_id)
    t.muster("run", "--rm", "-d", "--name", "my-name", "--entrypoint", "true", "web", rc=1)


def test_run_rm_syncs_nothing(t):
    """What a `run --rm` container wrote is thrown away at its end: its root is mounted so that this costs no sync. Everybody else's keeps its promises."""
    t.compose(WEB)
    t.up()
    root = ("sh", "-c", "grep ' / overlay ' /proc/mounts")
    t.has(t.muster("run", "--rm", "-T", "web", *root).out, "volatile")
    t.eq("volatile" in t.muster("run", "-T", "web", *root).out, False, "a container that stays")
    t.eq("volatile" in t.muster("exec", "-T", "web", *root).out, False, "a service")


def test_run_dependencies(t):
    """run starts what the service depends on unless --no-deps, publishes ports only with --service-ports or -p."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, depends_on: [db], ports: ["127.0.0.1:18083:80"]}
          db: {image: busybox, command: sleep 1000}
        """)
    t.muster("run", "--rm", "-T", "--no-deps", "web", "true")
    t.eq(t.ps(), {}, "containers after --no-deps")
    t.muster("run", "--rm", "-T", "web", "nslookup", "db")
    t.eq(sorted(t.ps()), ["p-db-1"])
    t.muster("run", "-d", "--name", "one", "--service-ports", "web", "httpd", "-f", "-h", "/etc")
    t.has(t.http("http://127.0.0.1:18083/hostname"), "")
    t.has(t.ps()["one"]["Ports"], "127.0.0.1:18083->80/tcp")
    t.muster("run", "-d", "-p", "127.0.0.1:18084:80", "web", "httpd", "-f", "-h", "/etc")
    t.http("http://127.0.0.1:18084/hostname")
    t.muster("run", "--rm", "--service-ports", "-p", "1:1", "web", "true", rc=1)


def test_run_terminal(t):
    """run on a terminal gives the container a tty; its exit code comes back."""
    t.compose(WEB)
    tty = t.terminal("run", "--rm", "web", "sh")
    tty.expect("# ")
    tty.send("tty; stty size; exit 3\n")
    tty.expect("/dev/(pts/0|console)")
    tty.expect("24 80")
    t.eq(tty.wait(), 3, "exit code")


def test_run_signal(t):
    """SIGTERM to run ends the container and is told as 143; --rm removes it all the same."""
    t.compose(WEB)
    job = t.start("run", "--rm", "-T", "web", "sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done")
    job.expect("ready")
    job.signal(signal.SIGTERM)
    t.true(job.wait() in (9, 143), f"exit {job.p.returncode}")
    t.wait(lambda: t.ps() == {}, 5, "removal")


def test_run_command_not_found(t):
    """run of a command that the image lacks: exit 127, one message, nothing left with --rm."""
    t.compose(WEB)
    t.has(t.muster("run", "--rm", "-T", "web", "nosuchcmd", rc=127).err, "nosuchcmd")
    t.eq(t.ps(), {})


def test_stop_start(t):
    """stop sends the stop signal and waits for a graceful end; start runs the same container again."""
    t.compose(TALK)
    t.up()
    ids = t.ids()
    t.has(t.muster("stop").err, " Container p-web-1  Stopped")
    t.eq((t.ps()["p-web-1"]["State"], t.ps()["p-web-1"]["ExitCode"]), ("exited", 0))
    t.has(t.muster("logs").out, "bye")
    t.has(t.muster("start").err, " Container p-web-1  Started")
    t.eq(t.ids(), ids)


def test_stop_timeout(t):
    """A container that ignores the signal is killed after -t seconds, or after its stop_grace_period."""
    t.compose("services: {web: {image: busybox, command: \"sh -c 'trap \\\"\\\" TERM; while :; do sleep 1; done'\", stop_grace_period: 500ms}}")
    t.up()
    begun = time.monotonic()
    t.muster("stop")
    took = time.monotonic() - begun
    t.true(0.4 < took < 3, f"stop with a grace of 500 ms took {took:.2f} s")
    t.eq(t.ps()["p-web-1"]["ExitCode"], 137)
    t.muster("start")
    begun = time.monotonic()
    t.muster("stop", "-t", "1")
    t.true(0.9 < time.monotonic() - begun < 4, "stop -t 1")


def test_stop_signal(t):
    """stop_signal is what stop sends; init: true reaps and forwards."""
    t.compose("""
        services:
          web: {image: busybox, stop_signal: SIGUSR1, command: "sh -c 'trap \\"echo usr1; exit 0\\" USR1; while :; do sleep 0.05; done'"}
          ini: {image: busybox, init: true, command: sleep 1000}
        """)
    t.up()
    begun = time.monotonic()
    t.muster("stop")
    t.true(time.monotonic() - begun < 3, "stop took the whole grace period")
    t.has(t.muster("logs", "web").out, "usr1")
    t.eq(t.ps()["p-ini-1"]["ExitCode"], 143)


def test_kill(t):
    """kill sends SIGKILL or -s SIGNAL."""
    t.compose("""
        services:
          a: {image: busybox, command: sleep 1000}
          b: {image: busybox, command: "sh -c 'trap \\"echo hup\\" HUP; echo on; while :; do sleep 0.05; done'"}
        """)
    t.up()
    t.wait(lambda: "on" in t.muster("logs", "b").out, 5, "b")
    t.muster("kill", "-s", "HUP", "b")
    t.wait(lambda: "hup" in t.muster("logs", "b").out, 5, "the signal")
    t.muster("kill", "a")
    t.wait(lambda: t.ps()["p-a-1"]["State"] == "exited", 5, "the end of a")
    t.eq(t.ps()["p-a-1"]["ExitCode"], 137)
    t.eq(t.ps()["p-b-1"]["State"], "running")
    t.muster("kill", "-s", "NOSUCH", rc=1)


def test_rm(t):
    """rm -f removes stopped containers only; -s stops first; -v takes anonymous volumes along."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s, volumes: [/anon]}}")
    t.up()
    t.has(t.muster("rm", "-f").out + t.muster("rm", "-f").err, "No stopped containers")
    t.eq(sorted(t.ps()), ["p-web-1"])
    t.muster("kill")
    t.muster("rm", "-f")
    t.eq(t.ps(), {})
    t.up()
    t.muster("rm", "-f", "-s", "-v")
    t.eq(t.ps(), {})


def test_port(t):
    """port prints address:port of a published port, and says so when there is none."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, ports: ['127.0.0.1:18085:80', '18086:53/udp']}}")
    t.up()
    t.eq(t.muster("port", "web", "80").out, "127.0.0.1:18085\n")
    t.eq(t.muster("port", "--protocol", "udp", "web", "53").out, "0.0.0.0:18086\n")
    t.muster("port", "web", "81", rc=1)
    t.has(t.muster("port", "zzz", "80", rc=1).err, "zzz")


def test_wait(t):
    """wait blocks until the service ends and returns its exit code."""
    t.compose("services: {a: {image: busybox, command: \"sh -c 'sleep 0.3; exit 4'\"}}")
    t.up()
    t.muster("wait", "a", rc=4)
    t.eq(t.ps()["p-a-1"]["State"], "exited")


def test_wait_down_project(t):
    """wait --down-project takes the project down when the first container ends."""
    t.compose("""
        services:
          a: {image: busybox, command: "sleep 0.2"}
          b: {image: busybox, command: sleep 1000, stop_grace_period: 0s}
        """)
    t.up()
    t.muster("wait", "--down-project", "a", rc=0)
    t.eq(t.ps(), {})


def test_ls(t):
    """ls lists running projects with their files, -a stopped ones too; json is one array."""
    t.compose(WEB)
    t.eq(t.muster("ls", "-q").out, "")
    t.up()
    head, row = t.muster("ls").lines
    t.eq(head.split(), ["NAME", "STATUS", "CONFIG", "FILES"])
    t.eq(row.split(), ["p", "running(1)", t.dir + "/compose.yaml"])
    t.eq(json.loads(t.muster("ls", "--format", "json").out), [{"Name": "p", "Status": "running(1)", "ConfigFiles": t.dir + "/compose.yaml"}])
    t.muster("stop", "-t", "0")
    t.eq(t.muster("ls", "-q").out, "")
    t.eq(json.loads(t.muster("ls", "-a", "--format", "json").out)[0]["Status"], "exited(1)")


def test_config(t):
    """config prints the canonical file, and config of config is the same text; the lists are as docker compose's."""
    t.compose("""
        services:
          web: {image: "busybox:${TAG:-1}", command: sleep 1, ports: ["8080:80"], volumes: ["data:/d"]}
          db: {image: busybox, networks: [back]}
        networks: {back: }
        volumes: {data: }
        """)
    one = t.muster("config").out
    t.has(one, "name: p", "image: busybox:1", "published: \"8080\"")
    t.file("again.yaml", one)
    t.eq(t.muster("-f", "again.yaml", "config").out, one, "config of config")
    t.eq(t.muster("config", "--services").lines, ["db", "web"])
    t.eq(t.muster("config", "--volumes").lines, ["data"])
    t.eq(sorted(t.muster("config", "--images").lines), ["busybox", "busybox:1"])
    t.eq(t.muster("config", "-q").out, "")
    t.eq(json.loads(t.muster("config", "--format", "json").out)["services"]["db"]["image"], "busybox")
    t.match(t.muster("config", "--hash", "*").out, r"^db [0-9a-f]{64}\nweb [0-9a-f]{64}$")
    t.muster("config", "-o", "out.yaml")
    with open(t.dir + "/out.yaml", encoding="utf-8") as f:
        t.eq(f.read(), one, "config -o")


def test_version(t):
    """version, --short and json."""
    short = t.muster("version", "--short").out.strip()
    t.match(short, r"^\d+\.\d+\.\d+$")
    t.has(t.muster("version").out, short)
    t.eq(json.loads(t.muster("version", "-f", "json").out), {"version": short})
    t.has(t.muster("--version").out, short)


def test_help(t):
    """Every command has help on stdout with exit 0; unknown commands and flags are errors with a suggestion."""
    out = t.muster("--help").out
    t.has(out, "Usage:", "up", "down", "logs", "--project-name")
    for command in ("up", "down", "ps", "logs", "exec", "run", "scale", "plan", "image", "volume", "network", "image import"):
        t.has(t.muster(*command.split(), "--help").out, "Usage:", command)
    t.has(t.muster("ups", rc=1).err, "ups", "up")
    t.has(t.muster("up", "--detatch", rc=1).err, "unknown flag: --detatch", "--detach")


def test_completion(t):
    """completion bash is a script that bash accepts."""
    script = t.muster("completion", "bash").raw
    t.eq(subprocess.run(["bash", "-n"], input=script, check=False).returncode, 0, "bash -n")
    t.has(script.decode(), "muster", "up")


def test_down_flags(t):
    """down removes containers and networks and keeps volumes; -v removes them; a second down says nothing and exits 0."""
    t.compose("""
        services: {web: {image: busybox, command: sleep 1000, volumes: ["data:/data"]}}
        volumes: {data: }
        """)
    t.up()
    t.sh("web", "echo kept >/data/file")
    said = t.muster("down", "-t", "0").err
    t.has(said, " Container p-web-1  Removed", " Network p_default  Removed")
    t.has(t.muster("volume", "ls").out, "p_data")
    t.up()
    t.eq(t.sh("web", "cat /data/file"), "kept\n")
    t.has(t.muster("down", "-v", "-t", "0").err, " Volume p_data  Removed")
    t.lacks(t.muster("volume", "ls").out, "p_data")
    t.muster("down")


def test_down_service(t):
    """down SERVICE removes that one only; the network stays for the rest."""
    t.compose("services: {a: {image: busybox, command: sleep 1000}, b: {image: busybox, command: sleep 1000}}")
    t.up()
    t.muster("down", "-t", "0", "a")
    t.eq(sorted(t.ps()), ["p-b-1"])
    t.has(t.muster("network", "ls").out, "p_default")


def test_down_without_file(t):
    """down -p works from anywhere without the compose file."""
    t.compose(WEB)
    t.up()
    t.muster("-p", "p", "down", "-t", "0", cwd=t.folder)
    t.eq(t.muster("ls", "-a", "-q").out, "")


def test_image_commands(t):
    """image import of a file and of stdin, ls, rm; an image in use is not removed."""
    archive = os.path.join(os.path.dirname(t.folder), "../busybox.tar")
    with open(archive, "rb") as f:
        data = f.read()
    t.muster("image", "import", archive, "mine:1", "--change", 'CMD ["echo", "hi"]', "--change", "ENV X=1", "--change", "WORKDIR /tmp")
    t.muster("image", "import", "-", "mine:2", stdin=data)
    out = t.muster("image", "ls").out
    t.match(out, r"^mine +1 ")
    t.match(out, r"^mine +2 ")
    t.compose("services: {a: {image: 'mine:1'}}")
    done = t.muster("up")
    t.has(done.out, "| hi")
    t.has(t.muster("image", "rm", "mine:1", rc=1).err, "mine:1")
    t.muster("down")
    t.muster("image", "rm", "mine:1", "mine:2")
    t.lacks(t.muster("image", "ls").out, "mine")
    t.muster("image", "rm", "mine:1", rc=1)


def test_image_load(t):
    """image load takes a docker-archive, plain and gzipped, checks its digests, and says what it loaded."""
    with open(os.path.join(os.path.dirname(t.folder), "../busybox.tar"), "rb") as f:
        layer = f.read()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["echo", "loaded"], "Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    config_name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": ["loaded:3"], "Layers": ["layer.tar"]}]).encode()

    def archive(parts):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name, data in parts:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return out.getvalue()
    good = archive([("layer.tar", layer), (config_name, config), ("manifest.json", manifest)])
    t.has(t.muster("image", "load", stdin=gzip.compress(good, 1)).out, "Loaded image: loaded:3")
    path = t.file("good.tar", good)
    t.has(t.muster("image", "load", "-i", path).out, "loaded:3")
    t.compose("services: {a: {image: 'loaded:3'}}")
    t.has(t.muster("up").out, "| loaded")
    t.muster("down")
    lie = config.replace(hashlib.sha256(layer).hexdigest().encode(), b"0" * 64)
    lie_name = hashlib.sha256(lie).hexdigest() + ".json"
    bad = archive([("layer.tar", layer), (lie_name, lie),
                   ("manifest.json", manifest.replace(b"loaded:3", b"bad:1").replace(config_name.encode(), lie_name.encode()))])
    t.true(t.muster("image", "load", stdin=bad, rc=1).err.strip(), "no message for a wrong digest")
    t.lacks(t.muster("image", "ls").out, "bad")


def test_volume_and_network_commands(t):
    """volume ls, rm and network ls; a volume in use is not removed."""
    t.compose("""
        services: {web: {image: busybox, command: sleep 1000, volumes: ["data:/data"], networks: [front]}}
        volumes: {data: }
        networks: {front: }
        """)
    t.up()
    t.has(t.muster("volume", "ls").out, "p_data")
    t.eq(t.muster("volume", "ls", "-q").lines, ["p_data"])
    t.has(t.muster("network", "ls").out, "p_front")
    t.has(t.muster("volume", "rm", "p_data", rc=1).err, "p_data")
    t.muster("down", "-t", "0")
    t.muster("volume", "rm", "p_data")
    t.eq(t.muster("volume", "ls", "-q").out, "")
    t.eq(t.muster("network", "ls", "-q").out, "")


def test_progress_json(t):
    """--progress json writes one JSON object a line."""
    t.compose(WEB)
    said = t.muster("--progress", "json", "up", "-d").err
    events = [json.loads(x) for x in said.splitlines()]
    t.true(any("p-web-1" in json.dumps(e) for e in events), f"no event of p-web-1 in {said}")


def test_progress_terminal(t):
    """On a terminal up -d redraws a block that ends with each resource's state; NO_COLOR leaves no colours."""
    t.compose(WEB)
    tty = t.terminal("up", "-d", env={"NO_COLOR": "1"})
    tty.expect(r"\[\+\] (Running|up) ")
    tty.expect(r"Container p-web-1 +Started")
    t.eq(tty.wait(), 0)
    t.true(not re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", tty.all), "colours in spite of NO_COLOR")


def test_exited_means_logged(t):
    """Who is said to have exited has all of its output in its log, also when the log process is slow."""
    t.compose("services: {a: {image: busybox, command: echo said}}")
    t.muster("debug", "failpoints", "on")
    for splices in (1, 2, 3):
        t.muster("debug", "failpoints", "logs.splice=delay:120@1")
        t.up()
        t.wait(lambda: t.ps()["p-a-1"]["State"] == "exited", 5, "the end")
        t.eq(t.muster("logs", "--no-log-prefix").lines, ["said"] * splices)
    t.muster("debug", "failpoints", "off")


def test_quiet_pipe_has_no_escapes(t):
    """Output that is no terminal has no escape sequences."""
    t.compose("services: {a: {image: busybox, command: echo hi}}")
    done = t.muster("up")
    t.lacks(done.out + done.err, "\x1b")
    t.lacks(t.muster("ps", "-a").out + t.muster("logs").out, "\x1b")


def test_start_and_restart_wait_for_completion(t):
    """start and restart hold to depends_on as up does: who waits for a job's completion starts after it, and not at all when the job fails."""
    t.compose("""
        services:
          web: {image: busybox, command: "sh -c 'cat /data/job; exec sleep 1000'", volumes: ["data:/data"], stop_grace_period: 0s,
                depends_on: {job: {condition: service_completed_successfully}}}
          job: {image: busybox, command: "sh -c 'sleep 0.4; echo x >>/data/job; exit $$(cat /data/code 2>/dev/null || echo 0)'", volumes: ["data:/data"]}
        volumes: {data: }
        """)
    t.up()
    t.wait(lambda: t.muster("logs", "--no-log-prefix", "web").lines, 5, "web's first line")
    for i, verb in ((2, "restart"), (3, "start")):
        if verb == "start":
            t.muster("stop", "-t", "0")
        t.muster(verb)
        seen = sum(range(1, i + 1))
        t.wait(lambda: len(t.muster("logs", "--no-log-prefix", "web").lines) >= seen, 5, f"the lines of web after {verb}")
        t.eq(len(t.muster("logs", "--no-log-prefix", "web").lines), seen, f"what web saw at its starts: one line more at each, by {verb}")
    t.sh("web", "echo 7 >/data/code")
    t.muster("stop", "-t", "0")
    t.has(t.muster("start", rc=1).err, "didn't complete successfully: exit 7")
    t.eq(t.ps()["p-web-1"]["State"], "exited")


def test_images(t):
    """images: one line for each container, stopped ones too, what it was made from; JSON and IDs as docker compose prints them."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, scale: 2}, db: {image: 'busybox:latest', command: 'true'}}")
    t.up("-d")
    t.muster("image", "tag", "busybox", "example.org/b/c:2")
    t.compose("services: {web: {image: busybox, command: sleep 1000, scale: 2}, db: {image: 'example.org/b/c:2', command: 'true'}}")
    t.up("-d")
    rows = json.loads(t.muster("images", "--format", "json").out)
    id = json.loads(t.muster("image", "inspect", "busybox").out)[0]["Id"]
    t.eq([(r["ContainerName"], r["Repository"], r["Tag"], r["ID"]) for r in rows],
         [("p-db-1", "example.org/b/c", "2", id), ("p-web-1", "busybox", "latest", id), ("p-web-2", "busybox", "latest", id)])
    t.eq({tuple(r) for r in rows}, {("ID", "ContainerName", "Repository", "Tag", "Platform", "Size", "Created", "LastTagTime")})
    t.true(rows[0]["Size"] > 500000 and rows[0]["Platform"].startswith("linux/"), rows[0])
    t.eq(t.muster("images", "-q").out, id[7:] + "\n")
    lines = t.muster("images", "web").lines
    t.eq(lines[0].split(), ["CONTAINER", "REPOSITORY", "TAG", "PLATFORM", "IMAGE", "ID", "SIZE", "CREATED"])
    t.eq([x.split()[0] for x in lines[1:]], ["p-web-1", "p-web-2"])
    t.match(lines[1], f"^p-web-1 +busybox +latest +linux/.* +{id[7:19]} +[0-9.]+MB +.* ago$")
    t.has(t.muster("images", "--format", "{{.ID}}", rc=1).err, "table or json")


def test_run_use_aliases(t):
    """A one-off answers to the service's name and aliases only with --use-aliases, also after the supervisor was killed."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, networks: {default: {aliases: [www]}}}, cli: {image: busybox, command: sleep 1000}}")
    t.up("cli")
    t.muster("run", "-d", "web", "sleep", "1000")
    t.true(t.muster("exec", "-T", "cli", "nslookup", "-type=a", "www", rc=None).rc != 0, "an alias without --use-aliases")
    t.muster("run", "-d", "--use-aliases", "web", "sleep", "1000")
    for _ in range(2):
        for name in ("www", "web"):
            t.has(t.sh("cli", f"nslookup -type=a {name}"), f"Name:\t{name}")
        for pid in t.daemons("supervise"):
            os.kill(pid, signal.SIGKILL)
        t.wait(lambda: t.muster("ps", "-a", rc=None).rc == 0 and t.daemons("supervise"), 5, "a new supervisor")


def test_compatibility_names(t):
    """--compatibility and COMPOSE_COMPATIBILITY name containers and built images with "_"; commands find them all the same."""
    t.compose("services: {web: {image: busybox, command: sh -c 'echo hello; sleep 1000', stop_grace_period: 0s}, b: {build: .}}")
    t.eq(sorted(t.muster("--compatibility", "config", "--images").lines), ["busybox", "p_b"])
    t.muster("--compatibility", "up", "-d", "web", "--scale", "web=2")
    t.eq(sorted(t.ps()), ["p_web_1", "p_web_2"])
    t.wait(lambda: "web_1  | hello" in t.muster("logs", "web").out, 3, "its log")
    t.muster("run", "-d", "web", "true", env={"COMPOSE_COMPATIBILITY": "true"})
    t.match("\n".join(t.ps()), "^p_web_run_[0-9a-f]{12}$")
    t.eq(t.muster("exec", "-T", "--index", "2", "web", "echo", "x").lines, ["x"])
    t.muster("--compatibility", "up", "-d", "web", "--scale", "web=2")
    t.eq(sorted(x for x in t.ps() if "_run_" not in x), ["p_web_1", "p_web_2"])
    t.has(t.muster("down").err, "Container p_web_1  Removed")


def test_parallel(t):
    """--parallel 1 starts one container after the other; nonsense in COMPOSE_PARALLEL_LIMIT is one message."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s, scale: 4}}")
    r = t.muster("--parallel", "1", "--progress", "plain", "up", "-d")
    words = [x.split()[-1] for x in r.err.splitlines() if re.search(r"Container p-web-\d +(Starting|Started)", x)]
    t.eq(words, ["Starting", "Started"] * 4)
    r = t.muster("--progress", "plain", "down", env={"COMPOSE_PARALLEL_LIMIT": "1"})
    words = [x.split()[-1] for x in r.err.splitlines() if re.search(r"Container p-web-\d +(Stopping|Stopped)", x)]
    t.eq(words, ["Stopping", "Stopped"] * 4)
    t.has(t.muster("up", "-d", env={"COMPOSE_PARALLEL_LIMIT": "many"}, rc=1).err, 'COMPOSE_PARALLEL_LIMIT must be an integer (found: "many")')


def test_lists_while_a_project_goes(t):
    """ls and ps look while `up` and `down` make and remove the directories that they read: never an error."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    ended = threading.Event()

    def change():
        while not ended.is_set():
            t.up()
            t.muster("down", "-t", "0")
    worker = threading.Thread(target=change)
    worker.start()
    try:
        for _ in range(80):
            t.muster("ls", "-a", "-q")
            t.muster("ps", "-a", "-q")
            t.muster("network", "ls", "-q")
    finally:
        ended.set()
        worker.join()
