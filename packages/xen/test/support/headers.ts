/** Numbers of Xen's public headers, which several tests use. */

/** Errors, as calls return them (public/errno.h). */
export const E = { PERM: -1, NOENT: -2, SRCH: -3, FAULT: -14, EXIST: -17, INVAL: -22, NOSPC: -28, NOSYS: -38 } as const
/** DOMID_SELF. */
export const SELF = 0x7ff0
/** Of event_channel_op (public/event_channel.h). */
export const EVENT_OP = {
  bindInterdomain: 0,
  bindVirq: 1,
  bindPirq: 2,
  close: 3,
  send: 4,
  status: 5,
  allocUnbound: 6,
  bindIpi: 7,
  bindVcpu: 8,
  unmask: 9,
  reset: 10,
  initControl: 11,
  expandArray: 12,
  setPriority: 13,
} as const
