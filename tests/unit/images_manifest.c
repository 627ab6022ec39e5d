/* SPDX-License-Identifier: Apache-2.0 */
/* What registries send is read as it is meant or refused: challenges of any shape, token answers, manifests and the choice among
 * platforms, URLs. Nothing is read in two ways, nothing malformed crashes. */
#include <stdio.h>

#include "images/auth.h"
#include "base/sock.h"
#include "images/http.h"
#include "images/manifest.h"

static int failures;

#define EXPECT(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); } } while (0)

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DESC(type, size) "{\"mediaType\":\"" type "\",\"digest\":\"sha256:" HEX "\",\"size\":" size "}"
#define CONFIG DESC("application/vnd.oci.image.config.v1+json", "7")
#define LAYER DESC("application/vnd.oci.image.layer.v1.tar+gzip", "9")

static void test_challenges(void)
{
	static const struct {
		const char *header, *want; /* scheme realm|service|scope; … */
	} cases[] = {
		{ "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", "2 https://a/t|s|repository:x:pull;" },
		{ "bearer realm=https://a/t , service=s", "2 https://a/t|s|;" },
		{ "Basic realm=\"a \\\"b\\\"\"", "1 a \"b\"||;" },
		{ "Basic realm=\"x\", Bearer realm=\"y\",service=\"z\"", "1 x||;2 y|z|;" },
		{ "Negotiate, Basic realm=\"x\"", "1 x||;" },
		{ "Digest realm=\"d\", nonce=\"n\", Bearer realm=\"y\"", "2 y||;" },
		{ "Basic", "1 ||;" },
		{ "Bearer realm=\"open", "" },
		{ "Bearer realm=\"a\nb\"", "" },
		{ ", ,", "" },
		{ "\"", "" },
		{ "Bearer realm=\"a\\", "" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct auth_challenge c[AUTH_MAX_CHALLENGES];
		size_t n = auth_parse(cases[i].header, c, ARRAY_SIZE(c));
		AUTO_STR struct str got = {0};
		for (size_t k = 0; k < n; k++)
			str_addf(&got, "%d %s|%s|%s;", c[k].scheme, c[k].realm, c[k].service, c[k].scope);
		EXPECT(strcmp(str_get(&got), cases[i].want) == 0, "%s: %s", cases[i].header, str_get(&got));
	}
}

static void test_tokens(void)
{
	static const struct {
		const char *text, *want;
		long lifetime;
	} cases[] = {
		{ "{\"token\":\"t\",\"expires_in\":300}", "t", 300 }, { "{\"access_token\":\"t\"}", "t", 60 },
		{ "{\"token\":\"\",\"access_token\":\"t\",\"expires_in\":-5}", "t", 60 }, { "{\"token\":\"a\\nb\"}", NULL, 0 },
		{ "{\"token\":7}", NULL, 0 }, { "[]", NULL, 0 }, { "", NULL, 0 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct auth_token t = {0};
		int rc = auth_parse_token(cases[i].text, strlen(cases[i].text), &t, NULL);
		EXPECT(cases[i].want ? rc == 0 && str_eq(t.token, cases[i].want) && t.lifetime_s == cases[i].lifetime : rc < 0, "%s", cases[i].text);
		free(t.token);
	}
	AUTO_FREE char *basic = auth_basic("Aladdin", "open sesame"), *shorter = auth_basic("a", "");
	EXPECT(strcmp(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==") == 0, "%s", basic); /* RFC 7617, section 2 */
	EXPECT(strcmp(shorter, "Basic YTo=") == 0, "%s", shorter);
}

static void test_manifests(void)
{
	static const struct {
		const char *text, *error; /* NULL: an image */
	} cases[] = {
		{ "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" LAYER "," LAYER "]}", NULL },
		{ "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}", NULL },
		{ "{\"schemaVersion\":1,\"fsLayers\":[]}", "schema 1" },
		{ "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[],\"manifests\":[]}", "neither" },
		{ "{\"schemaVersion\":2,\"config\":" DESC("application/vnd.cncf.helm.config.v1+json", "7") ",\"layers\":[]}", "helm" },
		{ "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" DESC("text/plain", "9") "]}", "text/plain" },
		{ "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" DESC("x.tar", "-1") "]}", "size" },
		{ "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" DESC("x.tar", "99999999999999") "]}", "64 GiB" },
		{ "{\"schemaVersion\":2,\"config\":{\"digest\":\"sha512:00\",\"size\":1},\"layers\":[]}", "sha256" },
		{ "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":{}}", "list" },
		{ "{\"schemaVersion\":2,\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[]}", "JSON" },
		{ "[1]", "JSON" },
	};
	struct platform want;
	struct manifest *m = xcalloc(1, sizeof(*m));
	struct descriptor choice;
	EXPECT(manifest_parse_platform("linux/amd64", &want, NULL) == 0, "platform");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = {0};
		int rc = manifest_parse(cases[i].text, strlen(cases[i].text), &want, m, &choice, &err);
		EXPECT(cases[i].error ? rc < 0 && strstr(err.msg, cases[i].error) : rc == 0, "%s: %d %s", cases[i].text, rc, err.msg);
	}
	free(m);
}

#define ENTRY(n, arch, more) \
	"{\"digest\":\"sha256:" n "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"size\":1," \
	"\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"" more "}}"

static void test_platforms(void)
{
	static const char index[] = "{\"schemaVersion\":2,\"manifests\":["
		ENTRY("0", "unknown", "") "," ENTRY("1", "arm", ",\"variant\":\"v5\"") "," ENTRY("2", "arm", ",\"variant\":\"v7\"") ","
		ENTRY("3", "arm64", ",\"variant\":\"v8\"") "," ENTRY("4", "amd64", ",\"variant\":\"v3\"") "," ENTRY("5", "amd64", "") "]}";
	static const struct {
		const char *platform;
		char want; /* first digit of the digest; 0: none */
	} cases[] = {
		{ "linux/amd64", '5' }, { "linux/x86_64", '5' }, { "linux/amd64/v3", '4' }, { "linux/amd64/v4", '5' }, { "linux/arm64", '3' },
		{ "linux/arm/v6", '1' }, { "linux/arm/v7", '2' }, { "linux/arm", '2' }, { "linux/s390x", 0 },
	};
	struct manifest *m = xcalloc(1, sizeof(*m));
	struct platform p;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct descriptor choice = {0};
		struct err err = {0};
		int rc = manifest_parse_platform(cases[i].platform, &p, &err) < 0 ? -2 : manifest_parse(index, strlen(index), &p, m, &choice, &err);
		EXPECT(cases[i].want ? rc == 1 && choice.digest[7] == cases[i].want : rc == -1 && err.code == ERR_NOT_FOUND, "%s: %d %s %s",
			cases[i].platform, rc, choice.digest, err.msg);
	}
	EXPECT(manifest_parse_platform("windows/amd64", &p, NULL) < 0 && manifest_parse_platform("linux/", &p, NULL) < 0 &&
		manifest_parse_platform("linux/a/b/c", &p, NULL) < 0, "platforms that are none");
	free(m);
}

