import { DeviceError, type MemoryMode } from '@retrap/device'
import type { MemoryPlacement, PlatformMemory, PlatformMemoryOptions } from '@retrap/device-hosting'
import { MemoryError, PAGE_BYTES, type MachineMemory } from '@retrap/memory'
import { P2mAccess, P2mEntry, P2mError, type FrameCounts, type LogDirty, type P2m } from '@retrap/p2m'
import { isSame, WORDS } from './frame-contents.ts'
import type { DirtyLogs } from './dirty-logs.ts'

/** From this size on a memory is aligned so that large leaves can map it. */
const LARGE_BYTES = 2 ** 21
/** The least alignment at which machine memory gives out whole frames. */
const FRAMES_ALIGN = 2 ** 16

/** Saved form of one memory that a device model owns. */
export interface OwnedMemoryState {
  /** Version of this form. */
  readonly version: 1 | 2
  /** Name of the device model. */
  readonly device: string
  /** Name among the model's memories. */
  readonly name: string
  /** The memory's pages, without pages at its end that repeat the last word of `contents`. */
  readonly contents: Uint8Array
  /** Bytes of the memory; absent in version 1: `contents` is all of it. */
  readonly bytes?: number
}

/** The parts of a domain that {@link OwnedMemories} works on. */
export interface OwnedMemoriesOptions {
  /** The machine that the memories are taken from. */
  readonly memory: MachineMemory
  /** The guest's map. */
  readonly p2m: P2m
  /** References to machine frames. */
  readonly frameCounts: FrameCounts
  /** Logs of writes. */
  readonly logs: DirtyLogs
}

/**
 * Memory that a domain's device models own: VRAM, flash, ROM. Its frames are machine memory, held for as long as the
 * model lives; where a region shows it, they are ordinary RAM or ROM of the guest's map, whose coming and going raises
 * invalidations as any other.
 *
 * Guest frames that are no hole stay what they are: RAM lies in front of a device's memory.
 */
export class OwnedMemories {
  readonly #options: OwnedMemoriesOptions
  /** By device and name. */
  readonly #memories = new Map<string, DomainMemory>()

  constructor(options: OwnedMemoriesOptions) {
    this.#options = options
  }

