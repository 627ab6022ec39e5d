/* SPDX-License-Identifier: Apache-2.0 */
/* Which devices a container may use: docker's default list, as lines for the v1 devices controller or as a BPF_PROG_TYPE_CGROUP_DEVICE
 * program for v2, both made from one table. Nodes may be made for any device (CAP_MKNOD is a default), but only those of the table can
 * be opened. A host where the filter cannot be installed is an error, never a container without it: with CAP_MKNOD it would own the
 * host's disks. */
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "runtime/cgroup_host.h"

enum { ANY = -1 };

struct rule {
	char type;          /* 'c', 'b' */
	int major, minor;   /* ANY = every one */
	const char *access; /* of r, w, m */
};

static const struct rule rules[] = {
	{ 'c', ANY, ANY, "m" }, { 'b', ANY, ANY, "m" }, { 'c', 1, 3, "rwm" }, /* null */
	{ 'c', 1, 5, "rwm" },                                                 /* zero */
	{ 'c', 1, 7, "rwm" },                                                 /* full */
	{ 'c', 1, 8, "rwm" },                                                 /* random */
	{ 'c', 1, 9, "rwm" },                                                 /* urandom */
	{ 'c', 5, 0, "rwm" },                                                 /* tty */
	{ 'c', 5, 1, "rwm" },                                                 /* console */
	{ 'c', 5, 2, "rwm" },                                                 /* ptmx */
	{ 'c', 136, ANY, "rwm" },                                             /* pts */
};

static int restrict_v1(const struct cgroup_hierarchy *h, const char *path, struct err *err)
{
	AUTO_FREE char *allow = xasprintf("%s/devices.allow", path);
	AUTO_CLOSE int fd = -1;
	int rc = cgroup_file_write(h, path, "devices.deny", "a");
	if (rc < 0)
		return err_sys(err, -rc, "cgroup %s: deny devices", path);
	fd = openat(h->dirfd, allow, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(err, errno, "cgroup %s: open devices.allow", path);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];
		char line[48], major[16] = "*", minor[16] = "*";
		if (r->major != ANY)
			snprintf(major, sizeof(major), "%d", r->major);
		if (r->minor != ANY)
			snprintf(minor, sizeof(minor), "%d", r->minor);
		snprintf(line, sizeof(line), "%c %s:%s %s", r->type, major, minor, r->access);
		if (write(fd, line, strlen(line)) < 0 && errno != EPERM) /* a nested host may itself lack the device */
			return err_sys(err, errno, "cgroup %s: allow device %s", path, line);
	}
	return 0;
}

static struct bpf_insn insn(int code, int dst, int src, int off, int imm)
{
	return (struct bpf_insn){ .code = (uint8_t)code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t)off, .imm = imm };
}

static unsigned access_bits(const char *access)
{
	return (strchr(access, 'r') ? BPF_DEVCG_ACC_READ : 0U) | (strchr(access, 'w') ? BPF_DEVCG_ACC_WRITE : 0U) |
		(strchr(access, 'm') ? BPF_DEVCG_ACC_MKNOD : 0U);
}

/* Writes the program and returns its length. r2 = type, r3 = access, r4 = major, r5 = minor; each rule falls to the next unless all
 * match. */
static size_t build_program(struct bpf_insn *p, size_t max)
{
	size_t n = 0;
	p[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, 2, 1, offsetof(struct bpf_cgroup_dev_ctx, access_type), 0);
	p[n++] = insn(BPF_ALU | BPF_MOV | BPF_X, 3, 2, 0, 0);
	p[n++] = insn(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
	p[n++] = insn(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
	p[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, 4, 1, offsetof(struct bpf_cgroup_dev_ctx, major), 0);
	p[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, 5, 1, offsetof(struct bpf_cgroup_dev_ctx, minor), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		const struct rule *r = &rules[i];
		size_t jumps[4], n_jumps = 0;
		assert(n + 10 < max);
		jumps[n_jumps++] = n;
		p[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0, r->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
		p[n++] = insn(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
		p[n++] = insn(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, (int)access_bits(r->access));
		jumps[n_jumps++] = n;
		p[n++] = insn(BPF_JMP | BPF_JNE | BPF_X, 1, 3, 0, 0); /* asks for more than the rule gives */
		if (r->major != ANY) {
			jumps[n_jumps++] = n;
			p[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 4, 0, 0, r->major);
		}
		if (r->minor != ANY) {
			jumps[n_jumps++] = n;
			p[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 0, r->minor);
		}
		p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
		p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
		for (size_t j = 0; j < n_jumps; j++)
			p[jumps[j]].off = (int16_t)(n - jumps[j] - 1);
	}
	p[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
	p[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	return n;
}

static int load_program(struct err *err)
{
	struct bpf_insn program[160];
	union bpf_attr attr;
	int fd;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insn_cnt = (uint32_t)build_program(program, ARRAY_SIZE(program));
	attr.insns = (uint64_t)(uintptr_t)program;
	attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	strcpy(attr.prog_name, "muster_devices");
	fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (fd < 0)
		return err_sys(err, errno, "load the cgroup device filter");
	return fd;
}

static int restrict_v2(struct cgroup_host *host, const struct cgroup_hierarchy *h, const char *path, struct err *err)
{
	AUTO_CLOSE int dir = openat(h->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	union bpf_attr attr;
	if (dir < 0)
		return err_sys(err, errno, "open cgroup %s", path);
	if (host->device_program_fd < 0) {
		host->device_program_fd = load_program(err);
		if (host->device_program_fd < 0)
			return -1;
	}
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)dir;
	attr.attach_bpf_fd = (uint32_t)host->device_program_fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0)
		return err_sys(err, errno, "cgroup %s: attach the device filter", path);
	return 0;
}

int cgroup_devices_restrict(struct cgroup_host *host, const char *path, struct err *err)
{
	int at = host->by_controller[CGROUP_DEVICES];
	if (at < 0)
		return err_set(err, ERR_UNSUPPORTED, "cgroup %s: this host has no devices controller", path);
	return host->hierarchies[at].v2 ? restrict_v2(host, &host->hierarchies[at], path, err) :
					  restrict_v1(&host->hierarchies[at], path, err);
}
