/**
 * The race of seed 003: between the trap and the fetch another party unmaps, recycles and rewrites the page that the
 * instruction is on.
 *
 * Whatever it does, an instruction may be emulated only if it was what PC led to at some moment after the trap, if the
 * processor would have trapped in it with the same abort, and with the effects it has.
 */
import { ARM_FETCH, ARM_UNPRIVILEGED, ARM_WALK_OK, ArmPagingContext, ArmWalkResult, walkArm } from '@retrap/paging'
import { decodeLoadStoreA64, LoadStore } from '@retrap/arm-decoder'
import * as mmio from '../../src/index.ts'
import { EffectiveAddress, effectiveAddress } from '../../src/effective-address.ts'
import { abortAt, CODE_BASE, DEVICE_BASE, FlatWorld, flatVcpu, snapshot, TABLE_BASE } from './flat-world.ts'

/** What the race needs of a generator of random numbers. */
export interface Random {
  below(limit: number): number
  u32(): number
}

const LEVEL2 = 0x3000
const CODE_TABLE = 0x4000
const DATA_TABLE = 0x5000
const FRAMES = [CODE_BASE, CODE_BASE + 0x4000, CODE_BASE + 0x8000]
const NORMAL_PAGE = 0x443

/** Loads and stores that the syndrome does not describe, of X0…X3 at addresses from X4 and X5. */
const INSTRUCTIONS = [
  0xf840_8480, // ldr x0, [x4], #8
  0xf840_84a0, // ldr x0, [x5], #8
  0xb840_4481, // ldr w1, [x4], #4
  0xf800_8481, // str x1, [x4], #8
  0xf800_84a1, // str x1, [x5], #8
  0x3800_1482, // strb w2, [x4], #1
  0xa940_0480, // ldp x0, x1, [x4]
  0xa8c1_0480, // ldp x0, x1, [x4], #16
  0xa900_0ca2, // stp x2, x3, [x5]
  0x2940_0480, // ldp w0, w1, [x4]
  0xf820_0082, // ldadd x0, x2, [x4]
  0x9100_0400, // add x0, x0, #1
]

/** The world with a party that changes it whenever the emulator looks. */
class RacingWorld extends FlatWorld {
  /** Called at every look. */
  disturb: () => void
  frozen: boolean

  constructor() {
    super()
    this.disturb = () => {}
    this.frozen = false
    const { tables } = this
    const look = (): void => {
      if (!this.frozen) this.disturb()
    }
    Object.assign(this, {
      tables: {
        ...tables,
        read64: (gpa: number, into: Uint32Array) => {
          look()
          return tables.read64(gpa, into)
        },
      },
    })
    const view = new DataView(this.ram.buffer)
    view.setBigUint64(TABLE_BASE, BigInt(LEVEL2 | 3), true)
    view.setBigUint64(LEVEL2 + (CODE_BASE >>> 21) * 8, BigInt(CODE_TABLE | 3), true)
    view.setBigUint64(LEVEL2 + (DEVICE_BASE >>> 21) * 8, BigInt(DATA_TABLE | 3), true)
  }

  override region(ipaLo: number, ipaHi: number): ReturnType<FlatWorld['region']> {
    if (!this.frozen) this.disturb()
    return super.region(ipaLo, ipaHi)
  }

  override readRam(...args: Parameters<FlatWorld['readRam']>): void {
    if (!this.frozen) this.disturb()
    super.readRam(...args)
  }

  stopWorld(): void {
    this.frozen = true
  }

  resumeWorld(): void {
    this.frozen = false
  }
}

const view64 = (world: FlatWorld): DataView => new DataView(world.ram.buffer)

