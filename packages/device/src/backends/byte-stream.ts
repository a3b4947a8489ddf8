/** The level of each modem control output of a serial port. */
export interface ModemOutputs {
  /** DTR is asserted. */
  readonly dataTerminalReady: boolean
  /** RTS is asserted. */
  readonly requestToSend: boolean
}

/** The level of each modem status input of a serial port. */
export interface ModemInputs {
  /** CTS is asserted. */
  readonly clearToSend: boolean
  /** DSR is asserted. */
  readonly dataSetReady: boolean
  /** RI is asserted. */
  readonly ringIndicator: boolean
  /** DCD is asserted. */
  readonly carrierDetect: boolean
}

/** The format of characters on a serial line, for back ends that have a real one. */
export interface SerialFormat {
  /** Bits a second. */
  readonly rate: number
  /** Bits of a character. */
  readonly dataBits: 5 | 6 | 7 | 8
  /** Parity bit. */
  readonly parity: 'none' | 'odd' | 'even' | 'mark' | 'space'
  readonly stopBits: 1 | 1.5 | 2
}

/** The user of a byte stream, who is notified by these calls: a device model. */
export interface ByteStreamClient {
  /**
   * Takes bytes from the stream.
   *
   * @param bytes - valid until the call returns
   * @returns how many bytes were taken; the stream keeps the rest, and offers it again after `ready`
   */
  receive(bytes: Uint8Array): number
  /** Called when `send` accepts bytes again. */
  drained(): void
  /** Called when the other end has sent a break. */
  breakReceived?(): void
  /** Called when a modem status input has changed. */
  modemChanged?(inputs: ModemInputs): void
  /** Tells that nothing more comes from the stream; it has no bytes left that it offers. */
  ended?(): void
}

/**
 * A stream of bytes with another party, as a serial port's or a console's model uses it.
 *
 * Only `send` is needed of a plain sink, such as a log file.
 */
export interface ByteStreamBackend {
  /**
   * Sends bytes.
   *
   * @param bytes - the stream's to keep
   * @returns false where the stream is full: these bytes were taken, and the model sends none before `drained`. A stream
   *   that returns nothing is never full
   */
  send(bytes: Uint8Array): boolean | void
  /** Names the model that is notified of the stream, once. Absent: nothing ever comes from it, and it is never full. */
  connect?(client: ByteStreamClient): void
  /** Tells that the model has room again after `receive` took fewer bytes than were offered. */
  ready?(): void
  /** Called when the guest has closed its end, after all its output was sent. It may open the port again. */
  left?(): void
  /** Starts or ends a break. */
  setBreak?(on: boolean): void
  /** Drives the modem control outputs. */
  setModem?(outputs: ModemOutputs): void
  /** Sets the format of characters. */
  setFormat?(format: SerialFormat): void
}
