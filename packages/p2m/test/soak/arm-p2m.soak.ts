import { MachineMemory } from '@retrap/memory'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { ArmP2mType as T, INVALID_MFN, P2m, type Stage2 } from '../../src/index.ts'
import { codeOf, entryAt } from '../support/entries.ts'
import { walkStage2, type Stage2Walk } from '../support/stage2-walker.ts'

const OPERATIONS = 40
const PAGE = 4096
/** At edges of tables, of blocks and of what 16 neighbours share. */
const BASES = [0, 0x200, 0x400, 0x3_fe00, 0x4_0000, 0x8_0000]
const OFFSETS = [0, 1, 0x10, 0x11, 0x1f0, 0x1ff]
const COUNTS = [1, 2, 0x10, 0x20, 0x1ff, 0x200, 0x210, 0x400]
const FRAMES = [0x200, 0x210, 0x401, 0x600, 0x800]
const RAM_TYPES: readonly number[] = [T.RAM_RW, T.RAM_RO, T.RAM_LOGDIRTY]
const KINDS = ['insert', 'insert', 'insert', 'remove', 'type', 'shatter', 'coalesce', 'invalidate', 'save'] as const

const memory = MachineMemory.create({ bytes: 64 << 20 })

/** What hardware keeps of a walk, by the frame that was asked for. */
type Tlb = Map<number, Stage2Walk>

/** A map, what is expected of it, and a TLB that forgets only when it is told to. */
class Stage {
  readonly #tlb: Tlb = new Map()
  readonly #expected = new Map<number, { readonly mfn: number; readonly type: number }>()
  readonly #ipaBits: number
  #p2m: P2m
  /** Frames near any change that there has been. */
  readonly #watched = new Set<number>()

  constructor(ipaBits: number) {
    this.#ipaBits = ipaBits
    this.#p2m = this.#create()
  }

