/** Names of registers, conditions and shifts in AArch32, in lower case, by number. */

/** General-purpose registers. */
export const REGISTERS_A32: readonly string[] = 'r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 sp lr pc'.split(' ')

/** Conditions; 14 (always) and 15 (no condition) are not written. */
export const CONDITIONS_A32: readonly string[] = [...'eq ne hs lo mi pl vs vc hi ls ge lt gt le'.split(' '), '', '']

/** Kinds of shift. */
export const SHIFTS_A32: readonly string[] = ['lsl', 'lsr', 'asr', 'ror', 'rrx']
