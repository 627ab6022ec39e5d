/* SPDX-License-Identifier: Apache-2.0 */
/* The command of a container or exec: its environment, its place in PATH, its working directory, and the exec itself. In the child only. */
#ifndef RUNTIME_COMMAND_H
#define RUNTIME_COMMAND_H

#include "base/err.h"

#define COMMAND_DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* envp with docker's defaults where it has none: PATH, HOSTNAME (unless hostname is NULL), TERM=xterm with tty in front, HOME at the
 * end. Never freed: the caller execs. */
char **command_environ(char *const *envp, const char *hostname, bool tty, const char *home);
/* Looks argv0 up as docker does, in the PATH of envp when it has no slash. ret_path: at least 4096 bytes. -1 + ERR_NO_COMMAND or
 * ERR_NOT_EXEC. */
int command_find(const char *argv0, char *const *envp, char *ret_path, size_t size, struct err *err);
/* chdir, then makes sure that the place is inside the root (CVE-2024-21626): what getcwd calls unreachable, or a /proc/self/fd, is
 * refused. */
int command_chdir(const char *cwd, struct err *err);
/* Clean signals, exec; the death signal stays as it is. fd -1: path; else the program is fd (path names it in messages). Returns only on failure. */
int command_exec(int fd, const char *path, char *const *argv, char *const *envp, struct err *err);

#endif
