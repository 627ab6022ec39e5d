# SPDX-License-Identifier: Apache-2.0
"""Networks that several projects use: names and addresses across them, who takes them down, what survives a kill or a reboot; subnets of one's own."""
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
import systest

WEB = "{image: busybox, command: \"sh -c 'echo %s >/tmp/index.html; exec httpd -f -p 80 -h /tmp'\", stop_grace_period: 0s, networks: %s}"


def project(t, name, services, networks):
    t.file(f"{name}/compose.yaml", f"services: {{{services}}}\nnetworks: {networks}\n")


def go(t, name, *args, **kw):
    return t.muster("--project-directory", name, "-f", f"{name}/compose.yaml", *args, **kw)


def get(t, name, service, url, rc=0):
    return go(t, name, "exec", "-T", service, "timeout", "2", "wget", "-q", "-O-", url, rc=rc).out.strip()


def two(t, networks="{net: {external: true, name: shared}}"):
    project(t, "one", f"web: {WEB % ('first', '{net: {aliases: [www]}}')}", networks)
    project(t, "two", f"api: {WEB % ('second', '[net]')}", networks)
    go(t, "one", "up", "-d")
    go(t, "two", "up", "-d")


def test_projects_reach_each_other(t):
    """Containers of two projects on one external network have different addresses and find each other by service, container name and alias."""
    made = t.muster("network", "create", "shared").out.strip()
    t.match(made, r"^[0-9a-f]{64}$")
    two(t)
    for name in ("api", "two-api-1"):
        t.eq(get(t, "one", "web", f"http://{name}/"), "second", name)
    for name in ("web", "www", "one-web-1"):
        t.eq(get(t, "two", "api", f"http://{name}/"), "first", name)
    go(t, "two", "up", "-d", "--scale", "api=3")
    t.wait(lambda: len(go(t, "one", "exec", "-T", "web", "nslookup", "-type=a", "api").out.split("Address")) - 2 == 3, 3, "three addresses")
    seen = json.loads(t.muster("network", "inspect", "shared").out)[0]
    t.eq(sorted(c["Name"] for c in seen["Containers"].values()), ["one-web-1", "two-api-1", "two-api-2", "two-api-3"])
    t.eq(len({c["IPv4Address"] for c in seen["Containers"].values()}), 4, "different addresses")
    t.eq(seen["Id"], made)
    go(t, "two", "stop")
    t.wait(lambda: go(t, "one", "exec", "-T", "web", "nslookup", "api", rc=None).rc != 0, 3, "the names are gone")
    go(t, "two", "start")
    t.wait(lambda: get(t, "one", "web", "http://api/", rc=None) == "second", 3, "the names are back")


def test_down_leaves_it(t):
    """`down` leaves an external network; one in use cannot be removed; then it goes without a trace."""
    t.muster("network", "create", "shared")
    two(t)
    t.has(t.muster("network", "rm", "shared", rc=1).err, "network shared has active endpoints")
    t.lacks(go(t, "one", "down").err, "Network shared")
    t.eq(t.muster("network", "ls", "-q", "--filter", "name=shared").lines, ["shared"])
    t.has(t.muster("network", "rm", "shared", rc=1).err, "active endpoints")
    go(t, "two", "down")
    t.eq(t.muster("network", "rm", "shared").lines, ["shared"])
    t.nothing_left(ignore=())


def test_missing(t):
    """An external network that does not exist is docker compose's error and nothing is started."""
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {external: true, name: shared}}")
    for args in (("up", "-d"), ("up", "-d", "--dry-run"), ("run", "--rm", "web", "true")):
        t.has(go(t, "one", *args, rc=1).err, "network shared declared as external, but could not be found")
    t.eq(go(t, "one", "ps", "-a", "-q").out, "")


