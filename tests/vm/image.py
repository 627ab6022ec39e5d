# SPDX-License-Identifier: Apache-2.0
"""Makes what the virtual machine boots from: Debian's own kernel package, an initramfs with busybox and the modules for the disk, and
an ext4 disk that holds the files of this machine's Debian packages and what is to be tested.

Nothing is installed anywhere: the disk's content is what dpkg lists for a few packages and all that they depend on, so the same
python3, ip, nft and systemd test there as here. The machine's own configuration (/etc) stays out of it, but for pam's.
"""
import os
import re
import shutil
import stat
import subprocess

PACKAGES = ("busybox-static kmod python3-minimal libpython3-stdlib iproute2 nftables procps coreutils findutils util-linux bash dash grep sed tar mount e2fsprogs "
            "libyaml-0-2 libjansson4 libmd0 libarchive13 libseccomp2 libssl3 libzstd1 zlib1g libcurl4 libisal2 libssh2-1 "
            "systemd systemd-sysv libpam-systemd dbus login passwd base-files base-passwd").split()
# what the initramfs needs to find its disk; the rest is loaded from the disk
DISK_MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"]
SKIP = re.compile(r"^/(usr/share/(doc|man|info|locale|lintian|bash-completion|zsh|icons|bug)|usr/lib/x86_64-linux-gnu/(perl|gconv)|var/cache|boot)(/|$)")
ETC = re.compile(r"^/etc/(pam\.d|dbus-1|systemd|security|login\.defs|securetty|ld\.so\.conf|iproute2|protocols|services|profile)")


class Missing(Exception):
    """Something that this machine lacks to make the image."""


def run(*args, **kw):
    return subprocess.run(args, check=True, text=True, capture_output=True, **kw).stdout


def first_word(dependency):
    return dependency.split()[0].split(":")[0]


def closure(wanted):
    """The installed packages that these need, by dpkg's own records."""
    depends, provides = {}, {}
    for line in run("dpkg-query", "-W", "-f", "${Package}\t${db:Status-Status}\t${Pre-Depends}, ${Depends}\t${Provides}\n").splitlines():
        name, status, needs, virtual = line.split("\t")
        if status != "installed":
            continue
        depends[name] = [[first_word(one) for one in group.split("|")] for group in needs.split(",") if group.strip()]
        for one in virtual.split(","):
            if one.strip():
                provides.setdefault(first_word(one), []).append(name)
    todo, found, missing = list(wanted), set(), [p for p in wanted if p not in depends]
    if missing:
        raise Missing(f"packages are missing here (apt-get install {' '.join(missing)})")
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        for group in depends[name]:
            todo += next(([one] if one in depends else provides[one][:1] for one in group if one in depends or one in provides), [])
    return sorted(found)


def copy(source, target):
    """One file as it is, without owner: all of the image belongs to root."""
    info = os.lstat(source)
    if os.path.lexists(target):
        return
    if stat.S_ISDIR(info.st_mode):
        os.makedirs(target, exist_ok=True)
    elif stat.S_ISLNK(info.st_mode):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(source), target)
    elif stat.S_ISREG(info.st_mode):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(source, target)


def base_tree(tree):
    for name in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "proc", "sys", "dev", "run", "tmp", "root", "var/lib", "var/log", "etc", "mnt"):
        os.makedirs(f"{tree}/{name}")
    for name in ("bin", "sbin", "lib", "lib64"):
        os.symlink(f"usr/{name}", f"{tree}/{name}")
    os.chmod(f"{tree}/tmp", 0o1777)
    os.symlink("/run", f"{tree}/var/run")
    for package in closure(PACKAGES):
        for path in run("dpkg-query", "-L", package).splitlines():
            if path in ("/.", "/bin", "/sbin", "/lib", "/lib64") or SKIP.match(path) or (path.startswith("/etc/") and not ETC.match(path)):
                continue
            if os.path.lexists(path) and not (os.path.isdir(path) and not os.path.islink(path)):
                copy(path, tree + path)
    for at, _, files in os.walk("/etc/pam.d"):
        for f in files:
            copy(f"{at}/{f}", f"{tree}{at}/{f}")
    write(f"{tree}/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
          "messagebus:x:100:100::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")
    write(f"{tree}/etc/group", "root:x:0:\ndaemon:x:1:\ntty:x:5:\nmessagebus:x:100:\nnogroup:x:65534:\n")
    write(f"{tree}/etc/shadow", "root:*:19000:0:99999:7:::\n")
    write(f"{tree}/etc/hosts", "127.0.0.1 localhost\n")
    write(f"{tree}/etc/resolv.conf", "")
    write(f"{tree}/etc/hostname", "vm\n")
    write(f"{tree}/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    write(f"{tree}/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    write(f"{tree}/etc/os-release", "ID=debian\nNAME=Debian\n")
    shells = f"{tree}/bin/sh"
    if not os.path.lexists(shells):
        os.symlink("dash", shells)


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)