static void test_urls(void)
{
	static const struct {
		const char *host;
		bool loopback;
	} hosts[] = {
		{ "localhost", true }, { "LOCALHOST:5000", true }, { "127.0.0.1:5000", true }, { "127.9.9.9", true }, { "[::1]:5000", true },
		{ "::1", true }, { "::2", false },
		{ "localhost.example.com", false }, { "127.0.0.1.example.com", false }, { "128.0.0.1", false }, { "[::2]", false }, { "", false },
	};
	static const char *const joins[][3] = {
		{ "https://a/v2/x", "/y?z=1", "https://a/y?z=1" }, { "https://a/v2/x", "http://b/", "http://b/" }, { "https://a/", "file:///etc/passwd", NULL },
		{ "https://a/", "https://user@b/", NULL }, { "https://a/b", "//c/d", "https://c/d" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		EXPECT(sock_is_loopback(hosts[i].host) == hosts[i].loopback, "%s", hosts[i].host);
	for (size_t i = 0; i < ARRAY_SIZE(joins); i++) {
		AUTO_FREE char *got = http_join(joins[i][0], joins[i][1]);
		EXPECT(str_eq(got, joins[i][2]), "%s: %s", joins[i][1], got ? got : "(none)");
	}
	EXPECT(http_same_origin("https://a/x", "https://A:443/y") && !http_same_origin("https://a", "http://a") &&
		!http_same_origin("https://a", "https://a:444") && !http_same_origin("https://a", "https://a.b"), "origins");
	EXPECT(http_url_allowed("https://b/", false) && !http_url_allowed("http://b/", true) && !http_url_allowed("http://127.0.0.1/", false) &&
		http_url_allowed("http://127.0.0.1/", true) && !http_url_allowed("ftp://127.0.0.1/", true), "allowed URLs");
}

int main(void)
{
	test_challenges();
	test_tokens();
	test_manifests();
	test_platforms();
	test_urls();
	puts(failures ? "failed" : "passed");
	return failures != 0;
}
