# SPDX-License-Identifier: Apache-2.0
"""Pulling: the right image or one clear error, the store never damaged, credentials seen by nobody but those they are for."""
import base64
import json
import os
import shutil
import subprocess
import threading
import registry
from registry import DockerRegistry, Image, Server

LAYERS = [registry.tar_of({f"file{i}": bytes([i]) * 300000 + os.urandom(200000)}) for i in range(4)]
SECRET = base64.b64encode(b"alice:s3cret").decode()


def loopback(_):
    """The loopback of the test's own network namespace."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def login(t, host):
    """Credentials for the host, as docker login leaves them."""
    path = t.env["HOME"] + "/.docker"
    os.makedirs(path, exist_ok=True)
    with open(path + "/config.json", "w", encoding="ascii") as f:
        json.dump({"auths": {host: {"auth": SECRET}}}, f)


def images(t):
    return {f'{x["Repository"]}:{x["Tag"]}': x["ID"] for x in map(json.loads, t.muster("image", "ls", "--no-trunc", "--format", "json").lines)}


def leftovers(t):
    """What no image needs: unfinished layers."""
    return [x for x in os.listdir(t.root + "/layers") if x.startswith(".")]


def pulled(t, server, image, ref="a/b:1", **kw):
    """Pulls, and checks that the image is there with this id."""
    done = t.muster("image", "pull", f"{server.host}/{ref}", **kw)
    t.eq(images(t).get(f"{server.host}/{ref}"), image.id)
    return done


def refused(t, server, *words, ref="a/b:1", **kw):
    """The pull fails with one error that holds these words; no image, no leftovers beyond what the next run sweeps."""
    before = images(t)
    done = t.muster("image", "pull", f"{server.host}/{ref}", rc=1, **kw)
    t.has(done.err, *words)
    t.eq(len([x for x in done.err.splitlines() if x.startswith("muster: ")]), 1, done.err)
    t.eq(images(t), before)
    t.eq(leftovers(t), [])
    return done


def test_pull_plain(t):
    """A plain pull; again costs no layer; by digest; rm takes the digests along."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image) as s:
        pulled(t, s, image)
        n = len(s.seen)
        t.has(pulled(t, s, image).err, "up to date")
        t.eq([x for x in s.seen[n:] if x[1].split("/")[-1] in image.layers], [], "layers fetched twice")
        t.muster("image", "pull", f"{s.host}/a/b@{registry.sha256(image.manifest)}")
        t.muster("image", "rm", "-f", f"{s.host}/a/b:1")
        shutil.rmtree(t.root + "/images/oci/blobs")
        events = [json.loads(x) for x in t.muster("--progress", "json", "image", "pull", f"{s.host}/a/b:1").err.splitlines()]
        done = [e for e in events if e.get("text") == "Pull complete"]
        t.eq(sorted(e["id"] for e in done), sorted(x[7:19] for x in image.layers))
        t.eq({(e["parent_id"], e["status"], e["percent"]) for e in done}, {(f"Image {s.host}/a/b:1", "Done", 100)})
        busy = {e["id"]: e["total"] for e in events if e.get("text") == "Downloading"}
        t.true(busy.items() <= {x[7:19]: len(image.blobs[x]) for x in image.layers}.items(), f"{busy}")
        t.eq([events[0], events[-1]], [{"id": f"Image {s.host}/a/b:1", "status": x, "text": y} for x, y in (("Working", "Pulling"), ("Done", "Pulled"))])
        events = [json.loads(x) for x in t.muster("--progress", "json", "image", "pull", f"{s.host}/a/b:nope", rc=1).err.splitlines()]
        t.eq([(e.get("id"), e.get("status"), e.get("text")) for e in events[:2]], [(f"Image {s.host}/a/b:nope", "Working", "Pulling"), (f"Image {s.host}/a/b:nope", "Error", "Error")])
        t.has(events[1]["details"], "not found")
        t.eq((len(events), events[2]["error"], list(events[2])), (3, True, ["error", "message"]))
        t.has(events[2]["message"], f"{s.host}/a/b:nope", "not found")
        refused(t, s, "not found", "manifest unknown", ref="a/b:nope")
        t.muster("image", "rm", f"{s.host}/a/b:1")
        t.true(f"{s.host}/a/b:1" not in images(t), "still there")


