/*
 * Telling the service manager how we are: sd_notify(3)'s protocol, datagrams to the socket that NOTIFY_SOCKET names. Without it
 * nothing is told. What cannot be sent is lost: nobody is to wait for it.
 */
#ifndef WEIR_APP_NOTIFY_H
#define WEIR_APP_NOTIFY_H

/* Lines such as "READY=1", each but the last with a newline; at most 255 bytes. */
__attribute__((format(printf, 1, 2))) void notify(const char *format, ...);

/* "RELOADING=1", with the time that systemd asks for beside it. */
void notify_reloading(void);

#endif
