/* SPDX-License-Identifier: Apache-2.0 */
/* The floor program: what the kernel alone costs for N containers. The same namespaces, mounts, masks, wiring and exec as the runtime
 * makes, and nothing else: no records, no filter, no user lookup, no logs, no DNS, no published ports. Numbers of the bench are read
 * as ratios to this one, measured in the same run, because the machine under it changes more than the code. One file, no library,
 * every error ends it.
 *
 *   floor [-c] [-g PARENT] [-r ROUNDS] COUNT ROOTFS COMMAND [ARGUMENT...]
 *
 * -c: also a v1 cgroup per container in each hierarchy, below PARENT where one is given. COMMAND should run until it is killed (sleep
 * 1000). It prints, per round, the time until every command was exec'd and the time from the first kill until processes, bridge and veths
 * are gone, in the end the medians. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONTAINERS = 2000, MAX_ROUNDS = 1000 };
enum { HARDENED = MS_NOSUID | MS_NODEV | MS_NOEXEC };

struct container {
	pid_t pid;
	int pidfd, exec_fd; /* exec_fd: ends at exec */
};

struct request {
	struct nlmsghdr h;
	char payload[1024];
};

static const char *const cgroups[] = { "cpu", "cpuacct", "memory", "pids", "devices", "freezer" };
static const char *const masked[] = { "proc/acpi", "proc/interrupts", "proc/kcore", "proc/keys", "proc/timer_list", "sys/firmware" };
static const char *const read_only[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };

/* What an error must not leave behind. */
static struct {
	pid_t owner;
	struct container containers[MAX_CONTAINERS];
	char bridge[16], base[32];
	unsigned count;
	bool with_cgroups;
	const char *parent; /* "" or "NAME/" */
} state;

static void clean_up(void);

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	clean_up();
	_exit(1);
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* netlink: messages with attributes, one acknowledgement each */

static void put(struct nlmsghdr *h, unsigned short type, const void *data, size_t n)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(n);
	if (n)
		memcpy(RTA_DATA(a), data, n);
	h->nlmsg_len = NLMSG_ALIGN(h->nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static struct rtattr *open_nest(struct nlmsghdr *h, unsigned short type)
{
	struct rtattr *a = (struct rtattr *)(void *)((char *)h + NLMSG_ALIGN(h->nlmsg_len));
	put(h, type, NULL, 0);
	return a;
}

static void close_nest(struct nlmsghdr *h, struct rtattr *a)
{
	a->rta_len = (unsigned short)((char *)h + NLMSG_ALIGN(h->nlmsg_len) - (char *)a);
}

static void *begin(struct request *r, unsigned short type, unsigned short flags, size_t body)
{
	memset(r, 0, sizeof(*r));
	r->h.nlmsg_type = type;
	r->h.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
	r->h.nlmsg_len = (unsigned)NLMSG_LENGTH(body);
	return NLMSG_DATA(&r->h);
}

/* Sends n requests at once and collects their acknowledgements; the first error, or 0. */
static int transact(int nl, struct request *r, size_t n)
{
	struct iovec iov[8];
	char buf[8192];
	int first = 0;
	for (size_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ &r[i], NLMSG_ALIGN(r[i].h.nlmsg_len) };
	if (writev(nl, iov, (int)n) < 0)
		return -errno;
	while (n > 0) {
		ssize_t len = recv(nl, buf, sizeof(buf), 0);
		if (len < 0)
			return -errno;
		for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)buf; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len))
			if (h->nlmsg_type == NLMSG_ERROR) {
				int e = ((struct nlmsgerr *)NLMSG_DATA(h))->error;
				first = first ? first : e;
				n--;
			}
	}
	return first;
}

static int open_netlink(void)
{
	int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (nl < 0)
		die("netlink");
	return nl;
}

static void request_up(struct request *r, unsigned index)
{
	struct ifinfomsg *m = begin(r, RTM_NEWLINK, 0, sizeof(*m));
	m->ifi_index = (int)index;
	m->ifi_flags = m->ifi_change = IFF_UP;
}

static void request_address(struct request *r, unsigned index, uint32_t address)
{
	struct ifaddrmsg *m = begin(r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));
	m->ifa_family = AF_INET;
	m->ifa_prefixlen = 16;
	m->ifa_index = index;
	put(&r->h, IFA_LOCAL, &address, 4);
	put(&r->h, IFA_ADDRESS, &address, 4);
}

static uint32_t address_of(unsigned n)
{
	uint8_t b[4] = { 10, 213, (uint8_t)(n >> 8), (uint8_t)n };
	uint32_t a;
	memcpy(&a, b, 4);
	return a;
}

