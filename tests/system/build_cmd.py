# SPDX-License-Identifier: Apache-2.0
"""The commands around builds: build, image build, up --build; what they honour, what they refuse, what they show, and what a kill leaves."""
import fcntl
import hashlib
import http.server
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import threading
import time

import systest

BASE = "FROM busybox\n"


def dockerfile(t, text, folder="ctx"):
    t.file(f"{folder}/Dockerfile", text)
    return folder


def build(t, *args, **kw):
    return t.muster("image", "build", *args, **kw)


def inspect(t, name):
    return json.loads(t.muster("image", "inspect", name).out)[0]


def output(t, name, *command):
    """What a container of the image prints."""
    t.file("run.yaml", f"services: {{x: {{image: '{name}'}}}}\n")
    return t.muster("-p", "r", "-f", "run.yaml", "run", "--rm", "-T", "--no-deps", "x", *command).out


def test_image_build(t):
    """An image comes out with the names given; -q prints its id alone, --iidfile writes it; a second build takes all from the cache."""
    ctx = dockerfile(t, BASE + "ARG WHO=nobody\nCOPY f /f\nRUN echo hello $WHO >/out\nFROM 0 AS last\nLABEL a=b\nCMD [\"cat\", \"/out\"]\n")
    t.file("ctx/f", "data\n")
    done = build(t, "-t", "one:1", "-t", "two", "--build-arg", "WHO=world", "--label", "x=y z", "--iidfile", "id", ctx)
    t.match(done.err, r"^#\d+ \[.*2/3\] COPY f /f$")
    t.has(done.err, "Image one:1  Built")
    again = build(t, "-q", "-t", "one:1", "--build-arg", "WHO=world", "--label", "x=y z", ctx)
    with open(t.dir + "/id", encoding="utf-8") as f:
        t.eq(again.out.strip(), f.read())
    t.eq(again.err, "")
    t.eq(inspect(t, "two")["Id"], again.out.strip())
    t.eq({k: v for k, v in inspect(t, "two")["Config"]["Labels"].items() if k in "ax"}, {"a": "b", "x": "y z"})
    t.eq(output(t, "one:1"), "hello world\n")
    third = build(t, "-t", "one:1", "--build-arg", "WHO=world", ctx)
    t.eq(len(re.findall(r"^#\d+ CACHED$", third.err, re.M)) >= 2, True, f"steps from the cache\n{third.err}")
    t.lacks(build(t, "--no-cache", ctx).err, "CACHED")