/** What the processor would report for the instruction at PC now; undefined: it would not trap on a device. */
function trap(
  world: RacingWorld,
  vcpu: ReturnType<typeof flatVcpu>,
): { abort: mmio.ArmAbort; word: number } | undefined {
  const context = new ArmPagingContext()
  context.update(vcpu.system)
  const result = new ArmWalkResult()
  const frozen = world.frozen
  world.frozen = true
  try {
    const pc = vcpu.pc[0] as number
    if (walkArm(context, world.tables, pc, 0, ARM_FETCH | ARM_UNPRIVILEGED, result) !== ARM_WALK_OK) return undefined
    const word = view64(world).getUint32(result.ipa, true)
    const insn = new LoadStore()
    if (!decodeLoadStoreA64(word, insn)) return undefined
    const address = new EffectiveAddress()
    effectiveAddress(vcpu, insn, address)
    const write = /^store$|^atomic$/.test(insn.form.operation)
    const access = ARM_UNPRIVILEGED | (write ? 1 : 0)
    if (walkArm(context, world.tables, address.lo, address.hi, access, result) !== ARM_WALK_OK) return undefined
    if (world.region(result.ipa, 0) !== 2) return undefined
    const abort = { ...abortAt(address.lo, write), hpfarLo: ((result.ipa >>> 12) << 4) >>> 0 }
    return { abort, word }
  } finally {
    world.frozen = frozen
  }
}

/** Whether an instruction that makes one abort may have made another: atomics report either direction, pairs either half. */
const sameAbort = (made: mmio.ArmAbort, reported: mmio.ArmAbort, insn: LoadStore): boolean => {
  const distance = reported.farLo - made.farLo
  const half = distance === 0 || (insn.elements === 2 && distance === insn.elementSize)
  const direction = insn.form.operation === 'atomic' || ((made.esr ^ reported.esr) & 0x40) === 0
  return half && direction && made.hpfarLo === reported.hpfarLo
}

// Worlds are big; what a race changes in them is set anew.
const raced: RacingWorld = new RacingWorld()
const atRest: RacingWorld = new RacingWorld()

