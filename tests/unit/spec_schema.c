/* SPDX-License-Identifier: Apache-2.0 */
/* The validator's messages: each case is a document with what must be said of it, place, message and hint to the letter, because
 * the wording is what the schema adds over "additional properties not allowed". Beside that: several mistakes in one run, positions of keys
 * and values, the cost of a large file, and that every key has a description and a type.
 * "spec_schema judge" reads one JSON document a line from standard input and answers "valid" or "invalid" a line: the side of this
 * project in tests/schema/differential. "spec_schema show FILE" renders what is wrong with a file, "spec_schema keys" lists the keys. */
#include <stdio.h>
#include <time.h>

#include "base/fs.h"
#include "spec/schema.h"
#include "spec/schema_pattern.h"
#include "spec/yaml.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

/* Parses the text and validates its first document; -2 when it cannot be parsed. */
static int validate(struct arena *a, const char *text, size_t len, struct diags *ds)
{
	struct node **docs;
	size_t n;
	diags_init(ds, a);
	if (yaml_parse(source_new(a, "t.yaml", text, len), ds, &docs, &n) < 0 || n == 0)
		return -2;
	return schema_validate(docs[0], ds);
}

static void describe(const struct diags *ds, struct str *ret)
{
	for (size_t i = 0; i < ds->n; i++) {
		const struct diag *d = &ds->v[i];
		str_addf(ret, "%d:%d: %s%s%s%s", d->pos.line, d->pos.column, d->severity == DIAG_WARNING ? "warning: " : "", d->path,
			*d->path ? ": " : "", d->message);
		if (d->hint)
			str_addf(ret, " | %s", d->hint);
		if (d->note)
			str_addf(ret, " | %d:%d %s", d->note_pos.line, d->note_pos.column, d->note);
		str_addc(ret, '\n');
	}
}

