/** Random instructions, states, syndromes and devices: whatever the guest does, the package keeps its promises. */
import * as decoder from '@retrap/arm-decoder'
import * as mmio from '../../src/index.ts'
import { EffectiveAddress, effectiveAddress } from '../../src/effective-address.ts'
import { aarch32Register } from '../../src/vcpu.ts'
import { CODE_BASE, DEVICE_BASE, DEVICE_BYTES, FlatWorld, flatVcpu, snapshot } from './flat-world.ts'

type Draw = (bound: number) => number

const LOCKS = 64

/** Devices that answer, put off, or fail; counts what reaches memory. */
class HostileWorld extends FlatWorld {
  writes = 0
  draw: Draw = () => 0

  override writeRam(): void {
    this.writes++
  }

  override device(...[log, index]: Parameters<FlatWorld['device']>): mmio.AccessStatus {
    const choice = this.draw(8)
    if (choice === 0) return mmio.STATUS_UNHANDLED
    if (choice < 4) return mmio.STATUS_RETRY
    this.perform(log, index)
    return mmio.STATUS_DONE
  }

  authenticate(_key: number, lo: number, hi: number, into: Uint32Array): boolean {
    into[0] = lo
    into[1] = hi
    // The same in every pass: keys do not change under an instruction.
    return (lo & 0x30) !== 0
  }
}

const world: HostileWorld = new HostileWorld()
const code: DataView = new DataView(world.ram.buffer)
const insn: decoder.LoadStore = new decoder.LoadStore()
const effective: EffectiveAddress = new EffectiveAddress()

const SETS = [
  { forms: decoder.loadStoreFormsA64, aarch32: false, thumb: false },
  { forms: decoder.loadStoreFormsA32, aarch32: true, thumb: false },
  { forms: decoder.loadStoreFormsT32, aarch32: true, thumb: true },
  { forms: decoder.loadStoreFormsT16, aarch32: true, thumb: true },
] as const

const MODES32 = [0, 1, 2, 3, 7, 11, 15]
const MODES64 = [0, 4, 5]

/** Addresses at which something may be: the device's middle and ends, RAM's end, nothing, wrapped. */
const PLACES = [DEVICE_BASE, DEVICE_BASE + 4096, DEVICE_BASE + DEVICE_BYTES, 0x48_0000, CODE_BASE, 0, 0x3000_0000]

function randomWord(draw: Draw, forms: readonly decoder.Form[], narrow: boolean): number {
  if (draw(4) === 0) return narrow ? draw(0x1_0000) : draw(2 ** 32)
  const form = forms[draw(forms.length)] as decoder.Form
  const word = ((draw(2 ** 32) & ~form.mask) | form.value) >>> 0
  return narrow ? word & 0xffff : word
}

function randomVcpu(draw: Draw, aarch32: boolean, thumb: boolean): ReturnType<typeof flatVcpu> {
  const vcpu = flatVcpu(aarch32)
  const near = (): number => ((PLACES[draw(PLACES.length)] as number) + draw(64) - 32) >>> 0
  for (let i = 0; i < 31; i++) {
    vcpu.x[i * 2] = draw(3) === 0 ? draw(2 ** 32) : draw(3) === 0 ? draw(16) : near()
    vcpu.x[i * 2 + 1] = draw(8) === 0 ? draw(2 ** 32) : 0
  }
  for (let i = 0; i < 4; i += 2) vcpu.sp[i] = near() & ~15
  for (let i = 0; i < 128; i++) vcpu.v[i] = draw(2 ** 32)
  for (let i = 0; i < 5; i++) vcpu.spsr[i] = draw(2 ** 32)
  const mode = aarch32 ? 0x10 | (MODES32[draw(7)] as number) : (MODES64[draw(3)] as number)
  const loose = draw(2 ** 32) & (aarch32 ? 0xfe4f_ffc0 : 0xf0e0_0fc0) & ~0x20
  vcpu.pstate = (loose | mode | (thumb ? 0x20 : 0)) >>> 0
  // EL0 in AArch32 may be under an AArch64 kernel.
  const kernel64 = aarch32 && (mode & 15) === 0 && draw(2) === 0
  if (kernel64) Object.assign(vcpu.system, flatVcpu(false).system)
  const sctlr = draw(2 ** 32) & ~(1 << 29) & ~(1 << 28) & ~(1 << 19) & ~(1 << 20)
  Object.assign(vcpu.system, {
    sctlr: (draw(16) === 0 ? sctlr & ~1 : sctlr | 1) >>> 0,
    vbarLo: (draw(2 ** 32) & ~0x7ff) >>> 0,
  })
  return vcpu
}

function place(word: number, aarch32: boolean, thumb: boolean, narrow: boolean): boolean {
  if (!thumb || narrow) code.setUint32(CODE_BASE, word, true)
  else {
    code.setUint16(CODE_BASE, word >>> 16, true)
    code.setUint16(CODE_BASE + 2, word & 0xffff, true)
  }
  if (!aarch32) return decoder.decodeLoadStoreA64(word, insn)
  if (!thumb) return decoder.decodeLoadStoreA32(word, insn)
  return decoder.decodeLoadStoreThumb(narrow ? word : word >>> 16, narrow ? 0 : word & 0xffff, insn)
}

