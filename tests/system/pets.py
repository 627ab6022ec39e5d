# SPDX-License-Identifier: Apache-2.0
"""The pets example end to end: what a person does with it after reading the README."""
import os
import re
import shutil
import subprocess
import systest
import registry

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


@systest.timeout(240)
@systest.alone
@systest.prepared("examples/pets/images", "--tar-only")
def test_pets(t):
    """Web page and database come up from nothing, scale, answer through their ports, take a dump, keep their data."""
    if t.prepared.returncode:
        raise systest.Skip(f"the images cannot be made here: {t.prepared.stderr.strip().splitlines()[-1:]}")
    pets = os.path.join(TOP, "examples/pets")
    done = subprocess.run([pets + "/images"], env={**os.environ, **t.env, "HOME": os.environ.get("HOME", "/root"), "MUSTER": t.binary},
                          capture_output=True, text=True, check=False)
    t.eq(done.returncode, 0, f"images: {done.stdout}{done.stderr}")
    shutil.copy(pets + "/compose.yaml", t.dir)

    t.has(t.up().err, " Container pets-web-1  Started", " Container pets-db-1  Started", " Volume pets_pets-data  Created")
    url = f"http://127.0.0.1:{t.port('web', 3000)}"
    t.has(t.http(url + "/", 30), "Pets Demo Application")
    page = t.http(url + "/pet", 30)
    t.has(page, '<img alt="', "https://upload.wikimedia.org/")
    t.eq(t.match(page, r"Delivered to you by container ([0-9a-f]{12})\b").group(1), t.ids()["pets-web-1"])
    t.has(t.up().err, " Container pets-web-1  Running", " Container pets-db-1  Running")
    t.muster("plan", rc=0)

    t.muster("scale", "web=3")
    ports = {t.port("web", 3000, "--index", i) for i in (1, 2, 3)}
    t.eq(len(ports), 3, "ports of three replicas")
    served = {re.search(r"container ([0-9a-f]{12})", t.http(f"http://127.0.0.1:{p}/pet", 30)).group(1) for p in ports}
    t.eq(served, {short for name, short in t.ids().items() if "web" in name}, "containers that answer")
    t.muster("scale", "web=1")

    t.eq(t.muster("exec", "-T", "db", "psql", "-U", "postgres", "-At", "-c", "select count(*) from pets", "pets").out, "3\n")
    dump = t.muster("exec", "-T", "db", "/usr/lib/postgresql/15/bin/pg_dump", "-U", "postgres", "pets").raw
    t.muster("exec", "-T", "db", "psql", "-q", "-U", "postgres", "-c", "create database copy")
    t.muster("run", "--rm", "-T", "--no-deps", "-e", "PGPASSWORD=pets", "--entrypoint", "psql", "db", "-q", "-h", "db", "-U", "postgres", "copy", stdin=dump)
    again = t.muster("exec", "-T", "db", "/usr/lib/postgresql/15/bin/pg_dump", "-U", "postgres", "copy").raw
    t.eq(clean(again), clean(dump), "dump of the copy")

    tty = t.terminal("exec", "db", "psql", "-U", "postgres", "pets")
    tty.expect(r"pets=#")
    tty.send("select 6*7 as answer;\n")
    tty.expect(r"\b42\b")
    tty.send("\\q\n")
    t.eq(tty.wait(), 0, "psql on a terminal")

    t.muster("exec", "-T", "db", "psql", "-q", "-U", "postgres", "-c", "update pets set name = 'Rex'", "pets")
    t.muster("down")
    t.up()
    t.has(t.http(f"http://127.0.0.1:{t.port('web', 3000)}/pet", 30), "Rex")
    t.match(t.muster("logs").out + t.muster("logs").err, r"web-1 +\| listening on port 3000")
    t.muster("down", "-v")
    t.eq(t.muster("volume", "ls", "-q").out, "")


def clean(dump):
    """Newer pg_dumps write a random key into the first lines."""
    return b"\n".join(x for x in dump.split(b"\n") if not x.startswith((b"\\restrict", b"\\unrestrict")))


@systest.timeout(240)
@systest.alone
@systest.prepared("examples/pets/images", "--tar-only")
def test_pets_built(t):
    """The pets from their Dockerfiles: built on top of what Debian's packages give, pushed to a registry, removed, pulled back by `up` elsewhere,
    and both pages answer."""
    if t.prepared.returncode:
        raise systest.Skip(f"the images cannot be made here: {t.prepared.stderr.strip().splitlines()[-1:]}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    pets = os.path.join(TOP, "examples/pets")
    env = {**os.environ, **t.env, "HOME": os.environ.get("HOME", "/root"), "MUSTER": t.binary}
    done = subprocess.run([pets + "/images"], env=env, capture_output=True, text=True, check=False)
    t.eq(done.returncode, 0, f"images: {done.stdout}{done.stderr}")
    for name in ("web", "db"):
        t.muster("image", "tag", f"pets-{name}", f"base-{name}")
        t.muster("image", "rm", f"pets-{name}")
    shutil.copytree(pets, t.dir, dirs_exist_ok=True)
    with registry.DockerRegistry(t.folder + "/registry") as hub:
        files = {"PETS_REGISTRY": f"{hub.host}/pets/", "PETS_BASE_WEB": "base-web", "PETS_BASE_DB": "base-db",
                 "COMPOSE_FILE": "compose.yaml:compose.dev.yaml"}
        built = t.muster("build", env=files, seconds=120)
        t.has(built.err, f"Image {hub.host}/pets/pets-web", "[web 2/5]", "[db 3/6] COPY --chmod")
        t.muster("push", "web", env=files, seconds=120)
        t.muster("image", "push", "--compression", "zstd", f"{hub.host}/pets/pets-db", seconds=120)
        for name in ("web", "db"):
            t.muster("image", "rm", f"{hub.host}/pets/pets-{name}")
            t.file("pulled.yaml", f"""
                services:
                  web: {{image: "{hub.host}/pets/pets-web"}}
                  db: {{image: "{hub.host}/pets/pets-db"}}
            """)
        pulled = {"COMPOSE_FILE": "compose.yaml:pulled.yaml"}
        done = t.muster("up", "-d", env=pulled, seconds=120)
        t.has(done.err, f"Image {hub.host}/pets/pets-web", "Pulled")
        url = f"http://127.0.0.1:{int(t.muster('port', 'web', '3000', env=pulled).out.rsplit(':', 1)[1])}"
        t.has(t.http(url + "/", 30), "Pets Demo Application")
        t.has(t.http(url + "/pet", 30), '<img alt="')
        t.muster("down", "-v", env=pulled)


def test_minimal_built(t):
    """The smallest example as an image of its own."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    shutil.copytree(os.path.join(TOP, "examples/minimal"), t.dir, dirs_exist_ok=True)
    t.muster("-f", "compose.dev.yaml", "up", "-d", "--build")
    with open(t.dir + "/www/index.html", encoding="utf-8") as f:
        t.eq(t.http("http://127.0.0.1:8080/"), f.read())
