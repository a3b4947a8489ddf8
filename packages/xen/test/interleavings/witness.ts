import type { FrameReferences } from '@retrap/mapcache'
import type { MachineMemory } from '@retrap/memory'
import { P2mEntry, P2mType, type P2m } from '@retrap/p2m'

/** Guest frames of the interleavings: few, so that parties meet. */
export const FIRST_GFN = 0x10
export const GFNS = 8

/** More than there are machine frames. */
export const FRAMES = 0x2000

/** Types of frames that device models may have mapped, and those of them that they may write. */
const REACHABLE: readonly number[] = [
  P2mType.RAM_RW,
  P2mType.RAM_LOGDIRTY,
  P2mType.RAM_RO,
  P2mType.RAM_SHARED,
  P2mType.IOREQ_SERVER,
]
const WRITABLE: readonly number[] = [P2mType.RAM_RW, P2mType.RAM_LOGDIRTY, P2mType.IOREQ_SERVER]

/** What is not as it must be; its message says who reaches what. */
export class Broken extends Error {}

/** Counts how often each machine frame has been freed: a frame with another count is another frame. */
export class FrameHistory {
  readonly freed: Uint32Array

  constructor(memory: MachineMemory) {
    const { frames } = memory
    this.freed = new Uint32Array(memory.frameCount)
    const free = frames.free.bind(frames)
    frames.free = (mfn: number, order = 0): void => {
      for (let i = 0; i < 2 ** order; i++) this.freed[mfn + i]!++
      free(mfn, order)
    }
  }
}

/** A machine frame as somebody got to know it. */
interface Known {
  count: number
  readonly freed: number
}

/** References of one cache, with what it references: all that its owner can reach without asking the map again. */
export class Grip implements FrameReferences {
  readonly frames = new Map<number, Known>()
  readonly #history: FrameHistory
  readonly #counts: FrameReferences | null

  /** @param counts - also takes references there */
  constructor(history: FrameHistory, counts: FrameReferences | null) {
    this.#history = history
    this.#counts = counts
  }

  tryTake(mfn: number, count: number): boolean {
    if (this.#counts?.tryTake(mfn, count) === false) return false
    for (let i = 0; i < count; i++) {
      const known = this.frames.get(mfn + i)
      if (known === undefined) this.frames.set(mfn + i, { count: 1, freed: this.#history.freed[mfn + i] as number })
      else known.count++
    }
    return true
  }

  drop(mfn: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const known = this.frames.get(mfn + i)
      if (known === undefined) throw new Broken(`a reference to frame ${mfn + i} is dropped that was not taken`)
      if (--known.count === 0) this.frames.delete(mfn + i)
    }
    this.#counts?.drop(mfn, count)
  }
}

/** A guest frame that somebody holds, or has a transfer to or from under way. */
export interface Reach {
  readonly gfn: number
  readonly mfn: number
  readonly writable: boolean
  readonly freed: number
}

/** Who can reach guest memory. */
export interface Holder {
  readonly name: string
  readonly grip: Grip
  /** Mappings that are held, and transfers under way. */
  readonly reaches: Iterable<Reach>
}

/** A guest frame and what was there. */
interface Place {
  readonly gfn: number
  readonly mfn: number
}

/** One call that changes the map, until it has returned to who made it. */
export class Call {
  readonly by: string
  /** When it changed the map, in actions. */
  readonly at: number
  /** Guest frames that lost a machine frame; and that may not be written any more. */
  readonly removed: Place[] = []
  readonly readOnly: Place[] = []
  returned = false

  constructor(by: string, at: number) {
    this.by = by
    this.at = at
  }
}

/** The map as it is, and what calls that have not returned have taken out of it. */
export class MapWitness {
  /** By guest frame: machine frame or −1, and type. */
  readonly mfns = new Int32Array(GFNS).fill(-1)
  readonly types = new Int32Array(GFNS)
  /** By guest frame, when the last change that has returned took its machine frame away. */
  readonly lost = new Float64Array(GFNS).fill(-1)
  /** Whose call changes the map: asked where `change` has not said it. */
  caller: (() => Call) | null = null
  readonly #p2m: P2m
  readonly #history: FrameHistory
  readonly #entry = new P2mEntry()
  /** Calls that have not returned. */
  readonly #open = new Set<Call>()
  #call: Call | null = null
  readonly #unsubscribe: () => void

  constructor(p2m: P2m, history: FrameHistory) {
    this.#p2m = p2m
    this.#history = history
    this.#unsubscribe = p2m.onChange((gfn, count) => {
      if (gfn < FIRST_GFN + GFNS && gfn + count > FIRST_GFN) this.#look()
    })
    this.#look()
  }

