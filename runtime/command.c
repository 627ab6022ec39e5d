/* SPDX-License-Identifier: Apache-2.0 */
/* Messages follow docker's, word for word where users grep for them: exec: "x": executable file not found in $PATH. Lookups run with
 * the user's identity and inside the container's root, after everything else is in place. */
#include "runtime/command.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/proc.h"

static const char *env_get(char *const *envp, const char *key)
{
	size_t n = strlen(key);
	const char *found = NULL;
	for (; envp && *envp; envp++)
		if (strncmp(*envp, key, n) == 0 && (*envp)[n] == '=')
			found = *envp + n + 1;
	return found;
}

char **command_environ(char *const *envp, const char *hostname, bool tty, const char *home)
{
	struct strv out = { 0 };
	if (!env_get(envp, "PATH"))
		strv_push(&out, "PATH=" COMMAND_DEFAULT_PATH);
	if (hostname && !env_get(envp, "HOSTNAME"))
		strv_pushf(&out, "HOSTNAME=%s", hostname);
	if (tty && !env_get(envp, "TERM"))
		strv_push(&out, "TERM=xterm");
	for (char *const *e = envp; e && *e; e++)
		strv_push(&out, *e);
	if (!env_get(envp, "HOME"))
		strv_pushf(&out, "HOME=%s", home);
	return out.v;
}

/* 0 when path can be executed, else -errno, EISDIR for a directory. */
static int check_executable(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

int command_find(const char *argv0, char *const *envp, char *ret_path, size_t size, struct err *err)
{
	const char *path = env_get(envp, "PATH");
	char quoted[256];
	int rc, denied = 0;
	err_quote(quoted, sizeof(quoted), argv0);
	if (strchr(argv0, '/')) {
		rc = check_executable(argv0);
		if (rc == -ENOENT || rc == -ENOTDIR)
			return err_set(err, ERR_NO_COMMAND, "exec: \"%s\": stat %s: %s", quoted, quoted,
				rc == -ENOENT ? "no such file or directory" : "not a directory");
		if (rc < 0 || strlen(argv0) >= size)
			return err_set(err, ERR_NOT_EXEC, "exec: \"%s\": %s", quoted,
				rc == -EACCES         ? "permission denied" :
					rc == -EISDIR ? "is a directory" :
							strerror(rc < 0 ? -rc : ENAMETOOLONG));
		strcpy(ret_path, argv0);
		return 0;
	}
	for (const char *p = *argv0 ? path : NULL; p; p = *p ? p + 1 : NULL) {
		size_t n = strcspn(p, ":");
		int len = snprintf(ret_path, size, "%.*s/%s", n ? (int)n : 1, n ? p : ".", argv0);
		rc = len < (int)size ? check_executable(ret_path) : -ENAMETOOLONG;
		if (rc == 0)
			return 0;
		denied = rc == -EACCES ? 1 : denied;
		p += n;
		if (!*p)
			break;
	}
	if (denied)
		return err_set(err, ERR_NOT_EXEC, "exec: \"%s\": permission denied", quoted);
	return err_set(err, ERR_NO_COMMAND, "exec: \"%s\": executable file not found in $PATH", quoted);
}

int command_chdir(const char *cwd, struct err *err)
{
	char at[PATH_MAX], quoted[256];
	const char *dir = cwd && *cwd ? cwd : "/";
	err_quote(quoted, sizeof(quoted), dir);
	if (dir[0] != '/')
		return err_set(err, ERR_INVALID, "working directory \"%s\" is not absolute", quoted);
	if (chdir(dir) < 0)
		return errno == ENOENT ? err_set(err, ERR_INVALID, "working directory \"%s\" does not exist", quoted) :
					 err_sys(err, errno, "change to working directory \"%s\"", quoted);
	if (syscall(SYS_getcwd, at, sizeof(at)) < 0 || at[0] != '/')
		return err_set(err, ERR_DENIED, "working directory \"%s\" is outside of the container", quoted);
	return 0;
}

int command_exec(int fd, const char *path, char *const *argv, char *const *envp, struct err *err)
{
	char quoted[256], fd_path[40];
	int e;
	proc_reset_signals();
	if (fd < 0) {
		execve(path, argv, envp);
	} else {
		syscall(SYS_execveat, fd, "", argv, envp, AT_EMPTY_PATH);
		if (errno == ENOSYS || errno == EPERM) {
			snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", fd);
			execve(fd_path, argv, envp);
		}
	}
	e = errno;
	err_quote(quoted, sizeof(quoted), path);
	if (e == ENOENT)
		return err_set(err, ERR_NO_COMMAND, "exec: \"%s\": no such file or directory (its interpreter is missing)", quoted);
	return err_set(err, ERR_NOT_EXEC, "exec: \"%s\": %s", quoted,
		e == ENOEXEC        ? "exec format error" :
			e == EACCES ? "permission denied" :
				      strerror(e));
}
