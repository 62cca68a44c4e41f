/*
 * The system's own account of itself, as text (proc(5)). Reading it makes system calls: not for a worker's thread.
 */
#ifndef WEIR_CONTROL_PROC_H
#define WEIR_CONTROL_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The file's first bytes, as many as there is room for, with a NUL behind them. False when it cannot be had. */
bool proc_read(const char *path, char *to, size_t room);

/* The number behind `skip` words that blanks or tabs set apart, on the first line of `text`; 0 when there is none. */
uint64_t proc_number(const char *text, unsigned skip);

/* What stands behind `name` and a blank or colon at the beginning of a line; NULL: no line begins so. */
const char *proc_line(const char *text, const char *name);

/*
 * The number that a table of two lines, names and values, has under this name; 0 when it has none:
 *
 *     TcpExt: SyncookiesSent SyncookiesRecv
 *     TcpExt: 17 4
 */
uint64_t proc_column(const char *text, const char *table, const char *name);

#endif
