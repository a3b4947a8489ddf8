import { FRAME_WATCHED, PAGE_BYTES } from '@retrap/memory'
import type { StoreWatch } from '@retrap/x86-cpu'
import type { Domain } from './domain.ts'
import type { FollowedVcpu, VirtualCpu } from './virtual-cpu.ts'

/** Consecutive bytes of a guest's physical memory. */
export interface PhysicalRange {
  /** Guest-physical address of the first. */
  readonly gpa: number
  /** How many. */
  readonly length: number
}

/** A writer of memory, as {@link MemoryWatch} sees it. */
export type MemoryWriter =
  /**
   * An instruction, its walk of page tables among it; `delivers`: the delivery of an event before it. `address` is linear,
   * `instructions` those that all vCPUs had retired before.
   */
  | {
      readonly by: 'instruction'
      readonly cpu: number
      readonly address: bigint
      readonly instructions: number
      readonly delivers: boolean
    }
  /** A device model, by DMA. */
  | { readonly by: 'device'; readonly device: string; readonly instructions: number }
  /** Something else of the machine, between two instructions: its toolstack. */
  | { readonly by: 'machine'; readonly instructions: number }

type WatchedDomain = Pick<
  Domain<FollowedVcpu>,
  'dirtyLogs' | 'instructions' | 'memory' | 'secondLevel' | 'vcpus' | 'watchTurns'
>

interface MachineRange {
  readonly gfn: number
  readonly ma: number
  readonly length: number
}

/**
 * Reports each write to some of a guest's RAM, by a vCPU or a device, with the exact instruction or device: for debuggers.
 * Instructions that write there are executed alone; other stores to the same frames are slower than usual. The program
 * executes as without it.
 *
 * Models in other threads or processes are not seen.
 */
export class MemoryWatch {
  readonly #domain: WatchedDomain
  readonly #ranges: MachineRange[] = []
  readonly #told: (writer: MemoryWriter, isExact: boolean) => void
  readonly #off: () => void
  #current: FollowedVcpu | null = null
  /** The write that the executing vCPU is about to make. */
  #met: MemoryWriter | null = null
  /** Whether the last writer was not a vCPU: its name may follow. */
  #unnamed = false

  /**
   * Begins to watch. Pages that are not RAM are left out.
   *
   * @param told - called after each write; after one of a device's it is called twice, the second time with the name. Where
   *   it is not exact, the instruction is among those that follow: a device that an instruction reaches, and a table that is
   *   walked for a fetch, while several are executed together
   */
  constructor(
    domain: WatchedDomain,
    ranges: readonly PhysicalRange[],
    told: (writer: MemoryWriter, isExact: boolean) => void,
  ) {
    this.#domain = domain
    this.#told = told
    for (const { gpa, length } of ranges) this.#add(gpa, length)
    this.#mark(true)
    const { memory, vcpus, dirtyLogs } = domain
    this.#off = memory.onCodeWrite((frame, first, last) => this.#written(frame, first, last))
    dirtyLogs.wroteBy = (device, gfn, count) => this.#named(device, gfn, count)
    domain.watchTurns({
      begin: ({ id }: VirtualCpu) => {
        this.#current = vcpus[id]!
      },
      end: () => {
        this.#current = null
        this.#met = null
      },
    })
    for (const vcpu of vcpus) vcpu.cpu.watchStores(this.#storesOf(vcpu))
  }

  #add(gpa: number, length: number): void {
    for (let done = 0; done < length;) {
      const bytes = Math.min(length - done, PAGE_BYTES - ((gpa + done) % PAGE_BYTES))
      const ma = this.#domain.secondLevel.peek(gpa + done)
      if (ma >= 0) this.#ranges.push({ gfn: Math.floor((gpa + done) / PAGE_BYTES), ma, length: bytes })
      done += bytes
    }
  }

  #mark(isWatched: boolean): void {
    const { memory, vcpus } = this.#domain
    const frames = Uint32Array.from(this.#ranges, ({ ma }) => Math.floor(ma / PAGE_BYTES))
    for (const frame of frames) {
      if (isWatched) memory.frameBits.set(frame, FRAME_WATCHED)
      else memory.frameBits.clear(frame, FRAME_WATCHED)
    }
    if (isWatched) for (const vcpu of vcpus) vcpu.watchWrites(frames, frames.length)
  }

  #storesOf(vcpu: FollowedVcpu): StoreWatch {
    return {
      matches: (ma, size) => this.#touches(ma, ma + size),
      met: () => {
        this.#met = this.#instructionOf(vcpu)
      },
    }
  }

  #touches(from: number, to: number): boolean {
    for (const { ma, length } of this.#ranges) if (from < ma + length && to > ma) return true
    return false
  }

  #instructionOf({ id, cpu }: FollowedVcpu): MemoryWriter {
    const { instructions } = this.#domain
    return { by: 'instruction', cpu: id, address: cpu.nextAddress, instructions, delivers: cpu.delivers }
  }

  #written(frame: number, first: number, last: number): void {
    const start = frame * PAGE_BYTES
    // The name of a writing device follows, which an instruction may have caused.
    this.#unnamed = this.#touches(start + first, start + last + 1)
    if (!this.#unnamed) return
    const current = this.#current
    if (current === null) return this.#told({ by: 'machine', instructions: this.#domain.instructions }, true)
    const met = this.#meant(current)
    this.#told(met ?? this.#instructionOf(current), met !== null)
  }

  /** The store that a vCPU was about to make, if it is still in its instruction, or that has just retired. */
  #meant({ cpu }: FollowedVcpu): MemoryWriter | null {
    const met = this.#met
    if (met === null || met.by !== 'instruction') return null
    const since = this.#domain.instructions - met.instructions
    return since === 1 || (since === 0 && (met.delivers || met.address === cpu.nextAddress)) ? met : null
  }

  #named(device: string, gfn: number, count: number): void {
    if (!this.#unnamed || !this.#ranges.some((range) => range.gfn >= gfn && range.gfn < gfn + count)) return
    this.#unnamed = false
    this.#told({ by: 'device', device, instructions: this.#domain.instructions }, this.#current === null)
  }

  /** Ends the watch. */
  close(): void {
    this.#off()
    this.#mark(false)
    const { dirtyLogs, vcpus } = this.#domain
    dirtyLogs.wroteBy = null
    this.#domain.watchTurns(null)
    for (const vcpu of vcpus) vcpu.cpu.watchStores(null)
  }
}
