/*
 * `access`: who may come, by address.
 *
 * The smallest block that has an address decides, whichever list it stands in, as in a routing table; so an order has no meaning, and
 * exceptions nest. What no block has is refused where there is an `allow`, and passes where there is only a `deny`.
 *
 * Blocks are apart or inside each other, so all of them together cut the addresses into ranges, each with one verdict. Whoever is
 * asked later searches these by halves:
 *
 *     allow 10.0.0.0/8, deny 10.1.0.0/16     0.0.0.0 no | 10.0.0.0 yes | 10.1.0.0 no | 10.2.0.0 yes | 11.0.0.0 no
 *
 * IPv4 and IPv6 have ranges of their own: ::/0 is all of IPv6 and nothing of IPv4, whose addresses are written as IPv6 here.
 */
#include <stdlib.h>

#include "config/filters.h"

struct block {
	const struct config_cidr *cidr;
	const struct node *at;
	bool allows;
	const struct block *around;    /* the smallest one that it is inside of; NULL: none */
};

/* --- gathering ------------------------------------------------------------------------------------------------------- */

static size_t blocks_gather(struct load *l, const struct node *list, const struct config_cidr *cidrs, struct block *to)
{
	size_t n = 0;

	node_each(list, child)
		if (!complained_of(l, child))
			to[n++] = (struct block){.cidr = &cidrs[child->index], .at = child};
	return n;
}

/* By address, the larger first; what is the same in the order of the file. */
static int block_compare(const void *x, const void *y)
{
	const struct block *a = x, *b = y;
	int order = memcmp(a->cidr->address, b->cidr->address, sizeof(a->cidr->address));

	if (order == 0)
		order = a->cidr->prefix - b->cidr->prefix;
	if (order == 0)
		order = (a->at->line > b->at->line) - (a->at->line < b->at->line);
	return order != 0 ? order : (a->at->column > b->at->column) - (a->at->column < b->at->column);
}

static void twice_check(struct load *l, const struct block *blocks, size_t count)
{
	struct quoted q;

	for (size_t i = 1; i < count; i++)
		if (blocks[i].cidr->prefix == blocks[i - 1].cidr->prefix &&
			memcmp(blocks[i].cidr->address, blocks[i - 1].cidr->address, sizeof(blocks[i].cidr->address)) == 0)
			complain(l, blocks[i].at, "found %s, which is %s at line %u already; take one of them out",
				quote(&q, blocks[i].at->text), blocks[i - 1].allows ? "allowed" : "denied", blocks[i - 1].at->line);
}

/* --- cutting --------------------------------------------------------------------------------------------------------- */

static bool cidr_is_ipv4(const struct config_cidr *cidr)
{
	return cidr->prefix >= 96 && address_bytes_is_ipv4(cidr->address);
}

/* The first address behind the block. False: there is none. */
static bool cidr_end(const struct config_cidr *cidr, unsigned char end[16])
{
	unsigned at = cidr->prefix;

	memcpy(end, cidr->address, 16);
	/* One is added in the place of the prefix's last bit, and carried. */
	while (at-- > 0) {
		end[at / 8] ^= (unsigned char)(0x80u >> at % 8);
		if (end[at / 8] & 0x80u >> at % 8)
			return true;
	}
	return false;
}

static bool cidr_has(const struct config_cidr *cidr, const unsigned char address[16])
{
	unsigned char end[16];

	return memcmp(cidr->address, address, 16) <= 0 && (!cidr_end(cidr, end) || memcmp(address, end, 16) < 0);
}

/* From this address on. What begins where the one before begins takes its place. */
static void range_put(struct config_access_ranges *to, const unsigned char from[16], bool allows)
{
	struct config_access_range *last = to->count > 0 ? &to->ranges[to->count - 1] : NULL;

	if (last == NULL || memcmp(last->from, from, 16) != 0)
		last = &to->ranges[to->count++];
	memcpy(last->from, from, 16);
	last->allows = allows;
}

/* Out of all blocks that do not have `address` (NULL: of all): behind each, what is around it decides. */
static const struct block *leave(
	struct config_access_ranges *to, const struct block *in, const unsigned char *address, bool otherwise)
{
	unsigned char end[16];

	while (in != NULL && (address == NULL || !cidr_has(in->cidr, address))) {
		const struct block *around = in->around;

		if (cidr_end(in->cidr, end))
			range_put(to, end, around != NULL ? around->allows : otherwise);
		in = around;
	}
	return in;
}

/* Of one family. The blocks are in their order. */
static void ranges_cut(struct load *l, struct block *blocks, size_t count, bool ipv4, struct config_access *access)
{
	static const unsigned char first[16];
	struct config_access_ranges *to = &access->ranges[ipv4];
	bool otherwise = access->allow_count == 0;
	const struct block *in = NULL;

	to->ranges = load_alloc(l, (2 * count + 1) * sizeof(*to->ranges));
	if (to->ranges == NULL)
		return;
	range_put(to, first, otherwise);
	for (size_t i = 0; i < count; i++) {
		if (cidr_is_ipv4(blocks[i].cidr) != ipv4)
			continue;
		blocks[i].around = in = leave(to, in, blocks[i].cidr->address, otherwise);
		range_put(to, blocks[i].cidr->address, blocks[i].allows);
		in = &blocks[i];
	}
	leave(to, in, NULL, otherwise);
}

/* --- the section ----------------------------------------------------------------------------------------------------- */

static void access_check(struct load *l, const struct node *map, void *out)
{
	struct config_access *access = &((struct config_filter *)out)->u.access;
	const struct node *allow = node_find(map, VIEW("allow")), *deny = node_find(map, VIEW("deny"));
	struct block *blocks = arena_alloc(l->scratch, (access->allow_count + access->deny_count + 1) * sizeof(*blocks));
	size_t count = 0;

	if (allow == NULL && deny == NULL)
		complain_missing(l, map, "allow", "this key is missing, or `deny`: it would have nothing to decide by");
	if (blocks == NULL) {
		l->exhausted = true;
		return;
	}
	if (access->allow_count > 0)
		count = blocks_gather(l, allow, access->allow, blocks);
	for (size_t i = 0; i < count; i++)
		blocks[i].allows = true;
	if (access->deny_count > 0)
		count += blocks_gather(l, deny, access->deny, blocks + count);
	qsort(blocks, count, sizeof(*blocks), block_compare);
	twice_check(l, blocks, count);
	ranges_cut(l, blocks, count, false, access);
	ranges_cut(l, blocks, count, true, access);
}

#define ACCESS_BLOCKS(list, count) \
	KEY_LIST, ITEMS(struct config_filter, u.access.list, u.access.count), .min = 1, .max = CONFIG_ACCESS_BLOCKS_MAX, \
		.read = cidr_read, .hint = "each is an address block"

static const struct key access_keys[] = {
	{"allow", ACCESS_BLOCKS(allow, allow_count)},
	{"deny", ACCESS_BLOCKS(deny, deny_count)},
};

const struct section access_section = {KEYS(access_keys), .check = access_check};

/* --- asking ---------------------------------------------------------------------------------------------------------- */

bool config_access_allows(const struct config_access *access, const unsigned char *address)
{
	const struct config_access_ranges *all;
	size_t low = 0, high;

	if (address == NULL)
		return access->allow_count == 0;
	all = &access->ranges[address_bytes_is_ipv4(address)];
	/* The range is at `low` or behind it, and before `high`. */
	high = all->count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(all->ranges[middle].from, address, 16) <= 0)
			low = middle;
		else
			high = middle;
	}
	return all->ranges[low].allows;
}
