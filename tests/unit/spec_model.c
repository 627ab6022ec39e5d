/* SPDX-License-Identifier: Apache-2.0 */
/* The typed service: what the loader prints is what the runtime reads, with defaults filled in; a record that another
 * program wrote badly is an error that names the key, and never a guess. */
#include <signal.h>
#include <stdio.h>

#include "spec/load.h"
#include "spec/model.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static int read_text(struct arena *a, const char *text, struct model_service *ret, struct err *err)
{
	AUTO_JSON json_t *j = json_loads(text, 0, NULL);
	EXPECT(j, "the test's JSON is wrong: %s", text);
	return model_read_service("web", j, a, ret, err);
}

static void test_defaults(struct arena *a)
{
	struct model_service s;
	struct err err;
	EXPECT(read_text(a, "{\"command\": null, \"entrypoint\": null, \"image\": \"x\"}", &s, &err) == 0, "%s", err.msg);
	EXPECT(str_eq(s.name, "web") && str_eq(s.image, "x") && !s.command && !s.entrypoint && !s.hostname, "texts");
	EXPECT(s.replicas == 1 && s.stop_grace_ms == 10000 && !s.has_stop_grace && s.restart == RESTART_NO && !s.stop_signal, "defaults");
	EXPECT(!s.memory_bytes && s.cpus == 0 && !s.pids && !s.init && !s.tty, "no limits");
}

static void test_full(struct arena *a)
{
	static const char text[] = "{\"image\":\"x\",\"command\":[\"a\",\"b\"],\"entrypoint\":[],"
		"\"environment\":{\"A\":\"1\",\"B\":null},\"labels\":{\"l\":\"v\"},"
		"\"ports\":[{\"mode\":\"ingress\",\"host_ip\":\"::1\",\"target\":80,\"published\":\"8000-8010\",\"protocol\":\"udp\"},{\"target\":81}],"
		"\"volumes\":[{\"type\":\"bind\",\"source\":\"/s\",\"target\":\"/t\",\"read_only\":true,\"bind\":{}},"
		"{\"type\":\"bind\",\"source\":\"/s\",\"target\":\"/u\",\"bind\":{\"create_host_path\":false}},"
		"{\"type\":\"bind\",\"source\":\"/s\",\"target\":\"/w\"},"
		"{\"type\":\"volume\",\"source\":\"data\",\"target\":\"/v\",\"volume\":{\"nocopy\":true}},{\"type\":\"volume\",\"target\":\"/anon\"}],"
		"\"networks\":{\"back\":null,\"front\":{\"priority\":10,\"aliases\":[\"w\"]},\"alpha\":{}},"
		"\"depends_on\":{\"db\":{\"condition\":\"service_completed_successfully\",\"restart\":true,\"required\":false}},"
		"\"deploy\":{\"replicas\":3,\"resources\":{\"limits\":{\"cpus\":0.5,\"memory\":\"1048576\",\"pids\":9}}},"
		"\"restart\":\"on-failure:5\",\"stop_signal\":\"SIGUSR1\",\"stop_grace_period\":\"1m30s\",\"init\":true,\"tty\":true,\"stdin_open\":true,"
		"\"container_name\":\"c\",\"hostname\":\"h\",\"user\":\"u\",\"working_dir\":\"/w\"}";
	struct model_service s;
	struct err err;
	EXPECT(read_text(a, text, &s, &err) == 0, "%s", err.msg);
	EXPECT(str_eq(s.command[1], "b") && !s.command[2] && s.entrypoint && !s.entrypoint[0], "command, and an entrypoint that clears the image's");
	EXPECT(s.n_environment == 2 && str_eq(s.environment[0].value, "1") && !s.environment[1].value, "environment: null is unset");
	EXPECT(s.n_ports == 2 && s.ports[0].published_lo == 8000 && s.ports[0].published_hi == 8010 && s.ports[0].protocol == PORT_UDP, "a range");
	EXPECT(s.ports[1].target == 81 && !s.ports[1].published_lo && *s.ports[1].host_ip == '\0' && s.ports[1].protocol == PORT_TCP, "ephemeral");
	EXPECT(s.n_mounts == 5 && s.mounts[0].kind == MOUNT_BIND && s.mounts[0].read_only && s.mounts[0].create_host_path, "bind");
	EXPECT(!s.mounts[1].create_host_path && !s.mounts[2].create_host_path, "a source that is not made");
	EXPECT(s.mounts[3].kind == MOUNT_VOLUME && s.mounts[3].nocopy && !s.mounts[4].source, "volumes");
	EXPECT(s.n_networks == 3 && str_eq(s.networks[0].network, "front") && str_eq(s.networks[1].network, "alpha"), "networks by priority, then name");
	EXPECT(str_eq(s.networks[0].aliases[0], "w") && !s.networks[2].aliases, "aliases");
	EXPECT(s.n_depends_on == 1 && s.depends_on[0].condition == DEPEND_COMPLETED && s.depends_on[0].restart && !s.depends_on[0].required, "depends_on");
	EXPECT(s.replicas == 3 && s.memory_bytes == 1 << 20 && s.cpus == 0.5 && s.pids == 9, "deploy");
	EXPECT(s.restart == RESTART_ON_FAILURE && s.restart_max == 5 && s.stop_signal == SIGUSR1 && s.stop_grace_ms == 90000 && s.has_stop_grace, "stop");
}

