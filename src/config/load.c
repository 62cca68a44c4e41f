/*
 * The file as a whole: from bytes to a tree, from the tree to a model; the root's table of keys.
 *
 *     bytes --tree_read--> nodes --section_read--> struct config + complaints
 *
 * Both live in the model's arena: the tree of a file that is good stays, since reading it takes longer than all else together.
 *
 * The model stands at the beginning of what config_free() frees: its arena follows it (owned.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/units.h"
#include "config/owned.h"
#include "config/read.h"

#define SCRATCH_BYTES_MAX (128u << 20)

#define NO_MEMORY "there is not enough memory to read the file"

/* --- the root's keys -------------------------------------------------------------------------------------------- */

static void version_read(struct load *l, const struct node *node, void *out)
{
	struct quoted q;

	if (node->kind != NODE_TEXT || !view_eq(node->text, VIEW("1")))
		complain(l, node, "found %s; allowed: 1, the version of the format that is described here",
			node_describe(&q, node));
}

static void workers_read(struct load *l, const struct node *node, void *out)
{
	static const char allowed[] = "`auto` (one per processor), or a whole number from 1 to 256";
	struct view text = text_read(l, node, allowed);
	struct config *c = out;
	struct quoted q;
	uint64_t n;

	if (text.p == NULL || view_eq(text, VIEW("auto")))
		return;
	if (scalar_parse(UNIT_NONE, text, &n) == SCALAR_OK && n >= 1 && n <= CONFIG_WORKERS_MAX)
		c->workers = (unsigned)n;
	else
		complain(l, node, "found %s; allowed: %s", quote(&q, text), allowed);
}


static void root_check(struct load *l, const struct node *map, void *out)
{
	const struct node *upstreams = node_find(map, VIEW("upstreams"));
	const struct node *routes = node_find(map, VIEW("routes"));

	listeners_check(l, map);
	hosts_collect(l, upstreams);
	log_check(l, map);
	if (l->config->upstream_count > 0)
		names_check(l, upstreams, "the name");
	if (l->config->route_count > 0) {
		names_check(l, routes, "the name");
		routes_check(l, routes);
	}
}

/* Upstreams stand before routes, which refer to them. */
static const struct key root_keys[] = {
	{"version", KEY_OWN, .required = true, .read = version_read, .hint = "write `version: 1`"},
	{"workers", KEY_OWN, .read = workers_read},
	{"listeners", KEY_LIST, ITEMS(struct config, listeners, listener_count), .min = 1, .max = 64, .required = true,
		.section = &listener_section, .hint = "each says where clients connect: name, address"},
	{"upstreams", KEY_LIST, ITEMS(struct config, upstreams, upstream_count), .min = 1, .max = 1000,
		.section = &upstream_section, .hint = "each is a service: name, endpoints"},
	{"routes", KEY_LIST, ITEMS(struct config, routes, route_count), .min = 1, .max = 10000, .required = true,
		.section = &route_section,
		.hint = "each says what is done with some requests: name, match, and an action"},
	{"resolver", KEY_SECTION, FIELD(struct config, resolver), .section = &resolver_section},
	{"shedding", KEY_SWITCH, FIELD(struct config, shedding.enabled), .section = &shedding_section, .preset = true},
	{"tracing", KEY_SWITCH, FIELD(struct config, tracing.enabled), .section = &tracing_section, .preset = false},
	{"admin", KEY_SWITCH, FIELD(struct config, admin.enabled), .section = &admin_section, .preset = false},
	{"log", KEY_SECTION, .section = &log_section},
	{"drain_timeout", KEY_DURATION, FIELD(struct config, drain_timeout_us), .min = US_PER_MS,
		.max = 24 * 3600 * US_PER_S, .preset = 30 * US_PER_S},
	{"reload", KEY_SECTION, .section = &reload_section},
	{"zone", KEY_OWN, .read = gateway_zone_read},
};

const struct section root_section = {KEYS(root_keys), .check = root_check};

/* --- loading ---------------------------------------------------------------------------------------------------- */

static struct owned_config *config_create(const char *name)
{
	struct owned_config *owned = owned_config_create();

	if (owned == NULL)
		return NULL;
	owned->config.file = arena_printf(&owned->arena, "%s", name);
	log_preset(&owned->config.log);
	config_shedding_preset(&owned->config.shedding);
	return owned;
}

/* NULL: it cannot be read at all, or says nothing, which was complained of. */
static const struct node *root_read(struct load *l, struct view bytes)
{
	const struct node nothing = {.kind = NODE_TEXT, .plain = true, .line = 1, .column = 1};

	if (bytes.n > TREE_BYTES_MAX) {
		complain_whole(l->complaints, "", "the file is larger than %u MiB; split it", TREE_BYTES_MAX >> 20);
		return NULL;
	}
	/* Some editors begin every file with a byte order mark; libyaml reads it, but takes what follows for a second document. */
	if (view_starts(bytes, VIEW("\xef\xbb\xbf")))
		bytes = view_from(bytes, 3);
	const struct node *root = tree_read(l, bytes);
	if (root != NULL && !node_is_nothing(root))
		return root;
	if (!complained(l->complaints) && !l->exhausted)
		complain(l, &nothing, "the file says nothing; at least `version`, `listeners` and `routes` are needed");
	return NULL;
}

