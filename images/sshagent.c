/* SPDX-License-Identifier: Apache-2.0 */
/* See sshagent.h. One poll loop, at most MAX_CLIENTS connections; a question is answered when all of it is there. Its jail: an empty root, no
 * capabilities, no new sockets but those that it accepts; the keys never leave it. */
#include "images/sshagent.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/json.h"
#include "images/confine_impl.h"
#include "images/sshkey.h"
#include "images/sshwire.h"

enum { MAX_CONF = 16 << 20, MAX_KEYS = 64, MAX_CLIENTS = 64 };

struct client {
	int fd;
	struct str in;
};

struct agent {
	struct sshkey keys[MAX_KEYS];
	char *names[MAX_KEYS];
	size_t n;
	struct client clients[MAX_CLIENTS];
	size_t n_clients;
};

static int add_key(struct agent *a, const json_t *item, struct err *err)
{
	const char *key = json_get_str(item, "text", ""), *name = json_get_str(item, "name", "");
	char quoted[200];
	int rc;
	if (a->n == MAX_KEYS)
		return err_set(err, ERR_UNSUPPORTED, "more than %d keys", MAX_KEYS);
	rc = sshkey_parse(key, strlen(key), &a->keys[a->n], err);
	if (json_object_get(item, "text"))
		explicit_bzero((void *)(uintptr_t)key, strlen(key)); /* the document's copy */
	if (rc < 0)
		return err_wrap(err, "\"%s\"", err_quote(quoted, sizeof(quoted), name));
	a->names[a->n++] = xstrdup(name);
	return 0;
}

static int read_keys(struct agent *a, int conf_fd, struct err *err)
{
	AUTO_STR struct str text = {0};
	AUTO_JSON json_t *conf = NULL;
	json_t *item;
	size_t i;
	if (fs_read_fd(conf_fd, MAX_CONF, &text, err) < 0)
		return -1;
	conf = json_loadb(str_get(&text), text.len, 0, NULL);
	explicit_bzero(text.p, text.len);
	json_array_foreach(json_object_get(conf, "keys"), i, item)
		if (add_key(a, item, err) < 0)
			return -1;
	return 0;
}

static int allow_agent(scmp_filter_ctx f)
{
	static const int calls[] = { SCMP_SYS(accept4), SCMP_SYS(recvfrom), SCMP_SYS(sendto) };
	if (confine_allow_common(f) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		if (seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0) < 0)
			return -1;
	return 0;
}

static int enter_jail(struct err *err)
{
	AUTO_CLOSE int mnt = -1;
	if (confine_no_privileges(err) < 0)
		return -1;
	if (confine_unshare_mounts(err) < 0) {
		if (err->sys != EPERM)
			return -1;
	} else {
		mnt = confine_mount_tmpfs();
		if (mnt < 0 || confine_become_root(mnt) < 0)
			return err_sys(err, errno, "jail: an empty root");
	}
	return confine_drop_capabilities(NULL, 0, err) < 0 ? -1 : confine_seccomp(allow_agent, err);
}

static void put_keys(const struct agent *a, struct str *out)
{
	str_addc(out, AGENT_KEYS);
	sshwire_put32(out, a->n);
	for (size_t i = 0; i < a->n; i++) {
		sshwire_put_string(out, a->keys[i].blob.p, a->keys[i].blob.len);
		sshwire_put_string(out, a->names[i], strlen(a->names[i]));
	}
}

static int put_signature(const struct agent *a, struct sshwire_reader question, struct str *out)
{
	struct sshwire_reader key, data;
	AUTO_STR struct str sig = {0};
	uint32_t flags;
	size_t i = 0;
	if (sshwire_get_string(&question, &key) < 0 || sshwire_get_string(&question, &data) < 0 || sshwire_get32(&question, &flags) < 0)
		return -1;
	while (i < a->n && !(a->keys[i].blob.len == key.n && memcmp(a->keys[i].blob.p, key.p, key.n) == 0))
		i++;
	if (i == a->n || sshkey_sign(&a->keys[i], data.p, data.n, flags, &sig) < 0)
		return -1;
	str_addc(out, AGENT_SIGNATURE);
	sshwire_put_string(out, sig.p, sig.len);
	return 0;
}

/* One whole question. False: the client does not listen; the others must not wait for it. */
static bool answer(const struct agent *a, int fd, struct sshwire_reader question)
{
	AUTO_STR struct str out = {0}, frame = {0};
	const unsigned char type = question.p[0];
	question.p++;
	question.n--;
	if (type == AGENT_LIST)
		put_keys(a, &out);
	else if (type != AGENT_SIGN || put_signature(a, question, &out) < 0) {
		str_clear(&out);
		str_addc(&out, AGENT_FAILURE);
	}
	sshwire_put_string(&frame, out.p, out.len);
	for (size_t at = 0; at < frame.len;) {
		ssize_t n = send(fd, frame.p + at, frame.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0 && errno != EINTR)
			return false;
		at += (size_t)MAX(n, 0);
	}
	return true;
}

/* False: it is to be closed. */
static bool serve(const struct agent *a, struct client *c)
{
	ssize_t n = recv(c->fd, str_reserve(&c->in, 16384), 16384, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->in.len += (size_t)n;
	for (;;) {
		struct sshwire_reader r = { (const unsigned char *)c->in.p, c->in.len }, question;
		uint32_t len;
		size_t used;
		if (sshwire_get32(&r, &len) < 0)
			return true;
		if (len < 1 || len > AGENT_MAX_FRAME)
			return false;
		if (r.n < len)
			return true;
		question = (struct sshwire_reader){ r.p, len };
		if (!answer(a, c->fd, question))
			return false;
		used = 4 + (size_t)len;
		c->in.len -= used;
		memmove(c->in.p, c->in.p + used, c->in.len);
	}
}

static void loop(struct agent *a, int listen_fd)
{
	for (;;) {
		struct pollfd p[MAX_CLIENTS + 1] = { { .fd = a->n_clients < MAX_CLIENTS ? listen_fd : -1, .events = POLLIN } };
		for (size_t i = 0; i < a->n_clients; i++)
			p[i + 1] = (struct pollfd){ .fd = a->clients[i].fd, .events = POLLIN };
		if (poll(p, a->n_clients + 1, -1) < 0 && errno != EINTR)
			return;
		for (size_t i = a->n_clients; i-- > 0;) {
			if (!p[i + 1].revents || serve(a, &a->clients[i]))
				continue;
			close(a->clients[i].fd);
			str_done(&a->clients[i].in);
			a->clients[i] = a->clients[--a->n_clients];
		}
		if (p[0].revents & POLLIN) {
			int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				a->clients[a->n_clients++] = (struct client){ .fd = fd };
		}
	}
}

int sshagent_run(int conf_fd, int listen_fd, void (*ready)(void), struct err *err)
{
	struct agent *a = xcalloc(1, sizeof(*a));
	AUTO_STR struct str warm = {0};
	if (read_keys(a, conf_fd, err) < 0)
		return -1;
	for (size_t i = 0; i < a->n; i++) /* what OpenSSL loads when it is first used, it loads here */
		if (sshkey_sign(&a->keys[i], "", 0, AGENT_RSA_SHA2_256, &warm) < 0)
			return err_set(err, ERR_UNSUPPORTED, "\"%s\": nothing can be signed with it", a->names[i]);
	if (enter_jail(err) < 0)
		return -1;
	ready();
	loop(a, listen_fd);
	return 0;
}