def test_network_of_another_project(t):
    """An external network may be another project's; its `down` leaves it while others are on it and takes it afterwards."""
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {}}")
    project(t, "two", f"api: {WEB % ('second', '[net]')}", "{net: {external: true, name: one_net}}")
    go(t, "one", "up", "-d")
    go(t, "two", "up", "-d")
    t.eq(get(t, "one", "web", "http://api/"), "second")
    t.eq(get(t, "two", "api", "http://web/"), "first")
    t.has(go(t, "one", "down").err, "Resource is still in use")
    t.eq(get(t, "two", "api", "http://two-api-1/"), "second")
    go(t, "one", "up", "-d")
    t.eq(get(t, "two", "api", "http://web/"), "first")
    go(t, "two", "down")
    t.has(go(t, "one", "down").err, " Network one_net  Removed")
    t.nothing_left()


def test_two_common_networks(t):
    """A container that is on two of our networks and loses its names on one keeps those on the other."""
    for name in ("left", "right"):
        t.muster("network", "create", name)
    both = "{left: {external: true, name: left}, right: {external: true, name: right}}"
    for name, service, text in (("one", "web", "first"), ("two", "api", "second")):
        project(t, name, f"{service}: {WEB % (text, '[left, right]')}", both)
        go(t, name, "up", "-d")

    def known():
        return [name for name in ("left", "right") if go(t, "one", "exec", "-T", "web", "nslookup", "-type=a", f"api.{name}", rc=None).rc == 0]
    files = [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(t.run, ".shared")) for name in names
             if name == go(t, "two", "ps", "-q").out[:12]]
    t.eq((len(files), known()), (2, ["left", "right"]))
    for file in files:
        shutil.copy(file, t.dir + "/kept")
        os.unlink(file)
        t.wait(lambda: len(known()) == 1, 3, "the name on one network")
        shutil.copy(t.dir + "/kept", file + ".tmp")
        os.rename(file + ".tmp", file)
        t.wait(lambda: len(known()) == 2, 3, "the name on both networks")
    for name in ("one", "two"):
        go(t, name, "down")
    t.muster("network", "rm", "left", "right")


def test_same_name_without_external(t):
    """Two files that name one network alike share it, with docker compose's warning; a name that `network create` took is refused."""
    networks = "{net: {name: common}}"
    project(t, "one", f"web: {WEB % ('first', '[net]')}", networks)
    project(t, "two", f"api: {WEB % ('second', '[net]')}", networks)
    go(t, "one", "up", "-d")
    t.has(go(t, "two", "up", "-d").err, 'a network with name common exists but was not created for project "two"', "Set `external: true`")
    t.eq(get(t, "two", "api", "http://web/"), "first")
    t.lacks(go(t, "two", "down").err, "Network common")
    go(t, "one", "down")
    t.muster("network", "create", "common")
    t.has(go(t, "one", "up", "-d", rc=1).err, "network common was found but has incorrect label com.docker.compose.network")
    t.muster("network", "rm", "common")


def test_killed_supervisors(t):
    """Supervisors and anchors killed: names of both projects go on, addresses stay unique, and everything goes in the end."""
    t.muster("network", "create", "shared")
    two(t)
    for roles in (("supervise",), ("anchor", "supervise"), ("dns",)):
        for role in roles:
            for pid in t.daemons(role):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        go(t, "one", "up", "-d", "--scale", "web=2")
        go(t, "two", "up", "-d", "--force-recreate")
        t.wait(lambda: get(t, "one", "web", "http://api/", rc=None) == "second", 5, f"api after {roles}")
        t.wait(lambda: get(t, "two", "api", "http://web/", rc=None) == "first", 5, f"web after {roles}")
    go(t, "one", "down", "-t", "0")
    go(t, "two", "down", "-t", "0")
    t.muster("network", "rm", "shared")
    t.nothing_left()


