/* SPDX-License-Identifier: Apache-2.0 */
/* The document of a travelling cache. Invariants: what is written reads as the same, and is the same text again; a record counts only when its
 * operation, its input and its layer are all there and of our form; whatever else is in a document, BuildKit's own records among it, is passed
 * over without a trace, and nothing in it leads beyond its lists. */
#include "images/build/cachefile.h"

#include <stdio.h>

static int failures;

#define CHECK(cond, ...) \
	do { if (!(cond)) { failures++; printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); printf(__VA_ARGS__); putchar('\n'); } } while (0)

static const char *digits(char c)
{
	static char buf[4][65];
	static int next;
	char *to = buf[next++ % 4];
	memset(to, c, 64);
	return to;
}

static void fill(struct cachefile *f)
{
	const size_t a = cachefile_layer_of(f, digits('1')), b = cachefile_layer_of(f, digits('2'));
	for (size_t i = 0; i < f->n_layers; i++) {
		snprintf(f->layers[i].digest, sizeof(f->layers[i].digest), "%s", digits((char)('a' + (char)i)));
		snprintf(f->layers[i].type, sizeof(f->layers[i].type), "application/vnd.oci.image.layer.v1.tar+gzip");
		f->layers[i].blob_bytes = 1000 + i;
	}
	cachefile_add(f, digits('3'), digits('4'), "2026-01-02T03:04:05.000000006Z", a);
	cachefile_add(f, digits('5'), "", "2026-01-02T03:04:05Z", b);
	cachefile_add(f, digits('6'), digits('4'), "", b);
	cachefile_add(f, digits('3'), digits('4'), "2027-01-01T00:00:00Z", b); /* known: the first one counts */
}

static void test_round_trip(void)
{
	AUTO_CACHEFILE struct cachefile f = {0}, got = {0};
	AUTO_FREE char *text = NULL, *again = NULL;
	struct err err = {0};
	fill(&f);
	CHECK(f.n_layers == 2 && f.n_entries == 3 && cachefile_layer_of(&f, digits('2')) == 1, "%zu layers, %zu entries", f.n_layers, f.n_entries);
	text = cachefile_make(&f);
	CHECK(cachefile_parse(text, strlen(text), &got, &err) == 0, "%s", err.msg);
	CHECK(got.n_layers == 2 && got.n_entries == 3, "%zu layers, %zu entries: %s", got.n_layers, got.n_entries, text);
	for (size_t i = 0; i < got.n_entries; i++)
		CHECK(strcmp(got.entries[i].op, f.entries[i].op) == 0 && strcmp(got.entries[i].below, f.entries[i].below) == 0 &&
			strcmp(got.entries[i].created, f.entries[i].created) == 0 && got.entries[i].layer == f.entries[i].layer, "entry %zu", i);
	for (size_t i = 0; i < got.n_layers; i++)
		CHECK(strcmp(got.layers[i].digest, f.layers[i].digest) == 0 && strcmp(got.layers[i].diff_id, f.layers[i].diff_id) == 0 &&
			got.layers[i].blob_bytes == f.layers[i].blob_bytes, "layer %zu", i);
	again = cachefile_make(&got);
	CHECK(strcmp(text, again) == 0, "%s\n%s", text, again);
}

static void test_inline(void)
{
	AUTO_CACHEFILE struct cachefile f = {0}, got = {0}, none = {0};
	AUTO_FREE char *text = NULL;
	AUTO_JSON json_t *config = json_object();
	struct err err = {0};
	CHECK(cachefile_make_inline(&none) == NULL, "a record of nothing");
	CHECK(cachefile_parse_inline(config, &got, &err) == 1, "a record where there is none");
	fill(&f);
	text = cachefile_make_inline(&f);
	json_put_str(config, CACHEFILE_INLINE, text);
	cachefile_layer_of(&got, digits('1'));
	CHECK(cachefile_parse_inline(config, &got, &err) == 0 && got.n_entries == 1, "%zu entries of an image with one layer", got.n_entries);
	cachefile_layer_of(&got, digits('2'));
	got.n_entries = 0;
	CHECK(cachefile_parse_inline(config, &got, &err) == 0 && got.n_entries == 3, "%zu entries", got.n_entries);
	for (size_t n = 1; n < strlen(text); n += 7) { /* cut off anywhere */
		AUTO_FREE char *cut = xstrndup(text, n);
		json_put_str(config, CACHEFILE_INLINE, cut);
		got.n_entries = 0;
		CHECK(cachefile_parse_inline(config, &got, &err) == -1 && got.n_entries == 0, "%zu of %zu digits are taken", n, strlen(text));
	}
	for (const char *const *bad = (const char *const []){ "====", "AAAA", "e30=", "W10", "W1 =", "\xc3\xa4", NULL }; *bad; bad++) {
		json_put_str(config, CACHEFILE_INLINE, *bad);
		CHECK(cachefile_parse_inline(config, &got, &err) == -1, "\"%s\" is taken", *bad);
	}
}

