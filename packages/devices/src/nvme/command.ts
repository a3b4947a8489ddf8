/**
 * Status fields of completions: the status code type in bits 10:8, the code in bits 7:0.
 *
 * Source: NVM Express 1.4, figures 128 "Generic Command Status Values" to 133 "Media and Data Integrity Error Values".
 */
export const STATUS = {
  SUCCESS: 0x000,
  INVALID_OPCODE: 0x001,
  INVALID_FIELD: 0x002,
  DATA_TRANSFER_ERROR: 0x004,
  INTERNAL_ERROR: 0x006,
  INVALID_NAMESPACE: 0x00b,
  INVALID_PRP_OFFSET: 0x013,
  WRITE_PROTECTED: 0x020,
  LBA_OUT_OF_RANGE: 0x080,
  CAPACITY_EXCEEDED: 0x081,
  NAMESPACE_NOT_READY: 0x082,
  INVALID_COMPLETION_QUEUE: 0x100,
  INVALID_QUEUE_IDENTIFIER: 0x101,
  INVALID_QUEUE_SIZE: 0x102,
  TOO_MANY_EVENT_REQUESTS: 0x105,
  INVALID_INTERRUPT_VECTOR: 0x108,
  INVALID_LOG_PAGE: 0x109,
  INVALID_QUEUE_DELETION: 0x10c,
  FEATURE_NOT_SAVEABLE: 0x10d,
  FEATURE_NOT_CHANGEABLE: 0x10e,
  WRITE_FAULT: 0x280,
  UNRECOVERED_READ: 0x281,
  COMPARE_FAILURE: 0x285,
} as const

/** Bit of the status field: a retry would fail again. */
export const DO_NOT_RETRY = 0x4000

/** Bytes of an entry of a submission queue. */
export const COMMAND_BYTES = 64

/**
 * One entry of a submission queue, as the guest wrote it.
 *
 * Source: NVM Express 1.4, figure 105, "Command Format – Admin and NVM Command Set".
 */
export class NvmeCommand {
  /** The submission queue of the command. */
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

  /** Returns one of the command's 16 words, unsigned. */
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