static const struct {
	const char *text, *want;
} cases[] = {
	{
		"services:\n"
		"  web: {image: x}\n",
		""
	},
	{
		"services: {web: {image: x, imagee: y}}\n",
		"1:28: services.web: unknown key \"imagee\" | did you mean \"image\"?\n"
	},
	{
		"services: {web: {Image: x, depends-on: [db], enviroment: {}}}\n",
		"1:18: services.web: unknown key \"Image\" | did you mean \"image\"?\n"
		"1:28: services.web: unknown key \"depends-on\" | did you mean \"depends_on\"?\n"
		"1:46: services.web: unknown key \"enviroment\" | did you mean \"environment\"?\n"
	},
	{
		"servicess: {}\n",
		"1:1: unknown key \"servicess\" | did you mean \"services\"?\n"
	},
	{
		"web: {image: x}\n",
		"1:1: unknown key \"web\" | services go under \"services:\", indented below it\n"
	},
	{
		"image: x\n",
		"1:1: unknown key \"image\" | \"image\" belongs under services.NAME\n"
	},
	{
		"services: {a: {replicas: 3, monitor: 5s, interval: 5s, driver: x}}\n",
		"1:16: services.a: unknown key \"replicas\" | \"replicas\" belongs under deploy\n"
		"1:29: services.a: unknown key \"monitor\" | \"monitor\" belongs under deploy.rollback_config or deploy.update_config\n"
		"1:42: services.a: unknown key \"interval\" | \"interval\" belongs under healthcheck\n"
		"1:56: services.a: unknown key \"driver\" | \"driver\" belongs under gpus[] or logging\n"
	},
	{
		"services: {a: {deploy: {image: x, replica: 2, cpus: 1, interval: 3s}}}\n",
		"1:25: services.a.deploy: unknown key \"image\" | \"image\" belongs under services.a\n"
		"1:35: services.a.deploy: unknown key \"replica\" | did you mean \"replicas\"?\n"
		"1:47: services.a.deploy: unknown key \"cpus\" | \"cpus\" belongs under resources.limits or resources.reservations\n"
		"1:56: services.a.deploy: unknown key \"interval\" | \"interval\" belongs under services.a.healthcheck\n"
	},
	{
		"services: {a: {env: {}, memory: 1g, volume: x, net: host}}\n",
		"1:16: services.a: unknown key \"env\" | did you mean \"environment\"?\n"
		"1:25: services.a: unknown key \"memory\" | did you mean \"mem_limit\"? or put it under deploy.resources.limits\n"
		"1:37: services.a: unknown key \"volume\" | did you mean \"volumes\"?\n"
		"1:48: services.a: unknown key \"net\" | did you mean \"network_mode\" or \"networks\"?\n"
	},
	{
		"services: {a: {x_note: 1, x-note: 1, zzzzzzzzzz: 1}}\n",
		"1:16: services.a: unknown key \"x_note\" | the names of extensions begin with \"x-\"\n"
		"1:38: services.a: unknown key \"zzzzzzzzzz\"\n"
	},
	{
		"services: {a: {depends_on: {b: {condition: service_started, zzzzzzzzzz: 1}}}}\n",
		"1:61: services.a.depends_on.b: unknown key \"zzzzzzzzzz\" | known here: condition, required, restart\n"
	},
	{
		"- a\n",
		"1:1: must be a mapping, not a list\n"
	},
	{
		"services: [a]\n",
		"1:11: services: must be a mapping, not a list | for example: services: {web: {image: nginx}}\n"
	},
	{
		"services:\n"
		"  a: {ports: 8080}\n"
		"  b: {ports: \"80\"}\n",
		"2:14: services.a.ports: must be a list of ports, not a number | for example: ports: [\"8080:80\"]\n"
		"3:14: services.b.ports: must be a list of ports, not a string | for example: ports: [\"8080:80\"]\n"
	},
	{
		"services: {a: {environment: 3, labels: [1]}}\n",
		"1:29: services.a.environment: must be a mapping or a list of KEY=VALUE, not a number | for example: environment: "
		"{LOG_LEVEL: "
		"info}\n"
		"1:41: services.a.labels[0]: must be a string KEY=VALUE, not a number | for example: - \"KEY=value\"\n"
	},
	{
		"services:\n"
		"  a:\n"
		"    environment:\n"
		"      - FOO: bar\n"
		"    command:\n"
		"      - echo a: b\n",
		"4:9: services.a.environment[0]: must be a string KEY=VALUE, not a mapping | write \"- FOO=bar\", or leave out the \"- \"\n"
		"6:9: services.a.command[0]: must be a string, not a mapping | a colon followed by a space makes a mapping: write the "
		"string in "
		"quotes\n"
	},
	{
		"services:\n"
		"  a:\n"
		"  image: x\n",
		"2:3: services.a: has no value: must be a mapping | for example: a: {image: nginx}\n"
		"3:10: services.image: must be a mapping, not a string | \"image\" belongs to the entry above: indent it below its name\n"
	},
	{
		"volumes:\n"
		"  data:\n"
		"  driver: local\n",
		"3:11: volumes.driver: must be a mapping, not a string | \"driver\" belongs to the entry above: indent it below its name\n"
	},
	{
		"services:\n"
		"  a:\n"
		"    image:\n"
		"    depends_on:\n"
		"      db:\n",
		"3:5: services.a.image: has no value: must be a string | for example: image: \"nginx:1.27\"\n"
		"5:7: services.a.depends_on.db: has no value: must be a mapping | for example: db: {condition: service_started}\n"
	},
	{
		"version: 3.8\n",
		"1:1: warning: version: is obsolete | Obsolete and without effect; leave it out.\n"
		"1:10: version: must be a string, not a number | in quotes it is a string: \"3.8\"\n"
	},
	{
		"version: \"3.8\"\n"
		"volumes: {v: {external: {name: w}}}\n",
		"1:1: warning: version: is obsolete | Obsolete and without effect; leave it out.\n"
		"2:26: warning: volumes.v.external.name: is obsolete | Obsolete: put the name beside `external: true`.\n"
	},
	{
		"services: {a: {image: 5, restart: true, stop_grace_period: 10, hostname: 1.5}}\n",
		"1:23: services.a.image: must be a string, not a number | in quotes it is a string: \"5\"\n"
		"1:35: services.a.restart: must be a string, not true or false | for example: restart: unless-stopped\n"
		"1:60: services.a.stop_grace_period: must be a duration such as \"1m30s\", not a number | for example: stop_grace_period: "
		"30s\n"
		"1:74: services.a.hostname: must be a string, not a number | in quotes it is a string: \"1.5\"\n"
	},
	{
		"services: {a: {privileged: [a], tty: {}, read_only: 1, cpus: [1], mem_limit: true}}\n",
		"1:28: services.a.privileged: must be true or false, not a list | for example: privileged: true\n"
		"1:38: services.a.tty: must be true or false, not a mapping | for example: tty: true\n"
		"1:53: services.a.read_only: must be true or false, not a number | for example: read_only: true\n"
		"1:62: services.a.cpus: must be a number, not a list | for example: cpus: 0.5\n"
		"1:78: services.a.mem_limit: must be a size such as \"512m\", not true or false | for example: mem_limit: 512m\n"
	},
	{
		"services: {a: {cgroup: hots, volumes: [{type: bnid}, {type: bind, bind: {selinux: X}}]}}\n",
		"1:24: services.a.cgroup: must be \"host\" or \"private\", not \"hots\" | did you mean \"host\"?\n"
		"1:47: services.a.volumes[0].type: must be \"bind\", \"volume\", \"tmpfs\", \"cluster\", \"npipe\" or \"image\", not "
		"\"bnid\" | "
		"did you mean \"bind\"?\n"
		"1:83: services.a.volumes[1].bind.selinux: must be \"z\" or \"Z\", not \"X\"\n"
	},
	{
		"services: {a: {gpus: some, depends_on: {b: {condition: healthy}}}}\n",
		"1:22: services.a.gpus: must be \"all\", not \"some\"\n"
		"1:56: services.a.depends_on.b.condition: must be \"service_started\", \"service_healthy\" or "
		"\"service_completed_successfully\", not \"healthy\" | did you mean \"service_healthy\"?\n"
	},
	{
		"services: {a: {cpu_percent: 101, cpu_count: -1, oom_score_adj: -1001}}\n",
		"1:29: services.a.cpu_percent: must be at most 100, not 101\n"
		"1:45: services.a.cpu_count: must be at least 0, not -1\n"
		"1:64: services.a.oom_score_adj: must be at least -1000, not -1001\n"
	},
	{
		"services: {a: {cpu_percent: 100, cpu_count: 0, oom_score_adj: 1000.0, cpu_shares: 1.5, scale: 1.5}}\n",
		"1:95: services.a.scale: must be a whole number, not 1.5 | for example: scale: 3\n"
	},
	{
		"services: {a: {container_name: a, pull_policy: sometimes}}\n",
		"1:32: services.a.container_name: must have two or more letters, digits, \"_\", \".\" or \"-\", and begin with a letter or "
		"digit, not \"a\"\n"
		"1:48: services.a.pull_policy: must be always, never, missing, if_not_present, build, refresh, daily, weekly, or every_ "
		"with a "
		"duration such as every_12h, not \"sometimes\"\n"
	},
	{
		"services: {a: {depends_on: {b: {}}, volumes: [{source: x}], extends: {file: x}}}\n",
		"1:32: services.a.depends_on.b: missing key \"condition\" | for example: condition: service_started\n"
		"1:47: services.a.volumes[0]: missing key \"type\" | for example: type: volume\n"
		"1:70: services.a.extends: missing key \"service\" | for example: service: base\n"
	},
	{
		"services: {a: {develop: {watch: [{path: x}]}, ulimits: {nofile: {soft: 1}}}}\n",
		"1:34: services.a.develop.watch[0]: missing key \"action\" | for example: action: sync\n"
		"1:65: services.a.ulimits.nofile: missing key \"hard\" | for example: hard: 4096\n"
	},
	{
		"services: {a: {cap_add: [A, B, A], ports: [80, \"80\", 80.0], expose: [1, 1]}}\n",
		"1:32: services.a.cap_add[2]: repeats \"A\" | 1:26 the first one is here\n"
		"1:54: services.a.ports[2]: repeats \"80\" | 1:44 the first one is here\n"
		"1:73: services.a.expose[1]: repeats \"1\" | 1:70 the first one is here\n"
	},
	{
		"services:\n"
		"  a:\n"
		"    ports: [{target: 80, published: 1}, {published: 1, target: 80}]\n",
		"3:41: services.a.ports[1]: repeats entry 0 of the list | 3:13 the first one is here\n"
	},
	{
		"services: {\"my web\": {image: x}}\n"
		"networks: {\"a b\": 5}\n"
		"volumes: {\"a b\": {}}\n",
		"1:12: services: invalid name \"my web\" | a name is made of letters, digits, \".\", \"_\" and \"-\"\n"
		"3:11: volumes: invalid name \"a b\" | a name is made of letters, digits, \".\", \"_\" and \"-\"\n"
	},
	{
		"services: {a: {environment: {\"\": x}, ulimits: {NOFILE: [], nofile: []}}}\n",
		"1:30: services.a.environment: invalid name \"\"\n"
		"1:68: services.a.ulimits.nofile: must be a whole number, or a mapping with soft and hard, not a list | for example: "
		"nofile: "
		"{soft: 1024, hard: 4096}\n"
	},
	{
		"services: {a: {networks: {default: {alias: x, priority: high}, b: null, c: []}}}\n",
		"1:37: services.a.networks.default: unknown key \"alias\" | did you mean \"aliases\"?\n"
		"1:57: services.a.networks.default.priority: must be a number, not a string | for example: priority: 100\n"
		"1:76: services.a.networks.c: must be a mapping, not a list | for example: c: {aliases: [db]}\n"
	},
	{
		"services: {a: {healthcheck: {tests: x, retires: 3, cmd: x, test: 3}}}\n",
		"1:30: services.a.healthcheck: unknown key \"tests\" | did you mean \"test\"?\n"
		"1:40: services.a.healthcheck: unknown key \"retires\" | did you mean \"retries\"?\n"
		"1:52: services.a.healthcheck: unknown key \"cmd\" | did you mean \"test\"?\n"
		"1:66: services.a.healthcheck.test: must be a string or a list of strings, not a number | for example: test: [CMD, curl, "
		"\"-f\", "
		"\"http://localhost/\"]\n"
	},
	{
		"services: {a: {build: {dockerfil: x, args: 3, ports: [80]}, logging: json-file}}\n",
		"1:24: services.a.build: unknown key \"dockerfil\" | did you mean \"dockerfile\"?\n"
		"1:44: services.a.build.args: must be a mapping or a list of KEY=VALUE, not a number | for example: args: {VERSION: "
		"\"1.2\"}\n"
		"1:47: services.a.build: unknown key \"ports\" | \"ports\" belongs under services.a\n"
		"1:70: services.a.logging: must be a mapping, not a string | for example: logging: {driver: json-file}\n"
	},
	{
		"services: {a: {env_file: {path: x}, tmpfs: [1], dns: 5}}\n",
		"1:26: services.a.env_file: must be a path, or a list of paths or mappings, not a mapping | each entry of the list begins "
		"with "
		"\"- \"\n"
		"1:45: services.a.tmpfs[0]: must be a string, not a number | in quotes it is a string: \"1\"\n"
		"1:54: services.a.dns: must be a string or a list of strings, not a number | for example: dns: [\"192.0.2.53\"]\n"
	},
	{
		"services: {a: {env_file: [{file: x}, 3]}}\n",
		"1:28: services.a.env_file[0]: unknown key \"file\" | did you mean \"path\"?\n"
		"1:27: services.a.env_file[0]: missing key \"path\" | for example: path: ./web.env\n"
		"1:38: services.a.env_file[1]: must be a path or a mapping, not a number | for example: - ./web.env\n"
	},
	{
		"services: {a: {deploy: null, develop: null, pid: null, command: null}}\n"
		"networks: {a: null}\n"
		"volumes: {a: null}\n"
		"secrets: {a: null}\n",
		"4:11: secrets.a: has no value: must be a mapping | for example: a: {file: ./password.txt}\n"
	},
	{
		"name: 5\n"
		"include: compose.yaml\n"
		"networks: {a: {ipam: {config: {subnet: x}}, external: 5}}\n",
		"1:7: name: must be a string, not a number | in quotes it is a string: \"5\"\n"
		"2:10: include: must be a list of paths or mappings, not a string | for example: include: [../database/compose.yaml]\n"
		"3:31: networks.a.ipam.config: must be a list of mappings, not a mapping | each entry of the list begins with \"- \"\n"
		"3:55: networks.a.external: must be true or false, not a number | for example: external: true\n"
	},
	{
		"models: {\"a b\": 5, a: {}}\n"
		"configs: {a: {external: {name: x, other: y}}}\n",
		"1:23: models.a: missing key \"model\" | for example: model: ai/smollm2\n"
		"2:26: warning: configs.a.external.name: is obsolete | Obsolete: put the name beside `external: true`.\n"
	},
	{
		"services: {a: {provider: {options: {a: null, b: [null]}}, credential_spec: {files: x}}}\n",
		"1:37: services.a.provider.options.a: has no value: must be a string, a number, true, false or a list of them\n"
		"1:50: services.a.provider.options.b[0]: has no value: must be a string, a number, true or false\n"
		"1:26: services.a.provider: missing key \"type\" | for example: type: cloud-db\n"
		"1:77: services.a.credential_spec: unknown key \"files\" | did you mean \"file\"?\n"
	},
	{
		"services: {a: {blkio_config: {x-a: 1, weight: [1]}, storage_opt: {any: {thing: 1}}}}\n",
		"1:31: services.a.blkio_config: unknown key \"x-a\" | known here: device_read_bps, device_read_iops, device_write_bps, "
		"device_write_iops, weight, weight_device\n"
		"1:47: services.a.blkio_config.weight: must be a whole number, not a list | for example: weight: 300\n"
	},
	{
		"x-any: {thing: [1]}\n"
		"services: {a: {x-b: 1, image: x, logging: {x-c: 1}}}\n",
		""
	},
	{
		"services: {a: {\"ima\\x1bge\": 1, cgroup: \"a\\nb\"}}\n",
		"1:16: services.a: unknown key \"ima\\x1bge\" | did you mean \"image\"?\n"
		"1:40: services.a.cgroup: must be \"host\" or \"private\", not \"a\\x0ab\"\n"
	},
};

