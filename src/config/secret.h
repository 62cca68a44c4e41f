/*
 * What of a configuration is never shown, wherever it is printed: tokens, and header fields that carry such.
 */
#ifndef WEIR_CONFIG_SECRET_H
#define WEIR_CONFIG_SECRET_H

#include "config/read.h"

bool node_is_secret(const struct node *node);

#endif
