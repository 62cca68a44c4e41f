/* See order.h. */
#include "control/order.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

#define NO_MEMORY "{\"error\":\"out_of_memory\",\"message\":\"there is no memory for the answer\"}"

static void order_free(struct control_order *order)
{
	list_remove(&order->all);
	order->orders->count--;
	free(order->text);
	free(order);
}

static void on_done(struct io_message *message)
{
	struct control_order *order = container_of(message, struct control_order, message);
	struct order_asker *asker = order->asker;

	if (asker != NULL) {
		asker->order = NULL;
		if (order->text != NULL)
			asker->on_done(asker, order->status, view_str(order->text));
		else
			asker->on_done(asker, 500, VIEW(NO_MEMORY));
	}
	order_free(order);
}

void orders_init(struct orders *orders, struct io *io, void (*wake)(void))
{
	*orders = (struct orders){.io = io, .wake = wake};
	CHECK(pthread_mutex_init(&orders->lock, NULL) == 0);
	list_init(&orders->given);
	list_init(&orders->all);
}

void orders_release(struct orders *orders)
{
	list_each_safe(&orders->all, node, next)
		order_free(container_of(node, struct control_order, all));
	pthread_mutex_destroy(&orders->lock);
}

bool orders_give(struct orders *orders, enum order_what what, struct view argument, const char *by,
	struct order_asker *asker)
{
	unsigned most = asker->by_unix ? ORDERS_MAX : ORDERS_MAX - ORDERS_OWNER;
	struct control_order *order = orders->count < most ? calloc(1, sizeof(*order)) : NULL;

	if (order == NULL)
		return false;
	order->what = what;
	order->orders = orders;
	order->asker = asker;
	order->message.on_receive = on_done;
	snprintf(order->argument, sizeof(order->argument), "%.*s", (int)argument.n, argument.p != NULL ? argument.p : "");
	snprintf(order->by, sizeof(order->by), "%s", by);
	asker->order = order;
	list_push_back(&orders->all, &order->all);
	orders->count++;
	pthread_mutex_lock(&orders->lock);
	list_push_back(&orders->given, &order->given);
	pthread_mutex_unlock(&orders->lock);
	orders->wake();
	return true;
}

void order_forget(struct order_asker *asker)
{
	if (asker->order != NULL)
		asker->order->asker = NULL;
	asker->order = NULL;
}

struct control_order *orders_next(struct orders *orders)
{
	pthread_mutex_lock(&orders->lock);
	struct list_node *node = list_pop_front(&orders->given);
	pthread_mutex_unlock(&orders->lock);

	return node != NULL ? container_of(node, struct control_order, given) : NULL;
}

/* Owns `text`; NULL: memory is out. */
static void order_end(struct control_order *order, unsigned status, char *text)
{
	order->status = status;
	order->text = text;
	io_post(order->orders->io, &order->message);
}

void order_done(struct control_order *order, unsigned status, const char *json)
{
	order_end(order, status, strdup(json));
}

void order_answer(struct control_order *order, unsigned status, json_t *json)
{
	char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	order_end(order, status, text);
}

void order_refuse(struct control_order *order, unsigned status, const char *error, const char *message)
{
	order_answer(order, status, json_pack("{s:s, s:s}", "error", error, "message", message));
}
