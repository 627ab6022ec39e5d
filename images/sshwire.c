/* SPDX-License-Identifier: Apache-2.0 */
/* See sshwire.h. Nothing is copied when reading; lengths are compared with what is there. */
#include "images/sshwire.h"

void sshwire_put32(struct str *s, uint64_t n)
{
	const unsigned char b[4] = { (unsigned char)(n >> 24), (unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n };
	str_addn(s, b, sizeof(b));
}

void sshwire_put_string(struct str *s, const void *p, size_t n)
{
	sshwire_put32(s, n);
	str_addn(s, p, n);
}

void sshwire_put_mpint(struct str *s, const unsigned char *p, size_t n)
{
	while (n && !*p) {
		p++;
		n--;
	}
	sshwire_put32(s, n + (n && *p & 0x80));
	if (n && *p & 0x80)
		str_addc(s, '\0');
	str_addn(s, p, n);
}

int sshwire_get32(struct sshwire_reader *r, uint32_t *ret)
{
	if (r->n < 4)
		return -1;
	*ret = (uint32_t)r->p[0] << 24 | (uint32_t)r->p[1] << 16 | (uint32_t)r->p[2] << 8 | r->p[3];
	r->p += 4;
	r->n -= 4;
	return 0;
}

int sshwire_get_string(struct sshwire_reader *r, struct sshwire_reader *ret)
{
	uint32_t n;
	if (sshwire_get32(r, &n) < 0 || n > r->n)
		return -1;
	*ret = (struct sshwire_reader){ r->p, n };
	r->p += n;
	r->n -= n;
	return 0;
}
