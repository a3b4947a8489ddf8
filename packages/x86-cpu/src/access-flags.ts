/** Flags word of a memory or port access: the size in bytes in bits 7:0, then these. */
export const SLOW_WRITE = 0x100
/** A read whose location the same instruction will write: write permission is checked. */
export const SLOW_MODIFY = 0x200
/** Nothing can fail after this access and it is the only one: a synchronous device may be called straight through. */
export const SLOW_DIRECT = 0x400
/** The address is relative to SS: a non-canonical one is #SS. */
export const SLOW_STACK = 0x800
/** Implicit supervisor access, whatever the CPL. */
export const SLOW_IMPLICIT = 0x1000
/** Only check the translation: nothing is read or written. */
export const SLOW_PROBE = 0x2000
/**
 * Several pushes (with SLOW_WRITE) or pops in one access. Bits 18:16 hold the logarithm of the size of each, which is at
 * least 2. A device receives them one by one, in the processor's order: pushes from the highest address down.
 */
export const SLOW_PARTS_SHIFT = 16