def test_pull_by_up(t):
    """up pulls what is missing by name@digest too; never does not; a failure is told at its line; --pull always asks again."""
    with open("/bin/busybox", "rb") as f:
        image = Image([registry.tar_of({"bin/sh": f.read()})])
    loopback(t)
    with Server(image) as s:
        ref = f"{s.host}/a/b:1"
        t.compose(f"services: {{a: {{image: '{ref}', pull_policy: never, command: sleep 1000}}}}")
        t.has(t.up(rc=1).err, "not found locally", "compose.yaml:1:")
        t.eq(s.seen, [])
        t.compose(f"services: {{a: {{image: '{s.host}/a/b@{registry.sha256(image.manifest)}', command: /bin/sh, tty: true, stdin_open: true}}}}")
        t.has(t.up("--dry-run", rc=1).err, "not found locally")
        t.eq(s.seen, [])
        t.has(t.up("--no-start").err, "Pulled")
        n = len(s.seen)
        t.up("--no-start")
        t.eq(len(s.seen), n, "requests for what is there")
        t.has(t.up("--no-start", "--pull", "always").err, "up to date")
        t.lacks(t.up("--no-start", "--pull", "always", "--quiet-pull").err, "Pulled")
        t.muster("pull", "-q")
        t.compose(f"services:\n  a:\n    image: {s.host}/a/b:nope\n")
        t.has(t.up(rc=1).err, "compose.yaml:3:", "not found")
        t.has(t.muster("pull", rc=1).err, "service a", "not found")
        t.muster("pull", "--ignore-pull-failures")