def test_reboot(t):
    """After a boot the bridge is made again by the next `up`, with its subnet; `start` does so, too."""
    t.muster("network", "create", "--subnet", "10.77.8.0/24", "--label", "a=b", "shared")
    two(t)
    ids = [r["ID"] for name in ("one", "two") for r in map(json.loads, go(t, name, "ps", "-a", "--format", "json").lines)]
    for _ in range(3): # who was not killed yet makes the others anew
        while pids := [p for role in ("anchor", "supervise", "logs", "dns") for p in t.daemons(role)] + [p for i in ids for p in t.container_pids(i)]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        time.sleep(0.1)
    for link in json.loads(systest.command("ip", "-j", "link", "show", "type", "bridge") or "[]"):
        subprocess.run(["ip", "link", "del", link["ifname"]], check=True)
    subprocess.run("nft flush ruleset", shell=True, check=False)
    for entry in os.listdir(t.run):
        path = os.path.join(t.run, entry)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    go(t, "one", "up", "-d")
    go(t, "two", "start")
    t.match(go(t, "one", "exec", "-T", "web", "hostname", "-i").out, r"10\.77\.8\.\d")
    t.eq(get(t, "one", "web", "http://api/"), "second")
    t.eq(json.loads(t.muster("network", "inspect", "shared").out)[0]["Labels"], {"a": "b"})
    for name in ("one", "two"):
        go(t, name, "down", "-t", "0")
    t.muster("network", "rm", "shared")


def test_create_flags(t):
    """Subnet, gateway, range and auxiliary addresses are kept to; nonsense is one message; internal has no way out."""
    t.uplink()
    t.muster("network", "create", "--subnet", "10.77.0.0/16", "--gateway", "10.77.0.254", "--ip-range", "10.77.4.0/30", "--aux-address", "r=10.77.4.1",
             "--internal", "shared")
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {external: true, name: shared}}")
    go(t, "one", "up", "-d", "--scale", "web=3")
    got = sorted(go(t, "one", "exec", "-T", "--index", i, "web", "hostname", "-i").out.strip() for i in (1, 2, 3))
    t.eq(got, ["10.77.4.0", "10.77.4.2", "10.77.4.3"])
    t.has(go(t, "one", "up", "-d", "--scale", "web=4", rc=1).err, "no free address left in 10.77.4.0/30")
    t.true(go(t, "one", "exec", "-T", "web", "timeout", "1", "wget", "-q", "-O-", f"http://{systest.UPLINK_WORLD}/", rc=None).rc != 0, "a way out")
    t.eq(json.loads(t.muster("network", "inspect", "shared").out)[0]["IPAM"]["Config"],
         [{"Subnet": "10.77.0.0/16", "IPRange": "10.77.4.0/30", "Gateway": "10.77.0.254", "AuxiliaryAddresses": {"r": "10.77.4.1"}}])
    for args, said in ((["--subnet", "10.77.0.0/16", "other"], "overlaps"), (["shared"], "already exists"), (["a/b"], "invalid network name"),
                       (["--subnet", "10.0.0.1/24", "x"], "invalid subnet"), (["--gateway", "10.0.0.1", "x"], "need --subnet"), (["-d", "overlay", "x"], "overlay"),
                       (["--subnet", "10.9.0.0/24", "--gateway", "10.8.0.1", "x"], "none of subnet")):
        t.has(t.muster("network", "create", *args, rc=1).err, said)
    go(t, "one", "down", "-t", "0")
    t.has(t.muster("network", "prune", "-f").out, "Deleted Networks:\nshared\n")