  #create(): P2m {
    return P2m.create(memory, { stage2: { ipaBits: this.#ipaBits, flushTlb: () => this.#tlb.clear() } })
  }

  get #stage2(): Stage2 {
    return this.#p2m.stage2 as Stage2
  }

  close(): void {
    this.#p2m.destroy()
  }

  /** One change. @returns its name, for a failure's notes */
  change(rng: Rng): string {
    const kind = rng.pick(KINDS)
    const gfn = rng.pick(BASES) + rng.pick(OFFSETS)
    const count = rng.pick(COUNTS)
    for (const at of [gfn - 1, gfn, gfn + 1, gfn + (count >> 1), gfn + count - 1, gfn + count])
      if (at >= 0) this.#watched.add(at)
    const text = (more = ''): string => `${kind} 0x${gfn.toString(16)}, 0x${count.toString(16)}${more}`
    switch (kind) {
      case 'insert': {
        const [mfn, type] = [rng.pick(FRAMES) + rng.below(2) * 0x10, rng.pick([...RAM_TYPES, T.MMIO_DIRECT_DEV])]
        const code = codeOf(() => this.#p2m.insertRange(gfn, mfn, count, type))
        if (code === 'none') for (let i = 0; i < count; i++) this.#expected.set(gfn + i, { mfn: mfn + i, type })
        // A device's frames are in the way of anything but themselves; what comes before them is there.
        else this.#reread()
        return text(`: frames 0x${mfn.toString(16)}, type ${type}, ${code}`)
      }
      case 'remove': {
        const mfn = this.#expected.get(gfn)?.mfn ?? INVALID_MFN
        const code = codeOf(() => this.#p2m.remove(gfn, mfn, count))
        if (code === 'none') for (let i = 0; i < count; i++) this.#expected.delete(gfn + i)
        return text(`: ${code}`)
      }
      case 'type': {
        const type = rng.pick(RAM_TYPES)
        this.#p2m.setType(gfn, count, type)
        for (let i = 0; i < count; i++) {
          const old = this.#expected.get(gfn + i)
          if (old !== undefined && RAM_TYPES.includes(old.type)) this.#expected.set(gfn + i, { mfn: old.mfn, type })
        }
        return text(`: type ${type}`)
      }
      case 'shatter':
        this.#p2m.shatter(gfn, rng.pick([0, 9]))
        return text()
      case 'coalesce':
        this.#p2m.coalesce(gfn, count)
        return text()
      case 'invalidate':
        this.#stage2.invalidate()
        return text()
      case 'save': {
        const state = this.#p2m.save()
        this.close()
        this.#tlb.clear()
        this.#p2m = this.#create()
        this.#p2m.restore(state)
        return text()
      }
    }
  }

  #reread(): void {
    this.#expected.clear()
    for (const { gfn, order, mfn, type } of this.#p2m.leaves())
      for (let i = 0; i < 2 ** order; i++) this.#expected.set(gfn + i, { mfn: mfn + i, type })
  }

  #walk(gfn: number): Stage2Walk {
    return walkStage2(memory, this.#stage2.registers, BigInt(gfn) * BigInt(PAGE))
  }

  /** @returns what does not hold */
  check(rng: Rng): string | undefined {
    for (const [gfn, kept] of this.#tlb) {
      const now = this.#walk(gfn)
      // A block and its parts may map the same: only what an access can see counts.
      const isSame = now.output === kept.output && now.write === kept.write && now.execute === kept.execute
      if (!isSame || now.memAttr !== kept.memAttr) return `a TLB has what frame 0x${gfn.toString(16)} was`
    }
    for (const gfn of this.#watched) {
      const wrong = this.#checkFrame(gfn, rng.chance())
      if (wrong !== undefined) return `frame 0x${gfn.toString(16)}: ${wrong}`
    }
    return undefined
  }

  #checkFrame(gfn: number, accesses: boolean): string | undefined {
    const { mfn, type } = this.#expected.get(gfn) ?? { mfn: INVALID_MFN, type: T.INVALID }
    const entry = entryAt(this.#p2m, gfn)
    if (entry.mfn !== mfn || entry.type !== type) return `${entry.mfn}, type ${entry.type}: expected ${mfn}, ${type}`
    const isMapped = mfn !== INVALID_MFN
    let found = this.#walk(gfn)
    if (!isMapped) return found.fault === undefined ? 'hardware finds something' : undefined
    if (found.fault !== undefined && accesses) {
      if (!this.#stage2.resolveFault(gfn)) return 'its fault is not resolved'
      found = this.#walk(gfn)
      if (found.fault !== undefined) return 'it faults again'
    }
    if (found.fault !== undefined) return undefined
    if (found.output !== mfn * PAGE || found.software !== type)
      return `hardware finds ${found.output}, ${found.software}`
    if (found.write !== [T.RAM_RW, T.MMIO_DIRECT_DEV].includes(type as 1 | 3)) return `writes are ${found.write}`
    if (found.contiguous === true && !this.#isContiguous(gfn, found)) return 'it is marked contiguous and is not'
    if (accesses) this.#tlb.set(gfn, found)
    return undefined
  }

  /** Whether 16 aligned neighbours of the same size are one run (Arm ARM, "Contiguous bit"). */
  #isContiguous(gfn: number, found: Stage2Walk): boolean {
    const frames = found.bytes! / PAGE
    const [first, within] = [gfn - (gfn % (16 * frames)), gfn % frames]
    return Array.from({ length: 16 }, (_, i) => first + i * frames + within).every((at) => {
      const { output, ...other } = this.#walk(at)
      return (
        output === found.output! + (at - gfn) * PAGE && JSON.stringify({ ...found, ...other }) === JSON.stringify(found)
      )
    })
  }
}

/**
 * Random changes of an Arm guest's map, whose tables are walked as hardware walks them, which keeps what it has walked until it
 * is told to flush: what an access finds is what was mapped, and no TLB has anything older.
 */
export const soak: Soak = {
  name: 'arm-p2m',
  count: 500,
  step(rng) {
    const free = memory.frames.freeFrames
    const stage = new Stage(rng.pick([32, 36, 40, 42, 44, 48]))
    const done: string[] = []
    rng.note('changes', () => done.join('; '))
    let wrong: string | undefined
    try {
      for (let i = 0; i < OPERATIONS && wrong === undefined; i++) {
        done.push(stage.change(rng))
        wrong = stage.check(rng)
      }
    } finally {
      stage.close()
    }
    if (wrong !== undefined) return wrong
    if (memory.frames.freeFrames !== free) return `${free - memory.frames.freeFrames} frames are lost`
  },
}
