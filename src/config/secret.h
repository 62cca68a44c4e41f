/*
 * What of a configuration is never shown, wherever it is printed: tokens, and header fields that carry such.
 */
#ifndef WEIR_CONFIG_SECRET_H
#define WEIR_CONFIG_SECRET_H

#include "config/read.h"

bool node_is_secret(const struct node *node);

/*
 * It is a text that is secret, or stands where a mapping or a list with such in it is expected, as a key does that was written without
 * its name: so it may well be one.
 */
bool node_may_be_secret(const struct node *node);

#endif
