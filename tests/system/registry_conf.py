# SPDX-License-Identifier: Apache-2.0
"""What the machine knows of registries: credential helpers, files of credentials, mirrors, aliases, insecure and blocked ones, certificates."""
import base64
import json
import os
import ssl
import subprocess
import registry
from registry import DockerRegistry, Image, Server

LAYERS = [registry.tar_of({f"file{i}": os.urandom(50000)}) for i in range(3)]
BASIC = "Basic " + base64.b64encode(b"alice:s3cret").decode()
HELPER = """#!/bin/sh
# a credential helper that keeps what it is told in a file, and writes what must not be shown
db=$(dirname "$0")/db
echo "NOISE $*" >&2
echo "$1" >>"$db.log"
case $1 in
store) cat >"$db" ;;
get) read -r server
     if [ "$(sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/' "$db" 2>/dev/null)" = "$server" ]; then cat "$db"; else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) rm -f "$db" ;;
list) echo "{\\"$(sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/' "$db" 2>/dev/null)\\":\\"alice\\"}" ;;
esac
"""


def loopback(_):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def conf(t, text, name="registries.conf"):
    """The user's own file below ~/.config/containers."""
    path = f'{t.env["HOME"]}/.config/containers/{name}'
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def docker_config(t, value):
    path = t.env["HOME"] + "/.docker/config.json"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)
    return path


