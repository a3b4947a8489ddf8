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
 * Direct branches, and `OP_NEXT`: machine address of the target's record once that is known, else 0. All records are dropped
 * together; one that is dead has the target looked up. Others: the instruction set's own. 32 bits.
 */
export const R_LINK = 20
/** Direct branches to other pages, with {@link R_LINK}: machine address of the slot table with the target's record. 32 bits. */
export const R_LINK_SLOTS = 12

/** Units: machine address of a list of the machine addresses that the code uses, 32 bits each. 32 bits. */
export const R_WORDS = 24
/** For an ended unit: the written frame. 32 bits. */
export const R_WRITTEN = 12

/** Continues at page base + {@link R_OFFSET}, wherever that leads now. */
export const OP_CONTINUE = 0
/** Ends a decoded run: continues by {@link R_LINK} once that is known. */
export const OP_NEXT = 1
/**
 * Bit of a dead record's {@link R_OP}. Dispatch executes such a record as {@link OP_CONTINUE}; the other bits keep the
 * former operation, for the instruction that is being executed.
 */
export const OP_DEAD = 0x8000
/**
 * Bit of the {@link R_OP} of a record that is not known to be executed: its execution takes the bit away. Set by a compiler of hot code,
 * which leaves out cold records.
 */
export const OP_COLD = 0x4000
/**
 * Bit of the {@link R_OP} of a record with a unit, to which its slot points: execution enters the unit, also from the preceding record
 * and by links. A unit that leaves at this record clears the bit, so that the record itself is executed.
 */
export const OP_HEAD = 0x2000
/** The operation in {@link R_OP}, without these bits. */
export const OP_BITS: number = OP_HEAD - 1
/** Leaves the interpreter with everything retired; the next instruction is at page base + {@link R_OFFSET}. */
export const OP_LEAVE = 2
/** Calls function {@link R_FUNCTION} of the table, which uses nothing that compiled code holds in locals; the next record follows. */
export const OP_CALL = 3
/** Calls a function that uses such state, for example flags: compiled code spills it to memory around the call. */
export const OP_CALL_SPILLED = 4
/** Calls function {@link R_FUNCTION} as {@link OP_CALL_SPILLED}; it may end with {@link STATUS_JUMP}. */
export const OP_CALL_CONTROL = 5
/** Calls host function {@link R_FUNCTION}. */
export const OP_SYSTEM = 6
/** Checks that the next page is still the one from which the following, page-crossing record was decoded. */
export const OP_CROSS = 7
/**
 * Enters the unit with function {@link R_FUNCTION} of the table; {@link R_LINK} is its first record, `R_WORDS` the
 * address of its words.
 */
export const OP_UNIT = 8
/** The first case that is an inlined form. */
export const OP_FIRST_FORM = 9

/**
 * Decodes instructions into records, for a {@link CodeCache}. An instruction set implements it; one object serves all
 * processors of a machine, and its fields describe the instruction decoded last.
 */
export interface RecordDecoder {
  /** Count of modes, numbered from 0: each decodes the same bytes differently. */
  readonly modes: number
  /**
   * A bit of offsets that names no byte, but tells instruction sets apart whose code the mode has; 0 or 1, and 0 where it is
   * absent. Instructions that have it begin at the byte before.
   */
  readonly tag?: number
  /** Bytes of the longest instruction. */
  readonly longestBytes: number
  /** Control never reaches the bytes after the last instruction: a jump, a return, or bytes that are no instruction. */
  readonly endsRun: boolean
  /** Whether the last record is a direct branch to another page, with {@link R_LINK} and `R_LINK_SLOTS`. */
  readonly isFarBranch?: boolean
  /** Count of bytes that decided the last instruction's decoding: its length, or more for invalid bytes. */
  readonly extentBytes: number
  /**
   * Decodes one instruction and writes its record.
   *
   * Bytes that are no instruction give a record that raises an exception, of length 1.
   *
   * @param bytes - holds the instruction; `start` and `end` are below 2^31
   * @param start - index of the first byte, and the bit {@link RecordDecoder.tag} of the offset
   * @param end - index after the last byte that may be read
   * @param mode - below {@link RecordDecoder.modes}
   * @param record - machine address of the record, whose 32 bytes are all written
   * @param offset - the instruction's {@link R_OFFSET}
   * @returns length in bytes; 0 if the instruction does not end before `end`
   */
  decode(bytes: Uint8Array, start: number, end: number, mode: number, record: number, offset: number): number
}