def test_subnet_of_the_file(t):
    """ipam.config and ipv4_address are kept to, over a recreation, too; a taken address and wrong ones are told with their place."""
    t.compose("""
        services:
          a: {image: busybox, command: sleep 1000, stop_grace_period: 0s, networks: {net: {ipv4_address: 10.78.0.9}}}
          b: {image: busybox, command: sleep 1000, stop_grace_period: 0s, networks: [net]}
        networks: {net: {ipam: {config: [{subnet: 10.78.0.0/24, gateway: 10.78.0.200, ip_range: 10.78.0.128/25}]}}}
        """)
    t.up()
    for _ in range(2):
        t.eq(t.sh("a", "hostname -i").strip(), "10.78.0.9")
        t.match(t.sh("b", "hostname -i"), r"10\.78\.0\.1[23]\d")
        t.has(t.sh("a", "ip route"), "default via 10.78.0.200")
        t.up("--force-recreate")
    t.has(t.up("--scale", "a=2", rc=1).err, "address 10.78.0.9 is already in use")
    for config, said in (("subnet: 10.78.0.1/24", "no IPv4 subnet"), ("subnet: 10.78.0.0/24, gateway: 10.79.0.1", "no address of the subnet"),
                         ("subnet: 10.78.0.0/24, ip_range: 10.79.0.0/25", "no part of the subnet"), ("subnet: 10.79.0.0/24", "no address of the network's subnet")):
        t.file("bad.yaml", f"""
            services: {{a: {{image: busybox, networks: {{net: {{ipv4_address: 10.78.0.9}}}}}}}}
            networks: {{net: {{ipam: {{config: [{{{config}}}]}}}}}}
            """)
        t.match(t.muster("-f", "bad.yaml", "-p", "bad", "up", "-d", rc=1).err, rf"bad.yaml:\d+:\d+: error: [a-z0-9_.\[\]]+: .*{said}")


def test_volume_commands(t):
    """volume create, inspect, ls --filter, prune and volumes; what a container uses stays."""
    t.eq(t.muster("volume", "create", "--label", "k=v", "mine").lines, ["mine"])
    anonymous = t.muster("volume", "create").out.strip()
    t.match(anonymous, r"^[0-9a-f]{64}$")
    t.compose("services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s, volumes: ['data:/data']}}\nvolumes: {data: }")
    t.up()
    one = json.loads(t.muster("volume", "inspect", "mine").out)[0]
    t.eq((one["Name"], one["Labels"], one["Driver"], os.path.isdir(one["Mountpoint"])), ("mine", {"k": "v"}, "local", True))
    t.eq(t.muster("volume", "inspect", "-f", "{{.Name}}", "p_data").lines, ["p_data"])
    t.eq(t.muster("volume", "ls", "-q", "-f", "label=k=v").lines, ["mine"])
    t.eq(t.muster("volume", "ls", "-q", "-f", "dangling=false").lines, ["p_data"])
    t.eq(t.muster("volumes", "-q").lines, ["p_data"])
    t.has(t.muster("volume", "inspect", "nosuch", rc=1).err, "no such volume: nosuch")
    t.has(t.muster("volume", "prune", "-f").out, f"Deleted Volumes:\n{anonymous}\n", "Total reclaimed space: 0B")
    t.has(t.muster("volume", "prune", "-a", "-f").out, "Deleted Volumes:\nmine\n")
    t.eq(t.muster("volume", "ls", "-q").lines, ["p_data"])


def kill_all(t, ids=()):
    """Kills everything of ours and the processes of these containers, until nobody is left who would bring another back."""
    def left():
        return [p for role in ("anchor", "supervise", "logs", "dns") for p in t.daemons(role)] + [p for i in ids for p in t.container_pids(i)]
    for _ in range(3):
        while pids := left():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        time.sleep(0.1)


def gone(t, project):
    """Its `down` has returned; its processes end a moment later, and are not to be killed before."""
    t.wait(lambda: not os.path.exists(os.path.join(t.run, project)), 5, f"the end of {project}'s processes")


def bridges():
    return {link["ifname"] for link in json.loads(systest.command("ip", "-j", "link", "show", "type", "bridge") or "[]")}


def armed(t, *terms):
    t.muster("debug", "failpoints", "on")
    t.muster("debug", "failpoints", *terms)