static void test_messages(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO_ARENA struct arena *a = arena_new();
		AUTO_STR struct str got = { 0 };
		struct diags ds;
		int r = validate(a, cases[i].text, strlen(cases[i].text), &ds);
		describe(&ds, &got);
		EXPECT(r == (ds.n_errors ? -1 : 0), "case %zu: returned %d with %zu errors", i, r, ds.n_errors);
		EXPECT(strcmp(str_get(&got), cases[i].want) == 0, "case %zu\n%s--- want\n%s--- got\n%s", i, cases[i].text,
			cases[i].want, str_get(&got));
	}
}

static int judge(void)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	while ((n = getline(&line, &cap, stdin)) > 0) {
		AUTO_ARENA struct arena *a = arena_new();
		struct diags ds;
		int r = validate(a, line, (size_t)n, &ds);
		puts(r == 0 ? "valid" : r == -1 ? "invalid" : "unreadable");
	}
	free(line);
	return 0;
}

static int show(const char *file, bool brief)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str text = { 0 }, out = { 0 };
	struct err err = { 0 };
	struct diags ds;
	int r;
	if (fs_read(AT_FDCWD, file, 16 << 20, &text, &err)) {
		fprintf(stderr, "%s: %s\n", file, err.msg);
		return 1;
	}
	r = validate(a, str_get(&text), text.len, &ds);
	if (brief)
		describe(&ds, &out);
	else
		diags_render(&ds, NULL, false, &out);
	fputs(str_get(&out), stdout);
	return r != 0;
}

