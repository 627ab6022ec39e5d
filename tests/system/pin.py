# SPDX-License-Identifier: Apache-2.0
"""config --resolve-image-digests and --lock-image-digests: what they print can be pulled by another machine, and nothing is made up."""
import json
import subprocess
import registry
from registry import Image, Server

LAYER = registry.tar_of({"file": b"x" * 1000})


def server_of(image, other):
    """Serves image as a/b:1, and as a/b:multi through an index."""
    s = Server(image)
    s.documents[registry.sha256(other.manifest)] = other.manifest
    entries = [{"mediaType": registry.MANIFEST, "digest": registry.sha256(i.manifest), "size": len(i.manifest),
                "platform": {"os": "linux", "architecture": a}} for i, a in ((other, "s390x"), (image, "amd64"))]
    s.documents["multi"] = json.dumps({"schemaVersion": 2, "mediaType": registry.INDEX, "manifests": entries}).encode()
    s.documents[registry.sha256(s.documents["multi"])] = s.documents["multi"]
    return s


def test_pinned_by_what_the_registry_said(t):
    """Services, hooks and image volumes get the digest of the manifest, of the index where there is one; a service's name and what is pinned stay; what
    is printed runs the same images."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    image, other = Image([LAYER]), Image([LAYER], arch="s390x")
    with server_of(image, other) as s:
        plain, multi = registry.sha256(image.manifest), registry.sha256(s.documents["multi"])
        name = f"{s.host}/a/b"
        t.compose(f"""
            services:
              a:
                image: {name}:1
                volumes: [{{type: image, source: "{name}:multi", target: /m}}, {{type: image, source: b, target: /b}}, "/a:/c"]
                pre_start: [{{command: x}}, {{command: y, image: "{name}:multi"}}]
              b: {{image: "{name}@{plain}"}}
              c: {{build: .}}
              d: {{image: "{name}:1", profiles: [off]}}
            """)
        failed = t.muster("config", "--resolve-image-digests", rc=1)
        t.has(failed.err, "compose.yaml:4:", "services.a.image", "services.a.volumes[0].source", "services.a.pre_start[1].image", "not found locally")
        t.eq(failed.out, "")
        for tag in ("1", "multi"):
            t.muster("image", "pull", f"{name}:{tag}")
        out = t.muster("config", "--resolve-image-digests", "--format", "json").out
        a = json.loads(out)["services"]["a"]
        t.eq(a["image"], f"{name}:1@{plain}")
        t.eq([v.get("source") for v in a["volumes"]], [f"{name}:multi@{multi}", "b", "/a"])
        t.eq([h["image"] for h in a["pre_start"]], [f"{name}:1@{plain}", f"{name}:multi@{multi}"])
        t.eq(json.loads(out)["services"]["b"]["image"], f"{name}@{plain}")
        lock = t.muster("config", "--lock-image-digests")
        t.eq(lock.out, f"""services:
  a:
    image: {name}:1@{plain}
    volumes:
      - type: image
        source: {name}:multi@{multi}
        target: /m
      - type: image
        source: b
        target: /b
  b:
    image: {name}@{plain}
  c: {{}}
""")
        t.has(lock.err, "compose.yaml:6:", "warning: services.a.pre_start[1].image", "--resolve-image-digests")
        t.eq(json.loads(t.muster("config", "--lock-image-digests", "--format", "json", "b").out), {"services": {"b": {"image": f"{name}@{plain}"}}})
        t.compose(lock.out, "lock.yaml")
        merged = json.loads(t.muster("-f", "compose.yaml", "-f", "lock.yaml", "config", "--format", "json").out)["services"]["a"]
        t.eq(merged["image"], f"{name}:1@{plain}")
        t.eq([v["source"] for v in merged["volumes"]], [f"{name}:multi@{multi}", "b", "/a"])
        raw = t.muster("config", "--no-interpolate", "--resolve-image-digests").out
        t.has(raw, f"image: {name}:1@{plain}", f"source: {name}:multi@{multi}")
        # a store without the image pulls it by what was printed
        t.muster("image", "rm", f"{name}:1", f"{name}:multi")
        for ref in (f"{name}:1@{plain}", f"{name}:multi@{multi}"):
            t.muster("image", "pull", ref)
            t.eq(json.loads(t.muster("image", "inspect", ref).out)[0]["Id"], image.id)


def test_pin_never_invents(t):
    """An image that no registry gave has no digest: it is said so, nothing is printed. The other name of a pulled image has none either; a project
    without images, or with pinned ones, needs no store; a bad name is told at its place."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    t.compose("services: {a: {image: busybox}}")
    done = t.muster("config", "--lock-image-digests", rc=1)
    t.has(done.err, 'compose.yaml:1:23: error: services.a.image: image "busybox" has no digest', "hint: it was not pulled")
    t.eq(done.out, "")
    image = Image([LAYER])
    with Server(image) as s:
        t.muster("image", "pull", f"{s.host}/a/b:1")
        t.muster("image", "tag", f"{s.host}/a/b:1", "mine:2")
        t.compose(f"services: {{a: {{image: 'mine:2'}}, b: {{image: '{s.host}/a/b:1'}}}}")
        t.has(t.muster("config", "--lock-image-digests", rc=1).err, 'image "mine:2" has no digest')
    t.compose("services: {a: {image: 'A:1'}, b: {build: .}}")
    t.has(t.muster("config", "--resolve-image-digests", rc=1).err, "compose.yaml:1:", "services.a.image", "lower case")
    t.compose("services: {b: {build: .}}")
    t.eq(t.muster("--root", "/nonexistent/store", "config", "--lock-image-digests").out, "services:\n  b: {}\n")
