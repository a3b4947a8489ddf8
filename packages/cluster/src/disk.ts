import { type BlockBackend, BlockError, type BlockProperties } from '@retrap/device'
import type { MachineTime } from './simulation.ts'
import { Draws, type Seed } from './draws.ts'
import type { LostSectors } from './faults.ts'

const SECTOR_BYTES = 512
const PAGE_BYTES = 4096
/** The most that one request moves. */
const MOST_BYTES = 1 << 20
/** Writes in the cache: with more of them, the disk makes the oldest ones durable by itself. */
const MOST_CACHED = 16_384

/** The part of writes that a power loss keeps whole, and the part of the others that it tears: both are drawn for each power loss. */
const KEPT_PARTS = [0, 0.3, 0.7, 0.95]
const TORN_PARTS = [0, 0.3]

/** A write into the cache. */
export interface DiskWrite {
  /** The first byte on the disk. */
  readonly offset: number
  /** The size. */
  readonly bytes: number
  /** The contents of its pages after the write, from the first page on. They are never changed. */
  readonly pages: readonly Uint8Array[]
}

/** Pages of a disk by their numbers: absent ones are zeros. */
export type DiskPages = ReadonlyMap<number, Uint8Array>

/** The requests to a disk since a log was begun. Instants are of the machine's clock. */
export interface DiskLog {
  /** The disk at the begin, and the number of writes before. */
  readonly pages: DiskPages
  /** See `pages`. */
  readonly before: number
  /** In their order. */
  readonly writes: (DiskWrite & { readonly ns: number })[]
  /** When all writes before a number had become durable. */
  readonly flushes: { readonly ns: number; readonly writes: number }[]
}

/** Trouble of a disk. */
export interface DiskTrouble {
  /** The part of requests that fail. */
  readonly eio: number
  /** Nanoseconds that a flush takes; 0: the usual time. */
  readonly flushNs: number
  /** Flushes are answered, and make nothing durable. */
  readonly losesFlushes: boolean
}

const NO_TROUBLE: DiskTrouble = { eio: 0, flushNs: 0, losesFlushes: false }

/** A flush that takes effect at an instant of the machine's clock. */
interface Flush {
  readonly ns: number
  /** The number of writes before it, since the disk was made. */
  readonly writes: number
}

/** The writes that were not synced when the power went, by what has become of them. */
export interface PowerLoss {
  /** All of them. */
  readonly writes: number
  /** Those of which nothing is on the disk. */
  readonly lost: number
  /** Those of which some sectors are on the disk. */
  readonly torn: number
}

/** The disk of a machine as its cluster sees it: it may be in another thread. */
export interface ClusterDisk extends Pick<Disk, 'reseed' | 'trouble' | 'stall' | 'reset'> {
  /** See `Disk`. */
  copy(): ClusterDisk
  /** See `Disk`. */
  losePower(lost?: readonly LostSectors[]): PowerLoss | Promise<PowerLoss>
  /** The cluster has ended. */
  close?(): void
}

/**
 * The disk of one machine. It outlives the machine, and has a volatile write cache: a write is durable once a flush has followed it.
 * A power loss keeps some of the other writes, whatever their order, loses some, and tears some at sectors.
 */
export class Disk implements BlockBackend, ClusterDisk {
  /** Its size and its limits. */
  properties: BlockProperties
  #trouble = NO_TROUBLE
  /** The instant of the machine's clock until which it answers no request. */
  #stillUntilNs = 0
  readonly #listeners = new Set<() => void>()
  readonly #name: string
  #draws: Draws
  /** Pages that are durable, by number. Absent ones are zeros. */
  readonly #durable = new Map<number, Uint8Array>()
  /** Pages as they are after the unsynced writes. */
  readonly #cached = new Map<number, Uint8Array>()
  /** In their order. */
  #unsynced: DiskWrite[] = []
  /** The number of writes before the first unsynced one. */
  #synced = 0
  #flushes: Flush[] = []
  #clock: { now(): number } = { now: () => 0 }
  /** Tells the machine of a change, at an instant of its time. */
  #timer: { armAfter(ns: number): void } | undefined
  /** The machine has yet to be told of a change. */
  #isChanged = false
  #log: DiskLog | undefined

