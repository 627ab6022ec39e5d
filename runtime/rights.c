/* SPDX-License-Identifier: Apache-2.0 */
/* Loading a filter needs CAP_SYS_ADMIN as long as no_new_privs is off (docker's default), so that capability stays permitted, not
 * effective, from rights_become() to rights_seal(), which drops it in the last call before exec. The filter is loaded as late as that:
 * what it forbids only has to allow capset, sendmsg and exec. */
#include "runtime/rights.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "runtime/seccomp.h"

#define BIT(cap) (1ULL << (cap))

static int set_caps(uint64_t effective, uint64_t permitted, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)effective, .permitted = (uint32_t)permitted },
		{ .effective = (uint32_t)(effective >> 32), .permitted = (uint32_t)(permitted >> 32) },
	};
	if (syscall(SYS_capset, &head, data) < 0)
		return err_sys(err, errno, "set capabilities");
	return 0;
}

static int get_permitted(uint64_t *ret, struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data) < 0)
		return err_sys(err, errno, "read capabilities");
	*ret = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

static int drop_bounding(uint64_t keep, struct err *err)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (keep & BIT(cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break; /* beyond this kernel's last */
			return err_sys(err, errno, "drop capability %u from the bounding set", cap);
		}
	}
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

static int set_one_limit(int resource, uint64_t soft, uint64_t hard, struct err *err)
{
	struct rlimit l = { .rlim_cur = soft, .rlim_max = hard };
	if (setrlimit((__rlimit_resource_t)resource, &l) < 0)
		return err_sys(
			err, errno, "set resource limit %d to %llu:%llu", resource, (unsigned long long)soft, (unsigned long long)hard);
	return 0;
}

static int set_limits(const struct rights *r, struct err *err)
{
	bool nofile = false;
	struct rlimit have;
	for (size_t i = 0; i < r->n_rlimits; i++) {
		nofile = nofile || r->rlimits[i].resource == RLIMIT_NOFILE;
		if (set_one_limit(r->rlimits[i].resource, r->rlimits[i].soft, r->rlimits[i].hard, err) < 0)
			return -1;
	}
	if (nofile || getrlimit(RLIMIT_NOFILE, &have) < 0)
		return 0;
	return set_one_limit(RLIMIT_NOFILE, MIN(have.rlim_max, CONTAINER_DEFAULT_NOFILE), MIN(have.rlim_max, CONTAINER_DEFAULT_NOFILE), err);
}

/* Best effort: raising is always allowed, lowering only with CAP_SYS_RESOURCE. */
static void reset_oom_score(void)
{
	AUTO_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "0", 1) < 0)
		return;
}

int rights_become(const struct rights *r, struct err *err)
{
	const struct user_identity *u = r->user;
	uint64_t permitted, caps;
	if (set_limits(r, err) < 0 || drop_bounding(r->caps, err) < 0 || get_permitted(&permitted, err) < 0)
		return -1;
	reset_oom_score();
	umask(022);
	if (setgroups(u->n_groups, u->groups) < 0)
		return err_sys(err, errno, "set supplementary groups");
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "keep capabilities");
	if (setresgid(u->gid, u->gid, u->gid) < 0)
		return err_sys(err, errno, "set gid %u", (unsigned)u->gid);
	if (setresuid(u->uid, u->uid, u->uid) < 0)
		return err_sys(err, errno, "set uid %u", (unsigned)u->uid);
	prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	caps = u->uid == 0 ? r->caps & permitted : 0;
	return set_caps(caps, caps | (permitted & BIT(CAP_SYS_ADMIN)), err);
}

int rights_seal(const struct rights *r, struct err *err)
{
	uint64_t permitted, caps;
	if (get_permitted(&permitted, err) < 0)
		return -1;
	caps = r->user->uid == 0 ? r->caps & permitted : 0;
	if (r->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, errno, "set no_new_privs");
	if (r->seccomp) {
		uint64_t admin = caps | (permitted & BIT(CAP_SYS_ADMIN));
		if (set_caps(admin, admin, err) < 0 || seccomp_load_program(r->seccomp, err) < 0)
			return -1;
	}
	return set_caps(caps, caps, err);
}