static unsigned make_bridge(int nl, const char *name)
{
	struct request r[2];
	struct rtattr *info;
	unsigned index;
	begin(&r[0], RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
	put(&r[0].h, IFLA_IFNAME, name, strlen(name) + 1);
	info = open_nest(&r[0].h, IFLA_LINKINFO);
	put(&r[0].h, IFLA_INFO_KIND, "bridge", 6);
	close_nest(&r[0].h, info);
	if ((errno = -transact(nl, r, 1)))
		die("make a bridge");
	index = if_nametoindex(name);
	request_address(&r[0], index, address_of(1));
	request_up(&r[1], index);
	if ((errno = -transact(nl, r, 2)))
		die("set up the bridge");
	return index;
}

/* One message: the pair, one end on the bridge and up, the other as eth0 in the container's namespace. */
static void make_veth(int nl, unsigned bridge, unsigned n, int netns_fd)
{
	struct request r;
	struct ifinfomsg *m = begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*m));
	struct ifinfomsg peer = { 0 };
	struct rtattr *info, *data, *inner;
	char name[32];
	uint32_t one = 1;
	m->ifi_flags = m->ifi_change = IFF_UP;
	snprintf(name, sizeof(name), "fl%u-%u", (unsigned)getpid() % 100000, n);
	put(&r.h, IFLA_IFNAME, name, strlen(name) + 1);
	put(&r.h, IFLA_MASTER, &bridge, 4);
	put(&r.h, IFLA_NUM_TX_QUEUES, &one, 4);
	info = open_nest(&r.h, IFLA_LINKINFO);
	put(&r.h, IFLA_INFO_KIND, "veth", 4);
	data = open_nest(&r.h, IFLA_INFO_DATA);
	inner = open_nest(&r.h, VETH_INFO_PEER);
	memcpy((char *)&r.h + NLMSG_ALIGN(r.h.nlmsg_len), &peer, sizeof(peer));
	r.h.nlmsg_len += NLMSG_ALIGN(sizeof(peer));
	put(&r.h, IFLA_IFNAME, "eth0", 5);
	put(&r.h, IFLA_NET_NS_FD, &netns_fd, 4);
	close_nest(&r.h, inner);
	close_nest(&r.h, data);
	close_nest(&r.h, info);
	if ((errno = -transact(nl, &r, 1)))
		die("make a veth");
}

/* In the container: loopback and eth0 up, address, default route, in one write. */
static void configure(unsigned n)
{
	struct request r[4];
	struct rtmsg *rt;
	uint32_t gateway = address_of(1);
	unsigned eth0 = if_nametoindex("eth0");
	int nl = open_netlink();
	request_up(&r[0], 1);
	request_address(&r[1], eth0, address_of(n + 2));
	request_up(&r[2], eth0);
	rt = begin(&r[3], RTM_NEWROUTE, NLM_F_CREATE, sizeof(*rt));
	rt->rtm_family = AF_INET;
	rt->rtm_table = RT_TABLE_MAIN;
	rt->rtm_protocol = RTPROT_BOOT;
	rt->rtm_type = RTN_UNICAST;
	put(&r[3].h, RTA_GATEWAY, &gateway, 4);
	if ((errno = -transact(nl, r, 4)))
		die("configure eth0");
	close(nl);
}

/* in the child: mounts */

static void mount_on(const char *type, const char *target, unsigned long flags, const char *data)
{
	mkdir(target, 0755);
	if (mount(type, target, type, flags, data) < 0)
		die(target);
}

