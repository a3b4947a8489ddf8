import { IoDispatch } from '@retrap/ioreq'
import { MachineMemory } from '@retrap/memory'
import { FrameCounts, INVALID_MFN, P2m, P2mEntry, P2mType } from '@retrap/p2m'
import { FrameHolds, type VcpuRun, Invalidations, MemoryChanges } from '@retrap/hvm'
import { FIRST_GFN, FrameHistory, GFNS } from './witness.ts'
import { Processor } from './vcpu.ts'
import { SPARE, VCPUS, type Stage, type World } from './world.ts'

/** Longer than any interleaving takes: what is late is late because the interleaving says so. */
export const DEADLINE_MS = 2_000_000_000

/** A vCPU that stops by itself at the end of its instruction. */
const EXECUTING = { cpu: { stop: () => undefined } } as unknown as NonNullable<VcpuRun['current']>

/** A domain without processors: all that takes part in a notice, and nothing that executes. */
export class LightStage implements Stage {
  readonly memory = MachineMemory.create({ bytes: 0x10_0000 })
  readonly counts = FrameCounts.create(this.memory)
  readonly history = new FrameHistory(this.memory)
  readonly p2m = P2m.create(this.memory, { counts: this.counts })
  readonly dispatch: IoDispatch
  /** Frames that are free between two interleavings. */
  readonly free: number
  /** By vCPU: it waits for a device's answer, in the middle of an instruction. */
  readonly busy: boolean[] = []
  /** A vCPU is in the middle of an instruction. */
  executing = false
  #running = true
  #world: World | null = null
  #processors: readonly Processor[] = []
  readonly #pages: Uint8Array[] = []
  #pagesUsed = 0

  constructor() {
    const { frames } = this.memory
    // With tables that stay.
    this.p2m.populate(FIRST_GFN, GFNS)
    // Where all else is taken, a frame that is given back is the next to be given away.
    while (frames.freeFrames > SPARE - 2) frames.allocate()
    this.#clear()
    this.free = frames.freeFrames
    this.dispatch = new IoDispatch({
      vcpus: VCPUS,
      onComplete: () => void this.#sendIdle(),
      policy: 'detach',
      deadlineMs: DEADLINE_MS,
      onFailure: (failure) => this.#world?.failed(failure),
      invalidations: {
        acknowledged: (server, epoch) => this.#world?.invalidations.acknowledged(server, epoch),
        serverChanged: (server) => this.#world?.invalidations.serverChanged(server),
      },
      allocatePage: () => this.#page(),
    })
  }

  begin(world: World): ReturnType<Stage['begin']> {
    this.#world = world
    this.busy.fill(false)
    this.executing = false
    this.#running = true
    this.#processors = Array.from({ length: VCPUS }, (_, id) => new Processor(this, world, id))
    // Frames are as new, and so are servers' pages; the first is the dispatcher's own.
    this.history.freed.fill(0)
    this.#pagesUsed = 1
    const { p2m, dispatch } = this
    const frames = new FrameHolds(this.counts)
    const invalidations = new Invalidations({ p2m, dispatch, vcpus: VCPUS, frames, sendIdle: () => this.#sendIdle() })
    const isExecuting = (): boolean => this.isExecuting()
    const changes = new MemoryChanges(p2m, invalidations, {
      get current() {
        return isExecuting() ? EXECUTING : null
      },
    })
    return { invalidations, changes }
  }

  /** Whether a vCPU is in the middle of an instruction, as far as a change of the map is concerned. */
  isExecuting(): boolean {
    return this.executing
  }

  /** Notices of vCPUs that nobody runs, as in `Domain`. */
  #sendIdle(): boolean {
    if (this.#running) return false
    const invalidations = this.#world?.invalidations
    for (let vcpu = 0; vcpu < VCPUS; vcpu++) if (this.busy[vcpu] !== true) invalidations?.resume(vcpu)
    return true
  }

  turn(): string | undefined {
    return this.#running ? this.#world?.rng.pick(this.#processors).turn(false) : undefined
  }

  rest(): void {
    for (const each of this.#processors) each.turn(true)
  }

  cancel(): string | undefined {
    return this.#world?.rng.pick(this.#processors).cancel()
  }

  setRunning(running: boolean): void {
    this.#running = running
  }

  changedFromOutside(): void {}

  expire(): void {
    this.dispatch.requests.expire(performance.now() + DEADLINE_MS)
  }

  look(): void {}

  waiting(): string | undefined {
    const one = this.#processors.find(({ waits }) => waits)
    return one === undefined ? undefined : `vCPU ${one.id}`
  }

  async end(): Promise<void> {
    this.#clear()
    this.#world?.invalidations.close()
    this.#world = null
  }

  /** Takes all RAM away. */
  #clear(): void {
    const entry = new P2mEntry()
    for (let gfn = FIRST_GFN; gfn < FIRST_GFN + GFNS; gfn++) {
      const type = this.p2m.lookup(gfn, entry)
      if (entry.mfn >= 0) this.p2m.remove(gfn, entry.mfn)
      // What a pager has is nobody's any more.
      else if (type !== P2mType.MMIO_DM) this.p2m.insert(gfn, INVALID_MFN, 0, P2mType.MMIO_DM)
    }
  }

  #page(): { buffer: ArrayBuffer; byteOffset: number } {
    const page = (this.#pages[this.#pagesUsed++] ??= new Uint8Array(4096))
    page.fill(0)
    return { buffer: page.buffer as ArrayBuffer, byteOffset: 0 }
  }
}
