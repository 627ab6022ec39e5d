/* SPDX-License-Identifier: Apache-2.0 */
/* No valid key is ignored: every key of the schema is in the table (and nothing else is), what is refused is refused by name, value
 * and place, what is at its default is not, and a key that the table does not know is refused too. */
#include <stdio.h>

#include "spec/schema.h"
#include "spec/yaml.h"

#include "spec/honoured.c"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static int check_known(void *arg, const struct schema_key *key)
{
	size_t *n = arg;
	n[honoured_status(key->path)]++;
	EXPECT(honoured_status(key->path) != HONOURED_UNKNOWN, "%s: nobody decided what the runtime does with it", key->path);
	return 0;
}

/* Each key of the schema is honoured, honoured by value, a no-op or refused. */
static void test_every_key(void)
{
	size_t n[HONOURED_N_] = { 0 };
	schema_each_key(check_known, n);
	EXPECT(n[HONOURED_YES] > 50 && n[HONOURED_REFUSED] > 100, "%zu honoured, %zu refused", n[HONOURED_YES], n[HONOURED_REFUSED]);
	EXPECT(n[HONOURED_NO_OP] < 60, "%zu keys without effect: the list of no-ops must stay short", n[HONOURED_NO_OP]);
}

struct search {
	const char *path;
	size_t len;
};

/* The rule's path is the key's, or on the way to it. */
static int find_key(void *arg, const struct schema_key *key)
{
	const struct search *s = arg;
	return strncmp(key->path, s->path, s->len) == 0 && (key->path[s->len] == '\0' || strchr(".[", key->path[s->len]));
}

/* The table is sorted, else keys are not found, and has no key that the schema does not have. */
static void test_table(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct search s = { rules[i].path, strlen(rules[i].path) };
		EXPECT(i == 0 || strcmp(rules[i - 1].path, rules[i].path) < 0, "%s is out of order", rules[i].path);
		EXPECT(schema_each_key(find_key, &s), "%s is no key of the schema", rules[i].path);
		EXPECT((rules[i].kind == RULE_VALUES || rules[i].kind == RULE_DEFAULT) <= (rules[i].text != NULL), "%s has no values", rules[i].path);
	}
}

static void test_status(void)
{
	static const struct {
		const char *path;
		enum honoured_status want;
	} table[] = {
		{ "services.*.command", HONOURED_YES }, { "services.*.environment", HONOURED_YES },
		{ "services.*.devices", HONOURED_REFUSED },
		{ "services.*.build.args", HONOURED_YES },
		{ "services.*.build.sbom", HONOURED_DEFAULT }, { "services.*.cap_add", HONOURED_YES },
		{ "services.*.volumes[].tmpfs.size", HONOURED_YES }, { "services.*.links", HONOURED_VALUES },
		{ "version", HONOURED_NO_OP },
		{ "services.*.develop.watch[].path", HONOURED_NO_OP }, { "services.*.pull_policy", HONOURED_VALUES },
		{ "x-any", HONOURED_NO_OP },
		{ "services.*.userns_mode", HONOURED_DEFAULT }, { "services.*.healthcheck.test", HONOURED_DEFAULT },
		{ "services.*.restart", HONOURED_YES }, { "services.*.x-any", HONOURED_NO_OP },
		{ "services.*.nonsense", HONOURED_UNKNOWN }, { "nonsense", HONOURED_UNKNOWN },
		{ "services.*.deploy.nonsense", HONOURED_UNKNOWN }, { "", HONOURED_UNKNOWN },
	};
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		EXPECT(honoured_status(table[i].path) == table[i].want, "%s is %s", table[i].path,
			honoured_status_name(honoured_status(table[i].path)));
}

