/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing over an insertion-ordered entry array; rebuilt when three quarters of the slots are taken. */
#include "base/map.h"

static size_t map_find(const struct map *m, const char *key, uint64_t hash, bool *ret_found)
{
	size_t i = hash & (m->n_slots - 1);
	for (;; i = (i + 1) & (m->n_slots - 1)) {
		const struct map_entry *e;
		if (!m->slots[i])
			break;
		e = &m->entries[m->slots[i] - 1];
		if (e->hash == hash && e->key && strcmp(e->key, key) == 0) {
			*ret_found = true;
			return i;
		}
	}
	*ret_found = false;
	return i;
}

/* Drops deleted entries and sizes the slot table for twice the live ones. */
static void map_rebuild(struct map *m)
{
	size_t live = 0;
	for (size_t i = 0; i < m->n_entries; i++)
		if (m->entries[i].key)
			m->entries[live++] = m->entries[i];
	m->n_entries = live;
	m->n_slots = 16;
	while (m->n_slots < 4 * (live + 1))
		m->n_slots *= 2;
	free(m->slots);
	m->slots = xcalloc(m->n_slots, sizeof(*m->slots));
	for (size_t i = 0; i < live; i++) {
		size_t s = m->entries[i].hash & (m->n_slots - 1);
		while (m->slots[s])
			s = (s + 1) & (m->n_slots - 1);
		m->slots[s] = (uint32_t)i + 1;
	}
}

void *map_get(const struct map *m, const char *key)
{
	bool found;
	size_t i;
	if (!m->n_slots)
		return NULL;
	i = map_find(m, key, hash_bytes(HASH_SEED, key, strlen(key)), &found);
	return found ? m->entries[m->slots[i] - 1].value : NULL;
}

void map_put(struct map *m, const char *key, void *value)
{
	uint64_t hash = hash_bytes(HASH_SEED, key, strlen(key));
	bool found;
	size_t i;
	if ((m->n_entries + 1) * 4 > m->n_slots * 3)
		map_rebuild(m);
	i = map_find(m, key, hash, &found);
	if (found) {
		m->entries[m->slots[i] - 1].value = value;
		return;
	}
	m->entries = vec_grow(m->entries, m->n_entries, &m->cap, sizeof(*m->entries));
	m->entries[m->n_entries++] = (struct map_entry){ xstrdup(key), value, hash };
	m->slots[i] = (uint32_t)m->n_entries;
	m->n++;
}

void *map_del(struct map *m, const char *key)
{
	struct map_entry *e;
	bool found;
	size_t i;
	if (!m->n_slots)
		return NULL;
	i = map_find(m, key, hash_bytes(HASH_SEED, key, strlen(key)), &found);
	if (!found)
		return NULL;
	e = &m->entries[m->slots[i] - 1];
	free(e->key);
	e->key = NULL;
	m->n--;
	return e->value;
}

void map_done(struct map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_entries; i++)
		free(m->entries[i].key);
	free(m->entries);
	free(m->slots);
	*m = (struct map){0};
}

struct map_entry *map_next(const struct map *m, const struct map_entry *prev)
{
	size_t i = prev ? (size_t)(prev - m->entries) + 1 : 0;
	for (; i < m->n_entries; i++)
		if (m->entries[i].key)
			return &m->entries[i];
	return NULL;
}