def test_removed_while_joining(t):
    """`network rm` in the middle of another's `up`: either the network stays or `up` says that it is not there; no bridge without a record, no rule."""
    t.muster("network", "create", "shared")
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {external: true, name: shared}}")
    for point in ("network.table", "network.bridge", "network.used", "op.planned", "op.action", "start.addresses"):
        armed(t, f"{point}=delay:700@1")
        up = t.start("--project-directory", "one", "-f", "one/compose.yaml", "up", "-d")
        time.sleep(0.35)
        gone = t.muster("network", "rm", "shared", rc=None)
        rc = up.wait()
        t.muster("debug", "failpoints", "off")
        if gone.rc == 0:
            t.true(rc != 0, f"up has worked without its network ({point})")
            t.has(up.err, "network shared declared as external, but could not be found")
        else:
            t.has(gone.err, "network shared has active endpoints")
            t.eq((rc, get(t, "one", "web", "http://web/")), (0, "first"), point)
        go(t, "one", "down", "-t", "0")
        if gone.rc == 0:
            t.eq(bridges(), set(), f"bridges ({point})")
            t.lacks(systest.command("nft", "list", "ruleset"), "muster_")
            t.muster("network", "create", "shared")
    t.muster("network", "rm", "shared")
    t.nothing_left()


def test_down_while_joining(t):
    """`down` of a network's owner has planned its removal when another project comes to it: it stays. It is already on its way: the other is told."""
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {}}")
    project(t, "two", f"api: {WEB % ('second', '[net]')}", "{net: {external: true, name: one_net}}")
    for point, stays in (("op.planned", True), ("network.unused", False), ("network.delete", False)):
        t.muster("debug", "failpoints", "on")
        go(t, "one", "up", "-d")
        t.muster("debug", "failpoints", f"{point}=delay:1500@1")
        down = t.start("--project-directory", "one", "-f", "one/compose.yaml", "down", "-t", "0")
        time.sleep(0.7)
        up = go(t, "two", "up", "-d", rc=None)
        rc = down.wait()
        t.muster("debug", "failpoints", "off")
        if stays:
            t.eq((up.rc, rc), (0, 1), f"{point}: {up}{down.err}")
            t.has(down.err, "Resource is still in use")
            t.eq(get(t, "two", "api", "http://api/"), "second", point)
        else:
            t.eq((up.rc, rc), (1, 0), point)
            t.has(up.err, "network one_net declared as external, but could not be found")
        go(t, "two", "down", "-t", "0")
        go(t, "one", "down", "-t", "0")
        t.eq(bridges(), set(), f"bridges ({point})")
    t.nothing_left()


def test_killed_create(t):
    """`network create` killed at any step leaves nothing that the next command of its kind does not clear or complete; a network so left is none."""
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {external: true, name: shared}}")
    for point in ("net.bridge", "net.bridge.created", "net.bridge.claimed"):
        for again in (["create", "shared"], ["create", "--subnet", "10.77.9.0/24", "shared"], ["rm", "shared"], ["prune", "-f"], ["create", "other"]):
            armed(t, f"{point}=kill9@1")
            t.eq(t.muster("network", "create", "shared", rc=None).rc, -signal.SIGKILL, point)
            t.muster("debug", "failpoints", "off")
            t.eq(t.muster("network", "ls", "-q").out, "", "networks")
            t.has(go(t, "one", "up", "-d", rc=1).err, "network shared declared as external, but could not be found")
            t.muster("network", *again)
            made = t.muster("network", "ls", "-q").lines
            t.eq(made, again[-1:] if again[0] == "create" else [], (point, again))
            t.eq(len(bridges()), len(made), f"bridges {point} {again}")
            for name in made:
                t.match(json.loads(t.muster("network", "inspect", name).out)[0]["IPAM"]["Config"][0]["Subnet"], r"/\d+$")
            if made == ["shared"]:
                go(t, "one", "up", "-d")
                go(t, "one", "down", "-t", "0")
            t.muster("network", "rm", *made) if made else None
    t.nothing_left(ignore=())


