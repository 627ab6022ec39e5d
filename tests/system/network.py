# SPDX-License-Identifier: Apache-2.0
"""Names, ports, isolation and the way out."""
import socket
import subprocess
import systest

# answers its host name on port 80
HTTPD = "sh -c 'hostname >/tmp/index.html; exec httpd -f -p %d -h /tmp'"


def web(extra="", port=80):
    return f"{{image: busybox, command: \"{(HTTPD % port)}\"{', ' + extra if extra else ''}}}"


def lookup(t, service, name, rc=0):
    """Addresses that nslookup finds in the container."""
    out = t.muster("exec", "-T", service, "nslookup", "-type=a", name, rc=None)
    found = [x.split()[-1] for x in out.out.split("Name:", 1)[-1].splitlines() if x.startswith("Address")] if "Name:" in out.out else []
    if (not found) != (rc != 0):
        raise systest.Failure(f"nslookup {name}:\n{out}")
    return sorted(found)


def test_names(t):
    """Service, container name, host name, short id and alias all resolve to the container."""
    t.compose("""
        services:
          web: {image: busybox, command: sleep 1000, hostname: box, networks: {default: {aliases: [www]}}}
          cli: {image: busybox, command: sleep 1000}
        """)
    t.up()
    short = t.ids()["p-web-1"]
    address = lookup(t, "cli", "web")
    t.eq(len(address), 1)
    for name in ("p-web-1", "box", short, "www", "WEB", "web."):
        t.eq(lookup(t, "cli", name), address, name)
    t.has(t.sh("web", "hostname -i"), address[0])


def test_replicas_resolve_to_all(t):
    """A service's name has the addresses of all running replicas; a stopped one disappears."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, stop_grace_period: 0s, scale: 3}, cli: {image: busybox, command: sleep 1000}}")
    t.up()
    three = lookup(t, "cli", "web")
    t.eq(len(three), 3)
    t.muster("scale", "web=1", "--no-deps")
    t.wait(lambda: len(lookup(t, "cli", "web")) == 1, 3, "one address")


def test_unknown_names(t):
    """An unknown single-label name is NXDOMAIN at once; a known name without AAAA is NODATA, not NXDOMAIN."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    t.up()
    t.match(t.muster("exec", "-T", "web", "nslookup", "nosuch", rc=None).out, r"NXDOMAIN|can't find")
    out = t.muster("exec", "-T", "web", "nslookup", "-type=aaaa", "web", rc=None).out
    t.lacks(out, "NXDOMAIN")


def test_isolation(t):
    """Services on different networks reach each other neither by name nor by address; one on both reaches both."""
    t.compose(f"""
        services:
          a: {web('networks: [front]')}
          b: {web('networks: [back]')}
          both: {web('networks: [front, back]')}
        networks: {{front: , back: }}
        """)
    t.up()
    b = t.sh("b", "hostname -i").split()[0]
    lookup(t, "a", "b", rc=1)
    t.muster("exec", "-T", "a", "timeout", "1", "wget", "-q", "-O-", f"http://{b}/", rc=143)
    for name in ("a", "b"):
        t.eq(t.sh("both", f"timeout 3 wget -q -O- http://{name}/").strip(), t.ids()[f"p-{name}-1"])
    t.eq(t.sh("a", "timeout 3 wget -q -O- http://both/").strip(), t.ids()["p-both-1"])


def test_projects_are_isolated(t):
    """Two projects side by side don't reach each other by name or address."""
    for name in ("one", "two"):
        t.file(f"{name}/compose.yaml", f"services: {{web: {web()}}}")
        t.muster("--project-directory", name, "-f", f"{name}/compose.yaml", "up", "-d")
    other = t.muster("-p", "two", "exec", "-T", "web", "hostname", "-i").out.split()[0]
    t.muster("-p", "one", "exec", "-T", "web", "timeout", "1", "wget", "-q", "-O-", f"http://{other}/", rc=143)
    t.muster("-p", "one", "down", "-t", "0")
    t.eq(t.muster("-p", "two", "exec", "-T", "web", "wget", "-q", "-O-", "http://web/").rc, 0)


def test_internal_network(t):
    """internal: true has no way out, and its members still reach each other."""
    t.uplink()
    t.compose(f"""
        services:
          a: {web('networks: [inner]')}
          b: {web('networks: [inner]')}
        networks: {{inner: {{internal: true}}}}
        """)
    t.up()
    t.eq(t.sh("a", "timeout 3 wget -q -O- http://b/").strip(), t.ids()["p-b-1"])
    t.true(t.muster("exec", "-T", "a", "timeout", "1", "wget", "-q", "-O-", f"http://{systest.UPLINK_WORLD}/", rc=None).rc != 0, "there is a way out")


