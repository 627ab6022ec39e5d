/* SPDX-License-Identifier: Apache-2.0 */
/* What the builder may call beyond unpacking: messages with descriptors, memory files for long ones, clones of files. */
#include "images/build/jail.h"

#include <linux/fs.h>

#include "images/confine_impl.h"

static int allow_building(scmp_filter_ctx f)
{
	static const int calls[] = {
		SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(memfd_create), SCMP_SYS(eventfd2), SCMP_SYS(copy_file_range), SCMP_SYS(flistxattr),
		SCMP_SYS(mkdir), SCMP_SYS(fstatfs), SCMP_SYS(shutdown),
	};
	if (confine_allow_files(f) < 0 || seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, FICLONE)) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return -1;
	return 0;
}

int jail_enter_build(int root_fd, int *context_fds, size_t n, struct err *err)
{
	static const char *const dirs[] = { "images", "layers", "buildcache", NULL };
	return confine_enter_with(root_fd, dirs, context_fds, n, allow_building, err);
}