/* Models as the loader returns them, and what is refused: "LINE:COLUMN: PATH: MESSAGE | HINT". */
static const struct {
	const char *text, *want;
} cases[] = {
	{
		"name: shop\n"
		"services:\n"
		"  web:\n"
		"    command: null\n"
		"    entrypoint: []\n"
		"    environment: {A: b, C: null}\n"
		"    image: busybox\n"
		"    annotations: {a: b}\n"
		"    expose: ['80']\n"
		"    networks: {default: null, back: {aliases: [a], priority: 5, gw_priority: 0}}\n"
		"    ports: [{mode: ingress, target: 80, published: '8080', protocol: tcp, host_ip: 127.0.0.1, name: web, app_protocol: "
		"http}]\n"
		"    volumes:\n"
		"      - {type: volume, source: data, target: /data, volume: {nocopy: true}}\n"
		"      - {type: bind, source: /srv, target: /srv, read_only: true, bind: {create_host_path: true, propagation: rprivate}}\n"
		"    depends_on: {db: {condition: service_started, required: true, restart: true}}\n"
		"    deploy: {mode: replicated, replicas: 2, labels: {a: b}, placement: {},\n"
		"      resources: {limits: {cpus: 0.5, memory: '5', pids: 3}}}\n"
		"    x-note: {cap_drop: [ALL]}\n"
		"networks:\n"
		"  default: {name: shop_default, ipam: {}}\n"
		"  back: {name: shop_back, driver: bridge, internal: true, labels: {a: b}, attachable: true, enable_ipv4: true,\n"
		"    ipam: {driver: default}}\n"
		"volumes:\n"
		"  data: {name: shop_data, driver: local, labels: {a: b}}\n"
		"configs: {unused: {file: /x}}\n"
		"x-any: 1\n",
		"",
	},
	{
		/* the defaults, written out */
		"services:\n"
		"  web: {image: x, privileged: false, read_only: false, cap_add: [], cap_drop: [], security_opt: [], tmpfs: [], dns: [], "
		"devices: [],\n"
		"    oom_kill_disable: false, oom_score_adj: 0, cpu_shares: 0, mem_reservation: '0', shm_size: '67108864',\n"
		"    ipc: private, cgroup: private, userns_mode: host, logging: {driver: json-file}, network_mode: '', pid: null, "
		"use_api_socket: false,\n"
		"    restart: 'no', pull_policy: missing, attach: true, healthcheck: {disable: true}, platform: linux, ulimits: {}, "
		"sysctls: {}, labels: {}, extra_hosts: []}\n"
		"  job: {image: x, pull_policy: never, restart: 'on-failure:3', healthcheck: {test: [NONE]},\n"
		"    depends_on: {web: {condition: service_completed_successfully}}}\n",
		"",
	},
	{
		"services:\n"
		"  a:\n"
		"    image: x\n"
		"    build: {context: /x, sbom: 'true', network: other, isolation: hyperv}\n"
		"    userns_mode: private\n"
		"    use_api_socket: true\n"
		"    devices: [/dev/x]\n"
		"    healthcheck: {test: [CMD, 'true']}\n"
		"    network_mode: service:b\n",
		"4:26: services.a.build.sbom: \"true\" is not supported yet | supported so far: \"false\"\n"
		"4:40: services.a.build.network: \"other\" is not supported yet | supported so far: \"default\", \"host\", \"none\"\n"
		"4:56: services.a.build.isolation: \"hyperv\" is not supported yet | supported so far: \"default\"\n"
		"5:5: services.a.userns_mode: \"private\" is not supported yet | supported so far: \"host\"\n"
		"6:5: services.a.use_api_socket: \"true\" is not supported yet | supported so far: \"false\"\n"
		"7:5: services.a.devices: not supported yet\n"
		"8:5: services.a.healthcheck: not supported yet\n"
		"9:5: services.a.network_mode: \"service:b\" is not supported yet | supported so far: \"none\", \"host\"\n",
	},
	{
		"services:\n"
		"  a:\n"
		"    image: x\n"
		"    pull_policy: newest\n"
		"    restart: sometimes\n"
		"    depends_on: {b: {condition: service_healthy}}\n"
		"    ports: [{target: 80}, {target: 81, protocol: sctp}]\n"
		"    volumes:\n"
		"      - {type: cluster, target: /t}\n"
		"      - {type: bind, source: /a, target: /a, bind: {selinux: z, propagation: shared}}\n"
		"      - {type: volume, source: v, target: /v, volume: {subpath: x}}\n"
		"    networks: {default: {ipv6_address: \"fd00::1\"}}\n",
		"4:5: services.a.pull_policy: \"newest\" is not supported yet | supported so far: \"missing\", \"if_not_present\", "
		"\"never\", \"always\", \"build\", \"refresh\", \"daily\", \"weekly\", \"every_*\"\n"
		"5:5: services.a.restart: \"sometimes\" is no restart policy | "
		"it can be \"no\", always, on-failure, on-failure:ATTEMPTS or unless-stopped\n"
		"6:22: services.a.depends_on.b.condition: \"service_healthy\" is not supported yet | supported so far: "
		"\"service_started\", "
		"\"service_completed_successfully\"\n"
		"7:40: services.a.ports[1].protocol: \"sctp\" is not supported yet | supported so far: \"tcp\", \"udp\"\n"
		"9:10: services.a.volumes[0].type: \"cluster\" is not supported yet | supported so far: \"volume\", \"bind\", \"tmpfs\"\n"
		"10:53: services.a.volumes[1].bind.selinux: not supported yet\n"
		"10:65: services.a.volumes[1].bind.propagation: \"shared\" is not supported yet | supported so far: \"rprivate\"\n"
		"11:56: services.a.volumes[2].volume.subpath: not supported yet\n"
		"12:26: services.a.networks.default.ipv6_address: not supported yet\n",
	},
	{
		/* an age means something for a refresh only */
		"services:\n"
		"  a: {image: x, pull_policy: refresh, pull_refresh_after: 36h}\n"
		"  b: {image: x, pull_policy: refresh}\n"
		"  c: {image: x, pull_policy: always, pull_refresh_after: 36h}\n"
		"  d: {image: x, pull_refresh_after: 1m}\n",
		"4:38: services.c.pull_refresh_after: has no effect without pull_policy: refresh | or write pull_policy: every_36h\n"
		"5:17: services.d.pull_refresh_after: has no effect without pull_policy: refresh | or write pull_policy: every_1m\n",
	},
	{
		"services:\n"
		"  a: {image: x, logging: {driver: syslog, options: {syslog-address: 'udp://x'}}}\n"
		"  b: {image: x, logging: {driver: local, options: {max-size: 10m, max-file: 3, compress: 'false', mode: blocking}}}\n"
		"  c: {image: x, logging: {options: {max-size: 1q, max-file: '0', compress: 'true', mode: non-blocking}}}\n"
		"  d: {image: x, logging: {driver: none, options: {max-size: -1, max-file: null}}}\n"
		"  e: {image: x, logging: {options: {max-size: 0, max-file: 1001}}}\n",
		"2:27: services.a.logging.driver: \"syslog\" is not supported yet | supported so far: \"json-file\", \"local\", \"none\"\n"
		"2:53: services.a.logging.options.syslog-address: not supported yet: max-size and max-file are\n"
		"4:37: services.c.logging.options.max-size: \"1q\" is no size: write 10m, 500k or 1g\n"
		"4:51: services.c.logging.options.max-file: \"0\" is no number of files from 1 to 1000\n"
		"4:66: services.c.logging.options.compress: \"true\" is not supported yet: logs are not compressed\n"
		"4:84: services.c.logging.options.mode: \"non-blocking\" is not supported yet: a container waits for its log\n"
		"6:37: services.e.logging.options.max-size: \"0\" is no size: write 10m, 500k or 1g\n"
		"6:50: services.e.logging.options.max-file: \"1001\" is no number of files from 1 to 1000\n",
	},
	{
		"services:\n"
		"  x-a: {image: x, deploy: {update_config: {order: start-first}, mode: global,\n"
		"    resources: {reservations: {memory: '5'}}}, future_key: 1}\n"
		"networks:\n"
		"  n: {driver: macvlan, ipam: {config: [{subnet: 10.0.0.0/24}]}, enable_ipv6: true}\n"
		"volumes:\n"
		"  v: {driver_opts: {type: nfs}}\n",
		"2:28: services.x-a.deploy.update_config: not supported yet\n"
		"2:65: services.x-a.deploy.mode: \"global\" is not supported yet | supported so far: \"replicated\"\n"
		"3:17: services.x-a.deploy.resources.reservations: not supported yet\n"
		"3:48: services.x-a.future_key: not supported yet\n"
		"5:7: networks.n.driver: \"macvlan\" is not supported yet | supported so far: \"bridge\", \"default\"\n"
		"5:65: networks.n.enable_ipv6: \"true\" is not supported yet | supported so far: \"false\"\n"
		"7:7: volumes.v.driver_opts: not supported yet\n",
	},
};

static void test_check(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_ARENA struct arena *a = arena_new();
		AUTO_STR struct str got = { 0 };
		struct node **docs;
		struct diags ds;
		size_t n;
		int r;
		diags_init(&ds, a);
		if (yaml_parse(source_new(a, "t.yaml", cases[i].text, strlen(cases[i].text)), &ds, &docs, &n) < 0 || n != 1)
			abort();
		r = honoured_check(docs[0], &ds);
		for (size_t j = 0; j < ds.n; j++) {
			const struct diag *d = &ds.v[j];
			str_addf(&got, "%d:%d: %s: %s%s%s\n", d->pos.line, d->pos.column, d->path, d->message, d->hint ? " | " : "",
				d->hint ? d->hint : "");
		}
		EXPECT(r == (*cases[i].want ? -1 : 0), "case %zu: returned %d", i, r);
		EXPECT(strcmp(str_get(&got), cases[i].want) == 0, "case %zu\n--- want\n%s--- got\n%s", i, cases[i].want, str_get(&got));
	}
}

int main(void)
{
	test_every_key();
	test_table();
	test_status();
	test_check();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