static void mount_overlay(const char *rootfs, const char *dir)
{
	char upper[600], work[600];
	int fs = fsopen("overlay", FSOPEN_CLOEXEC), fd;
	snprintf(upper, sizeof(upper), "%s/upper", dir);
	snprintf(work, sizeof(work), "%s/work", dir);
	if (fs < 0)
		die("fsopen");
	if (fsconfig(fs, FSCONFIG_SET_STRING, "lowerdir+", rootfs, 0) < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "upperdir", upper, 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "workdir", work, 0) < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		die("overlay");
	fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (fd < 0 || move_mount(fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 || fchdir(fd) < 0)
		die("attach the overlay");
}

static void make_dev(void)
{
	static const struct {
		const char *name;
		unsigned major, minor;
	} nodes[] = { { "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 } };
	char path[64];
	mount_on("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
		snprintf(path, sizeof(path), "dev/%s", nodes[i].name);
		if (mknod(path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0)
			die(path);
	}
	mount_on("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	mount_on("tmpfs", "dev/shm", HARDENED, "mode=1777,size=65536k");
	mount_on("mqueue", "dev/mqueue", HARDENED, NULL);
}

static void cover(void)
{
	for (size_t i = 0; i < sizeof(masked) / sizeof(masked[0]); i++) {
		struct stat st;
		if (stat(masked[i], &st) < 0)
			continue;
		if ((S_ISDIR(st.st_mode) ? mount("tmpfs", masked[i], "tmpfs", HARDENED | MS_RDONLY, NULL) :
					   mount("dev/null", masked[i], NULL, MS_BIND, NULL)) < 0)
			die(masked[i]);
	}
	for (size_t i = 0; i < sizeof(read_only) / sizeof(read_only[0]); i++)
		if (access(read_only[i], F_OK) == 0 &&
			(mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) < 0 ||
				mount(NULL, read_only[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | HARDENED, NULL) < 0))
			die(read_only[i]);
}

static void mount_cgroups(void)
{
	char path[64];
	mount_on("tmpfs", "sys/fs/cgroup", HARDENED, "mode=755");
	for (size_t i = 0; i < sizeof(cgroups) / sizeof(cgroups[0]); i++) {
		snprintf(path, sizeof(path), "sys/fs/cgroup/%s", cgroups[i]);
		mkdir(path, 0755);
		if (mount("cgroup", path, "cgroup", HARDENED | MS_RDONLY, cgroups[i]) < 0)
			die(path);
	}
}

static void enter_cgroups(const char *prefix)
{
	char path[128];
	for (size_t i = 0; i < sizeof(cgroups) / sizeof(cgroups[0]); i++) {
		int fd;
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s/tasks", cgroups[i], prefix);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) < 0)
			die(path);
		close(fd);
	}
	if (unshare(CLONE_NEWCGROUP) < 0)
		die("cgroup namespace");
}

static void become_container(const char *rootfs, const char *dir, unsigned n, const char *cgroup, int go_fd, char **argv)
{
	char c;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid();
	if (cgroup)
		enter_cgroups(cgroup);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		die("private");
	mount_overlay(rootfs, dir);
	mount_on("proc", "proc", HARDENED, NULL);
	make_dev();
	mount_on("sysfs", "sys", HARDENED | MS_RDONLY, NULL);
	if (cgroup)
		mount_cgroups();
	cover();
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		die("pivot_root");
	sethostname("floor", 5);
	if (read(go_fd, &c, 1) != 1)
		exit(1);
	configure(n);
	prctl(PR_SET_PDEATHSIG, 0);
	signal(SIGPIPE, SIG_DFL);
	syscall(SYS_close_range, 3, ~0U, 4);
	execv(argv[0], argv);
	die(argv[0]);
}

static void start_one(struct container *c, unsigned n, const char *rootfs, int nl, unsigned bridge, char **argv)
{
	struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&c->pidfd,
		.exit_signal = SIGCHLD };
	bool with_cgroups = state.with_cgroups;
	char path[512], cgroup[64];
	int go[2], done[2], netns;
	snprintf(cgroup, sizeof(cgroup), "%sfloor-%d-%u", state.parent, (int)getpid(), n);
	for (size_t i = 0; with_cgroups && i < sizeof(cgroups) / sizeof(cgroups[0]); i++) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%s", cgroups[i], cgroup);
		if (mkdir(path, 0755) < 0)
			die(path);
	}
	args.flags |= with_cgroups ? 0 : CLONE_NEWCGROUP; /* else after it has joined */
	snprintf(path, sizeof(path), "%s/%u", state.base, n);
	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(done, O_CLOEXEC) < 0)
		die("pipe");
	c->pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (c->pid < 0)
		die("clone3");
	if (c->pid == 0) {
		close(go[1]);
		close(done[0]);
		become_container(rootfs, path, n, with_cgroups ? cgroup : NULL, go[0], argv);
	}
	close(go[0]);
	close(done[1]);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)c->pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		die(path);
	make_veth(nl, bridge, n, netns);
	close(netns);
	if (write(go[1], "g", 1) != 1)
		die("go");
	close(go[1]);
	c->exec_fd = done[0];
}

static bool any_veth(unsigned count)
{
	char name[32];
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "fl%u-%u", (unsigned)getpid() % 100000, i);
		if (if_nametoindex(name))
			return true;
	}
	return false;
}

static double tear_down(struct container *c, unsigned count, int nl, unsigned bridge)
{
	double t = now_ms();
	struct request r;
	struct ifinfomsg *m;
	for (unsigned i = 0; i < count; i++)
		syscall(SYS_pidfd_send_signal, c[i].pidfd, SIGKILL, NULL, 0);
	for (unsigned i = 0; i < count; i++) {
		waitpid(c[i].pid, NULL, 0);
		close(c[i].pidfd);
		c[i].pid = 0;
	}
	m = begin(&r, RTM_DELLINK, 0, sizeof(*m));
	m->ifi_index = (int)bridge;
	if ((errno = -transact(nl, &r, 1)))
		die("delete the bridge");
	while (any_veth(count))
		usleep(500);
	return now_ms() - t;
}

