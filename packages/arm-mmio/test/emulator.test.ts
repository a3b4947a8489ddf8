/** Instructions that qemu-user cannot be given: each against the manual. */
import { beforeEach, describe, expect, test } from 'vitest'
import * as mmio from '../src/index.ts'
import { injectExternalAbort } from '../src/inject.ts'
import { aarch32Register } from '../src/vcpu.ts'
import { abortAt, CODE_BASE, DEVICE_BASE, type FlatVcpu, FlatWorld, soleOrder } from './support/flat-world.ts'

test('AArch32 registers are in X registers (Arm ARM, "Mapping of the general-purpose registers between the states")', () => {
  const usr = Array.from({ length: 15 }, (_, i) => i)
  const withLast = (sp: number, lr: number): number[] => [...usr.slice(0, 13), sp, lr]
  const expected: Readonly<Record<string, readonly number[]>> = {
    usr,
    fiq: [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30],
    irq: withLast(17, 16),
    svc: withLast(19, 18),
    abt: withLast(21, 20),
    hyp: withLast(15, 14),
    und: withLast(23, 22),
    sys: usr,
  }
  const modes = { usr: 0, fiq: 1, irq: 2, svc: 3, abt: 7, hyp: 10, und: 11, sys: 15 }
  for (const [name, mode] of Object.entries(modes)) {
    expect([name, usr.map((number) => aarch32Register(mode, number))]).toEqual([name, expected[name]])
  }
})

let world: FlatWorld

beforeEach(() => {
  world = new FlatWorld()
})

/** Executes with devices that answer later, so that every pass is a second one. */
function finish(
  vcpu: FlatVcpu,
  address: number,
  write: boolean,
  options: ConstructorParameters<typeof mmio.ArmEmulator>[3] = {},
): mmio.AccessStatus {
  world.late = true
  const emulator = new mmio.ArmEmulator(vcpu, world, soleOrder(), options)
  let outcome = emulator.handle(abortAt(address, write))
  while (outcome === mmio.STATUS_RETRY) {
    world.perform(emulator.log, emulator.log.pending)
    emulator.answer()
    outcome = emulator.resume()
  }
  return outcome
}

const words = (...values: number[]): void => {
  values.forEach((value, index) => new DataView(world.contents.buffer).setUint32(index * 4, value, true))
}

