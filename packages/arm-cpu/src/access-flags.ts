/** What an access is, for the host: its bytes in the low eight bits, and these. */

/** A write. */
export const ACCESS_WRITE = 0x100
/** As EL0 would make it, whatever the exception level: LDTR, STTR. */
export const ACCESS_UNPRIVILEGED = 0x200
/** Must be aligned to its bytes, whatever SCTLR_ELx.A says: exclusives, atomics, ordered accesses. */
export const ACCESS_ALIGNED = 0x400
/** It will be written as well: the page must be writable, and a fault is one of a write. */
export const ACCESS_MODIFY = 0x800
/** log2 of the bytes of an element, where there are several. */
export const ACCESS_ELEMENT_SHIFT = 12
