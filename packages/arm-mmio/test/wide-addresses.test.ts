/** Accesses that go on beyond 4 GiB, and what is left of a copy: in words of 32 bits, as the emulator keeps addresses. */
import { AccessKind, type AccessLog } from '@retrap/replay'
import { describe, expect, test } from 'vitest'
import { ArmEmulator, createArmVcpu, Region, type AccessStatus, STATUS_DONE, STATUS_RESTART } from '../src/index.ts'
import { copyRange, type CopyStep } from '../src/copy.ts'
import type { LoadStore } from '@retrap/arm-decoder'
import { abortAt, CODE_BASE, FlatWorld, flatVcpu, soleOrder, TABLE_BASE } from './support/flat-world.ts'

const GIGABYTE = 0x4000_0000

/** The last page below a gigabyte is a device; its reads give their address. */
class WideWorld extends FlatWorld {
  readonly reads: string[] = []

  constructor() {
    super()
    // Level 1: the fourth and the fifth gigabyte of both halves are the first one, as Normal memory for EL0.
    const view = new DataView(this.ram.buffer)
    for (const entry of [3, 4]) view.setBigUint64(TABLE_BASE + 8 * entry, 0x441n, true)
  }

  override region(ipaLo: number, ipaHi: number): Region {
    return ipaHi === 0 && ipaLo >= GIGABYTE - 4096 && ipaLo < GIGABYTE ? Region.DEVICE : super.region(ipaLo, ipaHi)
  }

  override device(log: AccessLog, index: number): AccessStatus {
    const bytes = new Uint8Array(8).fill(0xd0)
    this.reads.push(
      `${log.kind(index) === AccessKind.MMIO_READ} ${log.addressLo(index).toString(16)}+${log.size(index)}`,
    )
    log.setBytes(index, bytes, 0)
    return STATUS_DONE
  }
}

describe('a pair of registers is loaded from both sides of 4 GiB', () => {
  // ldp x0, x1, [x2]
  const LDP = 0xa940_0440
  test.each([
    ['below the middle of the address space', 0],
    ['above it', 0xffff_ff80],
  ])('%s', (_, hi) => {
    const world = new WideWorld()
    const view = new DataView(world.ram.buffer)
    view.setUint32(CODE_BASE, LDP, true)
    world.ram.fill(0x5a, 0, 8)
    const vcpu = flatVcpu(false)
    // Both halves have 39 bits of address, and the second one 4 KiB pages too.
    Object.assign(vcpu.system, { tcrLo: (25 | (25 << 16) | (2 << 30)) >>> 0, ttbr1Lo: TABLE_BASE })
    vcpu.x.set([0xffff_fff8, hi], 4)
    const emulator = new ArmEmulator(vcpu, world, soleOrder())
    expect(emulator.handle({ ...abortAt(0xffff_fff8, false), farHi: hi, hpfarLo: 0x3f_fff0 })).toBe(STATUS_DONE)
    expect(world.reads).toEqual(['true 3ffffff8+8'])
    expect([...vcpu.x.subarray(0, 4)]).toEqual([0xd0d0_d0d0, 0xd0d0_d0d0, 0x5a5a_5a5a, 0x5a5a_5a5a])
  })
})

describe('an abort of a later byte', () => {
  // The register count times the size of each: ldp x0, x1, [x2]; ldp q0, q1, [x2]; ld1 {v0.16b-v3.16b}, [x2].
  test.each([
    ['ldp of X registers', 0xa940_0440, 16],
    ['ldp of Q registers', 0xad40_0440, 32],
    ['ld1 of four registers', 0x4c40_2040, 64],
  ])('%s is explained to its last byte, and not beyond', (_, word, bytes) => {
    const outcome = (at: number): AccessStatus => {
      const world = new WideWorld()
      new DataView(world.ram.buffer).setUint32(CODE_BASE, word, true)
      const vcpu = flatVcpu(false)
      vcpu.x.set([GIGABYTE - 2048, 0], 4)
      // A permission fault has no HPFAR that would tell.
      const abort = { ...abortAt(GIGABYTE - 2048 + at, false), esr: ((0x24 << 26) | (1 << 25) | 0x0f) >>> 0 }
      return new ArmEmulator(vcpu, world, soleOrder()).handle(abort)
    }
    expect([0, bytes - 1, bytes, -1].map(outcome)).toEqual([STATUS_DONE, STATUS_DONE, STATUS_RESTART, STATUS_RESTART])
  })

  test('beyond 4 GiB is looked up there', () => {
    // The page on the other side, which is the first one of the first gigabyte, is a device's too.
    const world = new (class extends WideWorld {
      override region(ipaLo: number, ipaHi: number): Region {
        return ipaHi === 0 && ipaLo < 4096 ? Region.DEVICE : super.region(ipaLo, ipaHi)
      }
    })()
    new DataView(world.ram.buffer).setUint32(CODE_BASE, 0xa940_0440, true)
    const vcpu = flatVcpu(false)
    vcpu.x.set([0xffff_fff8, 0], 4)
    const abort = { ...abortAt(0, false), farHi: 1, hpfarLo: 0 }
    expect(new ArmEmulator(vcpu, world, soleOrder()).handle(abort)).toBe(STATUS_DONE)
    expect(world.reads).toEqual(['true 3ffffff8+8', 'true 0+8'])
  })
})

describe('what is left of a copy (DDI 0487, "Memory Copy and Memory Set instructions")', () => {
  const [TARGET, SOURCE, LEFT] = [0xffff_0001_0000_0010n, 0x2_ffff_fff0n, 0x30n]
  test.each([
    { option: 'A', backward: false, pstate: 0, target: TARGET + LEFT, source: SOURCE + LEFT, count: -LEFT },
    { option: 'A', backward: true, pstate: 0, target: TARGET, source: SOURCE, count: LEFT },
    { option: 'B', backward: false, pstate: 0x2000_0000, target: TARGET, source: SOURCE, count: LEFT },
    { option: 'B', backward: true, pstate: 0xa000_0000, target: TARGET + LEFT, source: SOURCE + LEFT, count: LEFT },
  ])('option $option, backward: $backward', ({ pstate, target, source, count }) => {
    const vcpu = createArmVcpu(0)
    vcpu.pstate = pstate
    const write = (register: number, value: bigint): void => {
      const bits = BigInt.asUintN(64, value)
      vcpu.x.set([Number(bits & 0xffff_ffffn), Number(bits >> 32n)], 2 * register)
    }
    write(1, target)
    write(2, source)
    write(3, count)
    const into: CopyStep = { bytes: 0, sourceLo: 0, sourceHi: 0, targetLo: 0, targetHi: 0 }
    const copy = { rt: 1, rs: 2, rn: 3, form: { operation: 'copy' } } as unknown as LoadStore
    copyRange(vcpu, copy, into)
    expect(into).toEqual({ bytes: 0x30, sourceLo: 0xffff_fff0, sourceHi: 2, targetLo: 0x10, targetHi: 0xffff_0001 })
    copyRange(vcpu, { ...copy, form: { operation: 'fill' } } as unknown as LoadStore, into)
    expect([into.targetLo, into.sourceLo]).toEqual([0x10, 0x10])
  })
})
