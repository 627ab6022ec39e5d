/* SPDX-License-Identifier: Apache-2.0 */
/* "user:group" strings resolved by the image's own /etc/passwd and /etc/group, read by descriptors below its root: no NSS, nothing
 * loaded from the image (CVE-2018-15664, CVE-2019-14271), whole-string number parsing (CVE-2026-30892). Rules of docker and the OCI
 * image specification. */
#ifndef RUNTIME_USER_H
#define RUNTIME_USER_H

#include <sys/types.h>

#include "base/err.h"

struct user_identity {
	uid_t uid;
	gid_t gid;
	gid_t groups[256]; /* supplementary; gid is always one of them */
	size_t n_groups;
	char home[512]; /* "/" when unknown */
};

/* text: NULL, "", "name", "uid", "name:group", "uid:gid" …; an unknown number is taken as it is (gid 0), an unknown name is ERR_INVALID:
 * "unable to find user web: no matching entries in passwd file". Supplementary groups of the files only without an explicit group. */
int user_resolve(int root_fd, const char *text, struct user_identity *ret, struct err *err);

#endif
