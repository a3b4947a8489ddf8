/** Bytes of a KiB. */
export const KIB = 1024
/** Bytes of a MiB. */
export const MIB: number = 1024 * KIB
/** Bytes of a GiB. */
export const GIB: number = 1024 * MIB
/** 2^32: the weight of a 64-bit number's upper word. */
export const TWO_32 = 0x1_0000_0000
/** The end of the addresses of 32 bits: 4 GiB. */
export const FOUR_GIB: number = 4 * GIB