/** One step of the soak. @returns what is wrong, or undefined; and whether the instruction was emulated in the end */
export function fetchRace(random: Random): { problem: string | undefined; retries: number } {
  const world = raced
  const view = view64(world)
  const frames = [...FRAMES]
  let mapped = 0
  const setCode = (frame: number): void =>
    view.setBigUint64(CODE_TABLE, frame < 0 ? 0n : BigInt((frames[frame] as number) | NORMAL_PAGE), true)
  const setData = (ipa: number): void => view.setBigUint64(DATA_TABLE, BigInt(ipa | NORMAL_PAGE), true)
  const pick = (): number => INSTRUCTIONS[random.below(INSTRUCTIONS.length)] as number
  for (const frame of frames) view.setUint32(frame, pick(), true)
  view.setUint32(frames[0] as number, INSTRUCTIONS[random.below(11)] as number, true)
  setCode(0)
  setData(DEVICE_BASE)
  const vcpu = flatVcpu(false)
  for (let i = 0; i < 8; i++) vcpu.x[i] = random.u32()
  vcpu.x[8] = DEVICE_BASE + random.below(8) * 8
  vcpu.x[10] = random.below(3) === 0 ? (vcpu.x[8] as number) : DEVICE_BASE + 0x40 + random.below(8) * 8
  for (let i = 0; i < 0x100; i++) world.contents[i] = random.u32()
  const stopWorld = random.below(2) === 0

  // The party: what PC leads to changes only by it.
  let candidates = new Set<number>()
  const act = (): void => {
    switch (random.below(5)) {
      case 0:
        mapped = -1
        setCode(-1)
        break
      case 1:
        mapped = random.below(frames.length)
        setCode(mapped)
        break
      case 2:
        setData(random.below(2) === 0 ? DEVICE_BASE : DEVICE_BASE + 0x1000)
        break
      case 3:
        setData(random.below(4) === 0 ? 0x10_0000 : DEVICE_BASE)
        break
      default:
        // A frame is rewritten, mapped or not.
        view.setUint32(frames[random.below(frames.length)] as number, pick(), true)
    }
    if (mapped >= 0) candidates.add(view.getUint32(frames[mapped] as number, true))
  }

  for (let retries = 0; retries < 60; retries++) {
    // In the end it leaves the guest alone, and there must be progress.
    const quiet = retries >= 40
    if (quiet) {
      mapped = 0
      setCode(0)
      setData(DEVICE_BASE)
      view.setUint32(frames[0] as number, INSTRUCTIONS[0] as number, true)
    }
    const trapped = trap(world, vcpu)
    if (trapped === undefined) {
      // The processor takes another path: an instruction abort, a stage-1 fault, RAM, or no load at all.
      act()
      continue
    }
    candidates = new Set([trapped.word])
    if (!quiet) for (let acts = random.below(3); acts > 0; acts--) act()
    let left = stopWorld ? 5 : 1
    world.disturb = () => {
      if (quiet || left === 0 || random.below(6) !== 0) return
      left--
      act()
    }
    const before = snapshot(vcpu)
    const saved = { x: vcpu.x.slice(), contents: world.contents.slice() }
    world.seen.length = 0
    const emulator = new mmio.ArmEmulator(vcpu, world, new mmio.DeviceOrder(1), { stopWorld, undecodable: 'report' })
    let outcome = emulator.handle(trapped.abort)
    while (outcome === mmio.STATUS_RETRY) outcome = emulator.resume()
    world.disturb = () => {}
    world.frozen = false
    if (outcome === mmio.STATUS_RESTART || outcome === mmio.STATUS_UNHANDLED || outcome === mmio.STATUS_FAULT) {
      if (outcome === mmio.STATUS_RESTART && (snapshot(vcpu) !== before || world.seen.length > 0)) {
        return { problem: 'something happened, and the guest is to try again', retries }
      }
      if (outcome === mmio.STATUS_UNHANDLED && ![...candidates].includes(0x9100_0400)) {
        return { problem: 'unhandled, and there was always a load or store', retries }
      }
      // A stage-1 fault on a later access.
      if (outcome === mmio.STATUS_FAULT) return { problem: undefined, retries }
      continue
    }
    return { problem: judge(emulator, candidates, trapped.abort, vcpu, saved, world.seen), retries }
  }
  return { problem: 'no progress', retries: 60 }
}

/** Whether the instruction that was emulated may have been, and had the effects it has. */
function judge(
  emulator: mmio.ArmEmulator,
  candidates: ReadonlySet<number>,
  abort: mmio.ArmAbort,
  vcpu: ReturnType<typeof flatVcpu>,
  saved: { x: Uint32Array; contents: Uint8Array },
  seen: RacingWorld['seen'],
): string | undefined {
  const { word } = emulator.instruction
  const hex = `0x${word.toString(16)}`
  if (!candidates.has(word)) return `${hex} was emulated, which PC never led to`
  // The same instruction, alone in a world at rest.
  const world = atRest
  world.seen.length = 0
  const view = view64(world)
  view.setUint32(CODE_BASE, word, true)
  view.setBigUint64(CODE_TABLE, BigInt(CODE_BASE | NORMAL_PAGE), true)
  view.setBigUint64(DATA_TABLE, BigInt(((abort.hpfarLo >>> 4) << 12) | NORMAL_PAGE), true)
  world.contents.set(saved.contents)
  const alone = flatVcpu(false)
  alone.x.set(saved.x)
  const expected = trap(world, alone)
  if (expected === undefined || !sameAbort(expected.abort, abort, emulator.instruction))
    return `${hex} was emulated for an abort it does not make`
  if (new mmio.ArmEmulator(alone, world, new mmio.DeviceOrder(1)).handle(expected.abort) !== mmio.STATUS_DONE)
    return `${hex} is not emulated alone`
  if (snapshot(alone) !== snapshot(vcpu)) return `${hex} left other registers than alone`
  return JSON.stringify(world.seen) === JSON.stringify(seen) ? undefined : `${hex} made other accesses than alone`
}