describe('A32 and Thumb', () => {
  test('LDR PC interworks', () => {
    // ldr pc, [r0]
    const vcpu = world.at32(0xe590_f000)
    vcpu.x[0] = DEVICE_BASE
    words(0x40_1001)
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect([vcpu.pc[0], vcpu.pstate]).toEqual([0x40_1000, 0x30])
  })

  test('STR PC stores the address and 8', () => {
    // str pc, [r0]
    const vcpu = world.at32(0xe580_f000)
    vcpu.x[0] = DEVICE_BASE
    expect(finish(vcpu, DEVICE_BASE, true)).toBe(mmio.STATUS_DONE)
    expect(new DataView(world.contents.buffer).getUint32(0, true)).toBe(CODE_BASE + 8)
  })

  test.each([
    ['TBB', [0xe8d0, 0xf001], 3, 4 + 0x80 * 2],
    ['TBH', [0xe8d0, 0xf011], 6, 4 + 0x4280 * 2],
  ])('%s', (_name, halfwords, offset, distance) => {
    const vcpu = world.atThumb(...halfwords)
    vcpu.x[0] = DEVICE_BASE
    vcpu.x[2] = 3
    world.contents[offset] = 0x80
    world.contents[offset + 1] = 0x42
    expect(finish(vcpu, DEVICE_BASE + offset, false)).toBe(mmio.STATUS_DONE)
    expect(vcpu.pc[0]).toBe(CODE_BASE + distance)
  })

  // ldr r3, [r0, r2, …]; Arm ARM, "DecodeImmShift" and "Shift_C": an amount of 0 is 32 for LSR and ASR, and RRX for ROR.
  test.each([
    { shift: 'lsl #2', word: 0xe790_3102, base: 0, index: 1, carry: 0 },
    { shift: 'lsr #32', word: 0xe790_3022, base: 4, index: 0x8000_0004, carry: 0 },
    { shift: 'lsr #4', word: 0xe790_3222, base: 0, index: 0x4f, carry: 0 },
    { shift: 'asr #32', word: 0xe790_3042, base: 5, index: 0x8000_0004, carry: 0 },
    { shift: 'asr #32', word: 0xe790_3042, base: 4, index: 0x7fff_ffff, carry: 0 },
    { shift: 'asr #4', word: 0xe790_3242, base: 8, index: 0xffff_ffc0, carry: 0 },
    { shift: 'ror #4', word: 0xe790_3262, base: 5, index: 0xffff_ffff, carry: 0 },
    { shift: 'rrx, carry clear', word: 0xe790_3062, base: 0, index: 9, carry: 0 },
    { shift: 'rrx, carry set', word: 0xe790_3062, base: 0x8000_0000, index: 9, carry: 0x2000_0000 },
  ])('an index shifted by $shift', ({ word, base, index, carry }) => {
    const vcpu = world.at32(word, 0x10 | carry)
    vcpu.x[0] = DEVICE_BASE + base
    vcpu.x[4] = index
    words(10, 20)
    expect(finish(vcpu, DEVICE_BASE + 4, false)).toBe(mmio.STATUS_DONE)
    expect(vcpu.x[6]).toBe(20)
  })

  test('LDM of user registers', () => {
    // ldm r0, {r8, sp, lr}^ in IRQ mode
    const vcpu = world.at32(0xe8d0_6100, 0x12)
    vcpu.x[0] = DEVICE_BASE
    vcpu.x[aarch32Register(2, 13) * 2] = 0x1111
    words(1, 2, 3)
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[16], vcpu.x[26], vcpu.x[28], vcpu.x[aarch32Register(2, 13) * 2]]).toEqual([1, 2, 3, 0x1111])
  })

  test('LDM with PC returns from an exception', () => {
    // ldm r0!, {r1, pc}^ in supervisor mode, to Thumb in user mode
    const vcpu = world.at32(0xe8f0_8002, 0x1d3)
    vcpu.x[0] = DEVICE_BASE
    vcpu.spsr[0] = 0x2000_0030
    words(7, 0x40_2001)
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[2], vcpu.x[0], vcpu.pc[0], vcpu.pstate]).toEqual([7, DEVICE_BASE + 8, 0x40_2000, 0x2000_0030])
  })

  test('an illegal return sets IL and keeps the mode', () => {
    const vcpu = world.at32(0xe8f0_8002, 0x1d3)
    vcpu.x[0] = DEVICE_BASE
    vcpu.spsr[0] = 0x0000_0006
    words(7, 0x40_2000)
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect(vcpu.pstate & 0x10_001f).toBe(0x10_0013)
  })

  test('RFE and SRS', () => {
    // rfeia r0!
    const vcpu = world.at32(0xf8b0_0a00, 0x1d3)
    vcpu.x[0] = DEVICE_BASE
    words(0x40_3000, 0x8000_0010)
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect([vcpu.pc[0], vcpu.pstate, vcpu.x[0]]).toEqual([0x40_3000, 0x8000_0010, DEVICE_BASE + 8])
    // srsdb sp!, #0x12 in supervisor mode: LR and SPSR of it, to the stack of IRQ mode
    const save = world.at32(0xf96d_0512, 0x1d3)
    save.x[aarch32Register(2, 13) * 2] = DEVICE_BASE + 0x20
    save.x[aarch32Register(3, 14) * 2] = 0x1234
    save.spsr[0] = 0x6000_0010
    expect(finish(save, DEVICE_BASE + 0x18, true)).toBe(mmio.STATUS_DONE)
    const view = new DataView(world.contents.buffer)
    expect([view.getUint32(0x18, true), view.getUint32(0x1c, true)]).toEqual([0x1234, 0x6000_0010])
    expect(save.x[aarch32Register(2, 13) * 2]).toBe(DEVICE_BASE + 0x18)
  })

  test('SWP holds its address', () => {
    // swp r0, r1, [r2]
    const vcpu = world.at32(0xe102_0091)
    vcpu.x[2] = 0xabcd
    vcpu.x[4] = DEVICE_BASE
    words(0x1234)
    expect(finish(vcpu, DEVICE_BASE, true)).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[0], new DataView(world.contents.buffer).getUint32(0, true)]).toEqual([0x1234, 0xabcd])
  })

  test('big-endian data by CPSR.E', () => {
    // ldr r0, [r1], #4
    const vcpu = world.at32(0xe491_0004, 0x210)
    vcpu.x[2] = DEVICE_BASE
    words(0x0403_0201)
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect(vcpu.x[0]).toBe(0x0102_0304)
  })
})

