# SPDX-License-Identifier: Apache-2.0
"""Where state lives and which project is meant: roots, files, names, users; and that many rounds leave nothing."""
import json
import os
import shutil
import systest

WEB = "services: {web: {image: busybox, command: sleep 1000}}"
FIVE = """
    services:
      web: {image: busybox, command: sleep 1000, scale: 2, ports: ["80"], networks: [front, back], volumes: ["data:/data"]}
      db: {image: busybox, command: sleep 1000, networks: [back], volumes: ["/anon", "./src:/src"]}
      job: {image: busybox, command: "true", depends_on: [db]}
      cron: {image: busybox, command: sleep 1000, restart: always}
    networks: {front: , back: {internal: true}}
    volumes: {data: }
    """


def running(t):
    return sorted(name for name, c in t.ps().items() if c["State"] == "running" and c["Service"] != "job")


def test_two_roots_same_project(t):
    """Two roots with equal project names don't meet: both up at once, one goes down, the other still answers."""
    two = t.second_root()
    text = """
        services:
          web: {image: busybox, command: "sh -c 'hostname >/tmp/index.html; exec httpd -f -h /tmp'", ports: ["80"]}
          cli: {image: busybox, command: sleep 1000}
        """
    t.compose(text)
    t.up()
    t.up(env=two)
    t.eq(len(set(t.ids().values()) | {json.loads(x)["ID"] for x in t.muster("ps", "-a", "--format", "json", env=two).lines}), 4, "containers")
    port = int(t.muster("port", "web", "80", env=two).out.rsplit(":", 1)[1])
    answer = t.http(f"http://127.0.0.1:{port}/")
    t.http(f"http://127.0.0.1:{t.port('web', 80)}/")
    t.muster("down", "-t", "0")
    t.eq(t.http(f"http://127.0.0.1:{port}/"), answer)
    t.eq(t.muster("exec", "-T", "cli", "wget", "-q", "-O-", "http://web/", env=two).out, answer)


def test_long_path(t):
    """Roots of any path length: sockets, overlays and records work far beyond 108 and 255 bytes."""
    deep = t.folder + "/" + "/".join("d" * 60 for _ in range(12))
    os.makedirs(deep)
    systest.command("cp", "-a", t.root, deep + "/root")
    env = {"MUSTER_ROOT": deep + "/root", "MUSTER_RUN_ROOT": deep + "/run"}
    t.compose("services: {web: {image: busybox, command: sleep 1000, volumes: ['data:/etc']}}\nvolumes: {data: }")
    t.up(env=env)
    t.eq(t.muster("exec", "-T", "web", "head", "-c4", "/etc/passwd", env=env).out, "root")
    t.eq(len(t.muster("ps", "-q", env=env).lines), 1)
    t.muster("down", "-v", "-t", "0", env=env)


def test_root_flags(t):
    """--root and --run-root win over the environment."""
    t.compose(WEB)
    args = ("--root", t.root, "--run-root", t.run)
    other = {"MUSTER_ROOT": t.folder + "/no-root", "MUSTER_RUN_ROOT": t.folder + "/no-run"}
    t.muster(*args, "up", "-d", env=other)
    t.eq(sorted(t.ps()), ["p-web-1"])
    t.true(not os.path.exists(t.folder + "/no-root"), "the environment's root was used")


def test_discovery(t):
    """compose.yaml is found upwards from the working directory; -f, COMPOSE_FILE, --project-directory, -p, COMPOSE_PROJECT_NAME."""
    t.compose(WEB)
    t.file("sub/deep/empty", "")
    t.file("other/docker-compose.yml", "services: {alt: {image: busybox, command: sleep 1000}}")

    def names(*args, **kw):
        return [json.loads(t.muster(*args, "config", "--format", "json", **kw).out)[k] for k in ("name", "services")]
    t.eq(names(cwd=t.dir + "/sub/deep")[0], "p")
    t.eq(list(names(cwd=t.dir + "/other")[1]), ["alt"])
    t.eq(names("-f", "other/docker-compose.yml")[0], "other")
    t.eq(names("--project-directory", "sub", "-f", "other/docker-compose.yml")[0], "sub")
    t.eq(names("-p", "mine")[0], "mine")
    t.eq(names(env={"COMPOSE_PROJECT_NAME": "envname"})[0], "envname")
    t.eq(list(names(env={"COMPOSE_FILE": "other/docker-compose.yml"})[1]), ["alt"])
    t.eq(sorted(names("-f", "compose.yaml", "-f", "other/docker-compose.yml")[1]), ["alt", "web"])
    t.eq(sorted(names(env={"COMPOSE_FILE": "compose.yaml:other/docker-compose.yml"})[1]), ["alt", "web"])
    t.file("compose.override.yaml", "services: {web: {environment: {OVER: '1'}}}")
    t.eq(names()[1]["web"]["environment"], {"OVER": "1"})
    t.eq(sorted(names("-f", "-", stdin="services: {std: {image: busybox}}")[1]), ["std"])