  /** @param bytes - its size, rounded down to 4 KiB @param name - of its sequence of draws */
  constructor(bytes: number, seed: Seed, name: string) {
    this.#name = name
    this.#draws = new Draws(seed, name)
    this.properties = {
      bytes: bytes - (bytes % PAGE_BYTES),
      ...{ blockBytes: SECTOR_BYTES, physicalBlockBytes: PAGE_BYTES, maximumBytes: MOST_BYTES },
      ...{ readOnly: false, discards: false },
    }
  }

  /** Whether nothing was ever written. */
  get isBlank(): boolean {
    return this.#synced + this.#unsynced.length === 0
  }

  /** Names the clock of the machine that has the disk from now on, and its timers. */
  attach(clock: { now(): number }, time?: Pick<MachineTime, 'timer'>): void {
    this.#clock = clock
    this.#timer = time?.timer(() => this.#tell())
    if (this.#isChanged) this.#changed()
  }

  /** The same disk, with its cache, which goes on by itself; `attach` names its machine. */
  copy(): Disk {
    const copy = new Disk(this.properties.bytes, 0, this.#name)
    copy.#draws = this.#draws.copy()
    for (const [number, page] of this.#durable) copy.#durable.set(number, page)
    for (const [number, page] of this.#cached) copy.#cached.set(number, page)
    copy.#unsynced = [...this.#unsynced]
    copy.#synced = this.#synced
    copy.#flushes = [...this.#flushes]
    copy.#clock = this.#clock
    copy.#trouble = this.#trouble
    copy.#stillUntilNs = this.#stillUntilNs
    copy.#isChanged = this.#isChanged
    copy.properties = this.properties
    return copy
  }

  /** A disk with these pages, which are durable. */
  static of(pages: DiskPages, bytes: number, seed: Seed, name: string): Disk {
    const disk = new Disk(bytes, seed, name)
    for (const [number, page] of pages) disk.#durable.set(number, page)
    return disk
  }

  /** All pages, with the writes in the cache. */
  get pages(): DiskPages {
    return new Map([...this.#durable, ...this.#cached])
  }

  /** Logs all requests from now on. A copy does not. */
  startLog(): DiskLog {
    this.#sync(this.#unsynced.length)
    return (this.#log = { pages: this.pages, before: this.#synced, writes: [], flushes: [] })
  }

  /** Draws from the sequence of another seed from now on. */
  reseed(seed: Seed): void {
    this.#draws = new Draws(seed, this.#name)
  }

  /** Sets the trouble from now on. */
  trouble(trouble: DiskTrouble): void {
    this.#trouble = trouble
    this.#changed()
  }

  /** Has the disk answer nothing for a while. @param ns - 0: it answers later requests as usual */
  stall(ns: number): void {
    this.#stillUntilNs = ns === 0 ? 0 : Math.max(this.#stillUntilNs, this.#clock.now() + ns)
    this.#changed()
  }

  #changed(): void {
    this.#isChanged = true
    if (this.#timer === undefined) this.#tell()
    else this.#timer.armAfter(0)
  }

  #tell(): void {
    this.#isChanged = false
    const { delays: _, ...properties } = this.properties
    const [{ flushNs }, stillUntilNs] = [this.#trouble, this.#stillUntilNs]
    const isSlow = flushNs > 0 || stillUntilNs > this.#clock.now()
    this.properties = { ...properties, ...(isSlow && { delays: { flushNs, stillUntilNs } }) }
    for (const listener of this.#listeners) listener()
  }

  /** Its machine is reset: flushes that are under way do not come to their end, and the cache stays. */
  reset(): void {
    this.#settle()
    this.#flushes = []
    this.#listeners.clear()
    this.#timer = undefined
    // The next machine has a clock of its own.
    this.#stillUntilNs = 0
    this.#changed()
  }

  /** The power goes. @param lost - parts of the writes in the cache; default: drawn ones */
  losePower(lost?: readonly LostSectors[]): PowerLoss {
    this.reset()
    const loss = lost === undefined ? this.#loseDrawn() : this.#lose(lost)
    this.#synced += this.#unsynced.length
    this.#unsynced = []
    this.#cached.clear()
    return loss
  }

  #lose(lost: readonly LostSectors[]): PowerLoss {
    const loss = { writes: this.#unsynced.length, lost: 0, torn: 0 }
    for (const [i, write] of this.#unsynced.entries()) {
      const some = lost.filter((one) => one.write === this.#synced + i)
      const sectors = some.reduce((sum, { count }) => sum + count, 0)
      if (sectors >= write.bytes / SECTOR_BYTES) loss.lost++
      else if (sectors > 0) loss.torn++
      keepSectors(this.#durable, write, some)
    }
    return loss
  }

  #loseDrawn(): PowerLoss {
    const draws = this.#draws
    const [kept, torn] = [draws.pick(KEPT_PARTS), draws.pick(TORN_PARTS)]
    const loss = { writes: this.#unsynced.length, lost: 0, torn: 0 }
    for (const write of this.#unsynced) {
      if (draws.happens(kept)) keep(this.#durable, write, () => true)
      else if (write.bytes > SECTOR_BYTES && draws.happens(torn)) {
        loss.torn++
        const first = draws.below(write.bytes / SECTOR_BYTES)
        // The transfer was cut off, or the disk has an order of its own.
        keep(this.#durable, write, draws.happens(0.5) ? (sector) => sector < first : () => draws.happens(0.5))
      } else loss.lost++
    }
    return loss
  }

  /** Fills `into`. */
  read(offset: number, into: Uint8Array): Promise<void> {
    return this.#attempt(offset, into.length, () => {
      for (const { number, start, at, length } of pieces(offset, into.length)) {
        const page = this.#page(number)
        const part = into.subarray(at, at + length)
        if (page === undefined) part.fill(0)
        else part.set(page.subarray(start, start + length))
      }
    })
  }

  /** Writes `from`, into the cache. */
  write(offset: number, from: Uint8Array, request?: { readonly durable?: boolean }): Promise<void> {
    return this.#attempt(offset, from.length, () => {
      const pages = pieces(offset, from.length).map(({ number, start, at, length }) => {
        const page = this.#page(number)?.slice() ?? new Uint8Array(PAGE_BYTES)
        page.set(from.subarray(at, at + length), start)
        this.#cached.set(number, page)
        return page
      })
      const written = { offset, bytes: from.length, pages }
      this.#unsynced.push(written)
      this.#log?.writes.push({ ...written, ns: this.#clock.now() })
      if (request?.durable === true && !this.#trouble.losesFlushes) this.#sync(this.#unsynced.length)
      else if (this.#unsynced.length > MOST_CACHED) this.#sync(1)
    })
  }

  /** Makes all writes durable that came before. */
  flush(): Promise<void> {
    return this.#attempt(0, 0, () => {
      if (this.#trouble.losesFlushes) return
      const ns = Math.max(this.#clock.now() + this.#trouble.flushNs, this.#stillUntilNs)
      this.#flushes.push({ ns, writes: this.#synced + this.#unsynced.length })
      this.#settle()
    })
  }

  /** Does nothing: the disk takes no notice of what is not needed. */
  discard(): Promise<void> {
    return Promise.resolve()
  }

  /** Makes a range read as zeros. */
  writeZeroes(offset: number, bytes: number, request?: { readonly durable?: boolean }): Promise<void> {
    return this.write(offset, new Uint8Array(bytes), request)
  }

  /** Calls back when the disk becomes slow, or is no longer slow. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** @throws BlockError */
  async #attempt(offset: number, bytes: number, act: () => void): Promise<void> {
    if (offset + bytes > this.properties.bytes)
      throw new BlockError('ERR_RANGE', `${bytes} bytes at ${offset} of a disk of ${this.properties.bytes}`)
    if (this.#draws.happens(this.#trouble.eio)) throw new BlockError('ERR_MEDIUM', 'the disk fails')
    act()
  }

  #page(number: number): Uint8Array | undefined {
    return this.#cached.get(number) ?? this.#durable.get(number)
  }

  /** Has flushes take effect whose instants have come. */
  #settle(): void {
    const now = this.#clock.now()
    const done = this.#flushes.filter(({ ns }) => ns <= now)
    this.#flushes = this.#flushes.filter(({ ns }) => ns > now)
    this.#sync(Math.max(0, ...done.map(({ writes }) => writes - this.#synced)))
  }

  /** Makes the first unsynced writes durable. */
  #sync(count: number): void {
    for (const { offset, bytes, pages } of this.#unsynced.splice(0, count))
      for (const [i, { number }] of pieces(offset, bytes).entries()) {
        this.#durable.set(number, pages[i]!)
        // The page of a later write stays in the cache.
        if (this.#cached.get(number) === pages[i]) this.#cached.delete(number)
      }
    this.#synced += count
    if (count > 0) this.#log?.flushes.push({ ns: this.#clock.now(), writes: this.#synced })
  }
}

/** Puts sectors of a write onto durable pages. @param isKept - asked with the number of each one in the write */
function keep(
  durable: Map<number, Uint8Array>,
  { offset, bytes, pages }: DiskWrite,
  isKept: (sector: number) => boolean,
): void {
  for (const [i, { number, start, at, length }] of pieces(offset, bytes).entries()) {
    const sectors = Array.from({ length: length / SECTOR_BYTES }, (_, sector) => sector * SECTOR_BYTES)
    const kept = sectors.filter((sector) => isKept((at + sector) / SECTOR_BYTES))
    if (kept.length === 0) continue
    const page = durable.get(number)?.slice() ?? new Uint8Array(PAGE_BYTES)
    for (const sector of kept) {
      const from = start + sector
      page.set(pages[i]!.subarray(from, from + SECTOR_BYTES), from)
    }
    durable.set(number, page)
  }
}

/** Puts a write onto durable pages, but for the sectors that are lost of it. */
function keepSectors(durable: Map<number, Uint8Array>, write: DiskWrite, lost: readonly LostSectors[]): void {
  keep(durable, write, (sector) => !lost.some(({ first, count }) => sector >= first && sector < first + count))
}

/**
 * The pages of a disk after a power loss, of whose writes the first ones were durable.
 *
 * @param durable - the number of the first write that was not, since the log's begin
 * @param until - that of the first one which had not come yet
 */
export function pagesAfter(
  { pages, before, writes }: DiskLog,
  durable: number,
  until: number,
  lost: readonly LostSectors[],
): DiskPages {
  const found = new Map(pages)
  for (const write of writes.slice(0, durable))
    for (const [i, { number }] of pieces(write.offset, write.bytes).entries()) found.set(number, write.pages[i]!)
  for (const [i, write] of writes.slice(durable, until).entries())
    keepSectors(
      found,
      write,
      lost.filter((one) => one.write === before + durable + i),
    )
  return found
}

/** A part of a range that lies in one page. */
interface Piece {
  /** The page. */
  readonly number: number
  /** Where it begins in the page, and in the range. */
  readonly start: number
  readonly at: number
  readonly length: number
}

function pieces(offset: number, bytes: number): Piece[] {
  const found: Piece[] = []
  for (let at = 0; at < bytes;) {
    const start = (offset + at) % PAGE_BYTES
    const length = Math.min(PAGE_BYTES - start, bytes - at)
    found.push({ number: Math.floor((offset + at) / PAGE_BYTES), start, at, length })
    at += length
  }
  return found
}
