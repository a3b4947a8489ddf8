/**
 * Decodes instructions into records, for a {@link CodeCache}. An instruction set implements it; one object serves all
 * processors of a machine, and its fields describe the instruction decoded last.
 */
export interface RecordDecoder {
  /** Count of modes, numbered from 0: each decodes the same bytes to instructions of its own. */
  readonly modes: number
  /**
   * A bit of offsets that names no byte, but tells instruction sets apart whose code the mode has; 0 or 1, and 0 where it is
   * absent. Instructions that have it begin at the byte before.
   */
  readonly tag?: number
  /** Bytes of the longest instruction. */
  readonly longestBytes: number
  /** Control never reaches the instruction after the last one: a jump, a return, or bytes that are no instruction. */
  readonly endsRun: boolean
  /** Count of bytes that decided what the last instruction is: its length, or more for bytes that are no instruction. */
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
   * @param record - machine address of the record, 32 bytes that are all to be written
   * @param offset - the instruction's {@link R_OFFSET}
   * @returns length in bytes; 0 if the instruction does not end before `end`
   */
  decode(bytes: Uint8Array, start: number, end: number, mode: number, record: number, offset: number): number
}
