/* SPDX-License-Identifier: Apache-2.0 */
/* refuse CALL[,CALL…] ERRNO COMMAND…: runs a command in which system calls are answered with an error, as older kernels (ENOSYS) and
 * the filters of older container engines (EPERM) do. Everything that the command starts is under the same filter. The filter is
 * written by hand: it must not depend on what it tests. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned number;
} calls[] = {
	{ "openat2", SYS_openat2 },
	{ "clone3", SYS_clone3 },
	{ "close_range", SYS_close_range },
	{ "fsopen", SYS_fsopen },
	{ "fsconfig", SYS_fsconfig },
	{ "fsmount", SYS_fsmount },
	{ "move_mount", SYS_move_mount },
	{ "open_tree", SYS_open_tree },
	{ "mount_setattr", SYS_mount_setattr },
};
enum { N_CALLS = sizeof(calls) / sizeof(calls[0]) };

static void add(struct sock_filter *f, unsigned short *n, struct sock_filter one)
{
	f[(*n)++] = one;
}

static void refuse(const char *name, unsigned error, struct sock_filter *f, unsigned short *n)
{
	for (size_t i = 0; i < N_CALLS; i++)
		if (strcmp(calls[i].name, name) == 0) {
			add(f, n, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1));
			add(f, n, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
			return;
		}
	fprintf(stderr, "refuse: unknown system call %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct sock_filter f[2 * N_CALLS + 4];
	unsigned short n = 0;
	unsigned error;
	if (argc < 4 || strlen(argv[1]) > 200) {
		fprintf(stderr, "usage: refuse CALL[,CALL...] ENOSYS|EPERM COMMAND...\n");
		return 2;
	}
	error = strcmp(argv[2], "EPERM") == 0 ? EPERM : ENOSYS;
	add(f, &n, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
	for (char *save = NULL, *name = strtok_r(argv[1], ",", &save); name && n < 2 * N_CALLS; name = strtok_r(NULL, ",", &save))
		refuse(name, error, f, &n);
	add(f, &n, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
	struct sock_fprog program = { .len = n, .filter = f };
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 &&
		(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)) {
		perror("refuse: seccomp");
		return 2;
	}
	execvp(argv[3], argv + 3);
	perror(argv[3]);
	return 127;
}
