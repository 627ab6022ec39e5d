/* SPDX-License-Identifier: Apache-2.0 */
/* The small grammars: the first byte chooses one, the rest is its text. Durations and image references also have to read back
 * as what they print. */
#include "spec/bytes.h"
#include "spec/dotenv.h"
#include "spec/duration.h"
#include "spec/imageref.h"
#include "spec/shellwords.h"
#include "spec/short_port.h"
#include "spec/short_volume.h"
#include "spec/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *lookup(void *arg, const char *name)
{
	(void)arg;
	return name[0] == 'A' ? "value$B" : NULL;
}

static void each(void *arg, const struct template_variable *v)
{
	(void)arg;
	assert(v->name);
}

static void try_template(struct arena *a, const char *text)
{
	struct template_vars vars = { .arena = a, .lookup = lookup };
	struct template_error err;
	AUTO_STR struct str out = { 0 };
	(void)template_substitute(&vars, text, &out, &err);
	template_each(a, text, each, NULL);
}

static void try_dotenv(struct arena *a, const char *text, size_t n, bool raw)
{
	struct dotenv_vars vars = { .lookup = lookup };
	struct diags ds;
	struct env env = { 0 };
	const struct source *src = source_new(a, ".env", text, n);
	diags_init(&ds, a);
	env_init(&env, a);
	if ((raw ? dotenv_parse_raw : dotenv_parse)(src, &vars, &env, &ds) < 0)
		assert(ds.n_errors > 0);
	env_done(&env);
}

static void try_imageref(struct arena *a, const char *text)
{
	struct imageref ref, again;
	struct err err;
	if (imageref_parse(text, a, &ref, &err) == 0) {
		const char *full = imageref_full(&ref, a);
		assert(imageref_parse(full, a, &again, &err) == 0);
		assert(str_eq(imageref_full(&again, a), full));
		assert(imageref_parse(imageref_familiar(&ref, a), a, &again, &err) == 0);
		assert(str_eq(imageref_full(&again, a), full));
	}
}

static void try_duration(const char *text)
{
	const char *why;
	char printed[40];
	int64_t ns, again;
	if (duration_parse(text, &ns, &why)) {
		duration_format(ns, printed);
		assert(duration_parse(printed, &again, &why) && again == ns);
	}
}

static void try_words(const char *text)
{
	AUTO_STRV struct strv words = { 0 };
	const char *rest;
	(void)shellwords_split(text, &words, &rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena *a = arena_new();
	char *text = n ? xstrndup((const char *)data + 1, n - 1) : NULL;
	struct short_volume volume;
	struct short_port *ports;
	struct err err;
	const char *why;
	size_t n_ports;
	int64_t bytes;
	switch (n ? data[0] % 9 : 255) {
	case 0: try_template(a, text); break;
	case 1: try_dotenv(a, (const char *)data + 1, n - 1, false); break;
	case 2: try_dotenv(a, (const char *)data + 1, n - 1, true); break;
	case 3: try_words(text); break;
	case 4: try_imageref(a, text); break;
	case 5: (void)short_port_parse(text, a, &ports, &n_ports, &err); break;
	case 6: (void)short_volume_parse(text, a, &volume, &why); break;
	case 7: try_duration(text); break;
	case 8: (void)bytes_parse(text, &bytes); break;
	default: break;
	}
	free(text);
	arena_free(a);
	return 0;
}
