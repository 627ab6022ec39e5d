/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling, caching and loading the filter. libseccomp turns the table into BPF, as a binary tree (a third of the kernel's load time
 * of the linear form). In front of it goes a prelude of ours: a call newer than the newest that libseccomp knows is ENOSYS, not EPERM,
 * because only on ENOSYS do C libraries fall back to what they did before the call existed (fchmodat2 broke chmod in older engines).
 *
 * A cache file is a header and the instructions, with their SHA-256 in the header; its name is the SHA-256 of everything that decided
 * them. */
#include "runtime/seccomp.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "runtime/seccomp_profile.h"

struct header {
	char magic[8];
	uint32_t n;
	char digest[68];
};
static const char magic[8] = { 'M', 'U', 'S', 'T', 'E', 'R', 'S', '1' };

#define CAP_ADMIN_BIT (1ULL << 21)
#define X32_BIT       0x40000000U
enum { FILE_BYTES_MAX = sizeof(struct header) + BPF_MAXINSNS * sizeof(struct sock_filter) };

enum { ARCHES_MAX = 3 };

/* The architectures of one filter: the native one first, then what this kernel also runs. x32 is left out where the kernel answers it with
 * ENOSYS anyway, as the prelude then does: it is a third of the program, and of the time to load it. Returns their number. */
static size_t list_arches(uint32_t ret[static ARCHES_MAX])
{
	size_t n = 0;
#if defined(__x86_64__)
	ret[n++] = SCMP_ARCH_X86_64;
	ret[n++] = SCMP_ARCH_X86;
	if (syscall(X32_BIT | SYS_getpid) >= 0)
		ret[n++] = SCMP_ARCH_X32;
#elif defined(__aarch64__)
	ret[n++] = SCMP_ARCH_AARCH64;
	ret[n++] = SCMP_ARCH_ARM;
#else
	ret[n++] = seccomp_arch_native();
#endif
	return n;
}

static bool applies(const struct seccomp_group *g, uint64_t caps)
{
	return (!g->with || (g->with & caps)) && !(g->without & caps);
}

/* Copies the next name of a list to buf and returns what follows it; NULL at the end. */
static const char *next_name(const char *list, char *buf, size_t size)
{
	size_t n;
	list += strspn(list, " ");
	n = strcspn(list, " ");
	if (n == 0 || n >= size)
		return NULL;
	memcpy(buf, list, n);
	buf[n] = '\0';
	return list + n;
}

static int add_groups(scmp_filter_ctx ctx, uint64_t caps, struct err *err)
{
	char name[64];
	for (size_t i = 0; i < seccomp_profile_n_groups; i++) {
		const struct seccomp_group *g = &seccomp_profile_groups[i];
		if (!applies(g, caps))
			continue;
		for (const char *p = next_name(g->names, name, sizeof(name)); p; p = next_name(p, name, sizeof(name))) {
			int nr = seccomp_syscall_resolve_name(name), rc;
			if (nr == __NR_SCMP_ERROR)
				continue;
			rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
			if (rc < 0 && rc != -EEXIST && rc != -EDOM)
				return err_sys(err, -rc, "seccomp: allow %s", name);
		}
	}
	return 0;
}

static int add_conditions(scmp_filter_ctx ctx, uint64_t caps, struct err *err)
{
	for (size_t i = 0; i < seccomp_profile_n_conditions; i++) {
		const struct seccomp_condition *c = &seccomp_profile_conditions[i];
		struct scmp_arg_cmp arg = {
			.arg = c->argument, .op = c->compare == SECCOMP_NOT_EQUAL ? SCMP_CMP_NE : SCMP_CMP_EQ, .datum_a = c->value
		};
		int rc;
		if (c->without & caps)
			continue;
		if (c->compare == SECCOMP_MASK_CLEAR)
			arg.op = SCMP_CMP_MASKED_EQ; /* datum_a: the mask, datum_b: 0 */
		rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(c->name), 1, &arg);
		if (rc < 0 && rc != -EEXIST)
			return err_sys(err, -rc, "seccomp: allow %s by argument", c->name);
	}
	if (!(caps & CAP_ADMIN_BIT)) {
		int rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), seccomp_syscall_resolve_name("clone3"), 0);
		if (rc < 0)
			return err_sys(err, -rc, "seccomp: refuse clone3");
	}
	return 0;
}

