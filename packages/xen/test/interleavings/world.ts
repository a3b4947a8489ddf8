import type { DevicePlatform } from '@retrap/device-hosting'
import type { DeviceFailure, IoDispatch, IoreqServer } from '@retrap/ioreq'
import { guestMapOf, MapCache } from '@retrap/mapcache'
import type { MachineMemory } from '@retrap/memory'
import { P2mError, P2mType, type FrameCounts, type P2m } from '@retrap/p2m'
import type { Rng } from '@retrap/tooling/soak'
import type { Invalidations, MemoryChanges } from '@retrap/hvm'
import * as witness from './witness.ts'

export const VCPUS = 4
/** Machine frames that are free for guests beside what is mapped at first: few, so that they are used again soon. */
export const SPARE = 6

/** A change of the map, by name. */
type Change = readonly [name: string, make: () => unknown]

/** A device model's server, as one of those that take part. */
export interface Party extends witness.Holder {
  readonly server: IoreqServer
  /** Guest-physical address of its registers. */
  readonly base: number
  /** Does one thing of its own choice; undefined if that was nothing. */
  act(): string | undefined
  /**
   * Does all that is asked of it; whether there was anything.
   *
   * @param release - it also gives back what it holds
   */
  finish(release: boolean): boolean
  /** Comes or goes, as a toolstack has it. */
  setEnabled(enabled: boolean): void
  /** Ends, with all that it holds. */
  die(): void
}

/** Makes the mechanism wrong in a world where nothing has happened yet. */
export type Mutation = (world: World) => void

/** Where interleavings take place, one after the other: a guest, and its processors. */
export interface Stage {
  readonly memory: MachineMemory
  readonly counts: FrameCounts
  readonly history: witness.FrameHistory
  readonly p2m: P2m
  readonly dispatch: IoDispatch
  /** Frames that are free between two interleavings. */
  readonly free: number
  /** What is another one for each interleaving. */
  begin(world: World): {
    readonly invalidations: Invalidations
    readonly changes: Pick<MemoryChanges, 'request' | 'stopped'>
  }
  turn(): string | undefined
  /** All of them have it, and begin nothing new. */
  rest(): void
  /** A processor is reset, where that can be. */
  cancel(): string | undefined
  /** The domain is run, or is not, from now on. */
  setRunning(running: boolean): void
  /** A change from outside has been made. */
  changedFromOutside(call: witness.Call): void
  /** Device models that have not answered by now have failed, where a deadline can pass. */
  expire(): void
  /** Looks which calls have returned. */
  look(): void
  /** Who has not come to an end, in words. */
  waiting(): string | undefined
  /** Takes all RAM away that interleavings change, and ends. */
  end(): Promise<void>
}

/**
 * A guest's map, the way of notices to device models, and those who take part: everything of a domain but processors.
 * What a processor does between two instructions, and when a toolstack may change the map, is as in `Domain`.
 */
export class World {
  readonly stage: Stage
  readonly rng: Rng
  readonly p2m: P2m
  readonly dispatch: IoDispatch
  readonly invalidations: Invalidations
  readonly changes: Pick<MemoryChanges, 'request' | 'stopped'>
  readonly map: witness.MapWitness
  readonly platform: DevicePlatform
  /** Device models' servers that are there. */
  readonly parties: Party[] = []
  /** Calls from outside that have not returned. */
  readonly outside = new Set<witness.Call>()
  /** Actions so far. */
  at = 0
  /** Waits that ended because they could not. */
  deadlocks = 0
  /** Waits of toolstacks and device models that go on. */
  waits = 0
  /** Servers and models that do nothing any more, for ever, and may be failed for it. */
  readonly hung = new Set<string>()
  /** How often parties wait in the middle of requests, for those who hang perhaps: it may become too late for their own. */
  readonly excused = new Map<string, number>()
  /** What has been found wrong outside of an action, in a promise for instance. */
  broken: unknown
  /** Whether caches keep references of their own to frames. */
  readonly #counted: boolean
  readonly #neighbours: number[] = []