def test_port_reachable_everywhere(t):
    """A published port answers on 127.0.0.1, the host's own address, from another container and from the container itself."""
    t.uplink()
    t.compose(f'''services: {{web: {web("ports: ['18090:80']")}, cli: {{image: busybox, command: sleep 1000}}}}''')
    t.up()
    short = t.ids()["p-web-1"]
    t.eq(t.http("http://127.0.0.1:18090/").strip(), short)
    t.eq(t.http(f"http://{systest.UPLINK_HOST}:18090/").strip(), short)
    for service in ("cli", "web"):
        t.eq(t.sh(service, f"timeout 3 wget -q -O- http://{systest.UPLINK_HOST}:18090/").strip(), short, f"from {service}")
    from_world = subprocess.run(["nsenter", "-t", str(t.world), "-n", "timeout", "3", "busybox", "wget", "-q", "-O-", f"http://{systest.UPLINK_HOST}:18090/"],
                                capture_output=True, text=True, check=False).stdout
    t.eq(from_world.strip(), short, "from outside")


def test_port_forms(t):
    """H:C, IP:H:C, C, a range and /udp."""
    t.uplink()
    t.compose(f"""
        services:
          web:
            image: busybox
            command: sh -c 'hostname >/tmp/index.html; httpd -p 81 -h /tmp; httpd -p 82 -h /tmp; /echo 53 & exec httpd -f -p 80 -h /tmp'
            volumes: ["{t.echo}:/echo:ro"]
            ports: ["18091:80", "127.0.0.1:18092:80", "80", "18093-18094:81-82", "18095:53/udp"]
        """)
    t.up()
    for port in (18091, 18092, 18093, 18094):
        t.eq(t.http(f"http://127.0.0.1:{port}/").strip(), t.ids()["p-web-1"], port)
    t.true(t.refused(systest.UPLINK_HOST, 18092), "a port on 127.0.0.1 answers on another address")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(3)
        s.sendto(b"ping\n", ("127.0.0.1", 18095))
        t.eq(s.recvfrom(100)[0], b"ping\n", "udp")


def test_taken_port(t):
    """A taken port is an error that names it and who holds it; nothing stays half done."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 18096))
        s.listen()
        t.compose("services: {web: {image: busybox, command: sleep 1000, ports: ['127.0.0.1:18096:80']}}")
        said = t.up(rc=1).err
        t.has(said, "port is already allocated", "18096")
        t.match(said, r"python|pid \d+")
    t.eq([c for c in t.ps().values() if c["State"] == "running"], [])
    t.up()


def test_port_of_another_project(t):
    """A port that another project publishes: the error names that container."""
    for name in ("one", "two"):
        t.file(f"{name}/compose.yaml", "services: {web: {image: busybox, command: sleep 1000, ports: ['127.0.0.1:18097:80']}}")
    t.muster("-f", "one/compose.yaml", "up", "-d")
    said = t.muster("-f", "two/compose.yaml", "up", "-d", rc=1).err
    t.has(said, "port is already allocated", "18097", "one-web-1")


def test_port_kept_through_restart(t):
    """An ephemeral port stays the same when the container restarts."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, ports: ['80']}}")
    t.up()
    port = t.port("web", 80)
    t.muster("restart", "-t", "0")
    t.eq(t.port("web", 80), port)


def test_egress(t):
    """A container reaches what is behind the uplink, with the host's address and the uplink's MTU."""
    t.uplink()
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    t.up()
    t.eq(t.sh("web", f"timeout 3 wget -q -O- http://{systest.UPLINK_WORLD}/").strip(), f"you are {systest.UPLINK_HOST}")
    t.eq(t.sh("web", "cat /sys/class/net/eth0/mtu").strip(), "1400")


def test_dns_forwarding(t):
    """Names outside are asked of the host's servers, over UDP and, when cut, TCP; the search list is passed on."""
    t.uplink()
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    t.up()
    t.eq(lookup(t, "web", "echo.world.test"), ["203.0.113.7"])
    lookup(t, "web", "nothing.world.test", rc=1)
    t.has(t.sh("web", "cat /etc/resolv.conf"), "search corp.test")
    t.eq(lookup(t, "web", "db.corp.test"), ["203.0.113.7"])
    pid = str(t.pid("p-web-1"))
    script = """
import socket, struct
q = b"\\x12\\x34\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\3big\\5world\\4test\\0\\0\\x10\\0\\1"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(q, ("127.0.0.11", 53)); r = s.recv(4096)
print("cut" if r[2] & 2 else "whole")
c = socket.create_connection(("127.0.0.11", 53), 5); c.sendall(struct.pack(">H", len(q)) + q)
n = struct.unpack(">H", c.recv(2))[0]; d = b""
while len(d) < n: d += c.recv(n - len(d))
print(struct.unpack(">H", d[6:8])[0])
"""
    done = subprocess.run(["nsenter", "-t", pid, "-n", "/usr/bin/python3", "-c", script], capture_output=True, text=True, check=False)
    t.eq(done.stdout.split(), ["cut", "10"], f"answers over UDP and TCP\n{done.stderr}")


