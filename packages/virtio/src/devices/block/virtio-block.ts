import { type BlockBackend, BlockError, DeviceError, SpareBuffers } from '@retrap/device'
import type { VirtioAnswer, VirtioChain } from '../../ring/chain.ts'
import type { VirtioDevice, VirtioHost, VirtioQueueDefinition } from '../../virtio-device.ts'
import {
  blockConfig,
  blockFeatures,
  MOST_RANGE_SECTORS,
  MOST_RANGES,
  mostBytes,
  putCapacity,
  SECTOR,
  WRITEBACK,
  VirtioBlockFeature,
} from './block-config.ts'
import { ByteBudget } from './byte-budget.ts'

/** Options of {@link VirtioBlock}. */
export interface VirtioBlockOptions {
  /** The disk. */
  readonly medium: BlockBackend
  /** Names the device; default `virtio-blk`. */
  readonly name?: string
  /** At most 20 ASCII characters; default the medium's own. */
  readonly serialNumber?: string | undefined
  /** Queues, 1 to 64; default 1. */
  readonly queues?: number | undefined
  /** Entries of a queue, a power of two from 4 to 1024; default 256. */
  readonly queueSize?: number
}

const BLOCK = 2

/* Request types. */
const IN = 0
const OUT = 1
const FLUSH = 4
const GET_ID = 8
const DISCARD = 11
const WRITE_ZEROES = 13
/** Legacy drivers set it for a write that nothing may overtake. A flush before and after does that. */
const BARRIER = 0x8000_0000

/* Status bytes. */
const OK = 0
const IO_ERROR = 1
const UNSUPPORTED = 2
const STATUS_BYTES = [OK, IO_ERROR, UNSUPPORTED].map((status) => Uint8Array.of(status))

const HEADER_BYTES = 16
const RANGE_BYTES = 16
const RANGE_UNMAP = 1
const ID_BYTES = 20
/** Host memory for the data of requests under way. */
const BUDGET_BYTES = 64 << 20

/**
 * A disk.
 *
 * Source: VIRTIO 1.2, §5.2, "Block Device".
 */
export class VirtioBlock implements VirtioDevice {
  /** Names the device. */
  readonly name: string
  /** Device type. */
  readonly type: number = BLOCK
  /** Queues of requests, all alike. */
  readonly queues: readonly VirtioQueueDefinition[]
  /** The request that the medium makes for. */
  readonly features: readonly number[]
  /** Size, limits and topology. */
  readonly config: Uint8Array
  readonly #medium: BlockBackend
  #unwatch: (() => void) | undefined
  readonly #serial: Uint8Array
  readonly #most: number
  readonly #budget = new ByteBudget(BUDGET_BYTES)
  readonly #spare = new SpareBuffers()
  readonly #header = new Uint8Array(HEADER_BYTES)
  readonly #headerView = new DataView(this.#header.buffer)
  #host: VirtioHost | null = null

  /** @throws DeviceError `ERR_OPTION` */
  constructor(options: VirtioBlockOptions) {
    const { medium, name = 'virtio-blk', queues = 1, queueSize = 256 } = options
    const serial = options.serialNumber ?? medium.properties.serialNumber ?? ''
    const bad = (what: string): DeviceError => new DeviceError('ERR_OPTION', `${name}: ${what}`)
    if (!Number.isInteger(queues) || queues < 1 || queues > 64) throw bad(`${queues} queues: expected 1 to 64`)
    if (!(queueSize >= 4 && queueSize <= 1024 && Number.isInteger(Math.log2(queueSize))))
      throw bad(`queues of ${queueSize} entries: expected a power of two from 4 to 1024`)
    if (!/^[\x20-\x7e]*$/.test(serial) || (options.serialNumber?.length ?? 0) > ID_BYTES)
      throw bad(`serial number '${serial}': expected at most ${ID_BYTES} printable ASCII characters`)
    this.name = name
    this.#medium = medium
    this.#serial = Uint8Array.from({ length: ID_BYTES }, (_, i) => (i < serial.length ? serial.charCodeAt(i) : 0))
    this.features = blockFeatures(medium.properties, queues)
    this.config = blockConfig(medium.properties, queues, queueSize)
    this.#most = Math.min(mostBytes(queueSize), BUDGET_BYTES)
    this.queues = Array.from({ length: queues }, () => ({
      size: queueSize,
      handle: (chain: VirtioChain): VirtioAnswer | Promise<VirtioAnswer> => this.#request(chain),
      latencyNs: (chain: VirtioChain): number | undefined => this.#latencyNs(chain),
    }))
  }

  /** Removes the listener for changes of the medium. */
  removed(): void {
    this.#unwatch?.()
  }

