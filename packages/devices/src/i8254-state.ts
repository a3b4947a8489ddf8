/** Saved form of one counter; ticks count from the origin that is saved with the chip. */
export interface I8254ChannelState {
  /** Bits 5:0 of the control word. */
  readonly control: number
  /** Count register in ticks, 1 to 65536; in BCD, to 10000. */
  readonly countRegister: number
  /** Counting element at `tick`; mode 3 has `left` instead. */
  readonly count: number
  /** Mode 3: ticks left of the half cycle. */
  readonly left: number
  /** The half cycle that runs was loaded with an odd count. */
  readonly odd: boolean
  /** Tick for which the counts hold. */
  readonly tick: number
  /** Tick at which the count register goes to the counting element; −1: none. */
  readonly loadTick: number
  /** Level of the output. */
  readonly out: boolean
  /** Modes 0, 1, 4 and 5: the terminal count has been reached, or nothing was loaded. */
  readonly fired: boolean
  /** Mode 0: false between the two bytes of a count, which stop it. */
  readonly counting: boolean
  /** Level of the gate input. */
  readonly gate: boolean
  /** The count register has not been loaded into the counting element. */
  readonly nullCount: boolean
  /** A count has been written since the control word. */
  readonly written: boolean
  /** The next write is the high byte. */
  readonly writeHigh: boolean
  /** Low byte that waits for its high byte. */
  readonly lowByte: number
  /** The next read is the high byte. */
  readonly readHigh: boolean
  /** Latched count. */
  readonly latchedCount: number
  /** Bytes of the latched count that are still to be read. */
  readonly latchedBytes: number
  /** Latched status byte; −1: none. */
  readonly latchedStatus: number
}
