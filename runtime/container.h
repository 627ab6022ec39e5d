/* SPDX-License-Identifier: Apache-2.0 */
/* One container from specification to running process: clone3 with every namespace, mounts by descriptors, rights, exec.
 * The parent is a single-threaded event loop: nothing here blocks, prints or keeps state of its own. The order of one start:
 *
 *   container_spawn      clone3; the child begins to mount at once and dies with its parent (PR_SET_PDEATHSIG) until exec
 *   container_netns_fd   the caller may wire the network from outside while the child mounts; or the child does it (network)
 *   container_go         the child may go on: console, rights, seccomp, exec
 *   container_progress   whenever sync_fd is readable: still preparing, started, or the child's own struct err
 *
 * go may be sent before, after or while the child mounts. Killing parent or child at any point leaves nothing behind but the
 * cgroup directories and the upper directory, which belong to the caller. Field meanings follow the OCI runtime specification,
 * defaults are docker's. */
#ifndef RUNTIME_CONTAINER_H
#define RUNTIME_CONTAINER_H

#include <sys/types.h>

#include "base/err.h"
#include "runtime/container_settings.h"

struct cgroup;
struct seccomp_program;

enum { CONTAINER_NETWORK_FDS = 2 };
enum container_mount_kind { CONTAINER_MOUNT_BIND, CONTAINER_MOUNT_TMPFS, CONTAINER_MOUNT_FILE };

struct container_mount {
	enum container_mount_kind kind;
	/* bind (volume, host path, file): a descriptor (O_PATH does) of what appears at target; kept open by the caller. file: what it holds
	 * is copied into a file in memory of the container's own, which appears at target with mode, uid and gid (secrets) */
	int source_fd;
	const char *source_path; /* bind: NULL, or a path in source_fd, which then is a detached mount that nobody attaches but the container */
	const char *target; /* absolute; resolved inside the container's root, created when missing (a directory, or a file for a file) */
	bool read_only;
	bool recursive;      /* bind: with the mounts below it (host paths); false for volumes */
	uint64_t size_bytes; /* tmpfs: 0 = the kernel's default, half of the memory */
	unsigned mode;       /* tmpfs: 0 = 01777; file: as it is */
	uid_t uid;           /* file */
	gid_t gid;
	bool exec; /* tmpfs: programs may be run from it, and devices be opened */
	/* bind: called in the child, before anything is mounted on the new root, with a descriptor of that root: fills an empty volume
	 * from the image. Returns 0 or -1 + err; may take its time. NULL: nothing to do. */
	int (*fill)(int root_fd, const char *target, int fill_fd, struct err *err);
	int fill_fd;
	int fill_root_fd; /* with fill_path: fill() gets this root and that path instead of the container's root and target */
	const char *fill_path;
};

/* Everything is borrowed for the duration of container_spawn(); descriptors that are not used are -1 (container_spec_init sets them). */
struct container_spec {
	const char *hostname;   /* NULL: the host's name shows through */
	const char *domainname; /* NULL: none */
	char *const *argv;      /* at least one element; argv[0] is looked up in the container's PATH */
	char *const *envp;      /* "K=V"; PATH, HOSTNAME, TERM (with tty) and HOME are added when absent, as docker does; NULL = none */
	const char *cwd;        /* NULL or "": "/"; created when missing */
	const char *user;       /* NULL, "", "name", "uid", "uid:gid", "name:group": resolved inside the image (see runtime/user.h) */
	bool tty;               /* a pty inside the container's devpts: its master comes back in container_proc.console_fd */
	uint16_t tty_rows, tty_cols; /* initial window size; 0 = leave it */
	bool init;                   /* run argv under the tiny init of runtime/init.h: needs init_fd */
	bool read_only_root;
	bool volatile_upper; /* overlay "volatile": for one-shot containers whose upper directory is thrown away */
	bool no_new_privs;
	bool privileged; /* nothing masked or read-only below /proc and /sys, some more devices; caps, seccomp and cgroup are set apart */
	bool bound;      /* the command dies with the caller: as far as the kernel keeps PR_SET_PDEATHSIG over its execs */
	int root_fd;     /* -1, or the root ready made (overlay_detached), a descriptor that may be used further: no layers, upper, work then */
	const int *layer_fds; /* lower directories, bottom to top, O_PATH|O_DIRECTORY does; at least 1, at most 500 */
	size_t n_layers;
	int upper_fd, work_fd; /* directories on one file system (see probe_overlay) */
	const struct container_mount *mounts;
	size_t n_mounts;                       /* any order: parents are mounted before what is below them */
	int hostname_fd, hosts_fd, resolv_fd;  /* files bound to /etc/hostname, /etc/hosts, /etc/resolv.conf; -1 = the image's */
	uint64_t shm_bytes;                    /* 0 = 64 MiB */
	int stdio[3];                          /* descriptors for 0-2; -1 = /dev/null. FIFOs are given to the user. Ignored with tty */
	int init_fd;                           /* sealed memfd of muster-run (proc_seal_binary); its argv[0] will be INIT_NAME */
	int mark_fd;                           /* -1, or an empty file: a byte in it says that the command was exec'd, whoever lived to see it */
	struct cgroup *cgroup;                 /* NULL: the caller's own */
	const struct seccomp_program *seccomp; /* NULL: none */
	uint64_t caps;                         /* bounding, permitted, effective for root; inheritable is always empty */
	const struct container_rlimit *rlimits;
	size_t n_rlimits;    /* an RLIMIT_NOFILE here replaces the default below */
	const struct container_sysctl *sysctls;
	size_t n_sysctls;
	int join_netns_fd;   /* -1: a new one; else the container lives in this one (network_mode) */
	bool host_network;   /* stay in the caller's network namespace */
	/* NULL, or called in the child, in its cgroup, before its mounts: moves it into a wired network namespace; what it returns goes to the parent */
	int (*network)(void *arg, int ret_fds[CONTAINER_NETWORK_FDS], struct err *err);
	void *network_arg;
	bool user_namespace; /* reserved: ERR_UNSUPPORTED when set */
	const struct container_idmap *uid_map, *gid_map;
	size_t n_uid_map, n_gid_map;
};