def kernel(cache):
    """Debian 12's kernel for clouds, unpacked: (vmlinuz, modules folder, version). The package is downloaded once."""
    os.makedirs(cache, exist_ok=True)
    debs = sorted(f for f in os.listdir(cache) if f.startswith("linux-image-6.1.") and f.endswith(".deb"))
    if not debs:
        names = re.findall(r"^linux-image-6\.1\.\S*-cloud-amd64$", run("apt-cache", "pkgnames", "linux-image-6.1."), re.M)
        if not names:
            raise Missing("apt knows no linux-image-6.1.*-cloud-amd64 (apt-get update; it is Debian 12's kernel)")
        newest = max(names, key=lambda n: [int(x) for x in re.findall(r"\d+", n)])
        done = subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", newest], cwd=cache, check=False, capture_output=True, text=True)
        debs = [f for f in os.listdir(cache) if f.endswith(".deb")]
        if done.returncode or not debs:
            raise Missing(f"apt-get download {newest}: {done.stderr.strip()}")
    deb = f"{cache}/{debs[-1]}"
    folder = deb[:-4]
    if not os.path.isdir(folder):
        shutil.rmtree(folder + ".tmp", ignore_errors=True)
        run("dpkg-deb", "-x", deb, folder + ".tmp")
        version = os.listdir(folder + ".tmp/lib/modules")[0]
        run("depmod", "-b", folder + ".tmp", version, env={**os.environ, "PATH": "/usr/sbin:/sbin:" + os.environ.get("PATH", "")})
        os.rename(folder + ".tmp", folder)
    version = os.listdir(folder + "/lib/modules")[0]
    return f"{folder}/boot/vmlinuz-{version}", f"{folder}/lib/modules/{version}", version


def module_files(modules, wanted):
    """The files of these modules and of those that they need, each after what it needs."""
    needs = {}
    with open(f"{modules}/modules.dep", encoding="utf-8") as f:
        for line in f:
            path, _, rest = line.partition(":")
            needs[os.path.basename(path)[:-3].replace("-", "_")] = (path, rest.split())
    ordered = []

    def add(name):
        if name not in needs:
            return  # built in
        path, rest = needs[name]
        for other in rest:
            add(os.path.basename(other)[:-3].replace("-", "_"))
        if path not in ordered:
            ordered.append(path)
    for name in wanted:
        add(name)
    return ordered


def cpio(entries, out):
    """A newc archive from (name, mode, bytes): no tool can be told owner and mode as simply."""
    with open(out, "wb") as f:
        for number, (name, mode, data) in enumerate(entries + [("TRAILER!!!", 0, b"")]):
            raw = name.encode() + b"\0"
            fields = [number + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0]
            f.write(b"070701" + b"".join(b"%08X" % n for n in fields) + raw)
            f.write(b"\0" * (-f.tell() % 4) + data)
            f.write(b"\0" * (-f.tell() % 4))


def initramfs(modules, init, out):
    entries = [(d, stat.S_IFDIR | 0o755, b"") for d in ("bin", "dev", "proc", "sys", "new", "modules")]
    with open("/bin/busybox", "rb") as f:
        entries.append(("bin/busybox", stat.S_IFREG | 0o755, f.read()))
    entries.append(("bin/sh", stat.S_IFLNK | 0o777, b"busybox"))
    with open(init, "rb") as f:
        entries.append(("init", stat.S_IFREG | 0o755, f.read()))
    for number, path in enumerate(module_files(modules, DISK_MODULES)):
        with open(f"{modules}/{path}", "rb") as f:
            entries.append((f"modules/{number:02}.ko", stat.S_IFREG | 0o644, f.read()))
    cpio(entries, out)


def disk(tree, out, megabytes=2048):
    """An ext4 file system of the tree; everything in it is root's, also when we are not."""
    with open(out, "wb") as f:
        f.truncate(megabytes << 20)
    argv = ["mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0,lazy_itable_init=1,nodiscard", "-O", "^metadata_csum", "-d", tree, out]
    run(*(argv if os.geteuid() == 0 else ["unshare", "-r", *argv]), env={**os.environ, "PATH": "/usr/sbin:/sbin:" + os.environ.get("PATH", "")})