static int print_key(void *arg, const struct schema_key *key)
{
	(void)arg;
	printf("%s\t%s\t%s\n", key->path, key->types, key->description);
	return 0;
}

static int count_key(void *arg, const struct schema_key *key)
{
	size_t *n = arg;
	(*n)++;
	EXPECT(key->description && *key->description && *key->types, "%s has no description or type", key->path);
	return strcmp(key->path, "volumes.*.name") == 0 ? 7 : 0;
}

/* The walk names every key, nested ones too, and stops when it is told to. */
static void test_keys(void)
{
	size_t n = 0;
	EXPECT(schema_each_key(count_key, &n) == 7, "the walk must stop at volumes.*.name");
	EXPECT(n > 250, "only %zu keys", n);
}

/* Patterns mean what the reference's do: "." is no newline, "$" is the very end, a long text costs no stack. */
static void test_patterns(void)
{
	static const struct {
		const char *pattern, *text;
		bool want;
	} table[] = {
		{ "^[a-zA-Z0-9._-]+$", "web-1.x_Y", true }, { "^[a-zA-Z0-9._-]+$", "", false }, { "^[a-zA-Z0-9._-]+$", "a b", false },
		{ "^[a-zA-Z0-9._-]+$", "a\n", false }, { "^x-", "x-", true }, { "^x-", "ax-", false },
		{ ".+", "", false }, { ".+", "\n", false },
		{ ".+", "\na", true }, { "^.+$", "a\nb", false }, { "^[a-z]+$", "nofile", true }, { "^[a-z]+$", "NOFILE", false },
		{ "[a-zA-Z0-9][a-zA-Z0-9_.-]+", "a", false }, { "[a-zA-Z0-9][a-zA-Z0-9_.-]+", "_a1", true },
		{ "a|b(c|d)+e", "xbcdcex", true },
		{ "a|b(c|d)+e", "bcdc", false }, { "every_([0-9]+[wdhms])+", "every_12h", true },
		{ "every_([0-9]+[wdhms])+", "every_12", false },
		{ "^(ab)*c?$", "ababc", true }, { "^(ab)*c?$", "abac", false }, { "[^a]", "aab", true },
		{ "a\\.b", "axb", false }, { "[]x]", "]", true },
	};
	static char big[1 << 20];
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		EXPECT(schema_pattern_match(table[i].pattern, table[i].text) == table[i].want, "%s on \"%s\"",
			table[i].pattern, table[i].text);
	memset(big, 'a', sizeof(big) - 1);
	EXPECT(schema_pattern_match("^[a-z]+$", big), "a long text matches");
	big[sizeof(big) - 2] = '!';
	EXPECT(!schema_pattern_match("^[a-z]+$", big), "a long text with a bad end does not");
	EXPECT(!schema_pattern_valid("a{2}") && !schema_pattern_valid("(a") && !schema_pattern_valid("*a") && !schema_pattern_valid("a)") &&
		!schema_pattern_valid("[a"), "what the matcher does not know is refused");
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* 500 services, 20 environment variables each: the validator must not be what a user of a large file waits for. */
static void test_speed(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str text = { 0 };
	struct diags ds;
	struct node **docs;
	size_t n;
	double start, best = 1e9;
	str_add(&text, "services:\n");
	for (int i = 0; i < 500; i++) {
		str_addf(&text, "  web%d:\n    image: busybox\n    ports: ['80', '443']\n    networks: [a, b]\n    environment:\n", i);
		for (int j = 0; j < 20; j++)
			str_addf(&text, "      VARIABLE_%d: value\n", j);
	}
	diags_init(&ds, a);
	if (yaml_parse(source_new(a, "t.yaml", str_get(&text), text.len), &ds, &docs, &n) < 0)
		abort();
	for (int round = 0; round < 5; round++) {
		start = now_ms();
		EXPECT(schema_validate(docs[0], &ds) == 0, "the large file is valid");
		best = MIN(best, now_ms() - start);
	}
#ifdef __SANITIZE_ADDRESS__
	EXPECT(best < 100, "validation of 500 services took %.1f ms", best);
#else
	EXPECT(best < 10, "validation of 500 services took %.1f ms", best);
#endif
}

/* A file with nothing but mistakes costs linear time, and the count of those that are not shown is right. */
static void test_many_mistakes(void)
{
	AUTO_ARENA struct arena *a = arena_new();
	AUTO_STR struct str text = { 0 };
	struct diags ds;
	str_add(&text, "services:\n  web:\n");
	for (int i = 0; i < 5000; i++)
		str_addf(&text, "    unknown%d: 1\n", i);
	EXPECT(validate(a, str_get(&text), text.len, &ds) == -1, "unknown keys are errors");
	EXPECT(ds.n_errors == 5000 && ds.n == DIAG_MAX, "%zu errors found, %zu kept", ds.n_errors, ds.n);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "judge") == 0)
		return judge();
	if (argc > 2 && (strcmp(argv[1], "show") == 0 || strcmp(argv[1], "describe") == 0))
		return show(argv[2], argv[1][0] == 'd');
	if (argc > 1 && strcmp(argv[1], "keys") == 0)
		return schema_each_key(print_key, NULL);
	test_messages();
	test_keys();
	test_patterns();
	test_speed();
	test_many_mistakes();
	printf("%s\n", failures ? "failed" : "passed");
	return failures != 0;
}
