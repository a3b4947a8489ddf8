import { IoDispatch, type DevicePlatform } from '@retrap/ioreq'
import { guestMapOf, MapCache } from '@retrap/mapcache'
import { MachineMemory } from '@retrap/memory'
import { FrameCounts, P2m, P2mEntry, P2mError, P2mType } from '@retrap/p2m'
import type { Rng } from '@retrap/tooling/soak'
import { Invalidations, MemoryChanges } from '../../src/index.ts'
import type { Mutation } from './mutations.ts'
import type { Party } from './parties.ts'
import { Broken, type Call, FIRST_GFN, FrameHistory, GFNS, Grip, MapWitness, type Reach } from './witness.ts'

export const VCPUS = 4
/** Machine frames that are free for guests beside what is mapped at first: few, so that they are used again soon. */
const SPARE = 6

/** What interleavings have one after the other: machine memory and what is expensive to make. */
export class Machine {
  readonly memory = MachineMemory.create({ bytes: 0x10_0000 })
  readonly counts = FrameCounts.create(this.memory)
  readonly history = new FrameHistory(this.memory)
  readonly p2m = P2m.create(this.memory, { counts: this.counts })
  readonly dispatch: IoDispatch
  /** Frames that are free between two interleavings. */
  readonly free: number
  /** Whose turn it is. */
  world: World | null = null
  readonly #pages: Uint8Array[] = []
  #pagesUsed = 0

  constructor() {
    const { frames } = this.memory
    // With tables that stay.
    this.p2m.populate(FIRST_GFN, GFNS)
    // Where all else is taken, a frame that is given back is the next to be given away.
    while (frames.freeFrames > SPARE - 2) frames.allocate()
    this.clear()
    this.free = frames.freeFrames
    this.dispatch = new IoDispatch({
      vcpus: VCPUS,
      onComplete: () => void this.world?.sendIdle(),
      onFailure: ({ device, request, cause }) => {
        if (this.world !== null) {
          this.world.broken ??= new Broken(`device ${device} failed at ${request}: ${String(cause)}`)
        }
      },
      invalidations: {
        acknowledged: (server, epoch) => this.world?.invalidations.acknowledged(server, epoch),
        serverChanged: (server) => this.world?.invalidations.serverChanged(server),
      },
      allocatePage: () => this.#page(),
    })
  }

  /** A world's first frames are as new, and so are its servers' pages. */
  begin(world: World): void {
    this.world = world
    this.history.freed.fill(0)
    this.#pagesUsed = 0
  }

  /** Takes all RAM away. */
  clear(): void {
    const entry = new P2mEntry()
    for (let gfn = FIRST_GFN; gfn < FIRST_GFN + GFNS; gfn++) {
      this.p2m.lookup(gfn, entry)
      if (entry.mfn >= 0) this.p2m.remove(gfn, entry.mfn)
    }
  }

  #page(): { buffer: ArrayBuffer; byteOffset: number } {
    const page = (this.#pages[this.#pagesUsed++] ??= new Uint8Array(4096))
    page.fill(0)
    return { buffer: page.buffer as ArrayBuffer, byteOffset: 0 }
  }
}

/**
 * A guest's map, the way of notices to device models, and those who take part: everything of a domain but processors.
 * What a processor does between two instructions, and when a toolstack may change the map, is as in `Domain`.
 */
export class World {
  readonly machine: Machine
  readonly rng: Rng
  readonly p2m: P2m
  readonly dispatch: IoDispatch
  readonly invalidations: Invalidations
  readonly changes: MemoryChanges
  readonly map: MapWitness
  readonly platform: DevicePlatform
  /** Device models' servers that are there. */
  readonly parties: Party[] = []
  /** Calls from outside that have not returned. */
  readonly outside = new Set<Call>()
  /** A vCPU is in the middle of an instruction. */
  executing = false
  /** vCPUs are run. */
  running = true
  /** By vCPU: it waits for a device's answer, in the middle of an instruction. */
  readonly busy: boolean[] = Array.from({ length: VCPUS }, () => false)
  /** Actions so far. */
  at = 0
  /** Waits that ended because they could not. */
  deadlocks = 0
  /** Waits of toolstacks and device models that go on. */
  waits = 0
  /** What has been found wrong outside of an action, in a promise for instance. */
  broken: unknown
  /** Whether caches keep references of their own to frames. */
  readonly #counted: boolean
  readonly #neighbours: number[] = []