/* The highest number that any name of the profile has on an architecture. */
static uint32_t newest_call(uint32_t arch)
{
	char name[64];
	int newest = 0;
	for (size_t i = 0; i < seccomp_profile_n_groups; i++)
		for (const char *p = next_name(seccomp_profile_groups[i].names, name, sizeof(name)); p;
			p = next_name(p, name, sizeof(name)))
			newest = MAX(newest, seccomp_syscall_resolve_name_arch(arch, name));
	return (uint32_t)newest;
}

/* The prelude: per architecture "if nr > newest: ENOSYS", else on to the filter. x32 shares its token with x86_64: its numbers go on to
 * the filter when it knows them. */
static size_t build_prelude(struct sock_filter *p, const uint32_t *arches, size_t n_arches)
{
	size_t n = 0, to_end[ARCHES_MAX], n_to_end = 0;
	bool x32 = n_arches == 3;
	p[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
	for (size_t i = 0; i < n_arches; i++) {
		size_t first = n;
		if (x32 && i == 2)
			continue;
		p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, arches[i], 0, 0);
		p[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
		if (x32 && i == 0)
			p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 1, 0);
		p[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, newest_call(arches[i]), 1, 0);
		to_end[n_to_end++] = n;
		p[n++] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0);
		p[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS);
		p[first].jf = (uint8_t)(n - first - 1);
	}
	for (size_t i = 0; i < n_to_end; i++)
		p[to_end[i]].k = (uint32_t)(n - to_end[i] - 1);
	return n;
}

/* Appends libseccomp's program, exported through a memfd. */
static int export_filter(scmp_filter_ctx ctx, struct str *out, struct err *err)
{
	AUTO_CLOSE int fd = memfd_create("seccomp", MFD_CLOEXEC);
	AUTO_STR struct str bytes = { 0 };
	int rc;
	if (fd < 0)
		return err_sys(err, errno, "memfd_create");
	rc = seccomp_export_bpf(ctx, fd);
	if (rc < 0)
		return err_sys(err, -rc, "compile the seccomp profile");
	if (lseek(fd, 0, SEEK_SET) < 0 || fs_read_fd(fd, FILE_BYTES_MAX, &bytes, err) < 0)
		return err_wrap(err, "compile the seccomp profile");
	str_addn(out, bytes.p, bytes.len);
	return 0;
}

static int compile(uint64_t caps, const uint32_t *arches, size_t n_arches, struct str *out, struct err *err)
{
	struct sock_filter prelude[32];
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = 0;
	if (!ctx)
		return err_set(err, ERR_UNSUPPORTED, "libseccomp: no filter for this architecture");
	for (size_t i = 0; rc == 0 && i < n_arches; i++) {
		int added = seccomp_arch_add(ctx, arches[i]);
		if (added < 0 && added != -EEXIST)
			rc = err_sys(err, -added, "seccomp: add an architecture");
	}
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = add_groups(ctx, caps, err);
	if (rc == 0)
		rc = add_conditions(ctx, caps, err);
	if (rc == 0) {
		str_addn(out, prelude, build_prelude(prelude, arches, n_arches) * sizeof(*prelude));
		rc = export_filter(ctx, out, err);
	}
	seccomp_release(ctx);
	return rc;
}