def test_contexts(t):
    """Context on standard input as tar (plain, gzip) and as a lone Dockerfile; -f -; -f elsewhere; --build-context; a target."""
    text = BASE.encode() + b"COPY f /f\nRUN cat /f\nFROM scratch AS never\nRUN exit 1\n"
    for mode in ("w", "w:gz"):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode=mode) as tar:
            for name, content in (("Dockerfile", text), ("f", mode.encode() + b"\n")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        t.has(build(t, "-t", "tar", "--target", "0", "-", stdin=data.getvalue(), rc=None).err, "RUN cat /f")
    t.has(build(t, "-", stdin=BASE + "RUN echo from stdin\n").err, "from stdin")
    t.file("ctx/f", "file\n")
    t.file("other/g", "other\n")
    t.has(build(t, "-f", "-", "ctx", stdin=BASE + "COPY f /\nRUN cat /f\n").err, "file")
    t.file("elsewhere/My.dockerfile", BASE + "COPY --from=more g /\nRUN cat /g\n")
    t.has(build(t, "-f", "elsewhere/My.dockerfile", "--build-context", "more=other", "ctx").err, "other")
    t.has(build(t, "nosuch", rc=1).err, "nosuch", "not found")
    t.has(build(t, "ctx", rc=1).err, "Dockerfile", "no such file")
    t.has(build(t, "-f", "-", "-", rc=1).err, "standard input")


def test_failure(t):
    """A failing step: its output, its lines of the Dockerfile, its exit code; nothing is tagged and nothing stays."""
    ctx = dockerfile(t, BASE + "RUN echo fine\nRUN echo some; echo words >&2; \\\n    exit 7\n")
    done = build(t, "-t", "bad", ctx, rc=1)
    t.has(done.err, "some", "words", "exit code: 7", "Dockerfile:3", ">>> RUN echo some", " > [3/3] RUN")
    t.match(done.err, r"^#\d+ ERROR: process .* exit code: 7$")
    t.has(t.muster("image", "inspect", "bad", rc=1).err, "not found")
    quiet = build(t, "-q", ctx, rc=1)
    t.has(quiet.err, "words", ">>> RUN", "exit code: 7")
    done = build(t, dockerfile(t, "FROM busybox\nRUN [\"/nosuch\"]\n"), rc=1)
    t.has(done.err, "/nosuch")
    done = build(t, dockerfile(t, "FORM busybox\n"), rc=1)
    t.has(done.err, "FORM", "Dockerfile:1")
    t.nothing_left(ignore=("state", "run"))


def test_progress(t):
    """plain has stable lines; rawjson is BuildKit's, json ours: an object a line; a terminal shows times, marks and the tail of what runs."""
    ctx = dockerfile(t, BASE + "RUN echo one; echo two; sleep 0.4; echo three\nRUN true\n")
    plain = build(t, "--progress", "plain", ctx).err
    number = t.match(plain, r"^#(\d+) \[2/3\] RUN echo one").group(1)
    for line in ("one", "two", "three"):
        t.match(plain, rf"^#{number} \d+\.\d\d\d {line}$")
    t.match(plain, rf"^#{number} DONE \d+\.\ds$")
    raw = [json.loads(line) for line in build(t, "--progress", "rawjson", "--no-cache", ctx).err.splitlines()]
    names = {v["name"] for o in raw for v in o.get("vertexes", [])}
    t.true(any(n.startswith("[2/3] RUN echo one") for n in names), names)
    t.true(any(log["stream"] == 1 and log["data"] for o in raw for log in o.get("logs", [])), "no logs")
    t.true(all({"id", "status", "text"} <= set(json.loads(line)) for line in build(t, "--progress", "json", ctx).err.splitlines()), "json")
    t.eq(build(t, "--progress", "quiet", ctx).err, "")
    screen = t.terminal("image", "build", "--no-cache", ctx, rows=20, cols=70)
    screen.expect(r"=> => # two")
    screen.expect(r"FINISHED")
    t.eq(screen.wait(), 0)
    t.match(screen.all, r"=> \[2/3\] RUN echo one.* \d\.\ds")
    screen = t.terminal("image", "build", ctx)
    screen.wait()
    t.has(screen.all, "=> CACHED [2/3]")


def test_output_control_bytes(t):
    """What a step prints cannot move the cursor of the terminal that shows it."""
    screen = t.terminal("image", "build", "--no-cache", dockerfile(t, BASE + "RUN printf '\\033[2Jx\\033]0;t\\007\\n'; sleep 0.3\n"))
    t.eq(screen.wait(), 0)
    t.lacks(screen.all, "\033[2J", "\033]0;")
    t.has(screen.all, "\\x1b[2Jx")


def test_secrets_nowhere(t):
    """A secret reaches the step, and no layer, history, cache, log, argument list or file below the roots."""
    word = "swordfish-" + os.urandom(6).hex()
    t.file("secret", word)
    ctx = dockerfile(t, BASE + "RUN --mount=type=secret,id=a,required=true --mount=type=secret,id=b,env=B wc -c </run/secrets/a; test \"$B\" = \"$(cat /run/secrets/a)\"\n")
    done = build(t, "-t", "s", "--secret", "id=a,src=secret", "--secret", "id=b,env=WORD", ctx, env={"WORD": word})
    t.has(done.err, str(len(word)))
    found = []
    for top in (t.root, t.run):
        for at, _, files in os.walk(top):
            for name in files:
                with open(os.path.join(at, name), "rb") as f:
                    if word.encode() in f.read():
                        found.append(os.path.join(at, name))
    t.eq(found, [])
    t.lacks(done.err + done.out + t.muster("image", "inspect", "s").out, word)
    t.has(build(t, "--no-cache", ctx, rc=1).err, "secret")
    t.has(build(t, "--secret", "id=a,src=nosuch", ctx, rc=1).err, "nosuch")
    t.has(build(t, "--secret", "src=x", ctx, rc=1).err, "--secret")


def test_compose_build(t):
    """Every key of `build:` does what it says; the image is called <project>-<service>, and `image` and tags are further names."""
    t.file("web/f", "from web\n")
    t.file("more/g", "from more\n")
    t.file("s1.txt", "s3cret")
    t.file("web/D.file", "FROM base AS prod\nARG A\nCOPY f /f\nCOPY --from=more g /g\n"
           "RUN --mount=type=secret,id=tok --mount=type=secret,id=two test \"$(cat /run/secrets/tok /run/secrets/two)\" = s3cretfromenv && "
           "grep -q '10.9.8.7.*db' /etc/hosts && test $(ulimit -n) = 123 && df -k /dev/shm | grep -q 2048 && echo $A >/a\n"
           "FROM prod AS other\nRUN false\n")
    t.compose("""
        services:
          web:
            image: shop/web:dev
            build:
              context: web
              dockerfile: D.file
              target: prod
              args: {A: value}
              additional_contexts: {more: more, base: "docker-image://busybox"}
              labels: {l: v}
              network: none
              extra_hosts: ["db=10.9.8.7"]
              ulimits: {nofile: 123}
              shm_size: 2m
              secrets: [{source: s1, target: tok}, {source: s2, target: two}]
              tags: ["shop/web:also"]
              no_cache: false
              pull: false
              privileged: false
              isolation: default
              platforms: [linux/amd64]
            command: cat /a /f /g
          inline:
            build: {context: ., dockerfile_inline: "FROM web\\nRUN cat /a\\nCMD cat /a\\n", additional_contexts: {web: "service:web"}}
        secrets: {s1: {file: ./s1.txt}, s2: {environment: S2}}
    """)
    done = t.muster("build", env={"S2": "fromenv"})
    t.match(done.err, r"^#\d+ \[web prod \d/\d\] COPY f /f$")
    t.eq(inspect(t, "shop/web:dev")["Id"], inspect(t, "shop/web:also")["Id"])
    labels = inspect(t, "shop/web:dev")["Config"]["Labels"]
    t.eq({k: labels.get(k) for k in ("l", "com.docker.compose.project", "com.docker.compose.service")},
         {"l": "v", "com.docker.compose.project": "p", "com.docker.compose.service": "web"})
    t.eq(output(t, "p-inline"), "value\n")
    bake = json.loads(t.muster("build", "--print", "--build-arg", "B=2", "web").out)
    t.eq(bake["group"]["default"]["targets"], ["web"])
    t.eq(bake["target"]["web"]["args"], {"A": "value", "B": "2"})
    t.has(t.muster("build", "--dry-run").err, "DRY-RUN MODE", "p-inline")
    t.eq(t.muster("build", "-q", env={"S2": "fromenv"}).err, "")


def test_refused(t):
    """What cannot be honoured is refused with its place, before anything is built."""
    for key, needle in (("network: shared", "services.a.build.network"), ("sbom: true", "services.a.build.sbom"),
                        ("provenance: mode=max", "services.a.build.provenance"), ("isolation: hyperv", "services.a.build.isolation"),
                        ("platforms: [windows/amd64]", "platforms"), ("cache_to: ['type=gha']", "cache_to"),
                        ("entitlements: [device]", "entitlement"), ("ssh: [key=/etc/passwd]", "no private key"), ("context: ./nosuch", "nosuch"),
                        ("context: 'https://example.test/x.git#a?b:../c'", "https://example.test"), ("dockerfile: Nope", "Nope")):
        where = "" if key.startswith("context") else "context: ., "
        t.compose(f"services: {{a: {{build: {{{where}{key}}}}}}}\n")
        t.file("Dockerfile", BASE)
        done = t.muster("up", "-d", rc=1)
        t.has(done.err, needle)
        t.lacks(done.err, "Creating")
    t.compose("services: {a: {build: {dockerfile_inline: 'FROM busybox'}}}\n")
    for flag in (("--builder", "x"), ("--sbom", "true"), ("--provenance", "max"), ("--ssh", "default")):
        t.has(t.muster("build", *flag, rc=1, env={"SSH_AUTH_SOCK": None}).err, flag[0].lstrip("-"))


def test_up_builds(t):
    """up builds what is missing, and with --build or pull_policy: build what has changed; a changed image makes a new container, an unchanged one not."""
    t.file("Dockerfile", BASE + "COPY f /f\n")
    t.file("f", "1\n")
    t.compose("services: {a: {build: ., command: sleep 1000, stop_grace_period: 0s}}\n")
    t.has(t.muster("up", "-d", "--no-build", rc=1).err, "p-a", "not found", "build")
    t.has(t.up().err, "Image p-a  Built", "p-a-1  Started")
    t.eq(t.sh("a", "cat /f"), "1\n")
    first = t.ids()
    t.file("f", "2\n")
    t.lacks(t.up().err, "Built")
    t.eq(t.sh("a", "cat /f"), "1\n")
    t.up("--build")
    t.eq(t.sh("a", "cat /f"), "2\n")
    second = t.ids()
    t.true(first != second, "the container was not made again")
    t.up("--build", "--quiet-build")
    t.eq(t.ids(), second)
    t.compose("services: {a: {build: ., pull_policy: build, command: sleep 1000, stop_grace_period: 0s}}\n")
    t.file("f", "3\n")
    t.up()
    t.eq(t.sh("a", "cat /f"), "3\n")
    t.eq(t.muster("run", "--rm", "-T", "--build", "a", "cat", "/f").out, "3\n")
    t.muster("down", "--rmi", "local")
    t.has(t.muster("image", "inspect", "p-a", rc=1).err, "not found")
    t.muster("create", "--build")
    t.eq(t.ps()["p-a-1"]["State"], "created")


def test_run_directory_goes(t):
    """A run directory that muster has made goes with its last project and its last command, whichever holds it longer; one that was there stays."""
    env = {"MUSTER_RUN_ROOT": t.folder + "/fresh-run"}
    t.roots.append((t.root, env["MUSTER_RUN_ROOT"]))
    t.compose("services: {a: {build: {dockerfile_inline: \"FROM busybox\\nRUN true\\n\"}, command: sleep 1000, stop_grace_period: 0s}}\n")
    there = lambda: os.path.exists(env["MUSTER_RUN_ROOT"])
    for _ in range(3):
        t.up("--build", env=env)
        t.muster("down", "--rmi", "local", env=env)
        t.wait(lambda: not there(), 5, "the end of the run directory")
    t.muster("image", "tag", "busybox", "other", env=env)
    t.true(not there(), "after a command")
    t.up("--build", env=env)
    held = os.open(env["MUSTER_RUN_ROOT"], os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)  # as a command that takes long
    t.muster("down", "--rmi", "local", env=env)
    t.wait(lambda: os.listdir(env["MUSTER_RUN_ROOT"]) == [".made-by-muster"], 10, "the end of the project")
    os.close(held)
    t.muster("image", "rm", "other", env=env)
    t.true(not there(), "after the last command")
    os.mkdir(env["MUSTER_RUN_ROOT"])
    t.muster("image", "tag", "busybox", "other", env=env)
    t.true(there(), "a directory that somebody else has made")


def test_side_by_side(t):
    """Services are built at the same time; of those that depend on one that fails nothing is tried, and the others are built all the same."""
    t.compose("""
        services:
          a: {build: {dockerfile_inline: "FROM busybox\\nRUN sleep 1\\n"}}
          b: {build: {dockerfile_inline: "FROM busybox\\nRUN sleep 1; true\\n"}}
          bad: {build: {dockerfile_inline: "FROM busybox\\nRUN exit 5\\n"}}
          onbad: {build: {dockerfile_inline: "FROM x\\n", additional_contexts: {x: "service:bad"}}}
    """)
    begun = time.monotonic()
    done = t.muster("build", rc=1)
    t.true(time.monotonic() - begun < 6, "they were built one after the other")
    t.has(done.err, "exit code: 5", "service bad", "service onbad", "Image p-a  Built", "Image p-b  Built")
    t.compose("""
        services:
          a: {build: {dockerfile_inline: "FROM x\\n", additional_contexts: {x: "service:b"}}}
          b: {build: {dockerfile_inline: "FROM y\\n", additional_contexts: {y: "service:a"}}}
    """)
    t.has(t.muster("build", rc=1).err, "additional_contexts")


def test_cancel(t):
    """Ctrl+C ends a build at once; nothing of it is left."""
    job = t.start("image", "build", dockerfile(t, BASE + "RUN echo now; sleep 4245\n"))
    job.expect("now")
    job.signal(signal.SIGINT)
    t.true(job.wait(10) != 0, "a cancelled build is no success")
    t.has(job.err, "cancelled")
    t.nothing_left(ignore=("state", "run"))


@systest.timeout(90)
def test_killed(t):
    """kill -9 of muster, of the builder or of the executor in the middle of a step leaves no process, mount, cgroup, link or broken cache: the next
    build is right."""
    ctx = dockerfile(t, BASE + "RUN echo cached >/c\nRUN echo now; test -e /go || sleep 4246\n")
    for victim in ("muster", "builder", "executor"):
        job = t.start("image", "build", "-t", "k", ctx)
        job.expect("now")
        where = {"muster": lambda: job.p.pid, "builder": lambda: find("muster-image build"), "executor": lambda: find("muster-run build")}[victim]
        os.kill(where(), signal.SIGKILL)
        t.true(job.wait(15) != 0, f"success without {victim}")
        t.wait(lambda: not any("4246" in line for *_, line in systest.processes().values()), 5, "end of the step")
        t.nothing_left(10, ignore=("state", "run"))
    t.file("ctx/Dockerfile", BASE + "RUN echo cached >/c\nRUN echo right >/r\n")
    t.has(build(t, "-t", "k", ctx).err, "CACHED")
    t.eq(output(t, "k", "cat", "/c", "/r"), "cached\nright\n")


def find(line):
    return next(pid for pid, (state, *_, text) in systest.processes().items() if line in text and state != "Z")


def test_check(t):
    """--check reports findings, fails when there are any, and builds nothing; --build-arg BUILDKIT_DOCKERFILE_CHECK stands for the directive."""
    ctx = dockerfile(t, "from busybox as Build\nRUN echo $NOPE\nCMD echo x\n")
    t.has(build(t, "--check", "-t", "checked", ctx, rc=1).out, "Dockerfile:1", "Dockerfile:3")
    t.has(t.muster("image", "inspect", "checked", rc=1).err, "not found")
    dockerfile(t, "# check=skip=all\nFROM scratch as base\ncopy Dockerfile .\n")
    t.has(build(t, "--check", ctx).out, "no warnings found")
    done = build(t, "--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=ConsistentInstructionCasing, StageNameCasing", ctx, rc=1)
    t.has(done.out, "1 warning has been found", "FromAsCasing")
    dockerfile(t, "# check=error=true\nFROM scratch as base\n")
    t.has(build(t, "--check", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", ctx).out, "no warnings found")
    dockerfile(t, "FROM scratch AS Bad\nBADCMD\n")
    t.has(build(t, "--check", ctx, rc=1).out, "1 warning has been found", "StageNameCasing", "Dockerfile:2:1: error: unknown instruction")
    t.compose("services: {a: {build: {dockerfile_inline: \"FROM busybox\\nMAINTAINER me\\n\"}}}\n")
    t.has(t.muster("build", "--check", rc=1).out, "MaintainerDeprecated")


def test_check_fails_build(t):
    """`# check=error=true` fails a build that has findings in the stages that it needs, before its first step; other builds have no word of them."""
    text = "FROM busybox AS other\nWORKDIR a\nFROM busybox as made\nRUN touch /ran\n"
    t.lacks(build(t, "-t", "n", dockerfile(t, text)).err, "FromAsCasing")
    done = build(t, "--no-cache", dockerfile(t, "# check=error=true\n" + text), rc=1)
    t.has(done.err, "Dockerfile:4: warning: FromAsCasing: 'as' and 'FROM' keywords' casing do not match\n", "lint violation found for rules: FromAsCasing\n")
    t.lacks(done.err, "RUN touch", "WorkdirRelativePath")
    build(t, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=FromAsCasing;error=true", "ctx")
    t.has(build(t, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true", dockerfile(t, text), rc=1).err, "lint violation")
    t.has(build(t, "--target", "other", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true", "ctx", rc=1).err, "for rules: WorkdirRelativePath, FromAsCasing\n")
    image = "FROM busybox\nENV OF_BASE=1\n"
    build(t, "-t", "base", dockerfile(t, image))
    build(t, dockerfile(t, "# check=error=true\nFROM base\nRUN echo $OF_BASE\nENV A=$OF_BASE\n"))
    t.has(build(t, dockerfile(t, "# check=error=true\nFROM base\nENV A=$OF_NOBODY\n"), rc=1).err, "for rules: UndefinedVar\n")


def test_networks(t):
    """Steps reach the world by the host's address, or nothing with none; host only when it is allowed; names are resolved as on the host."""
    t.uplink()
    text = BASE + "RUN wget -qO- http://echo.world.test/ || wget -qO- http://192.0.2.1/\n"
    t.has(build(t, "--no-cache", dockerfile(t, text)).err, "192.0.2.2")
    t.true(build(t, "--no-cache", "--network", "none", "ctx", rc=None).rc == 1, "a way out of none")
    t.has(build(t, "--no-cache", "--network", "host", dockerfile(t, BASE + "RUN ip -o link\n")).err, "up0")
    t.has(build(t, "--no-cache", dockerfile(t, BASE + "RUN --network=host ip -o link\n"), rc=1).err, "network.host")
    t.has(build(t, "--no-cache", "--allow", "network.host", "ctx").err, "up0")
    t.nothing_left(ignore=("state", "run"))


def test_prune(t):
    """builder prune removes cached steps, not what images are made of; a budget and an age keep the rest; --all takes cache mounts too."""
    ctx = dockerfile(t, BASE + "RUN --mount=type=cache,target=/c dd if=/dev/zero of=/big bs=64k count=32 2>/dev/null; touch /c/x\n")
    build(t, "-t", "keep", ctx)
    t.match(t.muster("builder", "prune", "--keep-storage", "1g").out, r"Total:\s+0B")
    t.match(t.muster("builder", "prune", "--until", "1h").out, r"Total:\s+0B")
    t.has(build(t, ctx).err, "CACHED")
    t.muster("image", "rm", "keep")
    layers = len(os.listdir(t.root + "/layers"))
    t.match(t.muster("builder", "prune").out, r"Total:\s+[0-9.]+MB")
    t.true(len(os.listdir(t.root + "/layers")) < layers, "the layer stays")
    t.lacks(build(t, ctx).err, "CACHED")
    t.true(os.listdir(t.root + "/buildcache/mounts"), "the cache mount has gone")
    t.muster("builder", "prune", "-a", "-f")
    t.eq(os.listdir(t.root + "/buildcache/mounts"), [])
    t.has(t.muster("builder", "prune", "--keep-storage", "much", rc=1).err, "keep-storage")


def test_add_url(t):
    """ADD of a URL: redirects, the name and time that the server gives, a checksum that holds or not; no credentials of ours go along."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    seen, contexts = [], {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            if self.path in contexts:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(contexts[self.path])
                return
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/dir/file.txt?x=1")
            elif self.path.startswith("/loop"):
                self.send_response(302)
                self.send_header("Location", "/loop")
            elif self.path.startswith("/dir/"):
                self.send_response(200)
                self.send_header("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT")
                self.send_header("Content-Length", "5")
            else:
                self.send_response(404)
            self.end_headers()
            if self.path.startswith("/dir/"):
                self.wfile.write(b"data\n")

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    digest = hashlib.sha256(b"data\n").hexdigest()
    done = build(t, dockerfile(t, f"{BASE}ADD --checksum=sha256:{digest} {url}/dir/file.txt /d/\nADD {url}/moved /e\nRUN stat -c '%n %a %Y %s' /d/file.txt /e\n"))
    t.has(done.err, "/d/file.txt 600 1640995200 5", "/e 600 1640995200 5")
    t.true(seen and not any("Authorization" in h for h in seen), str(seen))
    t.has(build(t, dockerfile(t, f"{BASE}ADD --checksum=sha256:{'0' * 64} {url}/dir/file.txt /d/\n"), rc=1).err, "digest mismatch")
    t.has(build(t, dockerfile(t, f"{BASE}ADD {url}/nosuch /d/\n"), rc=1).err, "404")
    t.has(build(t, dockerfile(t, f"{BASE}ADD {url}/loop /d/\n"), rc=1).err, "redirects")
    t.has(build(t, dockerfile(t, f"{BASE}ADD http://127.0.0.1:1/x /d/\n"), rc=1).err, "127.0.0.1:1")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, content in (("Dockerfile", BASE.encode() + b"COPY f /f\nRUN cat /f\n"), ("f", b"by tar\n")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    contexts["/context.tar.gz"], contexts["/Dockerfile"] = data.getvalue(), BASE.encode() + b"RUN echo alone\n"
    t.has(build(t, f"{url}/context.tar.gz").err, "by tar")
    t.has(build(t, f"{url}/Dockerfile").err, "alone")
    t.has(build(t, f"{url}/no.tar", rc=1).err, "no.tar", "404")
    t.has(build(t, f"{url}/repo.git", rc=1).err, "no such repository")
    t.has(build(t, "-f", "-", f"{url}/context.tar.gz", stdin=BASE + "COPY f /g\nRUN echo is; cat /g\n").err, "by tar")
    t.compose(f"services: {{a: {{build: {{context: '{url}/context.tar.gz'}}}}}}\n")
    t.has(t.muster("build", "--no-cache").err, "by tar")
    server.shutdown()


def test_exec_privileged(t):
    """exec --privileged has every capability and no filter, without it docker's."""
    t.compose("services: {a: {image: busybox, command: sleep 1000, stop_grace_period: 0s}}\n")
    t.up()
    t.has(t.muster("exec", "-T", "--privileged", "a", "grep", "-E", "CapEff|Seccomp:", "/proc/self/status").out, "CapEff:\t000001ff", "Seccomp:\t0")
    t.has(t.sh("a", "grep -E 'CapEff|Seccomp:' /proc/self/status"), "CapEff:\t00000000a80425fb", "Seccomp:\t2")


def test_run_capabilities(t):
    """run --cap-add and --cap-drop go on top of the service's own; what one adds the other no longer drops; an unknown name is refused."""
    t.compose("services: {a: {image: busybox, cap_drop: [CHOWN]}, b: {image: busybox, cap_drop: [ALL]}}\n")

    def caps(*args, service="a"):
        return int(t.muster("run", "--rm", "-T", *args, service, "grep", "CapEff", "/proc/self/status").out.split()[1], 16)
    usual = 0xa80425fb
    t.eq(caps(), usual & ~1)
    t.eq(caps("--cap-add", "NET_ADMIN", "--cap-add", "CHOWN"), usual | 1 << 12)
    t.eq(caps("--cap-drop", "NET_RAW", "--cap-drop", "KILL"), usual & ~1 & ~(1 << 13) & ~(1 << 5))
    t.eq(caps("--cap-add", "SYS_TIME", service="b"), 1 << 25)
    t.has(t.muster("run", "--rm", "--cap-add", "NOPE", "a", "true", rc=1).err, "--cap-add", "NOPE")


@systest.timeout(90)
def test_build_parallel(t):
    """--parallel N and COMPOSE_PARALLEL_LIMIT: never more than N builds at once, whatever asks for them, and none waits for a place for ever: not the one
    that another is built on, not those of several platforms, and nobody once one was cancelled."""
    step = "RUN echo 'be''gun %s'; sleep 0.3; echo 'en''ded %s'\n"
    for name in "abcd":
        dockerfile(t, BASE + step % (name, name), name)
    dockerfile(t, "FROM below\n" + step % ("top", "top"), "top")
    services = "".join(f"  {name}: {{build: ./{name}, command: ['true']}}\n" for name in "abcd")
    t.compose("services:\n  top: {build: {context: ./top, additional_contexts: {below: 'service:a'}}, command: ['true']}\n" + services)

    def most(text):
        now = peak = 0
        for what in re.findall(r"(?m)^#\d+ [\d.]+ (begun|ended) ", text):
            now += 1 if what == "begun" else -1
            peak = max(peak, now)
        t.eq(len(re.findall(r"(?m)^#\d+ [\d.]+ ended ", text)), 5, f"steps that ran\n{text}")
        return peak
    for args, env, limit in ((["--parallel", "1"], {}, 1), (["--parallel", "2"], {"COMPOSE_PARALLEL_LIMIT": "1"}, 2), ([], {"COMPOSE_PARALLEL_LIMIT": "1"}, 1)):
        t.true(most(t.muster("--progress", "plain", *args, "build", "--no-cache", env=env).err) <= limit, f"{args} {env}")
    t.muster("image", "rm", *[f"p-{name}" for name in ("a", "b", "c", "d", "top")])
    t.muster("builder", "prune", "-af")
    t.true(most(t.muster("--progress", "plain", "--parallel", "1", "up", "-d").err) <= 1, "up")
    t.muster("down")
    for line in t.muster("--progress", "json", "build").err.splitlines():
        json.loads(line)  # the global option holds for a command that has one of the same name, too
    # one that fails takes those that stand on it, and no place
    dockerfile(t, BASE + "RUN exit 7\n", "a")
    t.has(t.muster("--parallel", "1", "build", rc=1).err, "what it is built on could not be built", "exit code: 7")
    dockerfile(t, BASE + "RUN echo wait''ing; sleep 30\n", "a")
    job = t.start("--progress", "plain", "--parallel", "1", "build", "--no-cache")
    job.expect("(?m)^#\\d+ [\\d.]+ waiting$")
    begun = time.monotonic()
    job.signal(signal.SIGINT)
    t.true(job.wait(20) != 0 and time.monotonic() - begun < 10, "a cancelled build ends all that wait for a place")
    t.nothing_left(ignore=("state", "run"))
