/**
 * A record: one decoded instruction as the interpreter executes it, 32 bytes in machine memory. The records of a straight
 * run of instructions follow one another.
 *
 * The fields here are the ones that every instruction set has. Bytes 7 to 19 and 24 to 31 are the instruction set's own.
 */
export const RECORD_BYTES = 32

/** Case of the interpreter's dispatch that executes the record: `OP_*`, or an inlined form. 16 bits. */
export const R_OP = 0
/** Offset of the instruction's first byte from the first byte of its page. 16 bits. */
export const R_OFFSET = 2
/** Entry of the interpreter's function table for a form that is not inlined, or the number of a host function. 16 bits. */
export const R_FUNCTION = 4
/** Added to the entry of a form's function: the host function to which {@link STATUS_HANDLER} leaves the instruction. */
export const HOST_OF_FORM = 0x1_0000
/** Length of the instruction in bytes. 8 bits. */
export const R_LENGTH = 6
/**
 * Branches within the page: machine address of the target's record once that is known, else 0; both records die together.
 * Others: the instruction set's own. 32 bits.
 */
export const R_LINK = 20

/** Of a unit: machine address of the machine addresses that its code uses, 32 bits each. 32 bits. */
export const R_WORDS = 24
/** Of a unit: the number of the entry of its code by which it is entered; the number of the entry's page in bits 16 to 31. 32 bits. */
export const R_ENTRY = 16
/** Of a unit that has ended: the frame that was written. 32 bits. */
export const R_WRITTEN = 12

/** Continues at page base + {@link R_OFFSET}: the end of a decoded run. */
export const OP_CONTINUE = 0
/**
 * Bit of a dead record's {@link R_OP}. Dispatch executes such a record as {@link OP_CONTINUE}; the other bits keep the
 * former operation, for the instruction that is being executed.
 */
export const OP_DEAD = 0x8000
/**
 * Bit of the {@link R_OP} of a record that is not known to be executed: its execution takes the bit away. Set by a compiler of hot code,
 * which leaves out what is cold.
 */
export const OP_COLD = 0x4000
/** Leaves the interpreter with everything retired; the next instruction is at page base + {@link R_OFFSET}. */
export const OP_LEAVE = 1
/** Calls function {@link R_FUNCTION} of the table, which uses no held state; the next record follows. */
export const OP_CALL = 2
/** Calls function {@link R_FUNCTION}, with the held state in memory around the call; the next record follows. */
export const OP_CALL_SPILLED = 3
/** Calls function {@link R_FUNCTION} as {@link OP_CALL_SPILLED}; it may end with {@link STATUS_JUMP}. */
export const OP_CALL_CONTROL = 4
/** Calls host function {@link R_FUNCTION}. */
export const OP_SYSTEM = 5
/** Checks that the next page is still the one from which the following, page-crossing record was decoded. */
export const OP_CROSS = 6
/**
 * Enters the unit that is function {@link R_FUNCTION} of the table; {@link R_LINK} is the record that it begins with,
 * `R_WORDS` where its words are.
 */
export const OP_UNIT = 7
/** The first case that is an inlined form. */
export const OP_FIRST_FORM = 8
