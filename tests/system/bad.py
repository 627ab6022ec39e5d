# SPDX-License-Identifier: Apache-2.0
"""Bad input: one message with its place and a way out, exit code not 0, nothing started."""
import io
import json
import os
import tarfile


def refuse(t, text, *needles, verb=("up", "-d"), rc=None):
    t.compose(text)
    done = t.muster(*verb, rc=rc)
    t.one_message(done, *needles)
    return done.err


def test_bad_yaml(t):
    """The line of the mistake, not of the start of the file."""
    refuse(t, "services:\n  a:\n    image: x\n   - b\n", "compose.yaml:4:")
    refuse(t, "services:\n\ta:\n", "compose.yaml:2:", "tab")


def test_unknown_key(t):
    """An unknown key: its place, and what was probably meant."""
    refuse(t, "services:\n  a:\n    image: x\n    imagee: y\n", "compose.yaml:4:5", "services.a", "imagee", 'did you mean')
    refuse(t, "servicess: {}\nservices: {a: {image: x}}\n", "compose.yaml:1:1", "servicess", "services")


def test_progress_json(t):
    """With --progress json what is wrong with the file, and with a Dockerfile, is objects, too."""
    t.compose("services: {web: {image: busybox, prots: []}}")
    said = t.muster("--progress", "json", "up", "-d", rc=1).err
    t.eq([list(json.loads(x)) for x in said.splitlines()], [["error", "message"]], said)
    t.has(json.loads(said)["message"], "compose.yaml:1:", "prots")
    t.compose("services: {web: {image: x, build: {dockerfile_inline: \"FROM scratch\\nCOPY nope /\\n\"}}}")
    said = [json.loads(x) for x in t.muster("--progress", "json", "build", rc=1).err.splitlines()]
    t.has(said[-1]["message"], "service web", "not found")
    t.true(any("COPY nope" in x.get("msg", "") for x in said), f"{said}")


def test_wrong_type(t):
    """Wrong types, all in one run."""
    refuse(t, "services:\n  a:\n    image: x\n    ports: 80\n    environment: 3\n", "compose.yaml:4:", "compose.yaml:5:", "ports", "environment")


def test_no_image(t):
    """A service without image."""
    refuse(t, "services:\n  a:\n    command: x\n", "services.a", "image", "compose.yaml:")


def test_undefined(t):
    """Undefined network, volume, dependency: named with the service that asks for it."""
    refuse(t, "services:\n  a:\n    image: x\n    networks: [nope]\n", "undefined network", "nope", "compose.yaml:4:")
    refuse(t, "services:\n  a:\n    image: x\n    volumes: ['nope:/d']\n", "undefined volume", "nope", "compose.yaml:4:")
    refuse(t, "services:\n  a:\n    image: x\n    depends_on: [nope]\n", "undefined service", "nope", "compose.yaml:4:")


def test_cycle(t):
    """A dependency cycle is printed whole."""
    refuse(t, "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [c]}\n  c: {image: x, depends_on: [a]}\n",
           "a -> b -> c -> a")


def test_variables(t):
    """A required variable that is missing; an unterminated one."""
    refuse(t, "services:\n  a:\n    image: ${IMG:?image must be set}\n", "IMG", "image must be set", "compose.yaml:3:")
    refuse(t, "services:\n  a:\n    image: x:${TAG\n", "compose.yaml:3:", "${TAG")


def test_bad_values(t):
    """A bad port, a bad duration, a bad size: the service and the key are named."""
    refuse(t, "services:\n  a:\n    image: x\n    ports: ['80:abc']\n", "compose.yaml:4:", "abc")
    refuse(t, "services:\n  a:\n    image: x\n    stop_grace_period: 5x\n", "compose.yaml:4:", "5x")
    refuse(t, "services:\n  a:\n    image: x\n    mem_limit: lots\n", "compose.yaml:4:", "lots")
    refuse(t, "services:\n  a:\n    image: x\n    restart: sometimes\n", "sometimes")


def test_missing_env_file(t):
    """A missing env_file names the file."""
    refuse(t, "services:\n  a:\n    image: busybox\n    env_file: nope.env\n", "nope.env")


def test_missing_image(t):
    """A missing image: its name, its place, and how to get one; nothing made before."""
    refuse(t, "services:\n  a:\n    image: nosuch:1\n  b: {image: busybox, command: sleep 1000}\n", "nosuch:1", "compose.yaml:3:", "muster image import")


def test_command_not_found(t):
    """A command that the image lacks: up fails, run says 127, the command and the service are named."""
    t.compose("services: {a: {image: busybox, command: nosuchcmd}}")
    done = t.up(rc=None)
    t.true(done.rc in (1, 127), f"exit {done.rc}")
    t.has(done.err, "nosuchcmd", "not found")
    t.eq([c for c in t.ps().values() if c["State"] == "running"], [])
    t.muster("run", "--rm", "-T", "a", rc=127)