static void make_directories(const char *base, unsigned count)
{
	static const char *const parts[] = { "", "/upper", "/work" };
	char path[512];
	for (unsigned i = 0; i < count; i++)
		for (size_t p = 0; p < 3; p++) {
			snprintf(path, sizeof(path), "%s/%u%s", base, i, parts[p]);
			if (mkdir(path, 0755) < 0)
				die(path);
		}
}

/* Removes what a round has left: upper directories, which hold mount points only, and cgroups. */
static void remove_round(void)
{
	char path[128];
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/rm", "rm", "-rf", "--", state.base, (char *)NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
	for (unsigned i = 0; state.with_cgroups && i < state.count; i++)
		for (size_t h = 0; h < sizeof(cgroups) / sizeof(cgroups[0]); h++) {
			snprintf(path, sizeof(path), "/sys/fs/cgroup/%s/%sfloor-%d-%u", cgroups[h], state.parent, (int)getpid(), i);
			for (int tries = 0; rmdir(path) < 0 && errno == EBUSY && tries < 1000; tries++)
				usleep(1000);
		}
}

static void clean_up(void)
{
	unsigned bridge;
	if (getpid() != state.owner)
		return;
	for (unsigned i = 0; i < state.count; i++)
		if (state.containers[i].pid > 0)
			kill(state.containers[i].pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	bridge = if_nametoindex(state.bridge);
	if (bridge) {
		struct request r;
		struct ifinfomsg *m = begin(&r, RTM_DELLINK, 0, sizeof(*m));
		m->ifi_index = (int)bridge;
		transact(open_netlink(), &r, 1);
	}
	remove_round();
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double run_round(unsigned round, char **argv, int nl, double *ret_gone)
{
	unsigned bridge = make_bridge(nl, state.bridge);
	struct container *all = state.containers;
	double t, started;
	char c;
	make_directories(state.base, state.count);
	t = now_ms();
	for (unsigned i = 0; i < state.count; i++)
		start_one(&all[i], i, argv[0], nl, bridge, argv + 1);
	for (unsigned i = 0; i < state.count; i++) {
		siginfo_t info = { 0 };
		if (read(all[i].exec_fd, &c, 1) != 0 || waitid(P_PID, (id_t)all[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
			info.si_pid)
			die("a container did not start");
		close(all[i].exec_fd);
	}
	started = now_ms() - t;
	*ret_gone = tear_down(all, state.count, nl, bridge);
	printf("round %u: %u started in %.2f ms (%.2f each), gone in %.2f ms\n", round + 1, state.count, started, started / state.count,
		*ret_gone);
	remove_round();
	return started;
}

int main(int argc, char **argv)
{
	static double starts[MAX_ROUNDS], ends[MAX_ROUNDS];
	static char parent[40];
	unsigned rounds = 1;
	int opt, nl;
	signal(SIGPIPE, SIG_IGN);
	state.owner = getpid();
	state.parent = parent;
	strcpy(state.base, "/tmp/floor-XXXXXX");
	while ((opt = getopt(argc, argv, "+cg:r:")) != -1) {
		if (opt == 'c')
			state.with_cgroups = true;
		else if (opt == 'g')
			snprintf(parent, sizeof(parent), "%.38s/", optarg);
		else if (opt == 'r')
			rounds = (unsigned)atoi(optarg);
		else
			return 2;
	}
	state.count = argc - optind >= 3 ? (unsigned)atoi(argv[optind]) : 0;
	if (state.count < 1 || state.count > MAX_CONTAINERS || rounds < 1 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: floor [-c] [-g PARENT] [-r ROUNDS] COUNT ROOTFS COMMAND [ARGUMENT...]\n");
		return 2;
	}
	nl = open_netlink();
	snprintf(state.bridge, sizeof(state.bridge), "fl%u", (unsigned)getpid() % 100000);
	if (!mkdtemp(state.base))
		die("mkdtemp");
	for (unsigned round = 0; round < rounds; round++) {
		mkdir(state.base, 0700);
		starts[round] = run_round(round, argv + optind + 1, nl, &ends[round]);
	}
	qsort(starts, rounds, sizeof(*starts), compare);
	qsort(ends, rounds, sizeof(*ends), compare);
	printf("start_ms %.3f\nstart_each_ms %.3f\ngone_ms %.3f\n", starts[rounds / 2], starts[rounds / 2] / state.count, ends[rounds / 2]);
	return 0;
}
