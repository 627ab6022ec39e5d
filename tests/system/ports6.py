# SPDX-License-Identifier: Apache-2.0
"""Published ports on IPv6: both protocols under one number, addresses of one's own, UDP, bulk data, what survives a kill."""
import hashlib
import os
import signal
import socket
import subprocess
import systest

HTTPD = "sh -c 'hostname >/tmp/index.html; exec httpd -f -p 80 -h /tmp'"


def six(t):
    """An IPv6 loopback, and one more address on it."""
    for name in ("all", "lo"):
        path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
        if not os.path.exists(path):
            raise systest.Skip("the kernel has no IPv6")
        with open(path, "w", encoding="ascii") as f:
            f.write("0")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "-6", "addr", "add", "fd00:1::1/128", "dev", "lo"], check=True)
    t.wait(lambda: "tentative" not in systest.command("ip", "-6", "addr", "show", "dev", "lo"), 3, "addresses")
    t.begin()


def body(t, url):
    return t.http(url).strip()


def test_both_protocols(t):
    """A port without an address answers on 127.0.0.1 and on [::1] under one number; ps and port tell both; after down nobody listens."""
    six(t)
    t.compose(f"services: {{web: {{image: busybox, command: \"{HTTPD}\", stop_grace_period: 0s, ports: ['18070:80', '80']}}}}")
    t.up()
    row = t.ps()["p-web-1"]
    for port in (18070, t.port("web", 80)):
        for host in ("127.0.0.1", "[::1]", "[fd00:1::1]"):
            t.eq(body(t, f"http://{host}:{port}/"), row["ID"], host)
    t.has(row["Ports"], "0.0.0.0:18070->80/tcp", "[::]:18070->80/tcp")
    t.eq([(x["URL"], x["PublishedPort"]) for x in row["Publishers"]][:2], [("0.0.0.0", 18070), ("::", 18070)])
    t.up("--force-recreate")
    t.eq(body(t, "http://[::1]:18070/"), t.ids()["p-web-1"])
    t.muster("down")
    with socket.socket(socket.AF_INET6) as s:
        t.true(s.connect_ex(("::1", 18070)) != 0, "somebody listens after down")
    t.nothing_left()


def test_addresses(t):
    """[::1]:H:C is there alone, [ADDRESS] too; 127.0.0.1:H:C and 0.0.0.0:H:C do not answer on IPv6; a conflict and a foreign address are told."""
    six(t)
    t.compose(f"""
        services:
          a: {{image: busybox, command: "{HTTPD}", ports: ['[::1]:18071:80', '127.0.0.1:18072:80', '0.0.0.0:18073:80', '[fd00:1::1]:18071:80', '[::]:18074:80']}}
        """)
    t.up()
    body(t, "http://[::1]:18071/")
    answers = {(host, port): not t.refused(host, port) if "." in host else connects(host, port)
               for host in ("127.0.0.1", "::1", "fd00:1::1") for port in (18071, 18072, 18073, 18074)}
    t.eq({k for k, v in answers.items() if v}, {("::1", 18071), ("127.0.0.1", 18072), ("127.0.0.1", 18073), ("fd00:1::1", 18071), ("::1", 18074),
                                                  ("fd00:1::1", 18074)})
    t.eq(t.muster("port", "a", "80").lines, ["[::1]:18071"])
    for address, said in (("[::1]:18071", "[::1]:18071/tcp: port is already allocated"), ("[fd00:1::99]:1", "fd00:1::99 is no address of this machine")):
        t.file("other.yaml", f"services: {{b: {{image: busybox, command: sleep 1000, ports: ['{address}:80']}}}}")
        t.has(t.muster("-f", "other.yaml", "-p", "other", "up", "-d", rc=1).err, said)
        t.muster("-p", "other", "down")


def connects(host, port):
    with socket.socket(socket.AF_INET6) as s:
        s.settimeout(2)
        return s.connect_ex((host, port)) == 0


def echoes(port):
    try:
        with socket.create_connection(("::1", port), timeout=2) as s:
            s.sendall(b"x")
            return s.recv(1) == b"x"
    except OSError:
        return False


def test_bulk_and_half_close(t):
    """Megabytes both ways at once arrive unchanged, and the end of one direction is passed on while the other goes on."""
    six(t)
    t.compose("services: {web: {image: busybox, command: \"sh -c 'while :; do nc -l -p 7000 -e cat; done'\", stop_grace_period: 0s, ports: ['[::1]:18075:7000']}}")
    t.up()
    sent = os.urandom(1 << 20) * 8
    t.wait(lambda: echoes(18075), 5, "the server")
    for _ in range(2):
        t.wait(lambda: echoes(18075), 5, "the next one")
        t.wait(lambda: "LISTEN" in t.sh("web", "netstat -ltn"), 5, "the next one")
        s = socket.create_connection(("::1", 18075), timeout=20)
        got = hashlib.sha256()
        total = 0
        pid = os.fork()
        if pid == 0:
            s.sendall(sent)
            s.shutdown(socket.SHUT_WR)
            os._exit(0)
        while data := s.recv(1 << 16):
            got.update(data)
            total += len(data)
        os.waitpid(pid, 0)
        s.close()
        t.eq((total, got.hexdigest()), (len(sent), hashlib.sha256(sent).hexdigest()))
    t.wait(lambda: all(len(os.listdir(f"/proc/{p}/fd")) < 40 for p in t.daemons("dns")), 3, "closed descriptors")