def test_killed_rm(t):
    """`network rm` killed after it has said so on record: nobody joins, the next one completes it. A record without subnet, of an older muster, likewise."""
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {external: true, name: shared}}")
    for change in ({"removing": True}, {"subnet": None}):
        t.muster("network", "create", "shared")
        path = os.path.join(t.root, "networks/shared.json")
        with open(path, encoding="utf-8") as f:
            record = json.load(f) | change
        t.file(path, json.dumps({k: v for k, v in record.items() if v is not None}))
        t.has(go(t, "one", "up", "-d", rc=1).err, "network shared declared as external, but could not be found")
        t.muster("network", "rm", "shared")
        t.eq((t.muster("network", "ls", "-q").out, bridges()), ("", set()))
    t.muster("network", "create", "shared")
    for args in (["rm", "shared"], ["prune", "-f"]):
        t.muster("--dry-run", "network", *args)
        t.eq(t.muster("network", "ls", "-q").out, "shared\n", "a dry run removes nothing")
        t.lacks(" ".join(os.listdir(t.run) if os.path.isdir(t.run) else []), ".leases")
    t.muster("network", "rm", "shared")
    t.nothing_left(ignore=())


def test_dead_project_holds_nothing(t):
    """What is left of a project that was killed with its containers keeps neither the network nor an address of it; while one runs, it does."""
    t.muster("network", "create", "--subnet", "10.77.8.0/30", "shared")
    networks = "{net: {external: true, name: shared}}"
    project(t, "one", f"web: {WEB % ('first', '[net]')}", networks)
    project(t, "two", f"api: {WEB % ('second', '{net: {ipv4_address: 10.77.8.2}}')}", networks)
    go(t, "one", "up", "-d")
    web = go(t, "one", "ps", "-q").out[:12]
    kill_all(t)
    t.has(t.muster("network", "rm", "shared", rc=1).err, "active endpoints")
    t.has(go(t, "two", "up", "-d", rc=1).err, "already in use")
    t.eq(t.muster("network", "prune", "-f").out, "")
    go(t, "two", "down")
    gone(t, "two")
    kill_all(t, [web])
    go(t, "two", "up", "-d")
    t.eq(go(t, "two", "exec", "-T", "api", "hostname", "-i").out.strip(), "10.77.8.2")
    t.has(go(t, "one", "up", "-d", rc=1).err, "no free address left")
    go(t, "two", "down", "-t", "0")
    gone(t, "two")
    go(t, "one", "up", "-d", "--force-recreate")
    kill_all(t, [go(t, "one", "ps", "-q").out[:12]])
    t.muster("network", "rm", "shared")
    t.has(go(t, "one", "start", rc=1).err, "network shared declared as external, but could not be found")
    t.eq(bridges(), set(), "a bridge of nobody")
    go(t, "one", "down", "-t", "0")
    t.nothing_left()


def test_run_directory_of_a_project_removed(t):
    """A project whose run directory is gone holds no address, after a grace, in which it could be just starting; nor does one without records.
    A container that runs does, whatever is gone."""
    t.muster("network", "create", "--subnet", "10.77.8.0/30", "shared")
    networks = "{net: {external: true, name: shared}}"
    project(t, "one", f"web: {WEB % ('first', '[net]')}", networks)
    project(t, "two", f"api: {WEB % ('second', '[net]')}", networks)
    go(t, "one", "up", "-d")
    web = go(t, "one", "ps", "-q").out[:12]
    kill_all(t)
    shutil.rmtree(os.path.join(t.run, "one"))
    leases = os.path.join(t.run, ".leases")

    def age(seconds):
        for folder, _, names in os.walk(leases):
            for name in names:
                os.utime(os.path.join(folder, name), (time.time() - seconds,) * 2, follow_symlinks=False)
    age(60)
    t.has(go(t, "two", "up", "-d", rc=1).err, "no free address left")
    kill_all(t, [web])
    age(0)
    t.has(go(t, "two", "up", "-d", rc=1).err, "no free address left")
    age(60)
    go(t, "two", "up", "-d")
    go(t, "two", "down", "-t", "0")
    for name in os.listdir(leases):
        os.symlink("nosuch/0123456789ab", os.path.join(leases, name, "10.77.8.2"))
    go(t, "two", "up", "-d")
    go(t, "two", "down", "-t", "0")
    go(t, "one", "down", "-t", "0")
    t.muster("network", "rm", "shared")
    t.nothing_left()


