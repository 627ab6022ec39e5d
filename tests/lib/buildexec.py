# SPDX-License-Identifier: Apache-2.0
"""Drives `muster-run build` as the builder and muster do, without either: messages over two SOCK_SEQPACKET pairs (images/build/executor.h,
compose/build_exec.h). So the executor's promises are tested whatever a Dockerfile can say."""
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import time

import systest

F_ADD_SEALS, ALL_SEALS = 1033, 15
SOCKETS = ((socket.AF_UNIX, socket.SOCK_SEQPACKET),)


def send(to, message, fds=()):
    data = b"J" + json.dumps(message).encode()
    if len(data) > 7000:
        fd = os.memfd_create("message", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.write(fd, data[1:])
        fcntl.fcntl(fd, F_ADD_SEALS, ALL_SEALS)
        fds, data = [fd, *fds], b"M"
    socket.send_fds(to, [data], list(fds))


def sealed_copy(t):
    """muster-run as muster starts it: from memory, sealed."""
    fd = os.memfd_create("muster-run", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with open(os.path.join(os.path.dirname(t.binary), "muster-run"), "rb") as f:
        os.write(fd, f.read())
    fcntl.fcntl(fd, F_ADD_SEALS, ALL_SEALS)
    return fd


class Executor:
    """setup: "insecure", "host_network", "secrets": {id: bytes}, "ssh": {id: path of a socket}"""

    def __init__(self, t, secrets=None, ssh=None, **setup):
        self.t, self.first, self.out, self.done, self.opened, self.warnings = t, 0, {}, {}, set(), []
        self.cli, cli = socket.socketpair(*SOCKETS[0])
        self.builder, builder = socket.socketpair(*SOCKETS[0])
        os.makedirs(t.run, exist_ok=True)
        self.n = self.first = int.from_bytes(os.urandom(3), "big")  # names of layers that no other one has
        given = [os.open(t.root, os.O_RDONLY), os.open(t.run, os.O_RDONLY), cli.detach(), builder.detach(), sealed_copy(t)]

        def place():
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 60) for fd in given]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            os.closerange(8, 50)
        self.p = subprocess.Popen(["muster-run", "build", systest.root_id(os.path.realpath(t.root), os.path.realpath(t.run))],
                                  executable="/proc/self/fd/7", preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        t.jobs.append(self)
        for fd in given:
            os.close(fd)
        fds, names = [], {"secrets": {}, "ssh": {}}
        for name, data in (secrets or {}).items():
            fd = os.memfd_create(name, os.MFD_CLOEXEC)
            os.write(fd, data)
            names["secrets"][name] = len(fds)
            fds.append(fd)
        for name, path in (ssh or {}).items():
            names["ssh"][name] = len(fds)
            fds.append(os.open(path, os.O_PATH))
        send(self.cli, {"op": "setup", "last": True, **names, **setup}, fds)
        for fd in fds:
            os.close(fd)
        self.base = next(d for d in os.listdir(t.root + "/layers") if len(d) == 64)

    def upper(self, n):
        return f".tmp-{n:016x}"

    def diff(self, n):
        return f"{self.t.root}/layers/{self.upper(n)}/diff"

    def run(self, script, layers=None, **more):
        """Begins a step; its number."""
        self.n += 1
        for name in ("diff", "work"):
            os.makedirs(f"{self.t.root}/layers/{self.upper(self.n)}/{name}", exist_ok=True)
        step = {"op": "run", "id": self.n, "layers": [self.base] if layers is None else layers, "upper": self.upper(self.n), "cwd": "/", "user": "",
                "argv": ["/bin/sh", "-c", script], "env": ["PATH=/bin:/sbin:/usr/bin"], "network": "none", **more}
        send(self.builder, step)
        return self.n

    def take(self, seconds):
        for s in select.select([self.cli, self.builder], [], [], seconds)[0]:
            packet = s.recv(9000)
            if not packet:
                return False
            if packet[:1] == b"O":
                self.out.setdefault(struct.unpack("<I", packet[2:6])[0], bytearray()).extend(packet[6:])
            elif packet[:1] == b"W":
                self.warnings.append(packet[1:].decode())
            else:
                event = json.loads(packet[1:])
                (self.opened.add if event["event"] == "opened" else lambda n: self.done.update({n: event}))(event["id"])
        return True

    def wait(self, *steps, seconds=10):
        end = time.monotonic() + seconds
        while any(n not in self.done for n in steps):
            if time.monotonic() > end or not self.take(0.2):
                raise systest.Failure(f"steps {steps} have not ended: {self.done}")
        return self.done[steps[0]]

    def text(self, n):
        while select.select([self.cli], [], [], 0)[0]:
            self.take(0)
        return bytes(self.out.get(n, b"")).decode(errors="replace")

    def sh(self, script, code=0, **more):
        """A step to its end; what it printed."""
        n = self.run(script, **more)
        end = self.wait(n)
        if end.get("exit_code") != code:
            raise systest.Failure(f"{end}\n{self.text(n)}")
        return self.text(n)

    def error(self, script="true", **more):
        """A step that cannot be run: the message."""
        end = self.wait(self.run(script, **more))
        if "error" not in end:
            raise systest.Failure(f"no error: {end}")
        return end["error"]["message"]

    def close(self, seconds=10):
        self.cli.close()
        self.builder.close()
        try:
            rc = self.p.wait(seconds)
        except subprocess.TimeoutExpired:
            raise systest.Failure("the executor does not end") from None
        self.t.eq(self.p.stderr.read().decode(), "", "what the executor says")
        return rc

    def kill(self):
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
