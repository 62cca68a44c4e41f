/* Address blocks: who is trusted, who may come. */
#include <arpa/inet.h>
#include <stdio.h>

#include "config/read.h"

/* "10.0.0.0/8", "::1/128", or an address alone. */
static bool cidr_parse(struct view text, struct config_cidr *cidr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const char *slash = memchr(text.p, '/', text.n);
	size_t n = slash != NULL ? (size_t)(slash - text.p) : text.n;
	char z[INET6_ADDRSTRLEN];
	uint64_t prefix;

	if (n >= sizeof(z) || memchr(text.p, '\0', n) != NULL)
		return false;
	snprintf(z, sizeof(z), "%.*s", (int)n, text.p);
	bool v4 = inet_pton(AF_INET, z, cidr->address + 12) == 1;
	if (v4)
		memcpy(cidr->address, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, z, cidr->address) != 1)
		return false;
	prefix = v4 ? 32 : 128;
	if (slash != NULL && (!view_parse_u64(view_from(text, n + 1), &prefix) || prefix > (v4 ? 32u : 128u)))
		return false;
	cidr->prefix = (uint8_t)(prefix + (v4 ? 96 : 0));
	return true;
}

/* Whether a bit behind the prefix is set: then it is not clear which block is meant. */
static bool cidr_has_host_bits(const struct config_cidr *cidr)
{
	for (unsigned bit = cidr->prefix; bit < 128; bit++)
		if (cidr->address[bit / 8] & (0x80u >> bit % 8))
			return true;
	return false;
}

void cidr_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "an address block such as 10.0.0.0/8 or fd00::/8, or one address";
	struct view text = text_read(l, node, allowed);
	struct config_cidr *cidr = out;
	struct quoted q;

	if (text.p == NULL)
		return;
	if (!cidr_parse(text, cidr))
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
	else if (cidr_has_host_bits(cidr))
		complain(l, node,
			"found %s, which has bits behind its prefix; write the block's first address, or one address "
			"without a prefix",
			quote(&q, text));
}