static void test_errors(struct arena *a)
{
	static const struct {
		const char *text, *want;
		enum err_code code;
	} cases[] = {
		{ "[]", "not an object", ERR_CORRUPT },
		{ "{\"image\": 1}", "image", ERR_CORRUPT },
		{ "{\"command\": \"a b\"}", "command", ERR_CORRUPT },
		{ "{\"command\": [1]}", "command", ERR_CORRUPT },
		{ "{\"environment\": [\"A=1\"]}", "environment", ERR_CORRUPT },
		{ "{\"labels\": {\"a\": null}}", "labels", ERR_CORRUPT },
		{ "{\"ports\": [{\"published\": \"80\"}]}", "ports.target", ERR_CORRUPT },
		{ "{\"ports\": [{\"target\": 70000}]}", "target", ERR_CORRUPT },
		{ "{\"ports\": [{\"target\": 80, \"published\": \"9-8\"}]}", "published", ERR_CORRUPT },
		{ "{\"ports\": [{\"target\": 80, \"protocol\": \"sctp\"}]}", "sctp", ERR_UNSUPPORTED },
		{ "{\"volumes\": [{\"type\": \"cluster\", \"target\": \"/x\"}]}", "cluster", ERR_UNSUPPORTED },
		{ "{\"volumes\": [{\"type\": \"bind\", \"source\": \"rel\", \"target\": \"/x\"}]}", "volumes.source", ERR_CORRUPT },
		{ "{\"volumes\": [{\"type\": \"volume\", \"target\": \"rel\"}]}", "absolute", ERR_INVALID },
		{ "{\"depends_on\": {\"a\": {\"condition\": \"ready\"}}}", "condition", ERR_CORRUPT },
		{ "{\"deploy\": {\"replicas\": -1}}", "replicas", ERR_CORRUPT },
		{ "{\"cpus\": \"1\"}", "cpus", ERR_CORRUPT },
		{ "{\"restart\": \"sometimes\"}", "restart", ERR_INVALID },
		{ "{\"restart\": \"always:3\"}", "restart", ERR_INVALID },
		{ "{\"restart\": \"on-failure:x\"}", "restart", ERR_INVALID },
		{ "{\"stop_signal\": \"SIGNOPE\"}", "stop_signal", ERR_INVALID },
		{ "{\"stop_grace_period\": \"soon\"}", "stop_grace_period", ERR_CORRUPT },
		{ "{\"init\": \"yes\"}", "init", ERR_CORRUPT },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct model_service s;
		struct err err = { 0 };
		EXPECT(read_text(a, cases[i].text, &s, &err) == -1, "accepted: %s", cases[i].text);
		EXPECT(err.code == cases[i].code && strstr(err.msg, cases[i].want) && strstr(err.msg, "web"), "%s: %s", cases[i].text, err.msg);
	}
}

int main(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	test_defaults(a);
	test_full(a);
	test_errors(a);
	return failures ? 1 : 0;
}