#define A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LAYER "{\"blob\":\"" A "\",\"parent\":-1,\"annotations\":{\"diffID\":\"" A "\",\"size\":5}}"

/* How many entries a document has; -1: it is refused. */
static int count(const char *layers, const char *records)
{
	AUTO_CACHEFILE struct cachefile f = {0};
	AUTO_FREE char *text = xasprintf("{\"layers\":[%s],\"records\":%s}", layers, records);
	struct err err = {0};
	int rc = cachefile_parse(text, strlen(text), &f, &err);
	for (size_t i = 0; i < f.n_entries; i++)
		CHECK(f.entries[i].layer < f.n_layers && f.layers[f.entries[i].layer].diff_id[0], "an entry leads nowhere: %s", text);
	return rc < 0 ? -1 : (int)f.n_entries;
}

static void test_foreign(void)
{
	static const struct {
		const char *layers, *records;
		int want;
	} cases[] = {
		{ LAYER, "[{\"digest\":\"" A "\",\"layers\":[{\"layer\":0}]}]", 1 },
		{ LAYER, "[{\"digest\":\"" A "\",\"layers\":[{}]}]", 1 }, /* Go leaves 0 out */
		{ LAYER, "[{\"digest\":\"" A "\"},{\"digest\":\"" A "\",\"inputs\":[[{}]],\"layers\":[{}]}]", 1 },
		{ LAYER, "[{\"digest\":\"" A "\"},{\"digest\":\"" A "\",\"inputs\":[[{\"link\":0},{\"link\":0}]],\"layers\":[{}]}]", 2 },
		{ LAYER, "[{\"digest\":\"" A "\",\"layers\":[{\"layer\":1}]}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "\",\"layers\":[{\"layer\":-1}]}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "\",\"layers\":[{\"layer\":9223372036854775807}]}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "\",\"layers\":[0]}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "\",\"layers\":{}}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "\",\"chains\":[{\"layers\":[0]}]}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "x\",\"layers\":[{}]}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "\",\"inputs\":[[{\"link\":0}]],\"layers\":[{}]}]", 0 },             /* its own input */
		{ LAYER, "[{\"digest\":\"" A "\"},{\"digest\":\"" A "\",\"inputs\":[[{}],[{}]],\"layers\":[{}]}]", 0 }, /* two inputs */
		{ LAYER, "[{\"digest\":\"" A "\"},{\"digest\":\"" A "\",\"inputs\":[[{\"selector\":\"/x\"}]],\"layers\":[{}]}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "\",\"inputs\":[[{\"link\":7}]],\"layers\":[{}]}]", 0 },
		{ LAYER, "[{\"digest\":\"" A "\",\"inputs\":[[{\"link\":-7}]],\"layers\":[{}]}]", 0 },
		{ LAYER, "[1,null,[],{},\"x\"]", 0 },
		{ "{\"blob\":\"" A "\"}", "[{\"digest\":\"" A "\",\"layers\":[{}]}]", 0 }, /* a layer without diffID, as others write it */
		{ "7", "[{\"digest\":\"" A "\",\"layers\":[{}]}]", 0 },
		{ "", "[]", 0 },
		{ "", "{}", -1 },
		{ "", "5", -1 },
		{ "", "[", -1 },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const int got = count(cases[i].layers, cases[i].records);
		CHECK(got == cases[i].want, "%zu: %d entries, not %d: %s", i, got, cases[i].want, cases[i].records);
	}
}

/* Times come into configurations: nothing but a time does. */
static void test_times(void)
{
	static const char *const bad[] = { "", "now", "2026", "2026-01-02T03:04:05Z\\\"", "2026-01-02T03:04:05.00000000000000000000000000000Z",
		"<2026-01-02T03:04:05Z>" };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO_CACHEFILE struct cachefile f = {0};
		AUTO_FREE char *text = xasprintf("{\"layers\":[" LAYER "],\"records\":[{\"digest\":\"" A "\",\"layers\":[{\"createdAt\":\"%s\"}]}]}", bad[i]);
		CHECK(cachefile_parse(text, strlen(text), &f, NULL) == 0 && f.n_entries == 1 && !*f.entries[0].created, "%s", bad[i]);
	}
}

int main(void)
{
	test_round_trip();
	test_inline();
	test_foreign();
	test_times();
	return failures != 0;
}