def test_image_that_serves_53(t):
    """An image that itself binds 0.0.0.0:53 (UDP and TCP) starts, and names still resolve in it."""
    t.compose(f"""
        services:
          dns: {{image: busybox, command: /echo 53, volumes: ["{t.echo}:/echo:ro"]}}
          web: {{image: busybox, command: sleep 1000}}
        """)
    t.up()
    t.wait(lambda: "ready" in t.muster("logs", "dns").out, 3, "the image's own server")
    t.eq(len(lookup(t, "dns", "web")), 1)
    t.eq(t.ps()["p-dns-1"]["State"], "running")
    t.has(t.sh("dns", "netstat -ln"), "0.0.0.0:53")


def test_garbage_dns(t):
    """Garbage sent to the DNS server changes nothing: it goes on answering."""
    t.compose("services: {web: {image: busybox, command: sleep 1000}}")
    t.up()
    t.sh("web", "for i in 1 2 3 4 5 6 7 8 9 10; do head -c $((i * 37)) /dev/urandom | nc -u -w 1 127.0.0.11 53 & done; wait; true")
    t.eq(len(lookup(t, "web", "web")), 1)
    t.eq(len(t.daemons("dns")), 1)


def test_network_removed_when_unused(t):
    """The default network exists only when some service uses it."""
    t.compose("services: {web: {image: busybox, command: sleep 1000, networks: [mine]}}\nnetworks: {mine: }")
    t.up()
    out = t.muster("network", "ls").out
    t.has(out, "p_mine")
    t.lacks(out, "p_default")


def test_container_to_container_is_same_network_only(t):
    """Two services of one network reach every port of each other without publishing."""
    t.compose(f"services: {{a: {web(port=8123)}, b: {web()}}}")
    t.up()
    t.eq(t.sh("b", "timeout 3 wget -q -O- http://a:8123/").strip(), t.ids()["p-a-1"])


def test_forward_drop_of_docker(t):
    """Where dockerd set the FORWARD policy to drop, ports and egress work all the same, and down leaves no rule of ours there."""
    t.uplink()
    subprocess.run(["nft", "-f", "-"], input="""
        table ip filter {
          chain DOCKER-USER { }
          chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; }
        }""", text=True, check=True)
    t.baseline = t.snapshot()
    t.compose(f'''services: {{web: {web("ports: ['18098:80']")}}}''')
    t.up()
    t.eq(t.sh("web", f"timeout 3 wget -q -O- http://{systest.UPLINK_WORLD}/").strip(), f"you are {systest.UPLINK_HOST}")
    from_world = subprocess.run(["nsenter", "-t", str(t.world), "-n", "timeout", "3", "busybox", "wget", "-q", "-O-", f"http://{systest.UPLINK_HOST}:18098/"],
                                capture_output=True, text=True, check=False).stdout
    t.eq(from_world.strip(), t.ids()["p-web-1"], "from outside")


def veths():
    return [line.split(":")[1].strip() for line in systest.command("ip", "-o", "link", "show", "type", "veth").splitlines()]


FLOOD = "{image: busybox, command: \"sh -c 'while :; do nc -l -p 7000 -e cat /dev/zero; done'\", stop_grace_period: 0s%s}"


def connected(port):
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=5)
    except OSError:
        return None


def flooded(t, port):
    """A connection whose data nobody takes."""
    s = t.wait(lambda: connected(port), 5, "a server")
    t.wait(lambda: len(s.recv(1 << 16, socket.MSG_PEEK)) > 1000, 5, "data")
    return s


def test_unsent_data_holds_no_link(t):
    """A container that ends with data its peer does not take leaves a TCP socket, and with it the kernel would keep its namespace and veth."""
    t.compose(f"""
        services:
          a: {FLOOD % ", ports: ['127.0.0.1:18098:7000']"}
          b: {FLOOD % ""}
          c: {{image: busybox, command: "sh -c 'nc b 7000 | sleep 1000'", stop_grace_period: 0s, depends_on: [b]}}
        """)
    t.up()
    s = flooded(t, 18098)
    t.wait(lambda: t.sh("b", "netstat -tn | grep -c :7000", rc=None).strip() == "1", 5, "a connection between them")
    t.muster("down", "-t", "0")
    t.nothing_left()
    s.close()


def test_unsent_data_and_a_bridge_that_stays(t):
    """The same where the network goes on: after a restart, a stop and a `down` beside an external network."""
    t.muster("network", "create", "shared")
    t.compose(f"services: {{a: {FLOOD % ', ports: [18099:7000], networks: [shared]'}}}\nnetworks: {{shared: {{external: true}}}}")
    t.up()
    for command in (["restart", "-t", "0"], ["stop", "-t", "0"], ["down", "-t", "0"]):
        if not veths():
            t.up()
        s = flooded(t, 18099)
        t.muster(*command)
        want = 1 if command[0] == "restart" else 0
        t.wait(lambda: len(veths()) == want, 3, lambda: f"{want} links after {command[0]}: {veths()}")
        if want:
            flooded(t, 18099).close()
        s.close()
    t.muster("network", "rm", "shared")
    t.nothing_left()
