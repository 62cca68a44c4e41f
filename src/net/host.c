/* See host.h. */
#include "net/host.h"

#include <string.h>

#include "base/address.h"

/* --- sets ----------------------------------------------------------------------------------------------------------- */

/* 0.0.0.0 would be this machine, which is what lists of unwanted names say; the rest has many receivers. */
static bool is_usable(const unsigned char address[16])
{
	static const unsigned char unspecified[16], broadcast[4] = {255, 255, 255, 255};

	if (!address_bytes_is_ipv4(address))
		return memcmp(address, unspecified, sizeof(unspecified)) != 0 && address[0] != 0xff;
	const unsigned char *v4 = address + 12;

	return v4[0] != 0 && (v4[0] & 0xf0) != 224 && memcmp(v4, broadcast, sizeof(broadcast)) != 0;
}

/* IPv4 first. */
static int address_compare(const unsigned char a[16], const unsigned char b[16])
{
	bool a_is_ipv4 = address_bytes_is_ipv4(a), b_is_ipv4 = address_bytes_is_ipv4(b);

	if (a_is_ipv4 != b_is_ipv4)
		return a_is_ipv4 ? -1 : 1;
	return memcmp(a, b, 16);
}

bool host_addresses_add(struct host_addresses *set, const unsigned char address[16])
{
	size_t at = 0;

	if (!is_usable(address))
		return false;
	while (at < set->count && address_compare(set->items[at], address) < 0)
		at++;
	if (at == HOST_ADDRESSES_MAX || (at < set->count && address_compare(set->items[at], address) == 0))
		return true;
	if (set->count < HOST_ADDRESSES_MAX)
		set->count++;
	memmove(set->items[at + 1], set->items[at], (set->count - at - 1) * 16);
	memcpy(set->items[at], address, 16);
	return true;
}

bool host_addresses_eq(const struct host_addresses *a, const struct host_addresses *b)
{
	return a->count == b->count && memcmp(a->items, b->items, a->count * 16) == 0;
}

struct host_addresses host_all(const struct host *host)
{
	struct host_addresses all = host->known[HOST_V4];

	for (size_t i = 0; i < host->known[HOST_V6].count; i++)
		host_addresses_add(&all, host->known[HOST_V6].items[i]);
	return all;
}

/* --- settling ------------------------------------------------------------------------------------------------------- */

static uint32_t ttl_cut(uint32_t ttl_s)
{
	if (ttl_s == 0)
		return HOST_TTL_NONE_S;
	return ttl_s > HOST_TTL_MAX_S ? HOST_TTL_MAX_S : ttl_s;
}

static uint64_t retry_after_us(unsigned failures, uint64_t random)
{
	uint64_t us = HOST_RETRY_MIN_US;

	for (unsigned n = 1; n < failures && us < HOST_RETRY_MAX_US; n++)
		us *= 2;
	if (us > HOST_RETRY_MAX_US)
		us = HOST_RETRY_MAX_US;
	return us - random % (us / 2 + 1);
}

/* A question that failed leaves what was known of its family; the next attempt asks it again. */
static void learn(struct host *host, const struct host_answer answers[HOST_FAMILIES], uint64_t now_us)
{
	uint32_t ttl_s = HOST_TTL_MAX_S;

	for (int f = 0; f < HOST_FAMILIES; f++) {
		if (answers[f].result == HOST_FAILED)
			continue;
		host->known[f] = answers[f].addresses;
		if (answers[f].result == HOST_FOUND && ttl_cut(answers[f].ttl_s) < ttl_s)
			ttl_s = ttl_cut(answers[f].ttl_s);
	}
	host->failures = 0;
	host->trouble = NULL;
	host->due_us = now_us + ttl_s * US_PER_S;
}

/* A failure says more than that there is nothing. */
static const char *trouble_of(const struct host_answer answers[HOST_FAMILIES])
{
	return answers[HOST_V4].result <= answers[HOST_V6].result ? answers[HOST_V4].why : answers[HOST_V6].why;
}

bool host_hear(struct host *host, enum host_family family, const struct host_answer *answer)
{
	bool changed = host->trouble != NULL || !host_addresses_eq(&host->known[family], &answer->addresses);

	if (answer->result != HOST_FOUND)
		return false;
	host->known[family] = answer->addresses;
	host->trouble = NULL;
	return changed;
}

bool host_settle(struct host *host, const struct host_answer answers[HOST_FAMILIES], uint64_t now_us, uint64_t random)
{
	struct host_addresses before = host_all(host), after;
	const char *trouble = host->trouble;

	host->attempts++;
	if (answers[HOST_V4].result == HOST_FOUND || answers[HOST_V6].result == HOST_FOUND) {
		learn(host, answers, now_us);
	} else {
		host->failures++;
		host->trouble = trouble_of(answers);
		host->due_us = now_us + retry_after_us(host->failures, random);
	}
	after = host_all(host);
	return trouble != host->trouble || !host_addresses_eq(&before, &after);
}