/** Parts with nothing left abort no more: the processor goes past them. */
function skipDone(vcpu: FlatVcpu, count: number): boolean {
  if (vcpu.pc[0] === CODE_BASE || vcpu.x[count] !== 0) return false
  vcpu.pc[0] = (vcpu.pc[0] as number) + 4
  return true
}

describe('A64', () => {
  test('literal loads', () => {
    // ldr x0, .+0x100, where a device begins
    const vcpu = world.at64(0x5800_0800)
    const near = Object.assign(Object.create(world) as FlatWorld, {
      region: (lo: number) => (lo >= CODE_BASE + 0x100 && lo < CODE_BASE + 0x200 ? 2 : 1),
    })
    const emulator = new mmio.ArmEmulator(vcpu, near, soleOrder())
    near.late = true
    expect(emulator.handle(abortAt(CODE_BASE + 0x100, false))).toBe(mmio.STATUS_RETRY)
    emulator.log.setData(emulator.log.pending, 0x55, 0x66)
    emulator.answer()
    expect(emulator.resume()).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[0], vcpu.x[1]]).toEqual([0x55, 0x66])
  })

  test('LD64B and ST64B are one access of 64 bytes', () => {
    // ld64b x0, [x8]
    const vcpu = world.at64(0xf83f_d100)
    vcpu.x[16] = DEVICE_BASE
    words(...Array.from({ length: 16 }, (_, index) => index + 1))
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect([...vcpu.x.slice(0, 16)]).toEqual(Array.from({ length: 16 }, (_, index) => index + 1))
    expect(world.seen.map(({ data }) => data.length / 2)).toEqual([64])
    // st64b x0, [x8]
    world.view.setUint32(CODE_BASE + 4, 0xf83f_9100, true)
    vcpu.x[16] = DEVICE_BASE + 0x40
    expect(finish(vcpu, DEVICE_BASE + 0x40, true)).toBe(mmio.STATUS_DONE)
    expect([...world.contents.slice(0x40, 0x80)]).toEqual([...world.contents.slice(0, 0x40)])
  })

  test('ST64BV stores 64 bytes, and reports success in a register', () => {
    // st64bv x9, x0, [x8]
    const vcpu = world.at64(0xf829_b100)
    vcpu.x.set(Array.from({ length: 16 }, (_, index) => index + 1))
    vcpu.x[16] = DEVICE_BASE
    vcpu.x.set([5, 6], 18)
    expect(finish(vcpu, DEVICE_BASE, true)).toBe(mmio.STATUS_DONE)
    expect([...new Uint32Array(world.contents.slice(0, 64).buffer)]).toEqual([...vcpu.x.slice(0, 16)])
    expect([...vcpu.x.slice(18, 20)]).toEqual([0, 0])
  })

  test('LDRAA asks the caller to authenticate', () => {
    // ldraa x0, [x1, #8]!
    const vcpu = world.at64(0xf820_1c20)
    vcpu.x[2] = DEVICE_BASE
    vcpu.x[3] = 0x00ab_0000
    expect(finish(vcpu, DEVICE_BASE + 8, false, { undecodable: 'report' })).toBe(mmio.STATUS_UNHANDLED)
    Object.assign(world, {
      authenticate: (_key: number, lo: number, hi: number, into: Uint32Array) => {
        into[0] = lo
        into[1] = hi & 0xffff
        return true
      },
    })
    words(0, 0, 5, 6)
    expect(finish(vcpu, DEVICE_BASE + 8, false)).toBe(mmio.STATUS_DONE)
    expect([vcpu.x[0], vcpu.x[1], vcpu.x[2], vcpu.x[3]]).toEqual([5, 6, DEVICE_BASE + 8, 0])
  })

  test.each([
    // [prologue, main, epilogue] of CPYF, and what they copy
    ['option A', 'A' as const],
    ['option B', 'B' as const],
  ])('memory copy from RAM to a device, %s', (_name, copyOption) => {
    // cpyfp [x0]!, [x1]!, x2!; cpyfm …; cpyfe …
    const vcpu = world.at64([0x1901_0440, 0x1941_0440, 0x1981_0440])
    const bytes = Array.from({ length: 21 }, (_, index) => index + 1)
    world.ram.set(bytes, 0x10_0000)
    vcpu.x[0] = DEVICE_BASE
    vcpu.x[2] = 0x10_0000
    vcpu.x[4] = 21
    let guard = 0
    while ((vcpu.pc[0] as number) < CODE_BASE + 12 && guard++ < 50) {
      if (skipDone(vcpu, 4)) continue
      // The hardware reports the byte that it is at.
      const stage = ((vcpu.pc[0] as number) - CODE_BASE) / 4
      const left = vcpu.x[4] as number
      const at =
        stage === 0 ? DEVICE_BASE : copyOption === 'A' ? (vcpu.x[0] as number) + (left | 0) : (vcpu.x[0] as number)
      expect(finish(vcpu, at, true, { copyOption })).toBe(mmio.STATUS_DONE)
    }
    expect([...world.contents.slice(0, 21)]).toEqual(bytes)
    expect(world.contents[21]).toBe(0)
    expect([vcpu.x[0], vcpu.x[2], vcpu.x[4]]).toEqual([DEVICE_BASE + 21, 0x10_0000 + 21, 0])
  })

  test.each(['A', 'B'] as const)(
    'memory copy within a device to above its source goes backwards, option %s',
    (copyOption) => {
      // cpyp, cpym, cpye [x0]!, [x1]!, x2! with overlap
      const vcpu = world.at64([0x1d01_0440, 0x1d41_0440, 0x1d81_0440])
      world.contents.set([1, 2, 3, 4, 5, 6], 0)
      vcpu.x[0] = DEVICE_BASE + 2
      vcpu.x[2] = DEVICE_BASE
      vcpu.x[4] = 6
      let guard = 0
      while ((vcpu.pc[0] as number) < CODE_BASE + 12 && guard++ < 50) {
        if (skipDone(vcpu, 4)) continue
        expect(finish(vcpu, DEVICE_BASE + 2, true, { copyOption })).toBe(mmio.STATUS_DONE)
      }
      expect([...world.contents.slice(0, 8)]).toEqual([1, 2, 1, 2, 3, 4, 5, 6])
      expect([vcpu.x[0], vcpu.x[2], vcpu.x[4]]).toEqual([DEVICE_BASE + 2, DEVICE_BASE, 0])
      // Option B says so in PSTATE: N of a copy that goes backwards, and C.
      expect(vcpu.pstate >>> 28).toBe(copyOption === 'B' ? 0b1010 : 0)
    },
  )

  test('memory set', () => {
    // setp, setm, sete [x0]!, x1!, x2
    const vcpu = world.at64([0x19c2_0420, 0x19c2_4420, 0x19c2_8420])
    vcpu.x[0] = DEVICE_BASE + 8
    vcpu.x[2] = 19
    vcpu.x[4] = 0x1aa
    let guard = 0
    while ((vcpu.pc[0] as number) < CODE_BASE + 12 && guard++ < 50) {
      if (skipDone(vcpu, 2)) continue
      const at = vcpu.pc[0] === CODE_BASE ? DEVICE_BASE + 8 : (vcpu.x[0] as number) + ((vcpu.x[2] as number) | 0)
      expect(finish(vcpu, at, true)).toBe(mmio.STATUS_DONE)
    }
    expect([...world.contents.slice(7, 28)]).toEqual([0, ...Array.from({ length: 19 }, () => 0xaa), 0])
    expect([vcpu.x[0], vcpu.x[2]]).toEqual([DEVICE_BASE + 27, 0])
  })

  test('tags: a device has none', () => {
    // ldg x0, [x1]
    const vcpu = world.at64(0xd960_0020)
    vcpu.x[1] = 0x0f00_0000
    vcpu.x[2] = DEVICE_BASE
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect(vcpu.x[1]).toBe(0)
    // stg x1, [x1], #16
    const store = world.at64(0xd920_1421)
    store.x[2] = DEVICE_BASE
    expect(finish(store, DEVICE_BASE, true)).toBe(mmio.STATUS_DONE)
    expect([store.x[2], world.seen.length]).toEqual([DEVICE_BASE + 16, 0])
    // stzg x1, [x1]
    const zero = world.at64(0xd960_0821)
    zero.x[2] = DEVICE_BASE
    world.contents.fill(0xff)
    expect(finish(zero, DEVICE_BASE, true)).toBe(mmio.STATUS_DONE)
    expect([...world.contents.slice(0, 17)]).toEqual([...new Uint8Array(16), 0xff])
  })

  test.each([
    ['SVE', 0xa540_a000],
    ['SME', 0xe000_0000],
    ['a floating-point atomic', 0x7c3f_0000],
    ['no load or store', 0x9100_0400],
  ])('%s is reported', (_name, word) => {
    const vcpu = world.at64(word)
    vcpu.x[0] = DEVICE_BASE
    const emulator = new mmio.ArmEmulator(vcpu, world, soleOrder(), { undecodable: 'report' })
    expect(emulator.handle(abortAt(DEVICE_BASE, false))).toBe(mmio.STATUS_UNHANDLED)
    expect([emulator.reason, emulator.active, vcpu.pc[0]]).toEqual(['instruction', false, CODE_BASE])
  })

  // SCTLR_EL1.E0E "has no effect on the endianness of LDTR … instructions executed at EL1".
  test('unprivileged loads have the rights of EL0 and the byte order of EL1', () => {
    // ldtr w0, [x1] at EL1, EL1's data big-endian
    const vcpu = world.at64(0xb840_0820)
    vcpu.pstate = 0x3c5
    world.view.setBigUint64(0x2000, 0x441n | (1n << 54n), true)
    Object.assign(vcpu.system, { sctlr: 1 | (1 << 25) })
    vcpu.x[2] = DEVICE_BASE
    words(0x0403_0201)
    // EL1 does not execute what EL0 may write: read-only for both.
    world.view.setBigUint64(0x2000, 0x4c1n, true)
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect(vcpu.x[0]).toBe(0x0102_0304)
  })

  test('PSTATE.BTYPE and SS are cleared', () => {
    const vcpu = world.at64(0xf840_8441)
    vcpu.pstate = (1 << 21) | (2 << 10)
    vcpu.x[4] = DEVICE_BASE
    expect(finish(vcpu, DEVICE_BASE, false)).toBe(mmio.STATUS_DONE)
    expect(vcpu.pstate).toBe(0)
  })
})