def basic_only(h, _):
    """A fault that asks everybody for the user name and the password."""
    if h.headers.get("Authorization") == BASIC:
        return False
    h.reply(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
    return True


def test_helper(t):
    """login stores into the helper that is configured, the file holds no secret and its other keys stay; pull gets it from there, under another
    spelling too; logout erases it; what the helper writes beside is not shown."""
    loopback(t)
    folder = t.folder + "/bin"
    os.makedirs(folder)
    with open(folder + "/docker-credential-test", "w", encoding="ascii") as f:
        f.write(HELPER)
    os.chmod(folder + "/docker-credential-test", 0o755)
    env = {"PATH": folder + ":" + os.environ["PATH"]}
    path = docker_config(t, {"credsStore": "test", "psFormat": "x", "auths": {"other": {"auth": "eA=="}}})
    with open(t.folder + "/htpasswd", "wb") as f:
        f.write(subprocess.run(["htpasswd", "-Bbn", "alice", "s3cret"], check=True, capture_output=True).stdout)
    with DockerRegistry(t.folder + "/registry", htpasswd=t.folder + "/htpasswd") as s:
        done = t.muster("login", "-u", "alice", "--password-stdin", s.host, stdin="s3cret\n", env=env)
        t.eq(done.err, "")
        t.eq(json.load(open(path, encoding="ascii")), {"credsStore": "test", "psFormat": "x", "auths": {"other": {"auth": "eA=="}, s.host: {}}})
        t.eq(os.stat(path).st_mode & 0o777, 0o600)
        stored = open(folder + "/db", encoding="ascii").read()
        t.eq(json.loads(stored), {"ServerURL": s.host, "Username": "alice", "Secret": "s3cret"})
        done = t.muster("image", "pull", f"{s.host}/a/b:1", env=env, rc=1)
        t.has(done.err, "not found at")
        t.lacks(done.err + done.out, "NOISE", "s3cret")
        n = open(folder + "/db.log", encoding="ascii").read().count("get")
        t.muster("image", "pull", f"{s.host}/a/b:1", f"{s.host}/a/c:1", f"{s.host}/d:1", env=env, rc=1)
        t.eq(open(folder + "/db.log", encoding="ascii").read().count("get") - n, 1, "questions for three images of one registry")
        with open(folder + "/db", "w", encoding="ascii") as f:
            f.write(stored.replace(s.host, f"https://{s.host}/v2/"))
        t.has(t.muster("image", "pull", f"{s.host}/a/b:1", env=env, rc=1).err, "not found at")
        t.has(t.muster("image", "pull", f"{s.host}/a/b:1", rc=1).err, "docker-credential-test is not in PATH")
        t.has(t.muster("logout", s.host, env=env).out, "Removing login credentials")
        t.true(not os.path.exists(folder + "/db"), "the helper still has it")
        t.has(t.muster("logout", s.host, env=env).out, "Not logged in")
        t.has(t.muster("image", "pull", f"{s.host}/a/b:1", rc=1, env=env).err, "muster login")
        docker_config(t, {"credHelpers": {s.host: "../../bin/sh"}})
        t.has(t.muster("image", "pull", f"{s.host}/a/b:1", rc=1, env=env).err, "cannot be a credential helper's name")


def helper(t, name, script):
    """A credential helper of this name; the environment that has it in PATH."""
    os.makedirs(t.folder + "/bin", exist_ok=True)
    path = f"{t.folder}/bin/docker-credential-{name}"
    with open(path, "w", encoding="ascii") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(path, 0o755)
    return {"PATH": t.folder + "/bin:" + os.environ["PATH"]}


def complaints(done):
    return [x for x in done.err.splitlines() if x.startswith("muster: ")]


def test_helper_fails(t):
    """A helper that is not there, fails, hangs or answers nonsense is one error of the image, as in docker compose, and the registry is not asked without
    credentials; images of other registries are pulled. A helper that says that it has no account is no error."""
    image = Image(LAYERS[:1])
    loopback(t)
    with Server(image) as s, Server(image, address="127.0.0.2") as other:
        ref = f"{s.host}/a/b:1"
        for script, words in ((None, "docker-credential-x is not in PATH"), ("echo boom; echo and-more; exit 3", "docker-credential-x: exit code 3: boom"),
                              ("echo 'gpg: secret key not found'; exit 1", "exit code 1: gpg: secret key not found"), ("kill -9 $$", "did not end well"),
                              ("echo '{\"Username\":\"u\"}'", "no user name and secret"), ("echo hello", "no user name and secret"), ("exit 0", "no user name and secret"),
                              ("exec sleep 100", "no answer within 10 seconds")):
            env = helper(t, "x", script) if script else None
            docker_config(t, {"credHelpers": {s.host: "x"}})
            done = t.muster("image", "pull", ref, rc=1, env=env)
            t.has(done.err, f'muster: image "{ref}": credentials for {s.host}: ', words)
            t.lacks(done.err, "and-more")
            t.eq(len(complaints(done)), 1, done.err)
            t.eq(s.seen, [], "asked the registry after " + words)
        env = helper(t, "x", "exit 9")
        docker_config(t, {"credsStore": "../x", "credHelpers": {other.host: ""}})
        done = t.muster("image", "pull", ref, f"{other.host}/a/b:1", rc=1, env=env)
        t.has(done.err, "cannot be a credential helper's name", f"Image {other.host}/a/b:1  Pulled")
        docker_config(t, {"credsStore": "x"})
        t.file("compose.yaml", f"services:\n  a: {{image: '{ref}'}}\n  b: {{image: '{ref}', command: [x]}}\n")
        done = t.muster("up", "-d", rc=1, env=env)
        t.has(done.err, "exit code 9")
        t.eq(s.seen, [])
        t.eq(t.muster("pull", "--ignore-pull-failures", env=env).err.count("exit code 9"), 1)
        for script in ("echo ' credentials not found in native keychain'; exit 1", "echo '{\"Username\":\"\",\"Secret\":\"\"}'"):
            t.muster("image", "pull", ref, env=helper(t, "x", script))
            t.muster("image", "rm", ref)


def test_helper_and_file(t):
    """An account in a file serves when the helper fails, with a warning; a mirror is asked without one. DOCKER_AUTH_CONFIG comes before both."""
    image = Image(LAYERS[:1])
    loopback(t)
    with Server(image) as mirror, Server(image, basic_only) as s:
        ref, account = f"{s.host}/a/b:1", {"auths": {s.host: {"auth": BASIC[6:]}}}
        docker_config(t, {"credsStore": "gone", **account})
        done = t.muster("image", "pull", ref)
        t.has(done.err, f"credentials for {s.host}: docker-credential-gone is not in PATH: taking those of another file", "Pulled")
        docker_config(t, {"credHelpers": {mirror.host: "gone"}, **account})
        conf(t, f'[[registry]]\nlocation = "{s.host}"\n[[registry.mirror]]\nlocation = "{mirror.host}"\n')
        t.muster("image", "rm", ref)
        done = t.muster("image", "pull", ref)
        t.has(done.err, "docker-credential-gone is not in PATH: asking the mirror without", "Pulled")
        t.true(mirror.seen, "the mirror")
        os.unlink(t.env["HOME"] + "/.config/containers/registries.conf")
        docker_config(t, {"credsStore": "gone"})
        t.muster("image", "rm", ref)
        t.eq(t.muster("image", "pull", ref, env={"DOCKER_AUTH_CONFIG": json.dumps(account)}).err.count("gone"), 0)
        t.has(t.muster("image", "pull", ref, rc=1, env={"DOCKER_AUTH_CONFIG": "{"}).err, "DOCKER_AUTH_CONFIG: not a JSON object")


def test_auth_json(t):
    """$REGISTRY_AUTH_FILE and $XDG_RUNTIME_DIR/containers/auth.json count after docker's file; the longest path wins there."""
    image = Image(LAYERS[:1])
    loopback(t)
    with Server(image, basic_only) as s:
        good, bad = {"auth": BASIC[6:]}, {"auth": base64.b64encode(b"alice:no").decode()}
        name = t.file("auth.json", json.dumps({"auths": {s.host: bad, f"{s.host}/a": good, f"{s.host}/a/bb": bad}}))
        name = os.path.join(t.dir, "auth.json")
        t.has(t.muster("image", "pull", f"{s.host}/a/b:1", rc=1).err, "muster login")
        t.muster("image", "pull", f"{s.host}/a/b:1", env={"REGISTRY_AUTH_FILE": name})
        t.has(t.muster("image", "pull", f"{s.host}/c/b:1", env={"REGISTRY_AUTH_FILE": name}, rc=1).err, "access denied")
        os.makedirs(t.folder + "/xdg/containers")
        os.rename(name, t.folder + "/xdg/containers/auth.json")
        t.muster("image", "pull", f"{s.host}/a/b:1", env={"XDG_RUNTIME_DIR": t.folder + "/xdg"})
        docker_config(t, {"auths": {s.host: bad}})
        t.has(t.muster("image", "pull", f"{s.host}/a/b:1", env={"XDG_RUNTIME_DIR": t.folder + "/xdg"}, rc=1).err, "access denied")
        t.file("torn.json", "{")
        t.has(t.muster("image", "pull", f"{s.host}/c/b:1", env={"DOCKER_CONFIG": "/nonexistent", "REGISTRY_AUTH_FILE": os.path.join(t.dir, "torn.json")},
                       rc=1).err, "torn.json")


def test_mirrors(t):
    """Mirrors are asked first and in order, without the registry's credentials; what a mirror lacks or spoils comes from the registry itself; the image
    keeps its name. pull-from-mirror and mirror-by-digest-only say when."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image) as mirror, Server(image, basic_only) as s:
        docker_config(t, {"auths": {s.host: {"auth": BASIC[6:]}}})
        where = lambda more="": conf(t, f"""
            unqualified-search-registries = ["example.org"] # not followed
            [[registry]]
            prefix = "{s.host}/team"
            location = "{s.host}/a"
            {more}
            [[registry.mirror]]
            location = "127.0.0.9:1/dead"
            [[registry.mirror]]
            location = "{mirror.host}/m"
            """)
        ref = f"{s.host}/team/b:1"

        def pull(n=None, name=ref):
            s.seen.clear()
            mirror.seen.clear()
            t.muster("image", "rm", "-f", ref, rc=None)
            t.muster("image", "pull", name)
            if n is not None:
                t.eq((len(s.seen) > 0), n, "the registry itself was asked")
            t.eq({x[2] for x in mirror.seen} - {None}, set(), "credentials at the mirror")
            t.has(t.muster("image", "ls", "--no-trunc").out, f"{s.host}/team/b", image.id)
        where()
        pull(False)
        t.true(all(x[1].startswith("/v2/m/b/") or x[1] == "/v2/" for x in mirror.seen), "the rest of the name follows the mirror's location")
        mirror.fault = lambda h, n: h.path.endswith(image.layers[1]) and (h.reply(404) or True)
        pull(True)
        t.eq(len([x for x in s.seen if x[1] == "/v2/a/b/blobs/" + image.layers[1] and x[2]]), 1)
        mirror.fault = lambda h, n: h.path.endswith(image.layers[1]) and (h.reply(200, b"x" * len(image.blobs[image.layers[1]])) or True)
        pull(True)
        mirror.fault = lambda h, n: h.reply(500) or True
        pull(True)
        mirror.fault = None
        where("mirror-by-digest-only = true")
        pull(True)
        t.eq(mirror.seen, [])
        where("blocked = true")
        t.has(t.muster("image", "pull", ref, rc=1).err, "blocks")
        conf(t, "[[registry]\n")
        t.has(t.muster("image", "pull", ref, rc=1).err, "registries.conf", "line 1")


def test_aliases(t):
    """An alias says where a short name comes from; a name with a registry has none; a later file replaces and forgets."""
    image = Image(LAYERS[:1])
    loopback(t)
    with Server(image) as s:
        conf(t, f'[aliases]\n"tool" = "{s.host}/a/b"\n"team/tool"=\'{s.host}/a/b\'\n')
        t.muster("image", "pull", "tool:1")
        t.muster("image", "pull", "team/tool:1")
        t.has(t.muster("image", "ls").out, "team/tool")
        t.eq({x[1].split("/")[2] for x in s.seen if "/manifests/" in x[1]}, {"a"})
        n = len(s.seen)
        conf(t, '[aliases]\n"team/tool" = ""\n', "registries.conf.d/9.conf")
        conf(t, '[[registry]]\nlocation = "docker.io"\nblocked = true\n', "registries.conf.d/8.conf")
        t.has(t.muster("image", "pull", "team/tool:1", rc=1).err, "blocks")
        t.has(t.muster("image", "pull", "docker.io/library/tool:1", rc=1).err, "blocks")
        t.eq(len(s.seen), n)


def test_insecure(t):
    """Plain HTTP to another machine only when the configuration says so; then its token server may be on the same host, and nowhere else; any
    certificate will do."""
    image = Image(LAYERS[:1])
    loopback(t)
    subprocess.run(["ip", "address", "add", "10.99.0.1/32", "dev", "lo"], check=True)
    subprocess.run(["ip", "address", "add", "10.99.0.2/32", "dev", "lo"], check=True)
    with Server(image, address="10.99.0.1") as s:
        ref = f"{s.host}/a/b:1"
        docker_config(t, {"auths": {s.host: {"auth": BASIC[6:]}}})
        t.muster("image", "pull", ref, rc=1)
        t.eq(s.seen, [])
        conf(t, f'[[registry]]\nlocation = "{s.host}"\ninsecure = true\n')
        t.muster("image", "pull", ref)
        t.muster("image", "rm", ref)

        def token(where, scheme="http"):
            def fault(h, _):
                if h.path.startswith("/token"):
                    h.reply(200, b'{"token":"good"}')
                elif h.headers.get("Authorization") != "Bearer good":
                    h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="{scheme}://{where}/token"'})
                else:
                    return False
                return True
            return fault
        with Server(image, address="10.99.0.2") as other:
            s.fault = token(other.host)
            t.has(t.muster("image", "pull", ref, rc=1).err, "HTTPS")
            t.eq(other.seen, [])
        s.fault = token(s.host)
        t.muster("image", "pull", ref)
        t.eq({x[2] for x in s.seen if x[1].startswith("/token")}, {BASIC})
        t.muster("image", "rm", ref)
    _, cert, key = registry.make_ca(t.folder)
    with registry.with_tls(Server(image, address="10.99.0.1"), cert, key) as s:
        t.has(t.muster("image", "pull", f"{s.host}/a/b:1", rc=1).err, "certificate")
        conf(t, f'[[registry]]\nprefix = "10.99.0.1:{s.port}"\nlocation = "{s.host}"\ninsecure = true\n')
        t.muster("image", "pull", f"{s.host}/a/b:1")
        t.muster("image", "rm", f"{s.host}/a/b:1")
        with registry.with_tls(Server(image, address="10.99.0.2"), cert, key) as other:  # any certificate, of the registry alone
            docker_config(t, {"auths": {s.host: {"auth": BASIC[6:]}}})
            s.fault = token(other.host, "https")
            t.has(t.muster("image", "pull", f"{s.host}/a/b:1", rc=1).err, "certificate")
            s.fault = lambda h, n: "/blobs/" in h.path and (h.reply(307, b"", {"Location": f"https://{other.host}{h.path}"}) or True)
            t.has(t.muster("image", "pull", f"{s.host}/a/b:1", rc=1).err, "certificate")
            t.eq(other.seen, [])
            s.fault = token(s.host, "https")
            t.muster("image", "pull", f"{s.host}/a/b:1")
    for address in ("10.99.0.1", "10.99.0.2"):
        subprocess.run(["ip", "address", "del", address + "/32", "dev", "lo"], check=True)


def test_unverified_probe(t):
    """A registry on loopback or an insecure one is first asked by TLS that nobody vouches for: a challenge or a redirect that comes back is not acted upon."""
    image = Image(LAYERS[:1])
    loopback(t)
    _, cert, key = registry.make_ca(t.folder)
    with Server(image) as thief, registry.with_tls(Server(image), cert, key) as s:
        docker_config(t, {"auths": {s.host: {"auth": BASIC[6:]}, thief.host: {"auth": BASIC[6:]}}})
        for answer in (lambda h: h.reply(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'}),
                       lambda h: h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{thief.host}/token",service="x"'}),
                       lambda h: h.reply(302, b"", {"Location": f"http://{thief.host}/v2/"}),
                       lambda h: h.reply(307, b"", {"Location": f"https://{s.host}/elsewhere"})):
            s.fault = lambda h, n, answer=answer: answer(h) or True
            s.seen.clear()
            t.has(t.muster("image", "pull", f"{s.host}/a/b:1", rc=1).err, "certificate")
            t.eq([x[1:3] for x in s.seen], [("/v2/", None)], "what the server saw")
            t.eq(thief.seen, [])


def test_proxies(t):
    """HTTPS_PROXY is for https and HTTP_PROXY for http; this machine's loopback is reached without."""
    image = Image(LAYERS[:1])
    loopback(t)
    with Server(image) as proxy, Server(image) as s:
        url, ref = f"http://{proxy.host}", "192.0.2.1:5000/a/b:1"
        conf(t, '[[registry]]\nlocation = "192.0.2.1:5000"\ninsecure = true\n')
        done = t.muster("image", "pull", ref, rc=1, env={"HTTPS_PROXY": url}, seconds=20)
        t.eq(proxy.seen, [], done.err)
        t.muster("image", "pull", ref, env={"HTTP_PROXY": url})
        t.eq({x[1].split("/v2/")[0] for x in proxy.seen}, {"http://192.0.2.1:5000"}, "what the proxy was asked for")
        proxy.seen.clear()
        t.muster("image", "pull", f"{s.host}/a/b:1", env={"HTTP_PROXY": url, "HTTPS_PROXY": url})
        t.eq(proxy.seen, [], "the loopback")


def test_docker_file(t):
    """Of two spellings of a registry in docker's file the one that programs write today counts; login through a link replaces what it leads to."""
    image = Image(LAYERS[:1])
    loopback(t)
    good, bad = {"auth": BASIC[6:]}, {"auth": base64.b64encode(b"alice:no").decode()}
    with Server(image, basic_only) as s:
        for auths in ({f"http://{s.host}/v2/": bad, s.host: good}, {s.host: good, f"https://{s.host}": bad}):
            docker_config(t, {"auths": auths})
            t.muster("image", "pull", f"{s.host}/a/b:1")
            t.muster("image", "rm", f"{s.host}/a/b:1")
        path = docker_config(t, {"auths": {}})
        os.makedirs(t.folder + "/dotfiles")
        os.rename(path, t.folder + "/dotfiles/docker.json")
        os.symlink(t.folder + "/dotfiles/docker.json", path)
        t.muster("login", "-u", "alice", "--password-stdin", s.host, stdin="s3cret")
        t.true(os.path.islink(path), "the link is gone")
        t.eq(json.load(open(t.folder + "/dotfiles/docker.json", encoding="ascii")), {"auths": {s.host: good}})
        t.eq(os.stat(path).st_mode & 0o777, 0o600)
        t.muster("logout", s.host)
        t.eq(json.load(open(path, encoding="ascii")), {"auths": {}})


def test_client_certificate(t):
    """A registry that wants a certificate of ours gets that of certs.d, which also says whom we trust; another host that it redirects to gets none."""
    image = Image(LAYERS[:1])
    loopback(t)
    ca, cert, key = registry.make_ca(t.folder)
    peers = {}

    def tls(server, mode):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.load_verify_locations(ca)
        context.verify_mode = mode
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return server

    def note(h, _):
        peers.setdefault(h.server.host, set()).add(bool(h.connection.getpeercert()))
        if "/blobs/" in h.path and h.server is s:
            h.reply(307, b"", {"Location": f"https://localhost:{other.port}{h.path}"})
            return True
        return False
    with tls(Server(image, note), ssl.CERT_OPTIONAL) as other, tls(Server(image, note), ssl.CERT_REQUIRED) as s:
        ref = f"{s.host}/a/b:1"
        folder = t.env["HOME"] + "/.config/containers/certs.d/" + s.host
        t.muster("image", "pull", ref, rc=1, env={"SSL_CERT_FILE": ca})
        os.makedirs(folder)
        for name, source in (("ca.crt", ca), ("me.cert", cert), ("me.key", key)):
            with open(source, "rb") as f, open(f"{folder}/{name}", "wb") as to:
                to.write(f.read())
        t.muster("image", "pull", ref)
        t.eq(peers, {s.host: {True}, other.host: {False}})
