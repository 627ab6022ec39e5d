/* SPDX-License-Identifier: Apache-2.0 */
/* json: {"id","status","text","details"}, the form of compose's own events. rawjson: the status messages of BuildKit's client (moby/buildkit
 * client.SolveStatus): vertexes with digest, name, started, completed, cached, error; logs with vertex, stream, data in base64, timestamp. The
 * digest of a vertex only ties these lines together. */
#include "compose/build_progress_json.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"

static void add_object(json_t *j, struct str *ret)
{
	AUTO_FREE char *text = json_dumps(j, JSON_COMPACT);
	if (text)
		str_addf(ret, "%s\n", text);
	json_decref(j);
}

void build_progress_json_state(const struct build_vertex *v, struct str *ret)
{
	static const char *const status[] = { "Working", "Done", "Done", "Error", "Error" };
	static const char *const text[] = { "Building", "Cached", "Built", "Error", "Canceled" };
	AUTO_FREE char *id = xasprintf("#%zu %s", v->number, v->name);
	json_t *j = json_pack("{s:o,s:s,s:s}", "id", json_text(id), "status", status[v->state], "text", text[v->state]);
	if (v->error)
		json_object_set_new(j, "details", json_text(v->error));
	add_object(j, ret);
}

void build_progress_json_log(const struct build_vertex *v, const char *line, struct str *ret)
{
	AUTO_FREE char *id = xasprintf("#%zu %s", v->number, v->name);
	add_object(json_pack("{s:o,s:s,s:s,s:o}", "id", json_text(id), "status", "Working", "text", "Output", "details", json_text(line)), ret);
}

void build_progress_json_note(const char *line, bool raw, struct str *ret)
{
	add_object(raw ? json_pack("{s:[{s:i,s:o}]}", "warnings", "level", 1, "short", json_text(line)) :
		   json_pack("{s:s,s:s,s:s,s:o}", "id", "muster", "status", "Working", "text", "Warning", "details", json_text(line)), ret);
}

/* RFC 3339 of a moment of the monotonic clock. */
static json_t *wall_time(uint64_t mono_ns)
{
	uint64_t ns = clock_real_ns() - (clock_mono_ns() - mono_ns);
	time_t s = (time_t)(ns / 1000000000);
	char buf[64];
	struct tm tm;
	size_t n = strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", gmtime_r(&s, &tm));
	snprintf(buf + n, sizeof(buf) - n, ".%09lluZ", (unsigned long long)(ns % 1000000000));
	return json_string(buf);
}

static json_t *vertex_digest(const struct build_vertex *v)
{
	AUTO_FREE char *key = xasprintf("%zu %zu %s", v->build, v->number, v->name);
	char hex[65], text[80];
	sha256_hex(key, strlen(key), hex);
	snprintf(text, sizeof(text), "sha256:%s", hex);
	return json_string(text);
}

void build_progress_rawjson_state(const struct build_vertex *v, struct str *ret)
{
	json_t *j = json_pack("{s:o,s:o,s:o}", "digest", vertex_digest(v), "name", json_text(v->name), "started", wall_time(v->start_ns));
	if (v->end_ns)
		json_object_set_new(j, "completed", wall_time(v->end_ns));
	if (v->state == BUILD_VERTEX_CACHED)
		json_object_set_new(j, "cached", json_true());
	if (v->state == BUILD_VERTEX_ERROR || v->state == BUILD_VERTEX_CANCELLED)
		json_object_set_new(j, "error", json_text(v->error ? v->error : "context canceled"));
	add_object(json_pack("{s:[o]}", "vertexes", j), ret);
}

static json_t *base64(const char *bytes, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	AUTO_STR struct str out = {0};
	const unsigned char *p = (const unsigned char *)bytes;
	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		str_addc(&out, digits[v >> 18]);
		str_addc(&out, digits[v >> 12 & 63]);
		str_addc(&out, i + 1 < n ? digits[v >> 6 & 63] : '=');
		str_addc(&out, i + 2 < n ? digits[v & 63] : '=');
	}
	return json_string(str_get(&out));
}

void build_progress_rawjson_log(const struct build_vertex *v, int stream, const char *bytes, size_t n, struct str *ret)
{
	add_object(json_pack("{s:[{s:o,s:i,s:o,s:o}]}", "logs", "vertex", vertex_digest(v), "stream", stream, "data", base64(bytes, n), "timestamp",
		wall_time(clock_mono_ns())), ret);
}
