import { MOST_TRANSFER_BYTES } from '@retrap/scsi'

const SECTOR = 512
const SENSE_SIZE_AT = 20
const CDB_SIZE_AT = 24
const DEFAULT_SENSE = 96
const DEFAULT_CDB = 32
/** Room that a driver may ask for. */
const MOST_FIELD = 256
/** Targets that may be addressed. */
export const MOST_TARGETS = 256

/** Configuration space (VIRTIO 1.2, §5.6.4). */
export class ScsiConfig {
  readonly bytes: Uint8Array = new Uint8Array(36)
  readonly #view = new DataView(this.bytes.buffer)

  constructor(queues: number, queueSize: number) {
    const view = this.#view
    view.setUint32(0, queues, true)
    // Pieces of data: a chain is at most as long as the queue, and has two more.
    view.setUint32(4, queueSize - 2, true)
    view.setUint32(8, MOST_TRANSFER_BYTES / SECTOR, true)
    // Commands of a unit.
    view.setUint32(12, queueSize, true)
    view.setUint32(16, EVENT_BYTES, true)
    view.setUint16(30, MOST_TARGETS - 1, true)
    // Logical units: unit 0 alone.
    view.setUint32(32, 0, true)
    this.reset()
  }

  /** Bytes of sense data in an answer. */
  get senseBytes(): number {
    return this.#view.getUint32(SENSE_SIZE_AT, true)
  }

  /** Bytes of a command. */
  get commandBytes(): number {
    return this.#view.getUint32(CDB_SIZE_AT, true)
  }

  /** Takes the sizes of sense data and commands; nothing else can be written. */
  write(offset: number, bytes: Uint8Array): void {
    if (bytes.length !== 4 || (offset !== SENSE_SIZE_AT && offset !== CDB_SIZE_AT)) return
    const value = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
    // A command of fewer than 16 bytes would lack addresses; it is taken as filled with zeroes.
    if (value > 0 && value <= MOST_FIELD) this.#view.setUint32(offset, value, true)
  }

  reset(): void {
    this.#view.setUint32(SENSE_SIZE_AT, DEFAULT_SENSE, true)
    this.#view.setUint32(CDB_SIZE_AT, DEFAULT_CDB, true)
  }
}

/** Bytes of an event. */
export const EVENT_BYTES = 16