  constructor(machine: Machine, rng: Rng, mutation: Mutation | null) {
    this.machine = machine
    this.rng = rng
    const { counts, history } = machine
    machine.begin(this)
    this.p2m = machine.p2m
    this.dispatch = machine.dispatch
    this.map = new MapWitness(this.p2m, history)
    this.#counted = rng.chance()
    this.invalidations = new Invalidations({
      p2m: this.p2m,
      dispatch: this.dispatch,
      vcpus: VCPUS,
      frames: counts,
      sendIdle: () => this.sendIdle(),
    })
    this.changes = new MemoryChanges(this.p2m, this.invalidations, {
      executing: () => this.isExecuting(),
      stop: () => undefined,
    })
    const nothing = { set: () => undefined, pulse: () => undefined }
    this.platform = {
      clock: { now: () => this.at },
      timer: () => ({ deadlineNs: Infinity, arm: () => undefined, cancel: () => undefined }),
      dma: { read: () => false, write: () => false },
      interruptLine: () => nothing,
      signalMsi: () => undefined,
      powerOff: () => undefined,
      reset: () => undefined,
      exit: () => undefined,
    }
    mutation?.(this)
    this.change('at first', () => this.p2m.populate(FIRST_GFN, GFNS - 2))
  }

  /** Notices of vCPUs that nobody runs, as in `Domain`. */
  sendIdle(): boolean {
    if (this.running) return false
    for (let vcpu = 0; vcpu < VCPUS; vcpu++) if (!this.busy[vcpu]) this.invalidations.resume(vcpu)
    return true
  }

  /** Whether a vCPU is in the middle of an instruction, as far as a change of the map is concerned. */
  isExecuting(): boolean {
    return this.executing
  }

