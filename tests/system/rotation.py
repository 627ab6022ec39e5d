# SPDX-License-Identifier: Apache-2.0
"""`logging`: a log with a limit keeps its end, whole; `logs` reads across the pieces; `driver: none` keeps nothing and stops nobody."""
import os
import re
import struct
import time


def log_files(t, name="p-web-1"):
    """{file: bytes} of a container's log, the index left out."""
    top = f"{t.root}/projects/p/c/{t.ids()[name][:12]}/log"
    return {f: os.stat(os.path.join(top, f)).st_size for f in os.listdir(top) if f != "index"}


def numbers(t, raw):
    """The numbered lines are each one more than the one before; (first, last)."""
    lines = [line for line in raw.splitlines() if not line.startswith(b"end ")]
    got = [int(line) for line in lines]
    t.true(got and got == list(range(got[0], got[0] + len(got))), f"no gap in {len(got)} lines")
    return got[0], got[-1]


def writer(t, options, mode="count"):
    t.compose(f"""
        services:
          web:
            image: busybox
            command: [/writer, {mode}]
            logging: {options}
            volumes: ["{t.writer}:/writer:ro", "data:/data"]
            stop_grace_period: 5s
        volumes: {{data: }}
        """)


def written(t):
    """Lines that are surely written; 0 before there is one."""
    try:
        with open(t.root + "/volumes/p_data/_data/written", "rb") as f:
            return struct.unpack("<QQQ", f.read(24).ljust(24, b"\0"))[2]
    except FileNotFoundError:
        return 0


def test_limit(t):
    """60 000 lines a second into three files of 100 kB: the last 200 kB at least are there, without a gap, and no more than 300 kB."""
    writer(t, "{driver: json-file, options: {max-size: 100k, max-file: '3'}}")
    t.up()
    for _ in range(4):
        time.sleep(0.2)
        raw = t.muster("logs", "--no-color", "--no-log-prefix").raw
        t.true(len(raw) < 330000, f"{len(raw)} bytes")
        numbers(t, raw[:len(raw) - len(raw) % 9])
    t.muster("stop")
    raw, n = t.muster("logs", "--no-color", "--no-log-prefix").raw, written(t)
    t.eq(raw.splitlines()[-1], b"end %d" % n)
    first, last = numbers(t, raw)
    t.eq(last, n - 1, "the last line")
    t.true(200000 <= len(raw) <= 300100 and first > 10000, f"{len(raw)} bytes from line {first} on")
    t.true(sum(log_files(t).values()) <= 300100, log_files(t))
    t.eq([int(x) for x in t.muster("logs", "--no-log-prefix", "-n", "6").out.split()[:5]], list(range(n - 5, n)), "a tail")


def test_one_file(t):
    """Without max-file there is one file: what was rotated away is gone, the lines after it are whole."""
    writer(t, "{options: {max-size: 100k}}")
    t.up()
    time.sleep(0.5)
    t.muster("stop")
    raw, n = t.muster("logs", "--no-color", "--no-log-prefix").raw, written(t)
    t.true(len(raw) <= 100100 and raw.endswith(b"end %d\n" % n), f"{len(raw)} bytes, {raw[-20:]}")
    t.eq(numbers(t, raw)[1], n - 1) if raw.count(b"\n") > 1 else None
    t.eq(len([f for f, size in log_files(t).items() if size]), 1, "files with something in them")


def test_follow(t):
    """Who follows a log sees every line of it, however often it is rotated meanwhile, also over the log process' death."""
    writer(t, "{options: {max-size: 4k, max-file: 3}}", "serve")
    t.up()
    job = t.start("logs", "-f", "--no-color", "--no-log-prefix")
    for _ in range(3):
        time.sleep(0.5)
        for pid in t.daemons("logs"):
            os.kill(pid, 9)
    t.muster("stop")
    n = written(t)
    t.wait(lambda: job.out.count("\n") >= n, 5, lambda: f"{n} lines: {job.out.count(chr(10))}")
    t.eq(job.out.split(), [f"{i:08d}" for i in range(n)], "lines followed")
    t.true(n > 1000, f"only {n} lines")
    t.true(sum(log_files(t).values()) < 13000, log_files(t))


def test_both_streams(t):
    """Both streams count, and a container that is started again goes on in the same log."""
    t.compose("""
        services:
          web:
            image: busybox
            command: "sh -c 'i=0; while [ $$i -lt 300 ]; do i=$$((i+1)); echo out $$i; echo err $$i >&2; done'"
            logging: {options: {max-size: 1k, max-file: 4}}
        """)
    for _ in range(3):
        t.up()
        t.wait(lambda: t.ps()["p-web-1"]["State"] == "exited", 5, "the end")
    lines = t.muster("logs", "--no-log-prefix").lines
    for stream in ("out", "err"):
        got = [int(line.split()[1]) for line in lines if line.startswith(stream)]
        t.eq(got, list(range(301 - len(got), 301)), f"last lines of {stream}")
        t.true(got, f"something of {stream}")
    t.true(3000 <= sum(log_files(t).values()) <= 4200, log_files(t))


def test_none(t):
    """driver: none: a container that writes much runs on, nothing of it is kept, `logs` says so; a terminal likewise."""
    t.compose(f"""
        services:
          web: {{image: busybox, command: [/writer, count], logging: {{driver: none}}, volumes: ["{t.writer}:/writer:ro", "data:/data"]}}
          tty: {{image: busybox, tty: true, command: "sh -c 'seq 1 100000; touch /data/done; sleep 1000'", logging: {{driver: none}}, volumes: ["data:/data"],
                 stop_grace_period: 0s}}
        volumes: {{data: }}
        """)
    t.up()
    t.wait(lambda: written(t) > 30000, 10, "lines written")
    t.wait(lambda: os.path.exists(t.root + "/volumes/p_data/_data/done"), 40, "the terminal's writer to end")
    said = t.muster("logs", "--no-color")
    t.eq(said.out, "")
    t.has(said.err, 'p-web-1: logging driver "none": nothing is kept', 'p-tty-1: logging driver "none": nothing is kept')
    t.eq(sum(log_files(t).values()), 0, "bytes kept")
    t.muster("stop")
    t.eq(t.ps()["p-web-1"]["ExitCode"], 42)


def test_changed(t):
    """Another limit takes a new container; run's own log is not limited, nobody would see the rest."""
    writer(t, "{options: {max-size: 100k}}")
    t.up()
    writer(t, "{options: {max-size: 50k}}")
    t.has(t.muster("plan", rc=2).out, "logging")
    t.up()
    out = t.muster("run", "--rm", "-T", "web", "seq", "1", "100000").lines
    t.eq(out, [str(i) for i in range(1, 100001)], "what a run prints")


def test_refused(t):
    """What is not supported is refused with its place, before anything starts."""
    t.compose("services: {web: {image: busybox, logging: {driver: journald, options: {tag: x, max-size: lots}}}}")
    err = t.up(rc=1).err
    for what in ('services.web.logging.driver: "journald" is not supported yet', "services.web.logging.options.tag: not supported yet",
                 'services.web.logging.options.max-size: "lots" is no size'):
        t.true(re.search(r"compose\.yaml:1:\d+: .*" + re.escape(what), err), err)
    t.eq(t.ps(), {})