/* The name of the cache file: all that decides the program. Of the capabilities, those that a group asks for. */
static void cache_key(uint64_t caps, const uint32_t *arches, size_t n_arches, char key[static 65])
{
	AUTO_STR struct str text = { 0 };
	const struct scmp_version *v = seccomp_version();
	uint64_t asked = CAP_ADMIN_BIT;
	str_addf(&text, "%s %u.%u.%u", SECCOMP_PROFILE_VERSION, v->major, v->minor, v->micro);
	for (size_t i = 0; i < n_arches; i++)
		str_addf(&text, " %x", arches[i]);
	for (size_t i = 0; i < seccomp_profile_n_groups; i++) {
		const struct seccomp_group *g = &seccomp_profile_groups[i];
		asked |= g->with | g->without;
		str_addf(&text, "\n%llx %llx %s", (unsigned long long)g->with, (unsigned long long)g->without, g->names);
	}
	for (size_t i = 0; i < seccomp_profile_n_conditions; i++) {
		const struct seccomp_condition *c = &seccomp_profile_conditions[i];
		str_addf(&text, "\n%s %u %d %llx %llx", c->name, c->argument, (int)c->compare, (unsigned long long)c->value,
			(unsigned long long)c->without);
	}
	str_addf(&text, "\n%llx", (unsigned long long)(caps & asked));
	sha256_hex(text.p, text.len, key);
}

/* Reads a whole and untorn cache file; false otherwise. */
static bool read_cache(int dirfd, const char *key, struct seccomp_program *ret)
{
	AUTO_STR struct str file = { 0 };
	struct header h;
	char digest[65];
	const char *code;
	size_t n_bytes;
	if (fs_read(dirfd, key, FILE_BYTES_MAX, &file, NULL) != 0 || file.len < sizeof(h))
		return false;
	memcpy(&h, file.p, sizeof(h));
	code = file.p + sizeof(h);
	n_bytes = file.len - sizeof(h);
	if (memcmp(h.magic, magic, sizeof(magic)) != 0 || h.n == 0 || h.n > BPF_MAXINSNS || n_bytes != h.n * sizeof(struct sock_filter))
		return false;
	sha256_hex(code, n_bytes, digest);
	if (strncmp(digest, h.digest, sizeof(h.digest)) != 0)
		return false;
	ret->filter = xcalloc(h.n, sizeof(struct sock_filter));
	memcpy(ret->filter, code, n_bytes);
	ret->n = (uint16_t)h.n;
	return true;
}

static void write_cache(int dirfd, const char *key, const struct seccomp_program *p)
{
	AUTO_STR struct str file = { 0 };
	struct header h = { .n = p->n };
	char digest[65];
	memcpy(h.magic, magic, sizeof(magic));
	sha256_hex(p->filter, p->n * sizeof(struct sock_filter), digest);
	memcpy(h.digest, digest, sizeof(digest));
	str_addn(&file, &h, sizeof(h));
	str_addn(&file, p->filter, p->n * sizeof(struct sock_filter));
	fs_write_volatile(dirfd, key, file.p, file.len, 0600, NULL); /* only a cache: a failure costs the next one 15 ms */
}

int seccomp_default(int cache_dirfd, uint64_t caps, struct seccomp_program *ret, struct err *err)
{
	AUTO_STR struct str code = { 0 };
	uint32_t arches[ARCHES_MAX];
	size_t n_arches = list_arches(arches);
	char key[65];
	cache_key(caps, arches, n_arches, key);
	if (cache_dirfd >= 0 && read_cache(cache_dirfd, key, ret))
		return 0;
	if (compile(caps, arches, n_arches, &code, err) < 0)
		return -1;
	if (code.len % sizeof(struct sock_filter) != 0 || code.len / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return err_set(err, ERR_INVALID, "the seccomp profile compiles to %zu bytes", code.len);
	ret->n = (uint16_t)(code.len / sizeof(struct sock_filter));
	ret->filter = (struct sock_filter *)(void *)str_take(&code);
	if (cache_dirfd >= 0)
		write_cache(cache_dirfd, key, ret);
	return 0;
}

void seccomp_done(struct seccomp_program *p)
{
	free(p->filter);
	p->filter = NULL;
	p->n = 0;
}

int seccomp_load_program(const struct seccomp_program *p, struct err *err)
{
	struct sock_fprog prog = { .len = p->n, .filter = p->filter };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) == 0)
		return 0;
	if (errno == ENOSYS && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) == 0)
		return 0;
	return err_sys(err, errno, "load the seccomp filter");
}
