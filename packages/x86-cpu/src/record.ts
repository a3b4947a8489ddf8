/**
 * A decoded instruction as the interpreter wants it: 32 bytes in machine memory. Records of a straight run of
 * instructions follow one another.
 */
export const RECORD_BYTES = 32

/** Which case of the interpreter's dispatch executes it; `OP_*` or a hot form. 16 bits. */
export const R_OP = 0
/** Offset of the instruction's first byte from the page's first. 16 bits. */
export const R_OFFSET = 2
/** Entry in the interpreter's table for a form that is not inline, or the index of a TypeScript handler. 16 bits. */
export const R_FUNCTION = 4
/** Length in bytes. 8 bits. */
export const R_LENGTH = 6
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
 * Branches within the page: machine address of the target's record once it is known, else 0. Both records die together.
 * Forms that may end with STATUS_HANDLER: the handler's index. Else the displacement, sign-extended when used; for RIP-relative operands relative to the page. 32 bits.
 */
export const R_DISP = 20
/** R_SEGMENT of a record whose R_DISP is a link. */
export const SEGMENT_LINK = 0x80
/** Immediate: 64 bits, sign- or zero-extended as the form has it. Branches: see `OP_*`. */
export const R_IMM = 24

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

// Dispatch cases that are not instructions.
/** Go on at page base + R_OFFSET: the end of a decoded run. */
export const OP_CONTINUE = 0
/**
 * Bit of a dead record's R_OP. Dispatch takes such a record for OP_CONTINUE; the other bits tell what it was, for the
 * instruction that is being executed.
 */
export const OP_DEAD = 0x8000
/** Leave with everything retired; the next instruction is at page base + R_OFFSET. */
export const OP_LEAVE = 1
/** Call R_FUNCTION of the table: neither reads nor writes flags, next instruction follows. */
export const OP_CALL = 2
/** The same, with the lazy flags in memory around it. */
export const OP_CALL_FLAGS = 3
/** The same, with the lazy flags in memory around it; it may end with STATUS_JUMP. */
export const OP_CALL_CONTROL = 4
/** Call TypeScript handler R_FUNCTION. */
export const OP_SYSTEM = 5
/** Check that the next page still holds what the following, page-crossing record was decoded from. */
export const OP_CROSS = 6
/** The first case that is a form of an instruction. */
export const OP_FIRST_FORM = 7
