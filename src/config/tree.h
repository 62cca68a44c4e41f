/*
 * The file as a tree of our own: texts, lists and mappings, each knowing where it stands.
 *
 * A node knows its parent and its place there, so that a complaint about it can name both the line and the path
 * ("upstreams[0].pool.max_connections") without anybody carrying a path along.
 *
 * Bounds: 4 MiB of text, 32 levels, 200,000 nodes, 256 keys in a mapping, one document. Anchors, aliases and tags are
 * refused; a key that stands twice in a mapping is complained about and the first one counts.
 */
#ifndef WEIR_CONFIG_TREE_H
#define WEIR_CONFIG_TREE_H

#include "base/arena.h"
#include "base/view.h"

#define TREE_BYTES_MAX (4u << 20)
#define TREE_DEPTH_MAX 32
#define TREE_NODES_MAX 200000
#define TREE_KEYS_MAX 256

struct load;

enum node_kind {
	NODE_TEXT,
	NODE_LIST,
	NODE_MAP,
	NODE_REFUSED,              /* stood for something that was complained about: passed over in silence */
};

struct node {
	enum node_kind kind;
	bool plain;                /* TEXT: written without quotes */
	bool troubled;             /* something below it has been complained about */
	unsigned line, column;     /* of the value; 1-based */
	unsigned key_line, key_column;  /* of the key, in a mapping; else 0 */
	unsigned index;            /* position in the parent */
	unsigned count;            /* children */
	struct view text;          /* TEXT */
	struct view key;           /* in a mapping; p == NULL in a list and at the root */
	struct node *parent;
	struct node *first, *last; /* children, in the order of the file */
	struct node *next;
};

/* Reads `bytes` into a tree in l->arena. NULL when it is not one readable document; complained about then. */
struct node *tree_read(struct load *l, struct view bytes);

/* The value of the first `key` of a mapping, NULL when there is none (or `map` is no mapping). */
const struct node *node_find(const struct node *map, struct view key);

/* A plain empty value: `key:` with nothing behind it. */
static inline bool node_is_nothing(const struct node *node)
{
	return node->kind == NODE_TEXT && node->plain && node->text.n == 0;
}

/* `child` is what the loop declares. */
#define node_each(parent, child) \
	for (const struct node *child = (parent)->first; child != NULL; child = child->next)

#endif