def test_command_not_executable(t):
    """A command without execute permission: 126."""
    t.compose("services: {a: {image: busybox, command: /etc/passwd}}")
    t.has(t.muster("run", "--rm", "-T", "a", rc=126).err, "/etc/passwd")


def test_bad_working_dir(t):
    """A working directory below a file is an error that names it."""
    t.compose("services: {a: {image: busybox, command: 'true', working_dir: /etc/passwd/x}}")
    t.has(t.up(rc=1).err, "/etc/passwd/x")


def test_unreadable_bind_source(t):
    """A bind source that cannot be had (below a file) names the path; nothing is started."""
    t.file("plain", "x")
    t.compose("services: {a: {image: busybox, command: sleep 1000, volumes: ['./plain/x:/d']}}")
    t.has(t.up(rc=1).err, "plain/x")
    t.eq([c for c in t.ps().values() if c["State"] == "running"], [])


def test_no_file(t):
    """No compose file at all; a file that is not there; an empty one."""
    t.one_message(t.muster("up", "-d", rc=1), "no compose file", "compose.yaml")
    t.one_message(t.muster("-f", "nofile.yml", "up", "-d", rc=1), "nofile.yml")
    t.file("compose.yaml", "")
    t.one_message(t.muster("up", "-d", rc=1), "empty")


def test_unknown_service(t):
    """An unknown service on the command line."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    for args in (("up", "-d", "wbe"), ("logs", "wbe"), ("stop", "wbe"), ("ps", "wbe"), ("run", "wbe", "true"), ("restart", "wbe"), ("kill", "wbe")):
        t.has(t.muster(*args, rc=1).err, "no such service: wbe")
    t.eq(t.ps(), {})


def test_bad_project_name(t):
    """-p with characters that no project name has."""
    t.compose("services: {web: {image: busybox}}")
    t.muster("-p", "Not Valid", "up", "-d", rc=1)
    t.muster("-p", "../../x", "up", "-d", rc=1)
    t.muster("-p", "x" * 300, "up", "-d", rc=None)
    t.eq(t.muster("ls", "-a", "-q").out, "")


def test_many_faults_at_once(t):
    """Several mistakes are told in one run, each with its place."""
    err = refuse(t, "services:\n  a:\n    imagee: x\n  b:\n    image: 3.5\n    comand: y\n", "compose.yaml:3:", "compose.yaml:6:")
    t.true(len(err.splitlines()) < 60, "a flood of messages")


def test_hostile_files(t):
    """Alias bombs, deep nesting, NUL and binary: an error within a second, never a crash."""
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{i}: &a{i} [{','.join(['*a%d' % (i - 1)] * 9)}]\n" for i in range(1, 12))
    for data in (bomb.encode(), b"{" * 100000, b"[" * 200000, b"services:\n a:\n  image: \0\n", os.urandom(4096), b"a: &a [*a]\n", b"services: &s\n  <<: *s\n",
                 b"services: {a: {image: busybox, command: " + b"x" * 3_000_000 + b"}}", b"\xff\xfe\0a"):
        t.file("compose.yaml", data)
        done = t.muster("config", "-q", rc=None, seconds=10)
        t.true(0 <= done.rc < 128, f"config of {data[:40]!r}: {done}")


def test_hostile_archives(t):
    """Archives that climb out, point out or lie about themselves: refused or harmless, nothing outside the store changes."""
    victim = t.folder + "/victim"
    with open(victim, "w", encoding="ascii") as f:
        f.write("untouched")

    def tar(*entries):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, kind, link, data in entries:
                info = tarfile.TarInfo(name)
                info.type, info.linkname, info.size = kind, link, len(data)
                archive.addfile(info, io.BytesIO(data))
        return out.getvalue()
    up = "../" * 20
    cases = [tar((up + victim.lstrip("/"), tarfile.REGTYPE, "", b"pwned")), tar((victim, tarfile.REGTYPE, "", b"pwned")),
             tar(("l", tarfile.SYMTYPE, "/", b""), ("l/" + victim, tarfile.REGTYPE, "", b"pwned")),
             tar(("l", tarfile.SYMTYPE, up, b""), ("l/" + victim, tarfile.REGTYPE, "", b"pwned")),
             tar(("h", tarfile.LNKTYPE, victim, b""), ("h", tarfile.REGTYPE, "", b"pwned")),
             tar(("h", tarfile.LNKTYPE, up + victim, b""), ("h", tarfile.REGTYPE, "", b"pwned")),
             tar(("a", tarfile.REGTYPE, "", b"x" * 10000))[:5000], b"not a tar at all" * 100, b""]
    for i, data in enumerate(cases):
        done = t.muster("image", "import", "-", f"evil:{i}", stdin=data, rc=None)
        t.true(0 <= done.rc < 128, f"case {i}: {done}")
        with open(victim, encoding="ascii") as f:
            t.eq(f.read(), "untouched", f"the file outside after case {i}")
