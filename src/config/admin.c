/*
 * `admin`: where the administration listens, who may ask it, and what its clients may take.
 *
 * Whoever reaches it has control. A unix socket is its owner's alone, a loopback address is the machine's; any other address asks
 * everybody for a token.
 */
#include <stdio.h>

#include "base/units.h"
#include "config/read.h"

#define HOUR_US (3600 * US_PER_S)
#define PATH_ALLOWED "the path of a unix socket, with up to 107 bytes, that begins with '/'"

static bool address_is_local(const struct address *address)
{
	static const unsigned char v4[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
	static const unsigned char v6[16] = {[15] = 1};
	unsigned char bytes[16];

	return !address_bytes(address, bytes) || memcmp(bytes, v4, sizeof(v4)) == 0 ||
	       memcmp(bytes, v6, sizeof(v6)) == 0;
}

static void admin_address_read(struct load *l, const struct node *node, void *out)
{
	struct config_admin *admin = &((struct config *)out)->admin;

	config_place_read(l, node, &admin->address_place);
	address_read(l, node, &admin->address_text, &admin->address);
}

static void admin_unix_read(struct load *l, const struct node *node, void *out)
{
	struct config_admin *admin = &((struct config *)out)->admin;
	struct view path = text_read(l, node, PATH_ALLOWED);
	struct quoted q;

	config_place_read(l, node, &admin->unix_place);

	if (path.p == NULL)
		return;
	struct view text = load_keep(l, arena_printf(l->arena, "unix:%.*s", (int)path.n, path.p));

	if (path.n > 0 && *path.p == '/' && text.p != NULL && address_understand(text, &admin->unix_address))
		admin->unix_text = text;
	else
		complain(l, node, "found %s; allowed: " PATH_ALLOWED, quote(&q, path));
}

/* --- the token ---------------------------------------------------------------------------------------------------- */

static void admin_token_read(struct load *l, const struct node *node, void *out)
{
	token_read(l, node, &((struct config *)out)->admin.token);
}

static void admin_token_file_read(struct load *l, const struct node *node, void *out)
{
	struct config_admin *admin = &((struct config *)out)->admin;

	token_file_read(l, node, &admin->token_file, &admin->token);
}

/* --- who else ----------------------------------------------------------------------------------------------------- */

static void admin_host_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "a host name without a port, such as weir.internal";
	struct view text = text_read(l, node, allowed);
	struct quoted q;

	if (text.p == NULL)
		return;
	if (host_name_is_valid(text))
		*(struct view *)out = load_copy(l, text);
	else
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}

/* --- together ----------------------------------------------------------------------------------------------------- */

#define ADMIN(field) FIELD(struct config, admin.field)

static const struct key limits_keys[] = {
	{"connections", KEY_NUMBER, ADMIN(connections), .min = 1, .max = 1000, .preset = 32},
	{"streams", KEY_NUMBER, ADMIN(streams), .min = 1, .max = 1000, .preset = 8, .hint = "at most `connections`"},
	{"answer_bytes", KEY_SIZE, ADMIN(answer_bytes), .min = MIB, .max = GIB, .preset = 64 * MIB},
};
static const struct section limits_section = {KEYS(limits_keys)};

static const struct key timeouts_keys[] = {
	{"header", KEY_DURATION, ADMIN(header_us), .min = US_PER_MS, .max = HOUR_US, .preset = 10 * US_PER_S},
	{"keep_alive", KEY_DURATION, ADMIN(keep_alive_us), .min = US_PER_MS, .max = HOUR_US, .preset = 75 * US_PER_S},
	{"write_idle", KEY_DURATION, ADMIN(write_idle_us), .min = US_PER_MS, .max = HOUR_US, .preset = 10 * US_PER_S},
};
static const struct section timeouts_section = {KEYS(timeouts_keys)};

/* Streams are connections: a default that would be more gives way; what was asked for does not. */
static void streams_check(struct load *l, const struct node *map, struct config_admin *admin)
{
	const struct node *limits = node_find(map, VIEW("limits"));
	const struct node *streams = limits != NULL ? node_find(limits, VIEW("streams")) : NULL;

	if (admin->streams <= admin->connections)
		return;
	if (streams != NULL && !complained_of(l, streams))
		complain(l, streams, "found %u, which is more than `connections`, %u; raise those, or lower this",
			admin->streams, admin->connections);
	admin->streams = admin->connections;
}

static void token_check(struct load *l, const struct node *map, const struct config_admin *admin)
{
	const struct node *token = node_find(map, VIEW("token")), *file = node_find(map, VIEW("token_file"));
	const struct node *asked = file != NULL ? file : token, *address = node_find(map, VIEW("address"));
	bool has_address = admin->address_text.n > 0;
	struct quoted q;

	if (token != NULL && file != NULL)
		complain(l, file, "there is one token: write this, or `token`");
	if (asked != NULL && !complained_of(l, asked) && (has_address ? admin->address.u.any.sa_family == AF_UNIX : address == NULL))
		complain(l, asked, "nobody is asked for it: a unix socket is its owner's alone, by its permissions");
	if (asked == NULL && has_address && !address_is_local(&admin->address))
		complain(l, address,
			"found %s, which others can reach too, and whoever does has control; name a file with a token in "
			"`token_file`, or write a loopback address (127.0.0.1:9180, [::1]:9180)",
			quote(&q, admin->address_text));
}

static void admin_check(struct load *l, const struct node *map, void *out)
{
	struct config_admin *admin = &((struct config *)out)->admin;

	if (node_find(map, VIEW("address")) == NULL && node_find(map, VIEW("unix")) == NULL)
		complain_missing(l, map, "address", "this key is missing, or `unix`: there is no place where it would listen");
	token_check(l, map, admin);
	streams_check(l, map, admin);
}

static const struct key admin_keys[] = {
	{"address", KEY_OWN, .read = admin_address_read},
	{"unix", KEY_OWN, .read = admin_unix_read},
	{"token", KEY_OWN, .read = admin_token_read},
	{"token_file", KEY_OWN, .read = admin_token_file_read},
	{"hosts", KEY_LIST, ITEMS(struct config, admin.hosts, admin.host_count), .min = 1, .max = 32,
		.read = admin_host_read},
	{"limits", KEY_SECTION, .section = &limits_section},
	{"timeouts", KEY_SECTION, .section = &timeouts_section},
};

const struct section admin_section = {KEYS(admin_keys), .check = admin_check};

/* --- compared ----------------------------------------------------------------------------------------------------- */

static bool hosts_equal(const struct config_admin *a, const struct config_admin *b)
{
	for (size_t i = 0; i < a->host_count && i < b->host_count; i++)
		if (!view_eq(a->hosts[i], b->hosts[i]))
			return false;
	return a->host_count == b->host_count;
}

bool config_admin_equal(const struct config_admin *a, const struct config_admin *b)
{
	if (!a->enabled || !b->enabled)
		return a->enabled == b->enabled;
	return view_eq(a->address_text, b->address_text) && view_eq(a->unix_text, b->unix_text) &&
		view_eq(a->token, b->token) && hosts_equal(a, b) && a->connections == b->connections &&
		a->streams == b->streams && a->answer_bytes == b->answer_bytes && a->header_us == b->header_us && a->keep_alive_us == b->keep_alive_us &&
		a->write_idle_us == b->write_idle_us;
}