  /** Listens for changes of the medium from now on. */
  attach(host: VirtioHost): void {
    this.#host = host
    let { bytes } = this.#medium.properties
    this.#unwatch = this.#medium.onChange(() => {
      if (bytes === this.#medium.properties.bytes) return
      bytes = this.#medium.properties.bytes
      putCapacity(this.config, this.#medium.properties)
      host.configChanged()
    })
  }

  /** Takes the writeback mode. The other fields cannot be written. */
  configWritten(offset: number, bytes: Uint8Array): void {
    const mode = bytes[WRITEBACK - offset]
    if (mode === 0 || mode === 1) this.config[WRITEBACK] = mode
  }

  /** Whether requests wait for host memory that answers hold. */
  waitsForAnswers(): boolean {
    return this.#budget.isShort
  }

  /** Returns to the writeback mode. */
  reset(): void {
    this.config[WRITEBACK] = 1
  }

  /** Whether each write is durable on completion, as for drivers that do not flush. */
  get #durable(): boolean {
    const { flush, configWriteback } = VirtioBlockFeature
    if (this.#host?.hasFeature(configWriteback) === true) return this.config[WRITEBACK] === 0
    return this.#host?.hasFeature(flush) !== true
  }

  #request(chain: VirtioChain): VirtioAnswer | Promise<VirtioAnswer> {
    const { readable, writable } = chain
    if (!readable.read(0, this.#header) || writable.length === 0) {
      // There is no place for a status, or no request.
      this.#host?.needsReset()
      return 0
    }
    const view = this.#headerView
    const offset = SECTOR * (view.getUint32(12, true) * 2 ** 32 + view.getUint32(8, true))
    const type = view.getUint32(0, true)
    const kind = (type & ~BARRIER) >>> 0
    switch (kind) {
      case IN:
        return this.#readInPlace(chain, offset) ?? this.#read(chain, offset)
      case OUT:
        return this.#writeInPlace(chain, offset, type) ?? this.#write(chain, offset, (type & BARRIER) !== 0)
      case FLUSH:
        return this.#attempt(chain, () => this.#medium.flush({ signal: chain.signal }))
      case GET_ID: {
        const bytes = this.#serial.subarray(0, Math.min(ID_BYTES, writable.length - 1))
        return writable.write(0, bytes) ? ended(chain, OK, bytes.length) : 0
      }
      case DISCARD:
      case WRITE_ZEROES:
        return this.#ranges(chain, kind === DISCARD)
      default:
        return ended(chain, UNSUPPORTED)
    }
  }

  /** The time of a request to a slow medium. */
  #latencyNs({ readable }: VirtioChain): number | undefined {
    const { delays } = this.#medium.properties
    if (delays === undefined || !readable.read(0, this.#header)) return undefined
    const flushNs = this.#headerView.getUint32(0, true) === FLUSH ? delays.flushNs : 0
    const stillNs = delays.stillUntilNs - this.#host!.context.clock.now()
    return Math.max(flushNs, stillNs, 0) || undefined
  }

  /** Whether a range is on the medium and consists of whole blocks. */
  #has(offset: number, bytes: number): boolean {
    const { bytes: end, blockBytes } = this.#medium.properties
    return offset % blockBytes === 0 && bytes % blockBytes === 0 && offset + bytes <= end
  }