  newGrip(): Grip {
    return new Grip(this.machine.history, this.#counted ? this.machine.counts : null)
  }

  openMemory(grip: Grip): MapCache {
    return new MapCache({
      memory: this.machine.memory,
      map: guestMapOf(this.p2m),
      references: grip,
      // Buckets are given up now and then.
      bucketBytes: 0x4000,
      budgetBytes: 0x8000,
    })
  }

  // ---- changes of the map ----

  /** Makes a change, and marks the frames that have come. */
  change(by: string, change: () => void): Call {
    const call = this.map.change(by, this.at, () => {
      try {
        change()
      } catch (error) {
        // There may be no frame left: then what has been done stands.
        if (!(error instanceof P2mError && error.code === 'ERR_NO_MEMORY')) throw error
      }
    })
    for (const mfn of this.map.mfns) if (mfn >= 0) this.machine.memory.writeU32(mfn * 4096, this.markOf(mfn))
    return call
  }

  /** First word of a frame that belongs to the guest. */
  markOf(mfn: number): number {
    return ((this.machine.history.freed[mfn] as number) * 0x400 + mfn) >>> 0
  }

  /** A random change of one to three guest frames, as `memory_op` makes them, described. */
  randomChange(by: string): { readonly text: string; readonly make: () => Call } {
    const { rng, map, p2m } = this
    const gfn = FIRST_GFN + rng.below(GFNS)
    const count = Math.min(rng.between(1, 3), FIRST_GFN + GFNS - gfn)
    const other = FIRST_GFN + rng.below(GFNS)
    const each = (action: (gfn: number, mfn: number) => void): void => {
      for (let i = gfn; i < gfn + count; i++) {
        const mfn = map.mfnOf(i)
        if (mfn >= 0) action(i, mfn)
      }
    }
    const kinds = [
      ['decrease_reservation', () => each((at, mfn) => p2m.remove(at, mfn))],
      [
        'populate_physmap',
        () => {
          for (let i = gfn; i < gfn + count; i++) if (map.mfnOf(i) < 0) p2m.populate(i, 1)
        },
      ],
      [
        'exchange',
        () =>
          each((at, mfn) => {
            p2m.remove(at, mfn)
            p2m.populate(at, 1)
          }),
      ],
      ['replace', () => each((at) => p2m.populate(at, 1))],
      ['set read-only', () => p2m.setType(gfn, count, P2mType.RAM_RO)],
      ['set writable', () => p2m.setType(gfn, count, P2mType.RAM_RW)],
      ['log dirty', () => p2m.setType(gfn, count, P2mType.RAM_LOGDIRTY)],
      [
        `add_to_physmap at ${other}`,
        () => {
          const mfn = map.mfnOf(gfn)
          if (mfn < 0 || other === gfn) return
          this.#keeping(mfn, () => {
            p2m.remove(gfn, mfn)
            p2m.insert(other, mfn, 0, P2mType.RAM_RW)
          })
        },
      ],
    ] as const
    const [name, make] = rng.pick(kinds)
    return { text: `${by}: ${name} ${gfn} + ${count}`, make: () => this.change(by, make) }
  }

  /** A frame that moves must not be given away while it is nowhere. */
  #keeping(mfn: number, move: () => void): void {
    const { counts } = this.machine
    counts.tryTake(mfn, 1)
    try {
      move()
    } finally {
      counts.drop(mfn, 1)
    }
  }

  /** A vCPU may begin its next instruction: its own calls have returned, and so has what others did before. */
  passed(calls: readonly Call[]): void {
    for (const call of calls) this.map.returned(call)
    for (const call of this.outside) this.map.returned(call)
    this.outside.clear()
  }

  /** A call from outside: it has returned at the latest when a vCPU goes on. */
  fromOutside(call: Call): Call {
    this.outside.add(call)
    return call
  }

  /**
   * A toolstack, or a device model, has been told that its call is over: nobody but itself reaches what it removed.
   *
   * @throws Broken
   */
  checkReturned(call: Call, self: Party | undefined): void {
    for (const party of this.parties) {
      if (party === self) continue
      for (const { gfn, mfn } of party.reaches) {
        if (this.map.mfnOf(gfn) === mfn || this.map.isLeaving(mfn, call, gfn)) continue
        if (call.removed.some((each) => each.gfn === gfn && each.mfn === mfn)) {
          throw new Broken(`${party.name} reaches frame ${mfn} at guest frame ${gfn}, and ${call.by} has been told not`)
        }
      }
      for (const { mfn } of call.removed) {
        if (!party.grip.frames.has(mfn) || this.map.mfns.includes(mfn) || this.map.isLeaving(mfn, call)) continue
        throw new Broken(`${party.name} still knows frame ${mfn}, and ${call.by} has been told not`)
      }
    }
    if (self === undefined) this.map.returned(call)
  }

  // ---- what is under way ----

  /**
   * A device does what a buffered write of the guest asked for.
   *
   * @param at - when the guest wrote
   * @throws Broken if the frame has been taken out since, and the call that did it has returned
   */
  bufferedArrives(name: string, gfn: number, at: number): void {
    if ((this.map.lost[gfn - FIRST_GFN] as number) <= at) return
    throw new Broken(`${name} does a buffered write of ${at} to guest frame ${gfn}, which has been another since`)
  }

  /** A write of a device arrives in memory. @throws as {@link World.bufferedArrives} */
  transferArrives(name: string, gpa: number, bytes: Uint8Array): void {
    const at = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
    const gfn = Math.floor(gpa / 4096)
    if ((this.map.lost[gfn - FIRST_GFN] as number) <= at) return
    throw new Broken(`${name} writes to guest frame ${gfn} what it sent at ${at}, and that has been another since`)
  }

  // ---- other guests ----

  /** Another guest takes a frame, or gives one back. */
  neighbour(): string {
    const { memory } = this.machine
    if (this.#neighbours.length > 0 && this.rng.chance()) {
      const mfn = this.#neighbours.splice(this.rng.below(this.#neighbours.length), 1)[0] as number
      memory.frames.free(mfn)
      return `another guest frees frame ${mfn}`
    }
    const mfn = memory.frames.tryAllocate(0)
    if (mfn < 0) return 'another guest finds no frame'
    memory.writeU32(mfn * 4096, 0xdead_beef)
    this.#neighbours.push(mfn)
    return `another guest takes frame ${mfn}`
  }

  // ---- what must hold ----

  /** What a cache reads at a guest frame. @throws Broken if that is a frame it must not reach */
  checkRead(name: string, gfn: number, mark: number): void {
    const mfn = mark % 0x400
    const reach: Reach = { gfn, mfn, writable: false, freed: Math.floor(mark / 0x400) }
    if (mark === 0xdead_beef) throw new Broken(`${name} reads another guest's frame at guest frame ${gfn}`)
    const what = this.map.wrongReach(reach)
    if (what !== undefined) throw new Broken(`${name} ${what}`)
  }

  /** @throws Broken */
  check(except?: Party): void {
    if (this.broken !== undefined) throw this.broken
    for (const party of this.parties) {
      if (party === except) continue
      const what = this.map.wrong(party)
      if (what !== undefined) throw new Broken(what)
    }
  }

  /** Everything goes, and every frame must come back. */
  close(): void {
    const { memory, free } = this.machine
    for (const party of this.parties.splice(0)) party.die()
    this.invalidations.close()
    this.machine.clear()
    for (const mfn of this.#neighbours.splice(0)) memory.frames.free(mfn)
    if (memory.frames.freeFrames !== free) {
      throw new Broken(`${free - memory.frames.freeFrames} frames have not come back`)
    }
  }
}
