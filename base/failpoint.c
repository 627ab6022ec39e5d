/* SPDX-License-Identifier: Apache-2.0 */
/* The mapping and the actions. A process kills itself with SIGKILL; where that is refused (the first process of a pid namespace is immune
 * to its own signals, a jail knows no kill) an illegal instruction does it: nothing is flushed or cleaned up either way. */
#include "base/failpoint.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"

enum action { ACTION_NONE, ACTION_ERRNO, ACTION_KILL, ACTION_ABORT, ACTION_DELAY, ACTION_SHORT };

struct slot {
	_Atomic uint64_t hits, fired;
	uint64_t at;            /* the hit that acts */
	uint32_t arg;           /* errno, milliseconds */
	uint32_t onwards;
	_Atomic uint32_t action;
	uint32_t pad;
};

struct control {
	uint64_t registry;      /* hash of all names: another build's slots mean something else */
	struct slot slots[];
};

static struct control *control;
static int control_fd = -1;

static uint64_t registry_hash(void)
{
	uint64_t h = HASH_SEED;
	for (size_t i = 0; i < n_failpoints; i++)
		h = hash_bytes(h, failpoints[i].name, strlen(failpoints[i].name) + 1);
	return h;
}

static size_t control_bytes(void)
{
	return sizeof(struct control) + n_failpoints * sizeof(struct slot);
}

static int control_file(int run_fd)
{
	return openat(run_fd, FAILPOINT_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
}

/* NULL with *ret_errno: EINVAL not ours. */
static struct control *control_map(int fd, int *ret_errno)
{
	struct control *c;
	struct stat st;
	*ret_errno = EINVAL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) || (size_t)st.st_size != control_bytes())
		return NULL;
	c = mmap(NULL, control_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (c == MAP_FAILED) {
		*ret_errno = errno;
		return NULL;
	}
	if (c->registry == registry_hash())
		return c;
	munmap(c, control_bytes());
	return NULL;
}

void failpoint_open(int run_fd)
{
	AUTO_CLOSE int fd = control || run_fd < 0 ? -1 : control_file(run_fd);
	int unused;
	if (fd >= 0 && (control = control_map(fd, &unused)))
		control_fd = fcntl(fd, F_DUPFD_CLOEXEC, 500); /* low numbers mean something to our processes */
}

int failpoint_fd(void)
{
	return control_fd;
}

void failpoint_take(int fd)
{
	int unused;
	if (!control)
		control = control_map(fd, &unused);
}

static size_t find(const char *name)
{
	size_t i = 0;
	while (i < n_failpoints && strcmp(failpoints[i].name, name) != 0)
		i++;
	return i;
}

_Noreturn static void die(enum action action)
{
	if (action == ACTION_ABORT)
		abort();
	kill(getpid(), SIGKILL);
	__builtin_trap();
}

/* A jail may refuse to sleep; it always tells the time. */
static void wait_ms(uint32_t ms)
{
	uint64_t end = clock_mono_ns() + (uint64_t)ms * 1000000;
	usleep(ms * 1000);
	while (clock_mono_ns() < end)
		;
}

/* Counts the hit and carries out what does not return to the caller; ACTION_ERRNO and ACTION_SHORT do. */
static enum action hit(const char *name, uint32_t *ret_arg)
{
	size_t i = find(name);
	struct slot *s;
	uint64_t hits;
	enum action action;
	if (i == n_failpoints)
		abort();
	s = &control->slots[i];
	hits = atomic_fetch_add(&s->hits, 1) + 1;
	action = (enum action)atomic_load_explicit(&s->action, memory_order_acquire);
	if (action == ACTION_NONE || hits < s->at || (hits > s->at && !s->onwards))
		return ACTION_NONE;
	atomic_fetch_add(&s->fired, 1);
	*ret_arg = s->arg;
	if (action == ACTION_KILL || action == ACTION_ABORT)
		die(action);
	if (action == ACTION_DELAY)
		wait_ms(s->arg);
	return action;
}

int failpoint(const char *name)
{
	int kept = errno;
	uint32_t arg;
	if (!control)
		return 0;
	if (hit(name, &arg) == ACTION_ERRNO) {
		errno = (int)arg;
		return -1;
	}
	errno = kept;
	return 0;
}

int failpoint_err(const char *name, struct err *err)
{
	return failpoint(name) < 0 ? err_sys(err, errno, "failpoint %s", name) : 0;
}