function randomAbort(draw: Draw, address: number, addressHi: number, aarch32: boolean): mmio.ArmAbort {
  const status = [5, 6, 7, 7, 7, 9, 0x0d, 0x0f, draw(64)][draw(9)] as number
  const exceptionClass = draw(16) === 0 ? 0x20 : draw(64) === 0 ? draw(64) : 0x24
  const valid = draw(3) === 0 ? (1 << 24) | (draw(1 << 24) & (draw(16) === 0 ? -1 : ~0x3fff)) : 0
  const flags = draw(16) === 0 ? draw(1 << 10) << 6 : draw(2) << 6
  // One page further now and then, or anywhere.
  const page = draw(16) === 0 ? draw(2 ** 28) : (address >>> 12) + (draw(16) === 0 ? 1 : 0)
  return {
    esr: (exceptionClass * 2 ** 26 + ((1 << 25) | valid | flags | status)) >>> 0,
    hsr: aarch32 && draw(2) === 0,
    farLo: address >>> 0,
    farHi: aarch32 ? 0 : addressHi,
    hpfarLo: (page << 4) >>> 0,
    hpfarHi: page >>> 28,
  }
}

/** Moves the base register such that the address is one of the device's, mostly aligned. */
function moveBase(draw: Draw, vcpu: ReturnType<typeof flatVcpu>, aarch32: boolean): void {
  effectiveAddress(vcpu, insn, effective)
  const near = (DEVICE_BASE + (draw(4) === 0 ? 4096 - draw(32) : draw(DEVICE_BYTES))) >>> 0
  const distance = (draw(8) === 0 ? near : near & ~15) - effective.lo
  const number = insn.rn < 0 ? insn.rt : insn.rn
  if (aarch32) {
    if (number === 15) return
    const at = aarch32Register(vcpu.pstate & 15, number) * 2
    vcpu.x[at] = (vcpu.x[at] as number) + distance
    return
  }
  for (const [file, at] of number === 31
    ? ([
        [vcpu.sp, 0],
        [vcpu.sp, 2],
      ] as const)
    : ([[vcpu.x, number * 2]] as const)) {
    file[at] = (file[at] as number) + distance
    file[at + 1] = 0
  }
}

/** What happened, and what was wrong with it. */
export interface HostileResult {
  readonly outcome: string
  readonly problem: string
}

const NAMES: Readonly<Record<number, string>> = {
  [mmio.STATUS_DONE]: 'DONE',
  [mmio.STATUS_FAULT]: 'FAULT',
  [mmio.STATUS_RESTART]: 'RESTART',
  [mmio.STATUS_RETRY]: 'RETRY',
  [mmio.STATUS_UNHANDLED]: 'UNHANDLED',
}

/** One random abort, to its end. */
export function hostileCase(draw: Draw): HostileResult {
  const which = draw(4)
  const { forms, aarch32, thumb } = SETS[which] as (typeof SETS)[number]
  const narrow = which === 3
  const vcpu = randomVcpu(draw, aarch32, thumb)
  const known = place(randomWord(draw, forms, narrow), aarch32, thumb, narrow)
  let address = ((PLACES[draw(PLACES.length)] as number) + draw(64) - 32) >>> 0
  let addressHi = 0
  if (known && draw(8) !== 0) {
    if (draw(8) !== 0) moveBase(draw, vcpu, aarch32)
    effectiveAddress(vcpu, insn, effective)
    address = (effective.lo + (draw(4) === 0 ? draw(16) : 0)) >>> 0
    addressHi = effective.hi
  }
  world.draw = draw
  world.writes = 0
  world.seen.length = 0
  const storage = new ArrayBuffer(mmio.deviceOrderBytes(1))
  const order = new mmio.DeviceOrder(1, storage)
  if (draw(4) === 0) order.setMonitor(0, address, 0, 1 << draw(5))
  const options = { undecodable: draw(2) === 0 ? 'inject' : 'report', alwaysDecode: draw(4) === 0 } as const
  let emulator = new mmio.ArmEmulator(vcpu, world, order, options)
  const before = state(vcpu)
  let outcome = emulator.handle(randomAbort(draw, address, addressHi, aarch32))
  let asked = 0
  while (outcome === mmio.STATUS_RETRY) {
    if (state(vcpu) !== before) return { outcome: 'RETRY', problem: 'the state has changed before the end' }
    if (++asked > 1024) return { outcome: 'RETRY', problem: 'it asks without end' }
    const choice = draw(16)
    if (choice === 0) {
      const saved = JSON.parse(JSON.stringify(emulator.save())) as ReturnType<mmio.ArmEmulator['save']>
      emulator.cancel()
      emulator = new mmio.ArmEmulator(vcpu, world, order, options)
      emulator.restore(saved)
    }
    if (choice === 1) {
      if (!emulator.cancel()) return { outcome: 'RETRY', problem: 'cancel knows of no request' }
      return { outcome: 'cancelled', problem: unbalanced(emulator, storage) }
    }
    if (choice === 2) emulator.answer(true)
    else {
      world.perform(emulator.log, emulator.log.pending)
      emulator.answer()
    }
    outcome = emulator.resume()
  }
  const name = NAMES[outcome] ?? '?'
  if (outcome === mmio.STATUS_RESTART || outcome === mmio.STATUS_UNHANDLED) {
    if (state(vcpu) !== before) return { outcome: name, problem: 'the state has changed' }
    if (world.writes > 0 || world.seen.length > 0) return { outcome: name, problem: 'something was accessed' }
  } else if (outcome !== mmio.STATUS_DONE && outcome !== mmio.STATUS_FAULT)
    return { outcome: name, problem: 'it does not end' }
  return { outcome: name, problem: unbalanced(emulator, storage) }
}

const state = (vcpu: ReturnType<typeof flatVcpu>): string =>
  `${snapshot(vcpu)} ${vcpu.spsr.join()} ${JSON.stringify(vcpu.exception)}`

/** What is left over at the end. */
function unbalanced(emulator: mmio.ArmEmulator, storage: ArrayBuffer): string {
  if (emulator.active || emulator.log.active) return 'an instruction is left in the middle'
  return new Int32Array(storage, 0, LOCKS).some((holder) => holder !== 0) ? 'a lock is left' : ''
}