  constructor(stage: Stage, rng: Rng, mutation: Mutation | null) {
    this.stage = stage
    this.rng = rng
    this.p2m = stage.p2m
    this.dispatch = stage.dispatch
    this.map = new witness.MapWitness(this.p2m, stage.history)
    this.#counted = rng.chance()
    const { invalidations, changes } = stage.begin(this)
    this.invalidations = invalidations
    this.changes = changes
    const nothing = { set: () => undefined, pulse: () => undefined }
    this.platform = {
      clock: { now: () => this.at, read: (into) => Object.assign(into, { lo: this.at, hi: 0 }) },
      timer: () => ({
        deadlineNs: Infinity,
        arm: () => undefined,
        armAfter: () => undefined,
        readDeadline: () => false,
        cancel: () => undefined,
      }),
      dma: { read: () => false, write: () => false },
      interruptLine: () => nothing,
      signalMsi: () => undefined,
      powerOff: () => undefined,
      reset: () => undefined,
      exit: () => undefined,
    }
    mutation?.(this)
    this.change('at first', () => this.p2m.populate(witness.FIRST_GFN, witness.GFNS - 2))
  }

  newGrip(): witness.Grip {
    return new witness.Grip(this.stage.history, this.#counted ? this.stage.counts : null)
  }

  openMemory(grip: witness.Grip): MapCache {
    return new MapCache({
      memory: this.stage.memory,
      map: guestMapOf(this.p2m),
      references: grip,
      // Buckets are given up now and then.
      bucketBytes: 0x4000,
      budgetBytes: 0x8000,
    })
  }

  // ---- changes of the map ----

  change(by: string, change: () => void): witness.Call {
    return this.map.change(by, this.at, () => {
      try {
        change()
      } catch (error) {
        // There may be no frame left, or it is not what can be changed so: then what has been done stands.
        if (!(error instanceof P2mError)) throw error
      }
    })
  }

  /** A random change of one to three guest frames, as `memory_op` makes them, described. */
  randomChange(by: string): { readonly text: string; readonly make: () => witness.Call } {
    const { rng, map, p2m } = this
    const gfn = witness.FIRST_GFN + rng.below(witness.GFNS)
    const count = Math.min(rng.between(1, 3), witness.FIRST_GFN + witness.GFNS - gfn)
    const other = witness.FIRST_GFN + rng.below(witness.GFNS)
    const each = (action: (gfn: number, mfn: number) => void): void => {
      for (let i = gfn; i < gfn + count; i++) {
        const mfn = map.mfnOf(i)
        if (mfn >= 0) action(i, mfn)
      }
    }
    const common: readonly Change[] = [
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
      ['set read-only', () => void p2m.setType(gfn, count, P2mType.RAM_RO)],
    ]
    const rare: readonly Change[] = [
      ['set writable', () => void p2m.setType(gfn, count, P2mType.RAM_RW)],
      ['log dirty', () => void p2m.setType(gfn, count, P2mType.RAM_LOGDIRTY)],
      ['claim writes', () => void p2m.setType(gfn, count, P2mType.IOREQ_SERVER, P2mType.RAM_RW)],
      ['nominate', () => p2m.paging.nominate(gfn)],
      ['evict', () => p2m.paging.evict(gfn)],
      [
        'page in',
        () => {
          if (p2m.paging.request(gfn) === 'load') p2m.paging.prepare(gfn, new Uint8Array(4096))
          p2m.paging.resume(gfn)
        },
      ],
      // Only where those who may write it can be seen.
      [`share with ${other}`, () => this.#counted && p2m.share(gfn, p2m, other)],
      ['unshare', () => p2m.unshare(gfn)],
    ]
    const [name, make] = rng.pick(rng.chance(1, 4) ? rare : common)
    return { text: `${by}: ${name} ${gfn} + ${count}`, make: () => this.change(by, make) }
  }

  /** A frame that moves must not be given away while it is nowhere. */
  #keeping(mfn: number, move: () => void): void {
    const { counts } = this.stage
    counts.tryTake(mfn, 1)
    try {
      move()
    } finally {
      counts.drop(mfn, 1)
    }
  }

  /** A vCPU may begin its next instruction: its own calls have returned, and so has what others did before. */
  passed(calls: readonly witness.Call[]): void {
    for (const call of calls) this.map.returned(call)
    for (const call of this.outside) this.map.returned(call)
    this.outside.clear()
  }

  /** A call from outside: it has returned at the latest when a vCPU goes on. */
  fromOutside(call: witness.Call): witness.Call {
    this.outside.add(call)
    this.stage.changedFromOutside(call)
    return call
  }

  /**
   * A toolstack, or a device model, has been told that its call is over: nobody but itself reaches what it removed.
   *
   * @throws Broken
   */
  checkReturned(call: witness.Call, self: Party | undefined): void {
    for (const party of this.parties) {
      if (party === self) continue
      for (const { gfn, mfn } of party.reaches) {
        if (this.map.mfnOf(gfn) === mfn || this.map.isLeaving(mfn, call, gfn)) continue
        if (call.removed.some((each) => each.gfn === gfn && each.mfn === mfn)) {
          throw new witness.Broken(
            `${party.name} reaches frame ${mfn} at guest frame ${gfn}, and ${call.by} has been told not`,
          )
        }
      }
      for (const { mfn } of call.removed) {
        if (!party.grip.frames.has(mfn) || this.map.mfns.includes(mfn) || this.map.isLeaving(mfn, call)) continue
        throw new witness.Broken(`${party.name} still knows frame ${mfn}, and ${call.by} has been told not`)
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
    if ((this.map.lost[gfn - witness.FIRST_GFN] as number) <= at) return
    throw new witness.Broken(
      `${name} does a buffered write of ${at} to guest frame ${gfn}, which has been another since`,
    )
  }

  /** A write of a device arrives in memory. @throws as {@link World.bufferedArrives} */
  transferArrives(name: string, gpa: number, bytes: Uint8Array): void {
    const at = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)
    const gfn = Math.floor(gpa / 4096)
    if ((this.map.lost[gfn - witness.FIRST_GFN] as number) <= at) return
    throw new witness.Broken(
      `${name} writes to guest frame ${gfn} what it sent at ${at}, and that has been another since`,
    )
  }

  // ---- other guests ----

  /** Another guest takes a frame, or gives one back. */
  neighbour(): string {
    const { memory } = this.stage
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

  /** A server, or a model of one, has failed. @throws nothing; it may be noted as wrong */
  failed({ device, serverName, request, cause }: DeviceFailure): void {
    if (this.hung.has(device) || this.hung.has(serverName) || (this.excused.get(serverName) ?? 0) > 0) return
    this.broken ??= new witness.Broken(`device ${device} of ${serverName} failed at ${request}: ${String(cause)}`)
  }

  /** Other guests give everything back. */
  freeNeighbours(): void {
    for (const mfn of this.#neighbours.splice(0)) this.stage.memory.frames.free(mfn)
  }

  // ---- what must hold ----

  /** What a cache reads at a guest frame. @throws Broken if that is a frame it must not reach */
  checkRead(name: string, gfn: number, mark: number): void {
    const mfn = mark % witness.FRAMES
    const reach: witness.Reach = { gfn, mfn, writable: false, freed: Math.floor(mark / witness.FRAMES) }
    if (mark === 0xdead_beef) throw new witness.Broken(`${name} reads another guest's frame at guest frame ${gfn}`)
    const what = this.map.wrongReach(reach)
    if (what !== undefined) throw new witness.Broken(`${name} ${what}`)
  }

  /** @throws Broken */
  check(except?: Party): void {
    if (this.broken !== undefined) throw this.broken
    for (const party of this.parties) {
      if (party === except) continue
      const what = this.map.wrong(party)
      if (what !== undefined) throw new witness.Broken(what)
    }
  }

  /** Everything goes, and every frame must come back. */
  async close(): Promise<void> {
    const { memory, free } = this.stage
    for (const party of this.parties.splice(0)) party.die()
    await this.stage.end()
    this.map.close()
    this.freeNeighbours()
    if (memory.frames.freeFrames !== free) {
      throw new witness.Broken(`${free - memory.frames.freeFrames} frames have not come back`)
    }
  }
}