def udp_echo(host, port, own_port=0):
    """Whether a datagram from a new socket comes back from where it was sent to."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        s.bind(("::", own_port))
        s.sendto(b"hello " + host.encode(), (host, port))
        try:
            data, peer = s.recvfrom(100)
        except OSError:
            return False
        return data == b"hello " + host.encode() and peer[0] == host


def test_udp(t):
    """Datagrams come back from the address that was asked; after more peers than are remembered at once the newest still gets an answer."""
    six(t)
    t.compose(f"services: {{web: {{image: busybox, command: /echo 7000, volumes: ['{t.echo}:/echo:ro'], ports: ['18076:7000/udp']}}}}")
    t.up()
    for host in ("::1", "fd00:1::1"):
        t.wait(lambda host=host: udp_echo(host, 18076), 5, f"an echo from {host}")
    for own_port in range(20000, 21040):
        t.wait(lambda own_port=own_port: udp_echo("::1", 18076, own_port), 3, f"an echo for peer {own_port - 20000}")


def keeps_alive(port):
    """Whether the connections that were accepted on this port ask the peer now and then whether it is there."""
    with open("/proc/net/tcp6", encoding="ascii") as f:
        rows = [line.split() for line in f.readlines()[1:]]
    timers = [row[5][:2] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"]
    return timers and set(timers) == {"02"}


def test_survives_kills(t):
    """An open connection is kept alive, and lives through a supervisor's death; new ones work after any of our processes was killed."""
    six(t)
    t.compose(f"""
        services:
          web: {{image: busybox, command: "{HTTPD}", ports: ['18077:80']}}
          cat: {{image: busybox, command: "sh -c 'while :; do nc -l -p 7000 -e cat; done'", ports: ['[::1]:18078:7000']}}
        """)
    t.up()
    t.wait(lambda: echoes(18078), 5, "the server")
    t.wait(lambda: "LISTEN" in t.sh("cat", "netstat -ltn"), 5, "the next one")
    s = socket.create_connection(("::1", 18078), timeout=5)
    s.sendall(b"one")
    t.eq(s.recv(10), b"one")
    t.wait(lambda: keeps_alive(18078), 3, "a keepalive timer")
    for role in ("supervise", "anchor", "dns"):
        for pid in t.daemons(role):
            os.kill(pid, signal.SIGKILL)
        t.wait(lambda: t.muster("ps", "-q", rc=None).rc == 0 and t.up(rc=None).rc == 0, 10, "a supervisor")
        t.eq(body(t, "http://[::1]:18077/"), t.ids()["p-web-1"], f"after {role}")
        if role == "supervise":
            s.sendall(b"two")
            t.eq(s.recv(10), b"two")
    s.close()
    t.muster("down", "-t", "0")
    t.nothing_left()


def test_restart_keeps_the_number(t):
    """A restart keeps an ephemeral number on both protocols."""
    six(t)
    t.compose(f"services: {{web: {{image: busybox, command: \"{HTTPD}\", stop_grace_period: 0s, restart: always, ports: ['80']}}}}")
    t.up()
    port = t.port("web", 80)
    old, short = t.pid("p-web-1"), t.ids()["p-web-1"]
    os.kill(old, signal.SIGKILL)
    t.wait(lambda: {*t.container_pids(short)} - {old} and t.ps()["p-web-1"]["State"] == "running", 5, "the restart")
    t.eq((t.port("web", 80), body(t, f"http://[::1]:{port}/")), (port, t.ids()["p-web-1"]))


def test_ps_collapses_ranges(t):
    """ps words ports as docker does: runs under their own numbers as ranges, by protocol and address, then those under other numbers."""
    six(t)
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, ports: ['18090-18092:18090-18092', '18094:18094', '18095:80', '127.0.0.1:18096:18096', '18097:18097/udp']}
        """)
    t.up()
    t.eq(t.ps()["p-web-1"]["Ports"], "0.0.0.0:18090-18092->18090-18092/tcp, [::]:18090-18092->18090-18092/tcp, 0.0.0.0:18094->18094/tcp, "
         "[::]:18094->18094/tcp, 127.0.0.1:18096->18096/tcp, 0.0.0.0:18097->18097/udp, [::]:18097->18097/udp, 0.0.0.0:18095->80/tcp, [::]:18095->80/tcp")
