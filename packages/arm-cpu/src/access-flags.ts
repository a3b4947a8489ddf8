/** The description of an access for the host: its bytes in the low eight bits, and these. */

/** A write. */
export const ACCESS_WRITE = 0x100
/** As EL0 would make it, whatever the exception level: LDTR, STTR. */
export const ACCESS_UNPRIVILEGED = 0x200
/** Must be aligned to its bytes, whatever SCTLR_ELx.A says: exclusives, atomics, ordered accesses. */
export const ACCESS_ALIGNED = 0x400
/**
 * The access is made in place: the host says at which machine address, and is told when it is done ({@link ACCESS_DONE}). Memory
 * is read and written, unless `ACCESS_WRITE` says that it is only written.
 */
export const ACCESS_MODIFY = 0x800
/** A write in place is done: the address is that in machine memory. */
export const ACCESS_DONE = 0x1_0000
/** Cache maintenance: nothing but the translation is needed. */
export const ACCESS_CACHE = 0x2_0000
/** The whole block, a power of two of bytes, that the address lies in. */
export const ACCESS_BLOCK = 0x4_0000
/** log2 of the bytes of an element, where there are several. */
export const ACCESS_ELEMENT_SHIFT = 12
