/* See listener_books.h. */
#include "gateway/listener_books.h"

#include <stdlib.h>

void listener_books_sweep(struct list *all)
{
	list_each_safe(all, node, next) {
		struct listener_book *book = container_of(node, struct listener_book, node);

		if (atomic_load_explicit(&book->references, memory_order_acquire) != 0)
			continue;
		list_remove(node);
		free(book);
	}
}

/* Books with higher numbers stand behind. */
static uint32_t next_number(const struct list *all)
{
	return list_empty(all) ? 1 : container_of(all->head.prev, struct listener_book, node)->number + 1;
}

static struct listener_book *book_find(struct list *all, const struct address *address)
{
	list_each_safe(all, node, next) {
		struct listener_book *book = container_of(node, struct listener_book, node);

		if (address_eq(&book->address, address))
			return book;
	}
	return NULL;
}

static struct listener_book *book_create(struct list *all, const struct address *address)
{
	struct listener_book *book = calloc(1, sizeof(*book));

	if (book == NULL)
		return NULL;
	book->address = *address;
	book->number = next_number(all);
	list_push_back(all, &book->node);
	return book;
}

struct listener_book **listener_books_claim(struct list *all, const struct config *config)
{
	struct listener_book **books = calloc(config->listener_count + 1, sizeof(struct listener_book *));

	for (size_t i = 0; books != NULL && i < config->listener_count; i++) {
		books[i] = book_find(all, &config->listeners[i].address);
		if (books[i] == NULL)
			books[i] = book_create(all, &config->listeners[i].address);
		if (books[i] == NULL) {
			listener_books_drop(books, i);
			return NULL;
		}
		atomic_fetch_add_explicit(&books[i]->references, 1, memory_order_relaxed);
	}
	return books;
}

void listener_books_drop(struct listener_book **books, size_t count)
{
	for (size_t i = 0; books != NULL && i < count; i++)
		atomic_fetch_sub_explicit(&books[i]->references, 1, memory_order_release);
	free(books);
}
