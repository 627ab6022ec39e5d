# SPDX-License-Identifier: Apache-2.0
"""The machine's clock is set back by an hour, and forward again: what runs runs on, lines keep their order, nothing is started twice. Only in the
virtual machine of `make check-vm`, which has a clock of its own."""
import os
import time
import systest

TICK = "sh -c 'i=0; while :; do i=$$((i+1)); echo $$i; sleep 0.02; done'"


def set_clock(seconds):
    time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)


@systest.alone
def test_set_back(t):
    """Containers, restart policy, jobs, logs and commands after the clock was set back by an hour, and after it was set right again."""
    with open("/proc/cmdline", encoding="utf-8") as f:
        if "vm.steps=" not in f.read():
            raise systest.Skip("the clock is the machine's")
    t.compose(f"""
        services:
          web: {{image: busybox, command: "{TICK}", stop_grace_period: 0s}}
          bad: {{image: busybox, command: "sh -c 'echo x >>/data/bad; sleep 0.2; exit 3'", restart: always, volumes: ["data:/data"]}}
          job: {{image: busybox, command: "sh -c 'echo x >>/data/job; exit 9'", volumes: ["data:/data"]}}
        volumes: {{data: }}
        """)

    def count(name):
        with open(f"{t.root}/volumes/p_data/_data/{name}", encoding="ascii") as f:
            return len(f.read()) // 2
    t.up()
    t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 20, "the end of job")
    pid = t.pid("p-web-1")
    follower = t.start("logs", "-f", "--no-log-prefix", "web")
    for step, seconds in enumerate((-3600, 3600)):
        set_clock(seconds)
        n, bad = follower.out.count("\n"), count("bad")
        t.wait(lambda n=n: follower.out.count("\n") > n + 5, 20, "more lines for who follows")
        t.has(t.up().err, "Container p-web-1  Running", "Container p-job-1  Started")
        t.wait(lambda: t.ps()["p-job-1"]["State"] == "exited", 20, "the end of job")
        t.eq((count("job"), t.ps()["p-job-1"]["ExitCode"]), (step + 2, 9), "runs of the job, its code")
        t.wait(lambda bad=bad: count("bad") > bad, 30, "another restart of bad")
        t.eq(t.pid("p-web-1"), pid, "pid of web")
        for victim in t.daemons("supervise"):
            os.kill(victim, 9)
        t.wait(lambda: len(t.daemons("supervise")) == 1, 20, "a supervisor again")
        t.has(t.up("--no-deps", "web").err, "Container p-web-1  Running")
        t.eq(count("job"), step + 2, "runs of the job")
    t.muster("stop", "web")
    t.eq(t.ps()["p-web-1"]["ExitCode"], 137)
    lines = t.muster("logs", "--no-log-prefix", "web").lines
    t.eq(lines, [str(i) for i in range(1, len(lines) + 1)], "numbered lines")
    t.wait(lambda: follower.out.split() == lines, 20, "the same lines for who followed")
