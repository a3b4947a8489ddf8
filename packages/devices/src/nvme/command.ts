/** Bytes of an entry of a submission queue. */
export const COMMAND_BYTES = 64

/**
 * One entry of a submission queue, as the guest wrote it.
 *
 * Source: NVM Express 1.4, figure 105, "Command Format – Admin and NVM Command Set".
 */
export class NvmeCommand {
  /** The submission queue that it came from. */
  readonly queue: number
  /** 64 bytes. */
  readonly bytes: Uint8Array
  readonly #view: DataView

  constructor(queue: number, bytes: Uint8Array) {
    this.queue = queue
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, COMMAND_BYTES)
  }

  get opcode(): number {
    return this.#view.getUint8(0)
  }

  /** Command identifier. */
  get id(): number {
    return this.#view.getUint16(2, true)
  }

  /** Namespace identifier. */
  get namespace(): number {
    return this.#view.getUint32(4, true)
  }

  /** One of its 16 words, unsigned. */
  word(index: number): number {
    return this.#view.getUint32(4 * index, true)
  }

  /** Two words from `index` on as one number; rounded above 2^53, which no address or block number reaches. */
  long(index: number): number {
    return this.word(index) + this.word(index + 1) * 2 ** 32
  }

  /** First PRP entry. */
  get prp1(): number {
    return this.long(6)
  }

  /** Second PRP entry. */
  get prp2(): number {
    return this.long(8)
  }

  /** Whether the command is fused with another command, or describes its data by SGLs: neither is offered. */
  get isUnsupported(): boolean {
    return (this.#view.getUint8(1) & 0xc3) !== 0
  }
}
