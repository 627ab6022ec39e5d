# SPDX-License-Identifier: Apache-2.0
"""system prune: what nothing uses goes, of every kind, and what anything uses stays."""
import json
import os

FILE = """
services:
  a: {image: busybox, command: sleep 1000, stop_grace_period: 0s, networks: [front], labels: {tier: web}}
  b: {image: busybox, command: "true", networks: [back], labels: {tier: job}, volumes: [/anonymous]}
networks: {front: {labels: {of: web}}, back: {}}
"""


def networks(t):
    return sorted(t.muster("network", "ls", "-q").lines)


def containers(t):
    return sorted(json.loads(x)["Name"] for x in t.muster("ps", "-a", "--format", "json").lines)


def test_containers_and_networks(t):
    """Stopped containers and networks that nothing is on go; what runs keeps both; a dry run and a "no" change nothing; up brings back."""
    t.compose(FILE)
    t.up()
    t.wait(lambda: "Exited" in t.muster("ps", "-a").out, 10, "b has ended")
    both = ["p-a-1", "p-b-1"]
    t.has(t.muster("--dry-run", "system", "prune").out, "Deleted Networks:\np_back", "Deleted Containers:")
    t.has(t.muster("system", "prune", stdin=b"n\n").err, "all networks not used by at least one container", "unused build cache", "Are you sure")
    t.eq((containers(t), networks(t)), (both, ["p_back", "p_front"]))
    done = t.muster("system", "prune", "-f")
    t.has(done.out, "Deleted Containers:\n", "Deleted Networks:\np_back\n", "Total reclaimed space: ")
    t.lacks(done.out, "p_front", "Deleted Volumes")
    t.eq((containers(t), networks(t)), (["p-a-1"], ["p_front"]))
    t.eq(t.sh("a", "ip -o link | grep -c eth0").strip(), "1")
    t.up()
    t.eq((containers(t), networks(t)), (both, ["p_back", "p_front"]))
    t.muster("stop", "-t", "0")
    t.muster("system", "prune", "-f", "--volumes")
    t.eq(networks(t), [])
    t.eq(t.muster("ls", "-a", "-q").out, "")  # nothing of the project is left, so it is no more
    t.nothing_left(ignore=("state", "run"))


def test_filters(t):
    """label, label! and until choose containers, networks, volumes and images; a stopped container that stays keeps its network."""
    t.compose(FILE)
    t.up()
    t.muster("stop", "-t", "0")
    both = ["p-a-1", "p-b-1"]
    t.lacks(t.muster("system", "prune", "-f", "--filter", "until=1h").out, "Deleted")
    t.has(t.muster("system", "prune", "-f", "--volumes", "--filter", "until=1h", rc=1).err, "exclude each other")
    t.has(t.muster("system", "prune", "-f", "--filter", "name=x", rc=1).err, "there is no such filter")
    t.lacks(t.muster("system", "prune", "-f", "--filter", "label=tier=other").out, "Deleted")
    t.lacks(t.muster("system", "prune", "-f", "--filter", "label=of=web").out, "Deleted")  # a, which stays, comes back to that network
    t.eq((containers(t), networks(t)), (both, ["p_back", "p_front"]))
    t.muster("system", "prune", "-f", "--filter", "label=tier=job")
    t.eq((containers(t), networks(t)), (["p-a-1"], ["p_back", "p_front"]))  # the network has no such label
    t.muster("system", "prune", "-f", "--filter", "label!=of=web", "--filter", "label!=tier")
    t.eq((containers(t), networks(t)), (["p-a-1"], ["p_front"]))
    volumes = t.muster("volume", "ls", "-q").lines
    t.eq(len(volumes), 1)
    t.lacks(t.muster("system", "prune", "-f", "--volumes", "--filter", "label=nope").out, "Deleted")
    t.has(t.muster("system", "prune", "-f", "--volumes", "--filter", "label!=of=web").out, "Deleted Volumes:\n" + volumes[0])
    t.eq(t.muster("volume", "ls", "-q").lines, [])
    t.muster("down")


def test_build_cache(t):
    """Steps that an image is made of stay cached unless --all; others go, and with --all the cache mounts, too."""
    os.makedirs("ctx")

    def build(text, *args):
        with open("ctx/Dockerfile", "w", encoding="ascii") as f:
            f.write("FROM busybox\n" + text)
        return t.muster("image", "build", "--progress", "plain", *args, "ctx").err
    used, unused = "RUN --mount=type=cache,target=/c touch /c/x; echo used >/f\n", "RUN echo unused >/f\n"
    build(used, "-t", "keep")
    build(unused, "-t", "drop")
    t.muster("image", "rm", "drop")
    done = t.muster("system", "prune", "-f")
    t.has(done.out, "Deleted build cache objects: ")
    t.has(build(used, "-t", "keep"), "CACHED")
    t.lacks(build(unused, "-t", "drop"), "CACHED")
    t.lacks(t.muster("system", "prune", "-f", "--filter", "label=x").out, "build cache")
    t.lacks(t.muster("system", "prune", "-f", "-a", "--filter", "until=1h").out, "build cache")
    t.eq(len(os.listdir(t.root + "/buildcache/mounts")), 1)
    t.has(t.muster("system", "prune", "-f", "-a").out, "untagged: keep:latest", "Deleted build cache objects: ")
    t.eq(os.listdir(t.root + "/buildcache/mounts"), [])
    t.eq(os.listdir(t.root + "/layers/pins") if os.path.exists(t.root + "/layers/pins") else [], [])
    df = [json.loads(x) for x in t.muster("system", "df", "--format", "json").lines]
    t.eq([x["TotalCount"] for x in df if x["Type"] in ("Images", "Build Cache")], ["0", "0"])
    t.muster("image", "verify")


def test_untagged_images(t):
    """image ls shows images without a name, as docker 28 does, unless a filter leaves them out; -a is no other list, as there are no intermediate images."""
    os.makedirs("ctx")
    with open("ctx/Dockerfile", "w", encoding="ascii") as f:
        f.write("FROM busybox\nLABEL x=y\n")
    made = t.muster("image", "build", "-q", "ctx").out.strip()
    short = made.split(":")[1][:12]
    for args in ((), ("-a",), ("--all", "--filter", "label=x=y"), ("-f", "label=x=y"), ("--filter", "dangling=true")):
        t.true(short in t.muster("image", "ls", "-q", *args).lines, f"{args}: not listed")
    t.has(t.muster("image", "ls").out, "<none>       <none> ")
    t.eq(t.muster("image", "ls", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", "-f", "label=x=y").lines, [f"<none>:<none> {short}"])
    t.true(short not in t.muster("image", "ls", "-q", "busybox").lines, "an image without a name is listed with a name")
    t.true(short not in t.muster("image", "ls", "-aq", "--filter", "dangling=false").lines, "dangling=false")