  /** Whether data may be moved before the driver goes on. On deterministic time each answer has an instant of its own. */
  #mayBeInPlace(offset: number, bytes: number): boolean {
    const { maximumBytes } = this.#medium.properties
    return this.#host?.context.clock.realTime === true && bytes <= maximumBytes && this.#has(offset, bytes)
  }

  /** @returns null if the request has to wait */
  #readInPlace(chain: VirtioChain, offset: number): number | null {
    const bytes = chain.writable.length - 1
    if (this.#medium.readInPlace === undefined || !this.#mayBeInPlace(offset, bytes)) return null
    const data = this.#spare.take(bytes)
    try {
      if (!this.#medium.readInPlace(offset, data)) return null
    } catch {
      return ended(chain, IO_ERROR)
    } finally {
      // The buffer's bytes stay as they are until the next request takes the buffer.
      this.#spare.give(data)
    }
    return chain.writable.write(0, data) ? ended(chain, OK, bytes) : 0
  }

  /** @returns null if the request has to wait */
  #writeInPlace(chain: VirtioChain, offset: number, type: number): number | null {
    const bytes = chain.readable.length - HEADER_BYTES
    if (this.#medium.writeInPlace === undefined || type !== OUT || this.#durable) return null
    if (this.#medium.properties.readOnly || !this.#mayBeInPlace(offset, bytes)) return null
    const data = this.#spare.take(bytes)
    try {
      if (!chain.readable.read(HEADER_BYTES, data) || !this.#medium.writeInPlace(offset, data)) return null
    } catch {
      return ended(chain, IO_ERROR)
    } finally {
      this.#spare.give(data)
    }
    return ended(chain, OK)
  }

  /** Calls the medium, with this much host memory. Whatever it throws is a failure of the medium. */
  async #attempt(chain: VirtioChain, act: () => Promise<void>, bytes = 0): Promise<VirtioAnswer> {
    if (bytes > 0) await this.#budget.take(bytes)
    try {
      await act()
      return () => ended(chain, OK)
    } catch {
      return () => ended(chain, IO_ERROR)
    } finally {
      if (bytes > 0) this.#budget.give(bytes)
    }
  }

  /** Splits a transfer into requests of the medium's size. */
  async #transfer(chain: VirtioChain, data: Uint8Array, move: (at: number, part: Uint8Array) => Promise<void>) {
    const { blockBytes, maximumBytes } = this.#medium.properties
    const most = Math.max(1, Math.floor(maximumBytes / blockBytes)) * blockBytes
    for (let at = 0; at < data.length && !chain.cancelled; at += most) {
      await move(at, data.subarray(at, at + most))
    }
  }

  async #read(chain: VirtioChain, offset: number): Promise<VirtioAnswer> {
    const bytes = chain.writable.length - 1
    if (bytes > this.#most || !this.#has(offset, bytes)) return () => ended(chain, IO_ERROR)
    const { signal } = chain
    await this.#budget.take(bytes)
    const data = this.#spare.take(bytes)
    const give = (): void => {
      this.#budget.give(bytes)
      this.#spare.give(data)
    }
    try {
      await this.#transfer(chain, data, (at, part) => this.#medium.read(offset + at, part, { signal }))
      // The data stays in host memory until the answer takes effect, or nobody waits for it.
      if (chain.cancelled) give()
      else signal.addEventListener('abort', give)
      return () => {
        signal.removeEventListener('abort', give)
        const written = chain.writable.write(0, data) ? ended(chain, OK, bytes) : 0
        give()
        return written
      }
    } catch {
      // A medium that was given a signal may have rejected early: the buffer is not used again.
      this.#budget.give(bytes)
      return () => ended(chain, IO_ERROR)
    }
  }

  async #write(chain: VirtioChain, offset: number, barrier: boolean): Promise<VirtioAnswer> {
    const bytes = chain.readable.length - HEADER_BYTES
    const { readOnly } = this.#medium.properties
    if (readOnly || bytes > this.#most || !this.#has(offset, bytes)) return () => ended(chain, IO_ERROR)
    return this.#attempt(
      chain,
      async () => {
        const data = this.#spare.take(bytes)
        // Nothing is written: the request must not succeed.
        if (!chain.readable.read(HEADER_BYTES, data)) throw new BlockError('ERR_CANCELLED', 'the data is out of reach')
        const { signal } = chain
        const durable = this.#durable
        if (barrier) await this.#medium.flush({ signal })
        await this.#transfer(chain, data, (at, part) =>
          this.#medium.write(offset + at, part, { signal, durable: durable || barrier }),
        )
        this.#spare.give(data)
      },
      bytes,
    )
  }

  async #ranges(chain: VirtioChain, discard: boolean): Promise<VirtioAnswer> {
    const medium = this.#medium
    const { discards, readOnly } = medium.properties
    const bytes = chain.readable.length - HEADER_BYTES
    if (readOnly || (discard && !discards)) return () => ended(chain, UNSUPPORTED)
    const whole = bytes > 0 && bytes % RANGE_BYTES === 0 && bytes <= MOST_RANGES * RANGE_BYTES
    const data = whole ? chain.readable.slice(HEADER_BYTES, bytes) : null
    if (data === null) return () => ended(chain, IO_ERROR)
    const view = new DataView(data.buffer)
    const ranges: (readonly [offset: number, bytes: number])[] = []
    for (let at = 0; at < bytes; at += RANGE_BYTES) {
      const offset = SECTOR * (view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true))
      const sectors = view.getUint32(at + 8, true)
      const flags = view.getUint32(at + 12, true)
      if ((flags & ~(discard ? 0 : RANGE_UNMAP)) !== 0) return () => ended(chain, UNSUPPORTED)
      if (sectors > MOST_RANGE_SECTORS || !this.#has(offset, SECTOR * sectors)) return () => ended(chain, IO_ERROR)
      if (sectors > 0) ranges.push([offset, SECTOR * sectors])
    }
    const request = { signal: chain.signal, durable: this.#durable }
    return this.#attempt(chain, async () => {
      for (const [offset, length] of ranges) {
        if (discard) await medium.discard(offset, length, request)
        else await medium.writeZeroes(offset, length, request)
      }
    })
  }
}

/**
 * Writes the status, which is the last byte.
 *
 * @param data - bytes written before the status
 * @returns the bytes written from the beginning on
 */
function ended({ writable }: VirtioChain, status: number, data = 0): number {
  const at = writable.length - 1
  const wrote = writable.write(at, STATUS_BYTES[status]!)
  return wrote && data === at ? at + 1 : data
}