/* Fills the model, or complains. */
static void config_read(struct load *l, struct view bytes)
{
	const struct node *root = root_read(l, bytes);

	if (root != NULL)
		section_read(l, &root_section, root, l->config);
	if (root == NULL || complained(l->complaints) || l->exhausted)
		return;
	l->config->tree = root;
	l->config->content = config_content_hash(bytes);
}

/* What is wrong elsewhere is nobody's business here. */
static void admin_read(struct load *l, struct view bytes)
{
	const struct node *root = root_read(l, bytes);

	if (root == NULL)
		return;
	config_complaints_release(l->complaints);
	*l->complaints = (struct config_complaints){0};
	section_read_only(l, &root_section, VIEW("admin"), root, l->config);
}

void load_follow(const struct config_follower *follower, const char *path)
{
	if (follower != NULL)
		follower->on_file(follower->context, path);
}

/* What is read of a file. */
typedef void load_reader(struct load *l, struct view bytes);

static enum config_status load_bytes(const char *name, struct view bytes, load_reader *reader, const struct config_follower *follower,
	const struct config **out, struct config_complaints *complaints)
{
	struct owned_config *owned = config_create(name);
	struct config *config = owned != NULL ? &owned->config : NULL;
	struct arena scratch;

	*complaints = (struct config_complaints){0};
	arena_init(&scratch, NULL, 0, SCRATCH_BYTES_MAX);
	if (config != NULL) {
		struct load l = {config, &owned->arena, &scratch, complaints, follower, .exhausted = config->file.p == NULL};
		reader(&l, bytes);
		if (l.exhausted)
			complain_whole(complaints, "", NO_MEMORY);
		index_release(&l.upstreams);
	} else {
		complain_whole(complaints, "", NO_MEMORY);
	}
	arena_release(&scratch);
	config_complaints_sort(complaints);
	bool good = !complained(complaints);
	if (!good)
		config_free(config);
	*out = good ? config : NULL;
	return good ? CONFIG_OK : CONFIG_BAD;
}

enum config_status config_load_bytes(
	const char *name, struct view bytes, const struct config **out, struct config_complaints *complaints)
{
	return load_bytes(name, bytes, config_read, NULL, out, complaints);
}

enum config_status config_load_admin_bytes(
	const char *name, struct view bytes, const struct config **out, struct config_complaints *complaints)
{
	return load_bytes(name, bytes, admin_read, NULL, out, complaints);
}

/* All there is, but at most `max` bytes of it. -1 with errno when that fails. */
static ssize_t read_all(int fd, char *bytes, size_t max)
{
	size_t n = 0;
	ssize_t got = 1;

	while (n < max && got != 0) {
		got = read(fd, bytes + n, max - n);
		if (got < 0 && errno != EINTR)
			return -1;
		n += got > 0 ? (size_t)got : 0;
	}
	return (ssize_t)n;
}

/* Owns `fd`; -1: it could not be opened, and errno says why. */
static enum config_status load_descriptor(const char *path, int fd, load_reader *reader, const struct config_follower *follower,
	const struct config **out, struct config_complaints *complaints)
{
	enum config_status status = CONFIG_UNREADABLE;
	char *bytes = fd >= 0 ? malloc(TREE_BYTES_MAX + 1) : NULL;
	ssize_t n = bytes != NULL ? read_all(fd, bytes, TREE_BYTES_MAX + 1) : -1;

	if (n >= 0)
		status = load_bytes(path, view_of(bytes, (size_t)n), reader, follower, out, complaints);
	else
		complain_whole(complaints, "", "cannot be read: %s", strerror(errno));
	free(bytes);
	if (fd >= 0)
		close(fd);
	return status;
}

static enum config_status load_path(
	const char *path, load_reader *reader, const struct config **out, struct config_complaints *complaints)
{
	*out = NULL;
	*complaints = (struct config_complaints){0};
	return load_descriptor(path, open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), reader, NULL, out, complaints);
}

enum config_status config_load(const char *path, const struct config **out, struct config_complaints *complaints)
{
	return load_path(path, config_read, out, complaints);
}

enum config_status config_load_admin(const char *path, const struct config **out, struct config_complaints *complaints)
{
	return load_path(path, admin_read, out, complaints);
}

enum config_status config_load_again(const char *path, const struct config_follower *follower, const struct config **out,
	struct config_complaints *complaints)
{
	load_follow(follower, path);

	/* Opening a FIFO waits for its writer, unless it is told not to. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	*out = NULL;
	*complaints = (struct config_complaints){0};
	if (fd < 0 || fstat(fd, &st) != 0 || S_ISREG(st.st_mode))
		return load_descriptor(path, fd, config_read, follower, out, complaints);
	complain_whole(complaints, "", "cannot be read again: it is not a regular file");
	close(fd);
	return CONFIG_UNREADABLE;
}