def test_project_from_subdirectory(t):
    """up in the folder, ps and exec in a folder below it: the same project."""
    t.compose(WEB)
    t.file("sub/x", "")
    t.up()
    t.eq(len(t.muster("ps", "-q", cwd=t.dir + "/sub").lines), 1)
    t.muster("exec", "-T", "web", "true", cwd=t.dir + "/sub")


def test_two_projects(t):
    """Two projects side by side: each down takes only its own."""
    for name in ("one", "two"):
        t.file(f"{name}/compose.yaml", WEB)
        t.muster("up", "-d", cwd=f"{t.dir}/{name}")
    t.eq(sorted(t.muster("ls", "-q").lines), ["one", "two"])
    t.muster("down", "-t", "0", cwd=f"{t.dir}/one")
    t.eq(t.muster("ls", "-q").lines, ["two"])
    t.eq(t.muster("exec", "-T", "web", "echo", "there", cwd=f"{t.dir}/two").out, "there\n")


def test_other_user(t):
    """As another user than root config and version work; the rest says in one line what is missing."""
    systest.mount("none", "/mnt", "tmpfs", 0, "mode=755")
    t.baseline = t.snapshot()
    for name in ("muster", "muster-run", "muster-image"):
        shutil.copy(os.path.join(os.path.dirname(t.binary), name), "/mnt/")
    with open("/mnt/compose.yaml", "w", encoding="ascii") as f:
        f.write(WEB)
    args = {"user": 65534, "cwd": "/mnt", "binary": "/mnt/muster", "env": {"HOME": "/", "MUSTER_ROOT": None, "MUSTER_RUN_ROOT": None}}
    t.has(t.muster("config", **args).out, "busybox")
    t.muster("version", **args)
    t.muster("config", "-q", **args)
    for verb in (("up", "-d"), ("ps",), ("down",), ("image", "ls"), ("run", "web"), ("exec", "web", "true")):
        done = t.muster(*verb, rc=1, **args)
        t.eq(len(done.err.strip().splitlines()), 1, f"lines of {verb}: {done.err}")
        t.match(done.err, "root|permission|privilege")
    for name in os.listdir("/mnt"):
        os.unlink("/mnt/" + name)


def test_overlay_probe(t):
    """A root on a file system that cannot hold an overlay's upper directory: one clear error that says what to do."""
    base = t.folder + "/ov"
    for name in ("lower", "upper", "work", "merged"):
        os.makedirs(f"{base}/{name}")
    systest.command("cp", "-a", t.root, base + "/lower/root")
    systest.mount("overlay", base + "/merged", "overlay", 0, f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work")
    t.baseline = t.snapshot()
    t.compose(WEB)
    env = {"MUSTER_ROOT": base + "/merged/root", "MUSTER_RUN_ROOT": t.folder + "/ov-run"}
    done = t.up(rc=None, env=env)
    if done.rc == 0:
        t.muster("down", "-t", "0", env=env)
        raise systest.Skip("this kernel takes an overlay's upper directory on an overlay")
    t.match(done.err, "overlay")
    t.has(done.err, base + "/merged/root")
    t.eq(t.muster("ps", "-q", rc=None, env=env).out, "")
    t.muster("down", "-t", "0", rc=None, env=env)


@systest.timeout(180)
def test_twenty_rounds(t):
    """20 rounds of 5 services leave nothing: links, routes, rules, mounts, cgroups, processes, files are as before the first."""
    t.compose(FIVE)
    for i in range(20):
        t.up()
        if i % 5 == 0:
            t.eq(running(t), ["p-cron-1", "p-db-1", "p-web-1", "p-web-2"], f"running containers in round {i}")
        t.muster("down", "-v", "-t", "0")
    t.nothing_left(ignore=())


@systest.host
def test_host_up_down(t):
    """In the machine's own namespaces: a project with every kind of resource comes up, answers, and leaves nothing."""
    t.compose(FIVE)
    t.up()
    t.eq(running(t), ["p-cron-1", "p-db-1", "p-web-1", "p-web-2"])
    t.eq(t.sh("web", "hostname").strip(), t.ids()["p-web-1"])
    t.true(t.difference(), "an up project leaves no trace in the lists: they would not show a leak either")
    t.muster("down", "-v", "-t", "0")
    t.nothing_left(ignore=())


@systest.host
def test_host_daemon_state(t):
    """The long-lived processes start from a fixed state: session, directory, environment, descriptors, nothing of the caller's."""
    t.compose(WEB)
    leak = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leak, True)
    t.up(env={"SECRET": "x"})
    root = systest.root_id(t.root, t.run) # others are at work on this host, too
    mine = [p for p, (_, _, _, line) in systest.processes().items() if "muster" in line and root in line and ("supervise" in line or "anchor" in line)]
    t.true(mine, "no long-lived process found")
    for pid in mine:
        with open(f"/proc/{pid}/environ", "rb") as f:
            t.eq(b"SECRET" in f.read(), False, "the caller's environment")
        t.eq(os.readlink(f"/proc/{pid}/cwd"), "/", "working directory")
        t.eq([os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")].count("/etc/passwd"), 0, "the caller's descriptor")
        t.true(os.getsid(pid) != os.getsid(0), "the caller's session")
