import type * as engine from '@retrap/engine'

// The engine's values, written out so that the bundler inlines them; V8 loads constants of other packages wherever they are
// used. Their types hold them to the engine's.
export const RECORD_BYTES: typeof engine.RECORD_BYTES = 32
export const R_OP: typeof engine.R_OP = 0
export const R_OFFSET: typeof engine.R_OFFSET = 2
export const R_FUNCTION: typeof engine.R_FUNCTION = 4
export const R_LENGTH: typeof engine.R_LENGTH = 6
export const HOST_OF_FORM: typeof engine.HOST_OF_FORM = 0x1_0000
export const OP_CONTINUE: typeof engine.OP_CONTINUE = 0
export const OP_BITS: typeof engine.OP_BITS = 0x1fff
export const OP_DEAD: typeof engine.OP_DEAD = 0x8000
export const OP_LEAVE: typeof engine.OP_LEAVE = 2
export const OP_SYSTEM: typeof engine.OP_SYSTEM = 6
export const OP_CROSS: typeof engine.OP_CROSS = 7
export const OP_UNIT: typeof engine.OP_UNIT = 8

// The fields of x86's records, in the bytes that the engine leaves to the instruction set.
/** `ADDRESS_*`: how the effective address is made. 8 bits. */
export const R_ADDRESS = 7
/** State offsets of up to three register operands, in operand order. 16 bits each. */
export const R_REG0 = 8
export const R_REG1 = 10
/** The third; of x87 instructions, which have at most two, the opcode as FOP holds it. */
export const R_REG2 = 12
/** State offsets of base and index registers. 16 bits each. */
export const R_BASE = 14
export const R_INDEX = 16
/** log2 of the index scale. 8 bits. */
export const R_SCALE = 18
/** Segment register, 0–5, in bits 2:0; bit 7: R_DISP is `SEGMENT_LINK`. 8 bits. */
export const R_SEGMENT = 19
/**
 * The engine's link, for direct branches. Else the displacement,
 * sign-extended when used; for RIP-relative operands relative to the page. 32 bits.
 */
export const R_DISP: typeof engine.R_LINK = 20
/** R_SEGMENT of a record whose R_DISP is a link. */
export const SEGMENT_LINK = 0x80
/** Immediate: 64 bits, sign- or zero-extended as the form has it. Branches: see `OP_*`. */
export const R_IMM = 24
/** Of EVEX, whose immediates are bytes: state offset of the mask, 16 bits; `EVEX_*` of x86-decoder above the mask's number, 8 bits. */
export const R_MASK = 28
export const R_EVEX = 30

// R_ADDRESS. 0 is base + index·scale + disp, 64-bit, segment base zero; anything else has one bit for each departure.
/** The segment has a base (64-bit mode: FS, GS). */
export const ADDRESS_SEGMENT = 1
/** The offset is truncated to 32 bits. */
export const ADDRESS_32 = 2
/** The offset is truncated to 16 bits. */
export const ADDRESS_16 = 4
/** The displacement is the 64-bit immediate (MOV with a 64-bit memory offset). */
export const ADDRESS_DISP64 = 8
/** Not 64-bit mode: limits and rights of the segment are checked. */
export const ADDRESS_CHECKED = 16
