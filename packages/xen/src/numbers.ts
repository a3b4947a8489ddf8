/*
 * Numbers of Xen's guest interface: public headers xen.h, errno.h, features.h and version.h, of Xen 4.17.
 */

/** The Xen that the guest sees. */
export const XEN_MAJOR = 4
export const XEN_MINOR = 17

/** Hypercall numbers, `__HYPERVISOR_*`. */
export const Hypercall = {
  MEMORY_OP: 12,
  MULTICALL: 13,
  SET_TIMER_OP: 15,
  XEN_VERSION: 17,
  CONSOLE_IO: 18,
  GRANT_TABLE_OP: 20,
  VM_ASSIST: 21,
  IRET: 23,
  VCPU_OP: 24,
  XSM_OP: 27,
  SCHED_OP: 29,
  EVENT_CHANNEL_OP: 32,
  PHYSDEV_OP: 33,
  HVM_OP: 34,
  ARGO_OP: 39,
} as const

/** Errors as handlers return them, `-XEN_E*` (public header errno.h). */
export const XenErrno = {
  PERM: -1,
  NOENT: -2,
  SRCH: -3,
  NXIO: -6,
  TOOBIG: -7,
  NOMEM: -12,
  ACCES: -13,
  FAULT: -14,
  BUSY: -16,
  EXIST: -17,
  XDEV: -18,
  INVAL: -22,
  NOSPC: -28,
  DOM: -33,
  RANGE: -34,
  NOSYS: -38,
  TIME: -62,
  OVERFLOW: -75,
  ILSEQ: -84,
  OPNOTSUPP: -95,
} as const

/** Domain numbers with a meaning: the calling domain; the toolstack's, which a guest has no rights over. */
export const Domid = { SELF: 0x7ff0, TOOLSTACK: 0 } as const

/** Bits of the answer to `XENVER_get_features` (public header features.h). */
export const XenFeature = {
  WRITABLE_PAGE_TABLES: 0,
  AUTO_TRANSLATED_PHYSMAP: 2,
  HVM_CALLBACK_VECTOR: 8,
  HVM_SAFE_PVCLOCK: 9,
  HVM_PIRQS: 10,
  MEMORY_OP_VNODE_SUPPORTED: 13,
  ARM_SMCCC_SUPPORTED: 14,
  NOT_DIRECT_MAPPED: 16,
} as const