describe('aborts taken by the guest', () => {
  test('AArch32, short descriptors: abort mode, LR and DFSR', () => {
    const vcpu = world.at32(0xe491_0004, 0x8000_0010)
    Object.assign(vcpu.system, { vbarLo: 0x1000 })
    vcpu.x[2] = DEVICE_BASE + 0x2000
    expect(finish(vcpu, DEVICE_BASE + 0x2000, false)).toBe(mmio.STATUS_FAULT)
    expect(vcpu.pstate & 0x8000_01df).toBe((0x8000_0197 | 0) & 0x8000_01df)
    expect(vcpu.x[aarch32Register(7, 14) * 2]).toBe(CODE_BASE + 8)
    expect([vcpu.exception.dfsr, vcpu.exception.farLo, vcpu.spsr[1], vcpu.pc[0]]).toEqual([
      0x008,
      DEVICE_BASE + 0x2000,
      0x8000_0010,
      0x1010,
    ])
  })

  test('AArch32, of the instruction itself: LR is 4 beyond it, IFSR and IFAR (Arm ARM DDI 0487, G1.12.3)', () => {
    const vcpu = world.at32(0, 0x8000_0010)
    Object.assign(vcpu.system, { vbarLo: 0x1000 })
    Object.assign(vcpu.exception, { dfsr: 0x77, farLo: 0x55 })
    injectExternalAbort(vcpu, CODE_BASE, 0, 'fetch')
    expect(vcpu.x[aarch32Register(7, 14) * 2]).toBe(CODE_BASE + 4)
    const { ifsr, ifar, dfsr, farLo } = vcpu.exception
    expect([ifsr, ifar, dfsr, farLo, vcpu.spsr[1], vcpu.pc[0]]).toEqual([
      ...[0x008, CODE_BASE, 0x77, 0x55],
      ...[0x8000_0010, 0x100c],
    ])
  })

  test.each([
    { sctlr: 0, thumb: false, bigEndian: false, vector: 0x1010 },
    { sctlr: 2 ** 30, thumb: true, bigEndian: false, vector: 0x1010 },
    { sctlr: 1 << 25, thumb: false, bigEndian: true, vector: 0x1010 },
    { sctlr: 1 << 13, thumb: false, bigEndian: false, vector: 0xffff_0010 },
    { sctlr: 2 ** 31, thumb: false, bigEndian: false, vector: 0x1010 },
  ])('AArch32: SCTLR $sctlr decides the instruction set, the data and the vectors', (row) => {
    const vcpu = world.at32(0, 0x8000_0010)
    Object.assign(vcpu.system, { vbarLo: 0x1000, sctlr: row.sctlr })
    injectExternalAbort(vcpu, DEVICE_BASE, 0, 'read')
    // PSTATE.T is bit 5, E bit 9.
    const seen = { thumb: (vcpu.pstate & 0x20) !== 0, bigEndian: (vcpu.pstate & 0x200) !== 0, vector: vcpu.pc[0] }
    expect({ sctlr: row.sctlr, ...seen }).toEqual(row)
  })

  // PSTATE.PAN is bit 22; SCTLR_EL1.SPAN, bit 23, leaves it as it is.
  test.each([
    { sctlr: 0, before: 0, after: 1 << 22 },
    { sctlr: 1 << 23, before: 0, after: 0 },
    { sctlr: 1 << 24, before: 0, after: 1 << 22 },
    { sctlr: 1 << 23, before: 1 << 22, after: 1 << 22 },
  ])('PAN after an abort: $after with SCTLR $sctlr and PAN $before', ({ sctlr, before, after }) => {
    for (const vcpu of [world.at64(0xf800_8441), world.at32(0, 0x8000_0010)]) {
      vcpu.pstate |= before
      Object.assign(vcpu.system, { sctlr })
      injectExternalAbort(vcpu, DEVICE_BASE, 0, 'read')
      expect(vcpu.pstate & (1 << 22)).toBe(after)
    }
  })

  test('AArch64 from EL1: same exception level, WnR', () => {
    const vcpu = world.at64(0xf800_8441)
    vcpu.pstate = 0x3c5
    world.view.setBigUint64(0x2000, 0x401n, true)
    Object.assign(vcpu.system, { vbarLo: 0x8000, vbarHi: 0xffff })
    vcpu.x[4] = DEVICE_BASE + 0x2000
    expect(finish(vcpu, DEVICE_BASE + 0x2000, true)).toBe(mmio.STATUS_FAULT)
    expect(vcpu.exception.esrEl1).toBe((0x25 * 2 ** 26 + (1 << 25) + (1 << 6) + 0x10) >>> 0)
    expect([vcpu.pc[0], vcpu.pc[1]]).toEqual([0x8200, 0xffff])
  })

  test('a fault of stage 1 on the second page, before anything is stored', () => {
    // stp x0, x1, [x2], a level 3 table whose second page is missing
    const vcpu = world.at64(0xa900_0440)
    const view = world.view
    view.setBigUint64(0x2000, 0x3003n, true)
    view.setBigUint64(0x3000, 0x441n, true)
    view.setBigUint64(0x3000 + 2 * 8, 0x400441n, true)
    view.setBigUint64(0x3000 + 128 * 8, 0x5003n, true)
    view.setBigUint64(0x5000, BigInt(DEVICE_BASE) | 0x443n, true)
    vcpu.pc[0] = CODE_BASE
    vcpu.x[4] = DEVICE_BASE + 0xff8
    expect(finish(vcpu, DEVICE_BASE + 0xff8, true)).toBe(mmio.STATUS_FAULT)
    expect(vcpu.exception.esrEl1 & 0x7f).toBe(0x47)
    expect(vcpu.exception.farLo).toBe(DEVICE_BASE + 0x1000)
    expect(world.seen).toEqual([])
  })
})