def test_made_anew(t):
    """An external network that is removed and made anew with another subnet while a project is stopped is the new one at its next start."""
    t.muster("network", "create", "--subnet", "10.77.8.0/24", "shared")
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {external: true, name: shared}}")
    go(t, "one", "up", "-d")
    for command, pause in ((["start"], 0), (["start"], 1.5), (["up", "-d"], 0), (["up", "-d"], 1.5)):
        go(t, "one", "stop", "-t", "0")
        t.muster("network", "rm", "shared")
        time.sleep(pause)  # after a second at most its supervisor has noticed
        t.muster("network", "create", "--subnet", "10.77.9.0/24", "shared")
        go(t, "one", *command)
        t.match(go(t, "one", "exec", "-T", "web", "hostname", "-i").out, r"10\.77\.9\.\d")
        t.eq(get(t, "one", "web", "http://web/"), "first")
    go(t, "one", "down", "-t", "0")
    t.muster("network", "rm", "shared")
    t.nothing_left()


@systest.timeout(120)
def test_many_at_once(t):
    """Networks made, removed, joined and left by many commands at once: each works or says why, and in the end nothing is left."""
    nets = {"own": "{net: {name: mine}}", "one": "{net: {external: true, name: shared}, more: {external: true, name: mine}}"}
    nets["two"] = nets["one"]
    for name, networks in nets.items():
        project(t, name, f"web: {WEB % ('text', '[net]' if name == 'own' else '[net, more]')}", networks)
    commands = [["network", "create", "shared"]] * 2 + [["network", "rm", "shared"]]
    for name in nets:
        commands += [["-f", f"{name}/compose.yaml", *verb] for verb in (["up", "-d"], ["down", "-t", "0"])]
    reasons = r"already exists|active endpoints|not found|could not be found|still in use"
    choose, running, until = random.Random(), [], time.monotonic() + 8
    while time.monotonic() < until or running:
        while len(running) < 4 and time.monotonic() < until:
            running.append(t.start(*choose.choice(commands)))
            time.sleep(choose.random() * 0.1)
        done = running.pop(0)
        if done.wait(60):
            t.match(done.err.strip().splitlines()[-1], reasons)
    for name in ("one", "two", "own"): # the owner of a network last: it goes when nobody else is on it
        t.muster("-f", f"{name}/compose.yaml", "down", "-t", "0")
    t.muster("network", "rm", "-f", "shared")
    t.nothing_left()


def test_killed_after_down(t):
    """`down` has returned, its processes are killed while they clear up: the next `up` finds names and addresses as ever, and `down` leaves nothing."""
    t.muster("network", "create", "--subnet", "10.77.8.0/24", "shared")
    project(t, "one", f"web: {WEB % ('first', '[net]')}", "{net: {external: true, name: shared}}")
    for i in range(12):
        go(t, "one", "up", "-d")
        t.match(go(t, "one", "exec", "-T", "web", "hostname", "-i").out, r"10\.77\.8\.\d")
        go(t, "one", "down", "-t", "0")
        time.sleep(i * 0.005)
        kill_all(t)
    go(t, "one", "down", "-t", "0")
    t.muster("network", "rm", "shared")
    t.nothing_left()