  /**
   * Allocates memory for a device model; see `DevicePlatform.ownMemory`.
   *
   * @throws DeviceError `ERR_NO_SPACE`, `ERR_EXISTS`
   */
  open(device: string, options: PlatformMemoryOptions): PlatformMemory {
    const key = keyOf(device, options.name)
    if (this.#memories.has(key)) {
      throw new DeviceError('ERR_EXISTS', `${device}: there is a memory ${options.name} already`)
    }
    const memory = new DomainMemory(this.#options, device, options, () => this.#memories.delete(key))
    this.#memories.set(key, memory)
    return memory
  }

  /** Frees all memories. */
  free(): void {
    for (const memory of [...this.#memories.values()]) memory.free()
  }

  /** Whether a write to this ROM frame is an access of a device model. */
  trapsWrites(gfn: number): boolean {
    for (const memory of this.#memories.values()) if (memory.trapsWrites && memory.shows(gfn)) return true
    return false
  }

  /** Whether a frame is a device's and not to be executed. */
  forbidsExecution(gfn: number): boolean {
    for (const memory of this.#memories.values()) if (!memory.executable && memory.shows(gfn)) return true
    return false
  }

  /** Whether a machine frame is one of a memory's. */
  owns(mfn: number): boolean {
    for (const { location, view } of this.#memories.values()) {
      const first = location / PAGE_BYTES
      if (mfn >= first && mfn < first + view.length / PAGE_BYTES) return true
    }
    return false
  }

  /** Saves the contents of all memories with saved contents; a model restores its mode itself. */
  save(): OwnedMemoryState[] {
    return [...this.#memories.values()].filter((memory) => memory.saved).map((memory) => memory.save())
  }

  /**
   * Restores contents.
   *
   * @throws DeviceError `ERR_NOT_FOUND`, `ERR_STATE`; nothing has been restored then
   */
  restore(states: readonly OwnedMemoryState[]): void {
    const found = states.map((state) => {
      const memory = this.#memories.get(keyOf(state.device, state.name))
      if (memory === undefined) {
        throw new DeviceError(
          'ERR_NOT_FOUND',
          `saved state names memory ${state.name} of ${state.device}, which is not there`,
        )
      }
      memory.check(state)
      return memory
    })
    found.forEach((memory, i) => memory.restore(states[i]!))
  }
}

function keyOf(device: string, name: string): string {
  return JSON.stringify([device, name])
}

/** Consecutive guest frames that show consecutive frames of a memory. */
interface Run {
  readonly gfn: number
  /** Frame of the memory. */
  readonly first: number
  readonly count: number
  log: LogDirty | null
}

class DomainMemory implements PlatformMemory {
  readonly location: number
  readonly executable: boolean
  readonly saved: boolean
  readonly view: Uint8Array
  readonly #options: OwnedMemoriesOptions
  readonly #device: string
  readonly #name: string
  readonly #bytes: number
  readonly #type: number
  readonly #toTrap: boolean
  readonly #onFree: () => void
  readonly #placements = new Set<Placement>()
  readonly #entry = new P2mEntry()
  #mode: MemoryMode
  /** A bit a page, while writes are logged. */
  #dirty: Uint32Array | null = null
  /** Bytes to be saved, while nothing is written: erased flash is found once. 0: unknown, as for RAM, which guests write. */
  #savedBytes = 0
  #freed = false

  constructor(options: OwnedMemoriesOptions, device: string, memory: PlatformMemoryOptions, onFree: () => void) {
    const { memory: machine, frameCounts } = options
    this.#options = options
    this.#device = device
    this.#name = memory.name
    this.#bytes = memory.bytes
    this.#onFree = onFree
    const { ram, rom } = options.p2m.types
    this.#type = memory.kind === 'rom' ? rom : ram
    this.#toTrap = memory.kind === 'rom' && memory.trapsWrites
    this.#mode = memory.mode ?? 'memory'
    this.executable = memory.executable ?? false
    this.saved = memory.saved ?? true
    try {
      const align = memory.bytes >= LARGE_BYTES ? LARGE_BYTES : FRAMES_ALIGN
      this.location = machine.frames.region(memory.bytes, align, `memory ${memory.name} of ${device}`)
    } catch (error) {
      if (error instanceof MemoryError)
        throw new DeviceError('ERR_NO_SPACE', `${device}: ${error.message}`, { cause: error })
      throw error
    }
    // This object's own reference: the frames outlive every mapping.
    frameCounts.adopt(this.location / PAGE_BYTES, memory.bytes / PAGE_BYTES)
    this.view = machine.u8.subarray(this.location, this.location + memory.bytes)
    if (memory.contents !== undefined) this.view.set(memory.contents)
  }

  /** Whether writes to the memory go to its model, while it is mapped as memory. */
  get trapsWrites(): boolean {
    return this.#toTrap && this.#mode === 'memory'
  }

  /** Whether the memory is mapped at a guest frame. */
  shows(gfn: number): boolean {
    for (const { runs } of this.#placements) {
      for (const run of runs) if (gfn >= run.gfn && gfn < run.gfn + run.count) return true
    }
    return false
  }

  setMode(mode: MemoryMode): void {
    if (mode === this.#mode) return
    this.#mode = mode
    for (const placement of this.#placements) {
      if (mode === 'memory') this.#map(placement)
      else this.#unmap(placement)
    }
  }

  place(gpa: number, offset: number, bytes: number): MemoryPlacement {
    const placement: Placement = {
      gfn: gpa / PAGE_BYTES,
      first: offset / PAGE_BYTES,
      count: bytes / PAGE_BYTES,
      runs: [],
    }
    this.#placements.add(placement)
    try {
      if (this.#mode === 'memory') this.#map(placement)
    } catch (error) {
      this.#placements.delete(placement)
      this.#unmap(placement)
      throw error
    }
    return {
      remove: () => {
        if (this.#placements.delete(placement)) this.#unmap(placement)
      },
    }
  }

  /** Maps the parts of a placement that lie over holes. */
  #map(placement: Placement): void {
    const { p2m } = this.#options
    const { gfn, first, count } = placement
    const mfn = this.location / PAGE_BYTES + first
    const access = this.executable ? P2mAccess.RWX : P2mAccess.RW
    try {
      for (const [at, length] of this.#holes(gfn, count)) {
        const run: Run = { gfn: at, first: first + at - gfn, count: length, log: null }
        placement.runs.push(run)
        p2m.insertRange(at, mfn + at - gfn, length, this.#type)
        if (!this.executable) p2m.setAccess(at, length, access)
        if (this.#dirty !== null) this.#startLog(run)
      }
    } catch (error) {
      if (!(error instanceof P2mError)) throw error
      const what = `${this.#device}: memory ${this.#name} cannot be mapped: ${error.message}`
      throw new DeviceError('ERR_NO_SPACE', what, { cause: error })
    }
  }

  /** Returns runs of unmapped guest frames. */
  #holes(gfn: number, count: number): [gfn: number, count: number][] {
    const { p2m } = this.#options
    const entry = this.#entry
    const holes: [gfn: number, count: number][] = []
    for (let at = gfn; at < gfn + count;) {
      const type = p2m.lookup(at, entry)
      const length = Math.min(2 ** entry.order - (at % 2 ** entry.order), gfn + count - at)
      if (type === p2m.types.hole) {
        const last = holes.at(-1)
        if (last !== undefined && last[0] + last[1] === at) last[1] += length
        else holes.push([at, length])
      }
      at += length
    }
    return holes
  }

  /** Makes holes of the frames that are still this memory's. */
  #unmap(placement: Placement): void {
    const { p2m } = this.#options
    const entry = this.#entry
    for (const run of placement.runs.splice(0)) {
      this.#stopLog(run)
      const mfn = this.location / PAGE_BYTES + run.first
      for (let done = 0; done < run.count;) {
        p2m.lookup(run.gfn + done, entry)
        const at = run.gfn + done
        const length = Math.min(2 ** entry.order - (at % 2 ** entry.order), run.count - done)
        // The guest may have replaced or removed the frame.
        if (entry.mfn === mfn + done) p2m.remove(at, mfn + done, length)
        done += length
      }
    }
  }

  read(offset: number, into: Uint8Array): void {
    into.set(this.view.subarray(offset, offset + into.length))
  }

  write(offset: number, from: Uint8Array): void {
    this.view.set(from, offset)
    if (from.length > 0) this.modified(offset, from.length)
  }

  modified(offset: number, bytes: number): void {
    const { memory, logs } = this.#options
    if (bytes === 0) return
    this.#savedBytes = 0
    memory.noteWrite(this.location + offset, bytes)
    const first = Math.floor(offset / PAGE_BYTES)
    const end = Math.ceil((offset + bytes) / PAGE_BYTES)
    if (this.#dirty !== null) setBits(this.#dirty, first, end)
    // Logs of the guest's frames are told too: a migration has to send these.
    for (const { runs } of this.#placements) {
      for (const run of runs) {
        const from = Math.max(first, run.first)
        const to = Math.min(end, run.first + run.count)
        if (from < to) logs.mark(run.gfn + from - run.first, to - from)
      }
    }
  }

  logWrites(on: boolean): void {
    if (on === (this.#dirty !== null)) return
    const runs = [...this.#placements].flatMap((placement) => placement.runs)
    if (on) {
      this.#dirty = new Uint32Array(Math.ceil(this.#bytes / PAGE_BYTES / 32))
      for (const run of runs) this.#startLog(run)
    } else {
      for (const run of runs) this.#stopLog(run)
      this.#dirty = null
    }
  }

  takeDirty(offset: number, bytes: number, into: Uint32Array): number {
    const dirty = this.#dirty
    const first = offset / PAGE_BYTES
    const count = Math.ceil(bytes / PAGE_BYTES)
    into.fill(0, 0, Math.ceil(count / 32))
    if (dirty === null) return 0
    for (const { runs } of this.#placements) for (const run of runs) this.#collect(run)
    let found = 0
    for (let page = 0; page < count; page++) {
      const at = first + page
      const bit = 1 << (at & 31)
      if ((dirty[at >>> 5]! & bit) === 0) continue
      dirty[at >>> 5]! &= ~bit
      into[page >>> 5]! |= 1 << (page & 31)
      found++
    }
    return found
  }

  #startLog(run: Run): void {
    run.log = this.#type === this.#options.p2m.types.ram ? this.#options.logs.start(run.gfn, run.count) : null
  }

  #stopLog(run: Run): void {
    if (run.log === null) return
    this.#collect(run)
    this.#options.logs.stop(run.log)
    run.log = null
  }

  /** Brings what a run's log has into the bits of the memory, which know no guest frames. */
  #collect(run: Run): void {
    if (run.log === null || this.#dirty === null) return
    const bits = new Uint32Array(Math.ceil(run.count / 32))
    if (run.log.take(bits) === 0) return
    for (let page = 0; page < run.count; page++) {
      const word = bits[page >>> 5]!
      if (word === 0) page |= 31
      else if (((word >>> (page & 31)) & 1) !== 0) setBits(this.#dirty, run.first + page, run.first + page + 1)
    }
  }

  /** @throws DeviceError `ERR_STATE` */
  check({ version, contents, name, device, bytes }: OwnedMemoryState): void {
    const { length = 0 } = contents instanceof Uint8Array ? contents : {}
    const isPages = length > 0 && length <= this.#bytes && length % PAGE_BYTES === 0
    if (version === 1 ? length === this.#bytes : version === 2 && bytes === this.#bytes && isPages) return
    throw new DeviceError(
      'ERR_STATE',
      `saved memory ${name} of ${device}: expected version 1 or 2 with ${this.#bytes} bytes`,
    )
  }

  save(): OwnedMemoryState {
    const { u32 } = this.#options.memory
    const first = this.location / 4
    let last = first + (this.#savedBytes || this.#bytes) / 4 - 1
    if (this.#savedBytes === 0) while (last > first && u32[last - 1] === u32[last]) last--
    const contents = this.view.slice(0, Math.ceil((last - first + 1) / WORDS) * PAGE_BYTES)
    if (this.#type !== this.#options.p2m.types.ram) this.#savedBytes = contents.length
    return { version: 2, device: this.#device, name: this.#name, contents, bytes: this.#bytes }
  }

  /** Writes the pages that differ: going back in a run finds most flash as it was, and its code stays compiled. */
  restore({ contents }: OwnedMemoryState): void {
    const { u32 } = this.#options.memory
    const [first, end] = [this.location / 4, contents.length]
    const [word] = new Uint32Array(contents.slice(-4).buffer)
    const isLikeTail = this.#savedBytes === end && u32[first + end / 4 - 1] === word
    const repeated = new Uint8Array(new Uint32Array(WORDS).fill(word!).buffer)
    for (let at = 0; at < (isLikeTail ? end : this.#bytes); at += PAGE_BYTES) {
      const page = at < end ? contents.subarray(at, at + PAGE_BYTES) : repeated
      if (!isSame(u32, first + at / 4, page)) this.write(at, page)
    }
    if (this.#type !== this.#options.p2m.types.ram) this.#savedBytes = end
  }

  free(): void {
    if (this.#freed) return
    this.#freed = true
    for (const placement of this.#placements) this.#unmap(placement)
    this.#placements.clear()
    this.#options.frameCounts.drop(this.location / PAGE_BYTES, this.#bytes / PAGE_BYTES)
    this.#onFree()
  }
}

/** Guest frames at which a part of a memory is mapped, and its machine address. */
interface Placement {
  readonly gfn: number
  readonly first: number
  readonly count: number
  readonly runs: Run[]
}

function setBits(bits: Uint32Array, from: number, to: number): void {
  for (let bit = from; bit < to; bit++) bits[bit >>> 5]! |= 1 << (bit & 31)
}
