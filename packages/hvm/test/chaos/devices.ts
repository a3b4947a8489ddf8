import type { DeviceModel, RangeHandler } from '@retrap/device'
import { FIFO_GPA, PORT, PORTS, STORE_BYTES, STORE_GPA, WINDOW_PAGES } from './layout.ts'

const FIFO = 0
const STORE = 1
const PORT_DEVICE = 2
const READ = 0
const WRITE = 1
/** Words of one access in the log. */
export const LOGGED = 4
const LOG_ACCESSES = 0x4000
/** Words before the log: accesses since the reset, words in the log, and whether answers may leave. */
const HEADER = 3

/** Bytes that {@link Devices} take. */
export const DEVICES_BYTES: number = STORE_BYTES + (HEADER + LOGGED * LOG_ACCESSES) * 4

/** What {@link Devices} hold, and have seen. */
export interface SavedDevices {
  readonly store: Uint8Array
  readonly header: Int32Array
  readonly log: Int32Array
}

/**
 * What the guest's devices are, whoever carries their accesses: a window and ports whose every read gives something
 * else, and a window that keeps what it is given. Their state can be shared between threads.
 */
export class Devices {
  readonly store: Uint8Array
  /** Four words an access: which device and direction, offset, size, value. */
  readonly log: Int32Array
  readonly #header: Int32Array

  constructor(buffer: ArrayBufferLike = new ArrayBuffer(DEVICES_BYTES)) {
    this.store = new Uint8Array(buffer, 0, STORE_BYTES)
    this.#header = new Int32Array(buffer, STORE_BYTES, HEADER)
    this.log = new Int32Array(buffer, STORE_BYTES + 4 * HEADER, LOGGED * LOG_ACCESSES)
  }

  reset(): void {
    this.#header.fill(0, 0, 2)
  }

  save(): SavedDevices {
    return { store: this.store.slice(), header: this.#header.slice(0, 2), log: this.log.slice(0, this.logged) }
  }

  restore({ store, header, log }: SavedDevices): void {
    this.store.set(store)
    this.#header.set(header)
    this.log.set(log)
  }

  clearLog(): void {
    this.#header[1] = 0
  }

  /** Lets answers leave, or keeps them: for devices in another thread, which wait in {@link Devices.leave}. */
  set open(open: boolean) {
    Atomics.store(this.#header, 2, open ? 1 : 0)
    if (open) Atomics.notify(this.#header, 2)
  }

  /** Blocks until answers may leave. */
  leave(): void {
    while (Atomics.load(this.#header, 2) === 0) Atomics.wait(this.#header, 2, 0)
  }

  /** Words in the log. */
  get logged(): number {
    return this.#header[1] as number
  }

  access(device: number, direction: number, offset: number, size: number, value: number): number {
    const header = this.#header
    header[0]!++
    let result = value
    if (device === STORE) {
      if (direction === READ) {
        result = 0
        for (let i = size - 1; i >= 0; i--) result = ((result << 8) | (this.store[offset + i] as number)) >>> 0
      } else for (let i = 0; i < size; i++) this.store[offset + i] = value >>> (8 * i)
    } else if (direction === READ) {
      // Small numbers, and ones that look like addresses, now and then.
      const hash = Math.imul((header[0] as number) * 0x1_0001 + offset, 0x9e37_79b1)
      result = (hash & 3) === 0 ? hash >>> 28 : hash >>> 0
    }
    const at = header[1] as number
    if (at < this.log.length) {
      this.log[at] = device * 2 + direction
      this.log[at + 1] = offset
      this.log[at + 2] = size
      this.log[at + 3] = result
      header[1] = at + LOGGED
    }
    return result
  }

  /**
   * The devices as a model.
   *
   * @param later - makes a promise that is kept later; without it, every access is answered at once
   */
  model(later?: <T>(value: T) => Promise<T>): DeviceModel {
    const handler = (device: number): RangeHandler => {
      if (later === undefined) {
        return {
          read: (offset, size) => this.access(device, READ, offset, size, 0),
          write: (offset, size, value) => void this.access(device, WRITE, offset, size, value),
        }
      }
      return {
        read: (offset, size) => later(this.access(device, READ, offset, size, 0)),
        write: (offset, size, value) => {
          this.access(device, WRITE, offset, size, value)
          return later(undefined)
        },
      }
    }
    return {
      name: 'devices',
      synchronous: later === undefined,
      attach: (context) => {
        context.mapMmio(FIFO_GPA, WINDOW_PAGES * 0x1000, handler(FIFO))
        context.mapMmio(STORE_GPA, STORE_BYTES, handler(STORE))
        context.mapPorts(PORT, PORTS, handler(PORT_DEVICE))
      },
    }
  }
}

/** One access of a log, for people. */
export function describeAccess(devices: Devices, at: number): string {
  if (at >= devices.logged) return 'none'
  const [kind, offset, size, value] = devices.log.subarray(at, at + LOGGED) as unknown as [
    number,
    number,
    number,
    number,
  ]
  const device = ['window', 'store', 'port'][kind >>> 1]
  const bytes = `${size} at ${offset.toString(16)} of the ${device}, ${(value >>> 0).toString(16)}`
  return `${kind & 1 ? 'a write' : 'a read'} of ${bytes}`
}