size_t failpoint_short(const char *name, size_t n)
{
	uint32_t arg;
	return control && hit(name, &arg) == ACTION_SHORT ? (n + 1) / 2 : n;
}

/* ---- from the command line ---- */

int failpoint_create(int run_fd, struct err *err)
{
	AUTO_CLOSE int fd = -1;
	uint64_t registry = registry_hash();
	unlinkat(run_fd, FAILPOINT_FILE, 0);
	fd = openat(run_fd, FAILPOINT_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)control_bytes()) < 0 || pwrite(fd, &registry, sizeof(registry), 0) != sizeof(registry))
		return err_sys(err, errno, "create %s", FAILPOINT_FILE);
	return 0;
}

static int control_open(int run_fd, struct control **ret, struct err *err)
{
	AUTO_CLOSE int fd = control_file(run_fd);
	int e = errno;
	if (fd < 0)
		return e == ENOENT ? 1 : err_sys(err, e, "open %s", FAILPOINT_FILE);
	*ret = control_map(fd, &e);
	return *ret ? 0 : err_sys(err, e, "%s is not of this build", FAILPOINT_FILE);
}

static int parse_errno(const char *text)
{
	for (int e = 1; e < 134; e++)
		if (str_eq(strerrorname_np(e), text))
			return e;
	return 0;
}

static int parse_action(const char *text, unsigned can, struct slot *ret)
{
	uint64_t ms;
	int e = parse_errno(text);
	ret->arg = 0;
	if (strcmp(text, "off") == 0)
		ret->action = ACTION_NONE;
	else if (strcmp(text, "kill9") == 0)
		ret->action = ACTION_KILL;
	else if (strcmp(text, "abort") == 0)
		ret->action = ACTION_ABORT;
	else if (strcmp(text, "short") == 0 && (can & FAILPOINT_SHORT))
		ret->action = ACTION_SHORT;
	else if (str_starts(text, "delay:") && parse_u64(text + 6, 0, 60000, &ms)) {
		ret->action = ACTION_DELAY;
		ret->arg = (uint32_t)ms;
	} else if (e && (can & FAILPOINT_ERRNO)) {
		ret->action = ACTION_ERRNO;
		ret->arg = (uint32_t)e;
	} else {
		return -1;
	}
	return 0;
}

int failpoint_arm(int run_fd, const char *term, struct err *err)
{
	AUTO_FREE char *name = xstrdup(term);
	char *action = strchr(name, '='), *at = action ? strchr(action, '@') : NULL;
	struct slot new = { .at = 1 };
	struct control *c;
	size_t i;
	int rc;
	if (!action)
		return err_set(err, ERR_INVALID, "\"%.60s\": NAME=ACTION[@N] expected", term);
	*action++ = '\0';
	if (at) {
		size_t n = strlen(at);
		*at++ = '\0';
		new.onwards = n > 2 && at[n - 2] == '+';
		if (new.onwards)
			at[n - 2] = '\0';
		if (!parse_u64(at, 1, UINT64_MAX, &new.at))
			return err_set(err, ERR_INVALID, "\"%.60s\": @N has to be a number from 1", term);
	}
	i = find(name);
	if (i == n_failpoints)
		return err_set(err, ERR_NOT_FOUND, "no failpoint \"%.60s\"", name);
	if (parse_action(action, failpoints[i].can, &new) < 0)
		return err_set(err, ERR_INVALID, "%s cannot do \"%.40s\"", name, action);
	rc = control_open(run_fd, &c, err);
	if (rc != 0)
		return rc < 0 ? -1 : err_set(err, ERR_NOT_FOUND, "failpoints are off: turn them on before the project is started");
	atomic_store(&c->slots[i].action, ACTION_NONE);
	c->slots[i].at = new.at;
	c->slots[i].arg = new.arg;
	c->slots[i].onwards = new.onwards;
	atomic_store(&c->slots[i].hits, 0);
	atomic_store(&c->slots[i].fired, 0);
	atomic_store_explicit(&c->slots[i].action, new.action, memory_order_release);
	munmap(c, control_bytes());
	return 0;
}

int failpoint_counts(int run_fd, struct failpoint_count *ret, struct err *err)
{
	struct control *c;
	int rc = control_open(run_fd, &c, err);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < n_failpoints; i++)
		ret[i] = (struct failpoint_count){ atomic_load(&c->slots[i].hits), atomic_load(&c->slots[i].fired) };
	munmap(c, control_bytes());
	return 0;
}
