# SPDX-License-Identifier: Apache-2.0
"""Named, bind and anonymous volumes."""
import os


def test_named_volume_is_filled_from_the_image(t):
    """A new named volume gets the image's content, owner and mode; a second use does not copy again."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, volumes: ["home:/home/app", "etc:/etc"]}
        volumes: {home: , etc: }
        """)
    t.up()
    t.eq(t.sh("web", "stat -c '%u:%g' /home/app").strip(), "1000:1000")
    t.has(t.sh("web", "cat /etc/passwd"), "app:x:1000")
    t.sh("web", "rm /etc/nsswitch.conf; echo mine >/etc/mine")
    t.up("--force-recreate", "-t", "0")
    t.eq(t.sh("web", "cat /etc/mine; ls /etc/nsswitch.conf 2>/dev/null || echo gone").split(), ["mine", "gone"])


def test_volume_outlives_down(t):
    """Data in a named volume is there after down and up; down -v removes it."""
    t.compose("services: {db: {image: busybox, command: sleep 1000, volumes: ['data:/data']}}\nvolumes: {data: }")
    t.up()
    t.sh("db", "echo precious >/data/file")
    t.muster("down", "-t", "0")
    t.up()
    t.eq(t.sh("db", "cat /data/file"), "precious\n")
    t.muster("down", "-v", "-t", "0")
    t.up()
    t.eq(t.sh("db", "ls /data"), "")


def test_shared_volume(t):
    """Two services see each other's files in one volume; :ro cannot be written."""
    t.compose("""
        services:
          a: {image: busybox, command: sleep 1000, volumes: ["data:/a"]}
          b: {image: busybox, command: sleep 1000, volumes: ["data:/b:ro"]}
        volumes: {data: }
        """)
    t.up()
    t.sh("a", "echo x >/a/f")
    t.eq(t.sh("b", "cat /b/f"), "x\n")
    t.has(t.muster("exec", "-T", "b", "touch", "/b/g", rc=1).err, "Read-only")


def test_bind_mounts(t):
    """Relative and ~ sources, files and folders, :ro; the host sees what the container writes."""
    t.file("src/a", "from host\n")
    t.file("one.conf", "conf\n")
    with open(t.folder + "/home/h", "w", encoding="ascii") as f:
        f.write("home\n")
    t.compose("""
        services:
          web:
            image: busybox
            command: sleep 1000
            volumes: ["./src:/src", "./one.conf:/etc/one.conf:ro", "~:/hosthome:ro"]
        """)
    t.up()
    t.eq(t.sh("web", "cat /src/a /etc/one.conf /hosthome/h"), "from host\nconf\nhome\n")
    t.sh("web", "echo back >/src/b")
    with open(t.dir + "/src/b", encoding="ascii") as f:
        t.eq(f.read(), "back\n")
    t.true(t.muster("exec", "-T", "web", "sh", "-c", "echo x >/etc/one.conf", rc=None).rc != 0, ":ro file was writable")
    t.true(t.muster("exec", "-T", "web", "touch", "/hosthome/x", rc=None).rc != 0, ":ro folder was writable")


def test_missing_bind_source_is_made(t):
    """The short form makes a missing source directory, as docker does."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, volumes: ['./new/deep:/d']}}")
    t.up()
    t.sh("web", "touch /d/f")
    t.true(os.path.exists(t.dir + "/new/deep/f"), "the directory was not made")


def test_anonymous_volumes(t):
    """A volume from the image or without a name is kept when the container is recreated and removed by down -v."""
    archive = os.path.join(os.path.dirname(t.folder), "../busybox.tar")
    t.muster("image", "import", archive, "withvol", "--change", "VOLUME /data")
    text = "services: {web: {image: withvol, command: sleep 1000, environment: {A: '%s'}, volumes: [/more]}}"
    t.compose(text % "1")
    t.up()
    t.sh("web", "echo x >/data/f; echo y >/more/f")
    t.compose(text % "2")
    t.up("-t", "0")
    t.eq(t.sh("web", "cat /data/f /more/f"), "x\ny\n", "after recreation")
    t.up("-V", "--force-recreate", "-t", "0")
    t.eq(t.sh("web", "ls /data /more"), "/data:\n\n/more:\n", "with --renew-anon-volumes")
    t.muster("down", "-v", "-t", "0")
    t.eq(t.muster("volume", "ls", "-q").out, "", "volumes after down -v")


def test_external_volume(t):
    """An external volume must exist, is not removed by down -v."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, volumes: ['data:/data']}}\nvolumes: {data: {external: true, name: shared}}")
    t.has(t.up(rc=1).err, "shared")
    t.file("make/compose.yaml", "services: {a: {image: busybox, command: 'true', volumes: ['vol:/v']}}\nvolumes: {vol: {name: shared}}")
    t.muster("-f", "make/compose.yaml", "up", "-d")
    t.muster("-f", "make/compose.yaml", "down")
    t.up()
    t.muster("down", "-v", "-t", "0")
    t.has(t.muster("volume", "ls", "-q").out, "shared")


def test_mount_target_symlink(t):
    """A mount target that is a link in the image resolves inside the image, never on the host."""
    archive = os.path.join(os.path.dirname(t.folder), "../busybox.tar")
    t.muster("image", "import", archive, "linked")
    t.file("make/compose.yaml", "services: {a: {image: linked, command: ln -s /../../etc /evil}}")
    t.compose("services: {web: {image: busybox, command: sh -c 'ls /out; sleep 1000', volumes: ['./src:/tmp/../out']}}")
    t.file("src/file", "x")
    t.up()
    t.eq(t.sh("web", "ls /out"), "file\n")
