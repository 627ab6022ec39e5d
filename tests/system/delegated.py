# SPDX-License-Identifier: Apache-2.0
"""A host that is itself inside a v2 cgroup: a service with Delegate=, a container with its own cgroup namespace."""
import os
import signal
import traceback
import systest

CLONE_NEWCGROUP, PR_SET_CHILD_SUBREAPER = 0x02000000, 36
TOP = "/sys/fs/cgroup"


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def nested(t, fn):
    """Runs fn in a child whose cgroup file system begins at a cgroup that holds it and another process."""
    if "memory" not in read(f"{TOP}/cgroup.controllers").split() if os.path.exists(f"{TOP}/cgroup.controllers") else True:
        raise systest.Skip("the controllers are on cgroup v1 here")
    write(f"{TOP}/cgroup.subtree_control", "+cpu +memory +pids")
    base = f"{TOP}/test-{os.path.basename(os.path.dirname(t.folder))}-{os.getpid()}-{os.stat(t.folder).st_ino}"
    os.mkdir(base)
    bystander = os.fork()
    if bystander == 0:
        signal.pause()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for pid in (bystander, os.getpid()):
                write(f"{base}/cgroup.procs", str(pid))
            systest.unshare(CLONE_NEWCGROUP | systest.CLONE_NEWNS)
            systest.mount("none", "/", None, systest.MS_REC | systest.MS_PRIVATE)
            systest.LIBC.umount2(TOP.encode(), 2)  # one file system is not mounted twice upon the same place
            systest.mount("cgroup2", TOP, "cgroup2")
            systest.LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # as the nested host's own init
            fn(bystander)
            code = 0
        except BaseException:  # pylint: disable=broad-except
            traceback.print_exc()
        finally:
            os._exit(code)
    try:
        t.eq(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0, "exit of the nested part")
    finally:
        os.kill(bystander, signal.SIGKILL)
        os.waitpid(bystander, 0)
        for at, _, _ in os.walk(base, topdown=False):
            t.wait(lambda at=at: not read(f"{at}/cgroup.procs"), 5, f"the end of the processes in {at}")
            os.rmdir(at)


def where(pid):
    return read(f"/proc/{pid}/cgroup").strip().rsplit("0::", 1)[1]


def test_limits_below_a_base_with_processes(t):
    """Limits hold although the base held processes; the last `down` puts them and the base back as they were."""
    t.compose("""
        services:
          web:
            image: busybox
            command: sleep 1000
            mem_limit: 64m
            cpus: 0.5
            pids_limit: 50
        """)

    def inside(bystander):
        t.eq((where(bystander), read(f"{TOP}/cgroup.subtree_control").strip()), ("/", ""), "base at first")
        t.up()
        t.eq(t.sh("web", "cd /sys/fs/cgroup; cat memory.max pids.max cpu.max; cat /proc/1/cgroup").split("\n"),
             [str(64 << 20), "50", "50000 100000", "0::/", ""])
        t.true(where(bystander) not in ("/", where(t.pid("p-web-1"))), f"the bystander is in {where(bystander)}")
        for role in ("anchor", "supervise", "logs", "dns"):
            t.has(where(t.daemons(role)[0]), "/p/own")
        t.muster("down", "-t", "0")
        t.wait(lambda: not t.daemons("anchor"), 5, "the end of the anchor")
        t.eq((where(bystander), read(f"{TOP}/cgroup.subtree_control").strip(), [f for f in os.listdir(TOP) if f.startswith("muster")]), ("/", "", []), "base at the end")
    nested(t, inside)


def test_base_with_controllers(t):
    """Where somebody else has enabled the controllers, the anchor still gets away from its own cgroup at the end, and all of ours goes."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, mem_limit: 64m}}")

    def inside(bystander):
        os.mkdir(f"{TOP}/init.scope")
        for pid in (bystander, os.getpid()):
            write(f"{TOP}/init.scope/cgroup.procs", str(pid))
        write(f"{TOP}/cgroup.subtree_control", "+memory")
        t.up()
        t.eq(t.sh("web", "cat /sys/fs/cgroup/memory.max").strip(), str(64 << 20))
        t.muster("down", "-t", "0")
        t.wait(lambda: not t.daemons("anchor"), 5, "the end of the anchor")
        t.eq((where(bystander), [f for f in os.listdir(TOP) if f.startswith("muster")]), ("/init.scope", []), "base at the end")
    nested(t, inside)
