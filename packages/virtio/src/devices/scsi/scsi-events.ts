import { Stateful } from '@retrap/device'
import type { VirtioQueue } from '../../queue.ts'
import { MOST_TRANSFER_BYTES } from '@retrap/scsi'

const SECTOR = 512
const SENSE_SIZE_AT = 20
const CDB_SIZE_AT = 24
const DEFAULT_SENSE = 96
const DEFAULT_CDB = 32
/** Room that a driver may ask for. */
const MOST_FIELD = 256
/** Number of addressable targets. */
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

const EVENT_BYTES = 16

/* Events (VIRTIO 1.2, §5.6.6.3). */
const TRANSPORT_RESET = 1
const PARAMETER_CHANGE = 3
const MISSED = 0x8000_0000
const RESCAN = 1
const REMOVED = 2
const CAPACITY_CHANGED = 0x2a | (9 << 8)
const MEDIUM_MAY_HAVE_CHANGED = 0x28
/** Most events kept for a driver that does not take them; it is notified of lost events. */
const MOST_EVENTS = 64

/** The events of a target that the driver is notified of. */
export type ScsiEvent = 'plugged' | 'unplugged' | 'changed' | 'exchanged'

const EVENTS: Readonly<Record<ScsiEvent, readonly [kind: number, reason: number]>> = {
  plugged: [TRANSPORT_RESET, RESCAN],
  unplugged: [TRANSPORT_RESET, REMOVED],
  changed: [PARAMETER_CHANGE, CAPACITY_CHANGED],
  exchanged: [PARAMETER_CHANGE, MEDIUM_MAY_HAVE_CHANGED],
}

/** Events that wait for buffers of the driver. */
export class ScsiEvents extends Stateful {
  readonly #r = this.keeps({ waiting: [] as (readonly [event: ScsiEvent, target: number])[], missed: false })

  add(event: ScsiEvent, target: number): void {
    if (this.#r.waiting.length < MOST_EVENTS) this.#r.waiting.push([event, target])
    else this.#r.missed = true
  }

  deliver(queue: VirtioQueue): void {
    while (this.#r.waiting.length > 0 || this.#r.missed) {
      const chain = queue.take()
      if (chain === null) return
      const [event, target = 0] = this.#r.waiting.shift() ?? []
      const bytes = new Uint8Array(EVENT_BYTES)
      const view = new DataView(bytes.buffer)
      const [kind, reason] = event === undefined ? [0, 0] : EVENTS[event]
      view.setUint32(0, (kind | (this.#r.missed ? MISSED : 0)) >>> 0, true)
      if (event !== undefined) bytes.set(unitAddress(target), 4)
      view.setUint32(12, reason, true)
      this.#r.missed = false
      chain.complete(chain.writable.write(0, bytes) ? EVENT_BYTES : 0)
    }
  }

  get isEmpty(): boolean {
    return this.#r.waiting.length === 0 && !this.#r.missed
  }
}

/**
 * Eight bytes that name unit 0 of a target (§5.6.6.1). Of the two forms of a unit's number this is that of REPORT LUNS: Linux
 * knows a unit in events by no other.
 */
const unitAddress = (target: number): Uint8Array => Uint8Array.of(1, target, 0, 0, 0, 0, 0, 0)