  close(): void {
    this.#unsubscribe()
  }

  /** Makes a change, and says what it took away. */
  change(by: string, at: number, change: () => void): Call {
    const call = new Call(by, at)
    this.#call = call
    try {
      change()
    } finally {
      this.#call = null
    }
    return call
  }

  /** Compares the map with what it was, and marks the frames that have come with what they are. */
  #look(): void {
    const { mfns, types } = this
    for (let i = 0; i < GFNS; i++) {
      const type = this.#p2m.lookup(FIRST_GFN + i, this.#entry)
      // One that a pager has taken out of reach is still in the map.
      const mfn = REACHABLE.includes(type) ? this.#entry.mfn : -1
      const old = mfns[i] as number
      if (mfn === old && type === types[i]) continue
      const place = { gfn: FIRST_GFN + i, mfn: old }
      if (old >= 0 && mfn !== old) this.#note('removed', place)
      else if (old >= 0 && !WRITABLE.includes(type) && WRITABLE.includes(types[i] as number)) {
        this.#note('readOnly', place)
      }
      mfns[i] = mfn
      types[i] = type
      if (mfn >= 0 && mfn !== old) this.#p2m.memory.writeU32(mfn * 4096, this.markOf(mfn))
    }
  }

  #note(how: 'removed' | 'readOnly', place: Place): void {
    const call = this.#call ?? this.caller?.()
    if (call === undefined) return
    call[how].push(place)
    this.#open.add(call)
  }

  /** First word of a frame that belongs to the guest. */
  markOf(mfn: number): number {
    return ((this.#history.freed[mfn] as number) * FRAMES + mfn) >>> 0
  }

  /** A call has returned: from now on nobody may reach what it took away. */
  returned(call: Call): void {
    if (call.returned) return
    call.returned = true
    this.#open.delete(call)
    for (const { gfn } of call.removed) {
      this.lost[gfn - FIRST_GFN] = Math.max(this.lost[gfn - FIRST_GFN] as number, call.at)
    }
  }

  mfnOf(gfn: number): number {
    return this.mfns[gfn - FIRST_GFN] as number
  }

  reach(gfn: number, writable: boolean): Reach {
    const mfn = this.mfnOf(gfn)
    return { gfn, mfn, writable, freed: this.#history.freed[mfn] as number }
  }

  /** What somebody reaches and must not, in words; undefined if there is nothing. */
  wrong(holder: Holder): string | undefined {
    for (const each of holder.reaches) {
      const what = this.wrongReach(each)
      if (what !== undefined) return `${holder.name} ${what}`
    }
    for (const [mfn, { freed }] of holder.grip.frames) {
      if (freed !== this.#history.freed[mfn]) return `${holder.name} still knows frame ${mfn}, which was freed`
      if (this.mfns.includes(mfn) || this.isLeaving(mfn)) continue
      return `${holder.name} still knows frame ${mfn}, and every call that removed it has returned`
    }
    return undefined
  }

  /** The same for one frame that is held. */
  wrongReach({ gfn, mfn, writable, freed }: Reach): string | undefined {
    const where = `reaches frame ${mfn} at guest frame ${gfn}`
    if (freed !== this.#history.freed[mfn]) return `${where}, which was freed`
    if (this.mfnOf(gfn) !== mfn) {
      return this.#leaves(gfn, mfn, 'removed') ? undefined : `${where}, and the call that removed it has returned`
    }
    if (!writable || WRITABLE.includes(this.types[gfn - FIRST_GFN] as number)) return undefined
    return this.#leaves(gfn, mfn, 'readOnly')
      ? undefined
      : `${where} for writing, and the call that forbade that has returned`
  }

  /** Whether a call that has not returned, but another one, has taken a frame out: from anywhere, or from one place. */
  isLeaving(mfn: number, except?: Call, gfn?: number): boolean {
    for (const call of this.#open) {
      if (call === except) continue
      for (const each of call.removed) if (each.mfn === mfn && (gfn === undefined || each.gfn === gfn)) return true
    }
    return false
  }

  #leaves(gfn: number, mfn: number, how: 'removed' | 'readOnly'): boolean {
    for (const call of this.#open) for (const each of call[how]) if (each.gfn === gfn && each.mfn === mfn) return true
    return false
  }
}