/* A process on its way to, or in, its container. Zeroed by container_proc_init(). */
struct container_proc {
	pid_t pid;
	int pidfd;
	int sync_fd;               /* readable: call container_progress(); -1 once it is decided */
	int netns_fd;              /* -1 after container_release_netns(), with host_network, and when the specification's network() made it */
	int network_fds[CONTAINER_NETWORK_FDS]; /* what network() returned, from CONTAINER_PREPARED on; the caller takes them */
	int console_fd;            /* tty: the pty's master, from the moment progress returns CONTAINER_PREPARED; the caller takes it */
	uint64_t start_ticks;      /* /proc/PID/stat field 22: identifies the process together with pid and boot id */
	bool prepared, exec, gone; /* inside: what was reported so far */
};

enum container_progress {
	CONTAINER_STARTED,  /* the command was exec'd */
	CONTAINER_WAITING,  /* nothing decided yet */
	CONTAINER_PREPARED, /* mounts and console are ready, waiting for go (reported once) */
};

/* docker's default capabilities: chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap net_bind_service
 * sys_chroot kill audit_write. */
#define CONTAINER_DEFAULT_CAPS 0xa80425fbULL
/* Without a rlimit of the specification, RLIMIT_NOFILE is this, soft and hard, or the caller's own hard limit when that is lower. */
#define CONTAINER_DEFAULT_NOFILE 1048576

/* Neutral values: descriptors -1, docker's capabilities, everything else zero. */
void container_spec_init(struct container_spec *spec);
void container_proc_init(struct container_proc *proc);

/* Starts the child. Makes the calling process non-dumpable for good (CVE-2016-9962). Descriptors of *ret_proc belong to the caller
 * (container_proc_done). Costs about 0.6 ms. 0, or -1 + err and nothing was started. */
int container_spawn(const struct container_spec *spec, struct container_proc *ret_proc, struct err *err);

/* The new network namespace, valid right after container_spawn: a borrowed descriptor; -1 when the container has none of its own. */
int container_netns_fd(const struct container_proc *proc);
/* Closes it: an open descriptor keeps the namespace (and its links) alive after the container's death. */
void container_release_netns(struct container_proc *proc);

/* Lets the child exec once it is prepared. 0, or -1 + the child's own error when it has failed already (see container_progress). Call
 * it once. */
int container_go(struct container_proc *proc, struct err *err);

/* Reads what the child reported; never blocks. Returns an enum container_progress, or -1 + err: the child failed and exits by
 * itself (reap it): ERR_NO_COMMAND (exit code 127), ERR_NOT_EXEC (126), ERR_INVALID (user, mount target …), ERR_SYS. */
int container_progress(struct container_proc *proc, struct err *err);

/* SIGKILL, reap, close: for starts that are given up before CONTAINER_STARTED. Waits for the death of one process. */
void container_discard(struct container_proc *proc);
/* Closes the descriptors; the process goes on. May be called twice, and on a zeroed-by-init struct. */
void container_proc_done(struct container_proc *proc);

#endif