def test_docker_registry(t):
    """Debian's registry with TLS by a CA of our own and htpasswd; skopeo pushes, configuration and diffIDs are equal. Wrong password and
    unknown CA are one clear error."""
    loopback(t)
    ca, cert, key = registry.make_ca(t.folder)
    with open(t.folder + "/htpasswd", "wb") as f:
        f.write(subprocess.run(["htpasswd", "-Bbn", "alice", "s3cret"], check=True, capture_output=True).stdout)
    image, layout = Image(LAYERS), t.folder + "/oci"
    os.makedirs(layout + "/blobs/sha256")
    for data in (*image.blobs.values(), image.manifest):
        with open(f"{layout}/blobs/sha256/{registry.sha256(data)[7:]}", "wb") as f:
            f.write(data)
    index = {"schemaVersion": 2, "manifests": [{"mediaType": registry.MANIFEST, "digest": registry.sha256(image.manifest), "size": len(image.manifest)}]}
    for name, data in (("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(f"{layout}/{name}", "w", encoding="ascii") as f:
            json.dump(data, f)
    with DockerRegistry(t.folder + "/registry", htpasswd=t.folder + "/htpasswd", tls=(cert, key)) as s:
        env = {"SSL_CERT_FILE": ca}
        subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", "alice:s3cret", f"oci:{layout}", f"docker://{s.host}/a/b:1"],
                       check=True, capture_output=True, env={**t.env, "PATH": os.environ["PATH"]})
        refused(t, s, "muster login", env=env)
        login(t, s.host)
        refused(t, s, "certificate")
        pulled(t, s, image, env=env)
        with open(t.env["HOME"] + "/.docker/config.json", "w", encoding="ascii") as f:
            json.dump({"auths": {s.host: {"auth": base64.b64encode(b"alice:wrong").decode()}}}, f)
        t.lacks(refused(t, s, "access denied", env=env).err, "wrong")


def token_fault(server, accept="Bearer good"):
    """401 with a challenge that names this server's own token server; the token is given for the right password."""
    def fault(h, _):
        if h.path.startswith("/token"):
            ok = h.headers.get("Authorization") == "Basic " + SECRET
            h.reply(200 if ok else 401, json.dumps({"token": "good", "expires_in": 300}).encode() if ok else b"{}")
        elif h.headers.get("Authorization") != accept:
            h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{server.host}/token",service="test",scope="repository:a/b:pull"'})
        else:
            return False
        return True
    return fault


def test_token(t):
    """Bearer flow: credentials only to the token server, the token only to the registry, both once; without credentials one message."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image) as s:
        s.fault = token_fault(s)
        refused(t, s, "muster login", s.host)
        login(t, s.host)
        s.seen.clear()
        pulled(t, s, image)
        asked = [x for x in s.seen if x[1].startswith("/token")]
        t.eq(len(asked), 1, "token requests")
        t.has(asked[0][1], "scope=repository%3Aa%2Fb%3Apull", "service=test")
        t.eq({x[2] for x in s.seen if not x[1].startswith("/token")} - {None}, {"Bearer good"})


def test_token_elsewhere(t):
    """A challenge that names a token server without TLS on another machine gets no credentials."""
    image = Image(LAYERS)
    loopback(t)

    def fault(h, _):
        h.reply(401, b"{}", {"WWW-Authenticate": 'Bearer realm="http://192.0.2.1/token",service="test"'})
        return True
    with Server(image, fault) as s:
        login(t, s.host)
        refused(t, s, "HTTPS")
        t.eq({x[2] for x in s.seen}, {None})


def test_token_redirects(t):
    """A token server that has moved: on its own host it gets the credentials again, on another one it is asked without; one that goes round in circles,
    or where HTTPS does not lead, is one error."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image, address="127.0.0.2") as other, Server(image) as s:
        where = {"to": f"http://{s.host}/token2?x=1"}

        def fault(h, _):
            if h.path.startswith("/token2"):
                ok = h.headers.get("Authorization") == "Basic " + SECRET
                h.reply(200 if ok else 401, json.dumps({"token": "good"}).encode() if ok else b"{}")
            elif h.path.startswith("/token"):
                h.reply(302, b"", {"Location": where["to"]})
            elif h.headers.get("Authorization") != "Bearer good":
                h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{s.host}/token",service="test"'})
            else:
                return False
            return True
        s.fault = fault
        other.fault = lambda h, n: h.reply(200, json.dumps({"token": "good"}).encode()) or True
        login(t, s.host)
        pulled(t, s, image)
        t.muster("image", "rm", f"{s.host}/a/b:1")
        where["to"] = f"http://{other.host}/token2"
        pulled(t, s, image)
        t.eq({x[2] for x in other.seen}, {None}, "credentials at the other host")
        t.muster("image", "rm", f"{s.host}/a/b:1")
        for to, words in (("/token", "more than"), ("http://192.0.2.1/token2", "HTTPS"), ("file:///etc/passwd", "HTTPS")):
            where["to"] = to
            refused(t, s, "the token server", words)


def test_redirect_leaks_nothing(t):
    """Blobs redirected to another host: fetched there, without credentials; a challenge from there is not answered; http elsewhere is not followed."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image, address="127.0.0.2") as other, Server(image) as s:
        login(t, s.host)

        def fault(h, _):
            if h.headers.get("Authorization") != "Basic " + SECRET:
                h.reply(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
            elif "/blobs/" in h.path:
                h.reply(307, b"", {"Location": f"http://{other.host}{h.path}?sig=1"})
            else:
                return False
            return True
        s.fault = fault
        other.fault = lambda h, n: setattr(h, "path", h.path.split("?")[0])
        pulled(t, s, image)
        t.true(len(other.seen) >= 5, "the other host was asked")
        t.eq({x[2] for x in other.seen}, {None}, "credentials at the other host")
        t.muster("image", "rm", f"{s.host}/a/b:1")
        other.fault = lambda h, n: h.reply(401, b"{}", {"WWW-Authenticate": f'Basic realm="x", Bearer realm="http://{other.host}/token"'}) or True
        refused(t, s, "access denied")
        t.eq({x[2] for x in other.seen}, {None}, "credentials at the other host")
        other.fault = lambda h, n: h.reply(307, b"", {"Location": f"http://{s.host}/v2/not/ours/blobs/x?from=other"}) or True
        refused(t, s, "access denied")
        back = [x for x in s.seen if "from=other" in x[1]]
        t.true(back and {x[2] for x in back} == {None}, f"who we were sent to asks the registry as us: {back}")
        s.fault = lambda h, n: "/blobs/" in h.path and (h.reply(307, b"", {"Location": "http://192.0.2.1/x"}) or True)
        refused(t, s, "HTTPS")


def test_faults_that_pass(t):
    """429 with Retry-After, 503, a connection cut in the middle of each layer (resumed by Range where it was, or skipped when the server
    sends all again): the image is right in the end."""
    image = Image(LAYERS)
    loopback(t)

    def fault(h, n):
        data = image.blobs.get(h.path.rsplit("/", 1)[-1])
        if "/manifests/" in h.path and n == 1:
            h.reply(429, b"{}", {"Retry-After": "1"})
        elif "/manifests/" in h.path and n == 2:
            h.reply(503)
        elif data and len(data) > 100000 and n == 1:
            h.reply(200, data, cut=len(data) // 2)
        elif h.path.endswith(image.layers[1]):
            h.reply(200, data)
        else:
            return False
        return True
    with Server(image, fault) as s:
        pulled(t, s, image)
        t.eq(sum(1 for x in s.seen if x[4]), 4, "requests with Range")

    def tokens(h, _):
        if h.path.startswith("/token"):
            n = sum(1 for x in s.seen if x[1].startswith("/token"))
            h.reply((503, 429, 200)[n - 1], b'{"token":"good"}', {"Retry-After": "1"})
        elif h.headers.get("Authorization") != "Bearer good":
            h.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{s.host}/token"'})
        else:
            return False
        return True
    with Server(image, tokens) as s:
        t.muster("image", "rm", "-f", image.id[7:])
        pulled(t, s, image)
        t.eq(sum(1 for x in s.seen if x[1].startswith("/token")), 3, "questions to the token server")


def test_corrupt(t):
    """Bytes that are wrong once are fetched again; always wrong, too long, too short, another manifest than its digest: an error each, nothing stays."""
    image = Image(LAYERS)
    loopback(t)
    bad = image.layers[2]
    wrong = image.blobs[bad][:-50] + bytes(50)

    def when(answer, times=10 ** 6):
        def fault(h, n):
            if h.path.endswith(bad) and n <= times:
                answer(h)
                return True
            return False
        return fault
    with Server(image) as s:
        for answer, word in ((lambda h: h.reply(200, wrong), "layer 3"), (lambda h: h.reply(200, image.blobs[bad] + b"x"), "longer than"),
                             (lambda h: h.reply(404), "not found"), (lambda h: h.reply(206, image.blobs[bad], {"Content-Range": "bytes 5-9/10"}), "wrong place")):
            s.fault = when(answer)
            s.counts.clear()
            refused(t, s, word)
        s.fault = when(lambda h: h.reply(200, wrong), 1)
        s.counts.clear()
        pulled(t, s, image)
        s.fault = lambda h, n: "/manifests/" in h.path and (h.reply(200, image.manifest + b" ") or True)
        refused(t, s, "digest", ref=f"a/b@{registry.sha256(image.manifest)}")
        s.fault = lambda h, n: "/manifests/" in h.path and (h.reply(200, b"<html>") or True)
        refused(t, s, "JSON", ref="a/c:1")


def test_platforms(t):
    """An index: this machine's image, a lower variant where there is no better one, attestations never; another platform by name; none is an
    error that names what there is."""
    amd, arm = Image(LAYERS[:1]), Image(LAYERS[1:2], arch="arm")
    loopback(t)
    with Server(amd) as s:
        amd.blobs.update(arm.blobs)
        entries = []
        for image, platform in ((arm, {"os": "unknown", "architecture": "unknown"}), (arm, {"os": "linux", "architecture": "arm", "variant": "v6"}),
                                (amd, {"os": "linux", "architecture": "amd64"})):
            s.documents[registry.sha256(image.manifest)] = image.manifest
            entries.append({"mediaType": registry.MANIFEST, "digest": registry.sha256(image.manifest), "size": len(image.manifest), "platform": platform})
        s.documents["multi"] = json.dumps({"schemaVersion": 2, "mediaType": registry.INDEX, "manifests": entries}).encode()
        pulled(t, s, amd, ref="a/b:multi")
        done = t.muster("image", "pull", "--platform", "linux/s390x", f"{s.host}/a/b:multi", rc=1)
        t.has(done.err, "no image for linux/s390x", "linux/arm/v6, linux/amd64")
        t.muster("image", "pull", "--platform", "linux/arm/v7", f"{s.host}/a/b:multi")
        t.eq(images(t)[f"{s.host}/a/b:multi"], arm.id)


def test_ten_at_once(t):
    """Ten pulls of one image at once: each succeeds, every layer is fetched once."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image) as s:
        jobs = [threading.Thread(target=t.muster, args=("image", "pull", f"{s.host}/a/b:1")) for _ in range(10)]
        for j in jobs:
            j.start()
        for j in jobs:
            j.join()
        t.eq(images(t)[f"{s.host}/a/b:1"], image.id)
        t.eq({s.counts[f"/v2/a/b/blobs/{x}"] for x in image.layers}, {1}, "fetches of a layer")


def test_login(t):
    """login keeps what the registry took, for its owner only, and other entries as they are; a wrong password changes nothing and is not shown;
    logout forgets."""
    loopback(t)
    path = t.env["HOME"] + "/.docker/config.json"
    with open(t.folder + "/htpasswd", "wb") as f:
        f.write(subprocess.run(["htpasswd", "-Bbn", "alice", "s3cret"], check=True, capture_output=True).stdout)
    with DockerRegistry(t.folder + "/registry", htpasswd=t.folder + "/htpasswd") as s:
        login(t, "other.example")
        before = open(path, encoding="ascii").read()
        done = t.muster("login", "-u", "alice", "--password-stdin", s.host, stdin="wr0ng\n", rc=1)
        t.has(done.err, "access denied")
        t.lacks(done.err + done.out, "wr0ng")
        t.eq(open(path, encoding="ascii").read(), before)
        t.has(t.muster("login", "-u", "alice", "--password-stdin", s.host, stdin="s3cret\n").out, "Login Succeeded")
        t.eq(json.load(open(path, encoding="ascii")), {"auths": {"other.example": {"auth": SECRET}, s.host: {"auth": SECRET}}})
        t.eq(os.stat(path).st_mode & 0o777, 0o600)
        refused(t, s, "not found")
        t.muster("logout", s.host)
        t.eq(json.load(open(path, encoding="ascii")), {"auths": {"other.example": {"auth": SECRET}}})
        t.has(t.muster("logout", s.host).out, "Not logged in")
        refused(t, s, "muster login")
    t.has(t.muster("login", "-u", "a", "--password-stdin", "http://x", stdin="x", rc=1).err, "is no registry")


def test_tag_and_inspect(t):
    """tag gives a second name; inspect shows names, digests, configuration and layers; rm of one name leaves the image; a digest is no name."""
    image = Image(LAYERS)
    loopback(t)
    with Server(image) as s:
        pulled(t, s, image)
        t.muster("image", "tag", f"{s.host}/a/b:1", "mine:2")
        shown, = json.loads(t.muster("image", "inspect", "mine:2").out)
        t.eq(shown["Id"], image.id)
        t.eq(sorted(shown["RepoTags"]), sorted([f"{s.host}/a/b:1", "mine:2"]))
        t.eq(shown["RepoDigests"], [f"{s.host}/a/b@{registry.sha256(image.manifest)}"])
        t.eq(shown["RootFS"]["Layers"], json.loads(image.config)["rootfs"]["diff_ids"])
        t.eq(shown["Config"], {"Cmd": ["/bin/sh"]})
        t.eq(t.muster("image", "inspect", "-f", "{{.Id}} {{.Architecture}}", "mine:2").out.strip(), f"{image.id} amd64")
        t.muster("image", "rm", f"{s.host}/a/b:1")
        t.eq(images(t)["mine:2"], image.id)
        t.has(t.muster("image", "tag", "mine:2", f"x@{image.id}", rc=1).err, "digest")
        t.has(t.muster("image", "inspect", "nosuch", rc=1).err, "not found locally")


def test_pull_policies(t):
    """daily, weekly and every_… pull again what was pulled longer ago than that, never what is younger; what was only tagged
    here was never pulled. A clock that was ahead does not keep an image for ever; a word that is no duration is told."""
    with open("/bin/busybox", "rb") as f:
        image = Image([registry.tar_of({"bin/sh": f.read()})])
    loopback(t)
    index = t.root + "/images/index.json"

    def age(seconds):
        with open(index, encoding="utf-8") as f:
            j = json.load(f)
        entry = j["refs"][f"{s.host}/a/b:1"]
        entry["pulled"] -= seconds * 10 ** 9
        with open(index, "w", encoding="utf-8") as f:
            json.dump(j, f)

    def pulls(policy, more=""):
        t.compose(f"services: {{a: {{image: '{s.host}/a/b:1', command: /bin/sh, pull_policy: {policy}{more}}}}}")
        n = len(s.seen)
        t.up("--no-start")
        return len(s.seen) > n
    with Server(image) as s:
        t.true(pulls("daily"), "absent: pulled")
        for policy, limit in (("daily", 86400), ("weekly", 7 * 86400), ("every_2h30m", 9000)):
            t.true(not pulls(policy), policy + ": young")
            age(limit - 60)
            t.true(not pulls(policy), policy + ": younger than its limit")
            age(120)
            t.true(pulls(policy), policy + ": due")
            t.true(not pulls(policy), policy + ": pulled again just now")
        age(-3600)
        t.true(pulls("daily"), "pulled in the future")
        age(400 * 86400)
        t.true(not pulls("missing"), "missing does not look at the age")
        t.true(not pulls("refresh"), "a refresh without an age is missing, as in docker compose")
        t.true(pulls("refresh", ", pull_refresh_after: 90m"), "refresh: due")
        age(5340)
        t.true(not pulls("refresh", ", pull_refresh_after: 90m"), "refresh: younger than its age")
        n = len(s.seen)
        t.muster("pull")
        t.true(len(s.seen) > n, "an explicit pull is not held back by the age")
        t.true("1h30m0s" in t.muster("config").out, "config shows the age")
        t.compose(f"services: {{a: {{image: '{s.host}/a/b:1', command: /bin/sh, pull_policy: always, pull_refresh_after: 1h}}}}")
        t.has(t.up("--no-start", rc=1).err, "services.a.pull_refresh_after: has no effect without pull_policy: refresh")
        pulls("missing")
        n = len(s.seen)
        t.has(t.muster("pull", "--policy", "missing").err, f"Image {s.host}/a/b:1  Skipped Image is already present locally")
        t.eq(len(s.seen), n)
        t.muster("pull")
        t.eq(len(s.seen), n, "missing, as the file says, and it is there")
        s.documents["latest"] = image.manifest
        t.muster("image", "tag", f"{s.host}/a/b:1", f"{s.host}/a/b")
        t.compose(f"services: {{a: {{image: '{s.host}/a/b', command: /bin/sh, pull_policy: missing}}}}")
        t.has(t.muster("pull").err, "Pulled")  # a tag that moves
        t.muster("image", "tag", f"{s.host}/a/b:1", f"{s.host}/a/b:2")
        s.documents["2"] = image.manifest
        t.compose(f"services: {{a: {{image: '{s.host}/a/b:2', command: /bin/sh, pull_policy: weekly}}}}")
        t.has(t.up("--no-start").err, "Pulled")
        t.compose(f"services: {{a: {{image: '{s.host}/a/b:1', command: /bin/sh, pull_policy: every_1hx}}}}")
        t.has(t.up("--no-start", rc=1).err, "not a duration")


def stop_midway(t, s, image, sent):
    """A pull that is killed when the server has sent so many bytes of its layer."""
    stuck, go = threading.Event(), threading.Event()

    def fault(h, _):
        if not h.path.endswith(image.layers[0]):
            return False
        h.send_response(200)
        h.send_header("Content-Length", str(len(image.blobs[image.layers[0]])))
        h.end_headers()
        h.wfile.write(image.blobs[image.layers[0]][:sent])
        h.wfile.flush()
        stuck.set()
        go.wait(20)
        h.close_connection = True
        return True
    s.fault = fault
    job = t.start("image", "pull", f"{s.host}/a/b:1")
    t.true(stuck.wait(10), "the layer is on its way")
    part = f"{t.root}/images/oci/ingest/{image.layers[0][7:]}.part"
    t.wait(lambda: os.path.exists(part) and os.path.getsize(part) > sent - 300000, 5, "bytes in the store")
    job.kill()
    go.set()
    s.fault = None
    s.seen.clear()
    return part


def test_killed_pull_goes_on(t):
    """What a killed pull had of a layer is not fetched again, but not believed either: a damaged part and one that is too long are fetched anew; a server
    that does not know ranges sends all of it."""
    image = Image([registry.tar_of({"data": os.urandom(3000000)})])
    loopback(t)
    with Server(image) as s:
        size = len(image.blobs[image.layers[0]])
        of_layer = lambda: [x[4] for x in s.seen if x[1].endswith(image.layers[0])]
        for damage, asked in (("nothing", 1), ("a byte", 2), ("its length", 1), ("the server", 1)):
            part = stop_midway(t, s, image, 2000000)
            t.wait(lambda: subprocess.run(["flock", "-n", part, "true"], check=False).returncode == 0, 5, "the end of its writer")
            have = os.path.getsize(part)
            with open(part, "r+b") as f:
                if damage == "a byte":
                    f.seek(1000)
                    f.write(bytes([image.blobs[image.layers[0]][1000] ^ 1]))
                if damage == "its length":
                    f.seek(0, 2)
                    f.write(bytes(size))
            if damage == "the server":
                s.fault = lambda h, n: h.path.endswith(image.layers[0]) and (h.reply(200, image.blobs[image.layers[0]]) or True)
            pulled(t, s, image)
            t.eq(of_layer(), {"nothing": [f"bytes={have}-"], "a byte": [f"bytes={have}-", None], "its length": [None], "the server": [f"bytes={have}-"]}[damage],
                 f"requests after damage to {damage}")
            t.eq(len(of_layer()), asked)
            t.eq(os.listdir(t.root + "/images/oci/ingest"), [])
            t.muster("image", "rm", f"{s.host}/a/b:1")
            t.muster("image", "pull", f"{s.host}/a/b:none", rc=1)
            for x in os.listdir(t.root + "/images/oci/blobs/sha256"):
                os.unlink(f"{t.root}/images/oci/blobs/sha256/{x}")
