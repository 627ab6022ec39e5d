/* SPDX-License-Identifier: Apache-2.0 */
/* Tar headers as POSIX.1-2001 has them: USTAR where everything fits, else a PAX header in front with what does not. A name that is
 * no ASCII gets a record, as USTAR does not say what its bytes mean; one that is not even UTF-8 stands as it is in the header,
 * or, too long for that, behind hdrcharset=BINARY. */
#include <stdio.h>

#include "images/pack_impl.h"

struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8], typeflag, linkname[100], magic[6], version[2],
		uname[32], gname[32], devmajor[8], devminor[8], prefix[155], pad[12];
};
static_assert(sizeof(struct ustar) == 512, "a tar block");

enum { MAX_OCTAL_7 = 07777777 };
#define MAX_OCTAL_11 077777777777ULL

static void put_octal(char *field, size_t n, uint64_t v)
{
	field[n - 1] = '\0';
	for (size_t i = n - 1; i-- > 0; v >>= 3)
		field[i] = (char)('0' + (v & 7));
}

void pack_record(struct str *s, const char *key, const void *value, size_t n)
{
	const size_t rest = 1 + strlen(key) + 1 + n + 1;
	size_t total = rest + 1;
	char digits[24];
	while (rest + (size_t)snprintf(digits, sizeof(digits), "%zu", total) != total)
		total = rest + strlen(digits);
	str_addf(s, "%s %s=", digits, key);
	str_addn(s, value, n);
	str_addc(s, '\n');
}

static void record_int(struct str *s, const char *key, int64_t v)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)v);
	pack_record(s, key, text, strlen(text));
}

enum text_kind { TEXT_ASCII, TEXT_UTF8, TEXT_BYTES };

static enum text_kind kind_of(const char *text)
{
	enum text_kind kind = TEXT_ASCII;
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t n = str_utf8_len(p);
		if (n == 0)
			return TEXT_BYTES;
		if (n > 1)
			kind = TEXT_UTF8;
		p += n;
	}
	return kind;
}

/* Where path can be cut into a prefix of at most 155 and a name of at most 100 bytes: the slash; NULL when it cannot. */
static const char *split_path(const char *path, size_t n)
{
	for (const char *p = path + MIN(n - 1, (size_t)155); p > path; p--)
		if (*p == '/' && p[1])
			return n - (size_t)(p - path) - 1 <= 100 ? p : NULL;
	return NULL;
}

static void put_path(struct ustar *h, const char *path, bool *ret_long)
{
	const size_t n = strlen(path);
	const char *slash = n > sizeof(h->name) ? split_path(path, n) : NULL;
	*ret_long = n > sizeof(h->name) && !slash;
	if (slash) {
		memcpy(h->prefix, path, (size_t)(slash - path));
		memcpy(h->name, slash + 1, n - (size_t)(slash - path) - 1);
	} else {
		memcpy(h->name, path, MIN(n, sizeof(h->name)));
	}
}

/* The record of a name, when the header alone does not do. */
static void add_name(struct str *records, struct str *first, const char *key, const char *text, bool is_long)
{
	enum text_kind kind = kind_of(text);
	if (!is_long && kind != TEXT_UTF8)
		return;
	if (kind == TEXT_BYTES && !first->len)
		pack_record(first, "hdrcharset", "BINARY", 6);
	pack_record(records, key, text, strlen(text));
}

/* Fills a header; what does not fit goes to records. */
static void fill(struct ustar *h, const struct pack_entry *e, struct str *records)
{
	AUTO_STR struct str first = {0}, rest = {0};
	bool is_long;
	memset(h, 0, sizeof(*h));
	put_path(h, e->path, &is_long);
	add_name(&rest, &first, "path", e->path, is_long);
	if (e->link) {
		memcpy(h->linkname, e->link, MIN(strlen(e->link), sizeof(h->linkname)));
		add_name(&rest, &first, "linkpath", e->link, strlen(e->link) > sizeof(h->linkname));
	}
	put_octal(h->mode, sizeof(h->mode), e->mode & 07777);
	put_octal(h->uid, sizeof(h->uid), e->uid <= MAX_OCTAL_7 ? e->uid : 0);
	put_octal(h->gid, sizeof(h->gid), e->gid <= MAX_OCTAL_7 ? e->gid : 0);
	put_octal(h->size, sizeof(h->size), e->size <= MAX_OCTAL_11 ? e->size : 0);
	put_octal(h->mtime, sizeof(h->mtime), e->mtime_s >= 0 && (uint64_t)e->mtime_s <= MAX_OCTAL_11 ? (uint64_t)e->mtime_s : 0);
	if (e->uid > MAX_OCTAL_7)
		record_int(&rest, "uid", (int64_t)e->uid);
	if (e->gid > MAX_OCTAL_7)
		record_int(&rest, "gid", (int64_t)e->gid);
	if (e->size > MAX_OCTAL_11)
		record_int(&rest, "size", (int64_t)e->size);
	if (e->mtime_s < 0 || (uint64_t)e->mtime_s > MAX_OCTAL_11)
		record_int(&rest, "mtime", e->mtime_s);
	if (e->type == PACK_CHR || e->type == PACK_BLK) {
		put_octal(h->devmajor, sizeof(h->devmajor), e->major);
		put_octal(h->devminor, sizeof(h->devminor), e->minor);
	}
	h->typeflag = e->type;
	str_addn(records, str_get(&first), first.len);
	str_addn(records, str_get(&rest), rest.len);
	if (e->records)
		str_addn(records, str_get(e->records), e->records->len);
}

static void seal(struct ustar *h)
{
	unsigned sum = 0;
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memset(h->chksum, ' ', sizeof(h->chksum));
	for (size_t i = 0; i < sizeof(*h); i++)
		sum += ((const unsigned char *)h)[i];
	put_octal(h->chksum, 7, sum);
	h->chksum[7] = ' ';
}

void pack_header_text(struct str *ret, const struct pack_entry *e)
{
	static const char zeros[512];
	AUTO_STR struct str records = {0};
	struct ustar h, x = {0};
	fill(&h, e, &records);
	if (records.len) {
		memcpy(x.name, "PaxHeaders.0/entry", 18);
		put_octal(x.mode, sizeof(x.mode), 0644);
		put_octal(x.uid, sizeof(x.uid), 0);
		put_octal(x.gid, sizeof(x.gid), 0);
		put_octal(x.size, sizeof(x.size), records.len);
		put_octal(x.mtime, sizeof(x.mtime), 0);
		x.typeflag = 'x';
		seal(&x);
		str_addn(ret, &x, sizeof(x));
		str_addn(ret, records.p, records.len);
		str_addn(ret, zeros, -records.len & 511);
	}
	seal(&h);
	str_addn(ret, &h, sizeof(h));
}
