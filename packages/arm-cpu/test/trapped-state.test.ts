/** The state that a hypervisor sees of an instruction that it finishes: each field is the register that it is named after. */
import { MachineMemory } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost } from '../src/index.ts'

function fresh(): ArmCpu {
  const memory = MachineMemory.create({ bytes: 40 << 20 })
  const cpu = new ArmCpu(new ArmEngine(memory, { codeCacheBytes: 1 << 20 }), new FlatHost(memory, 0x1000, 0x10000))
  cpu.registers.reset()
  return cpu
}

const NAMES = ['ttbr0_el1', 'ttbr1_el1', 'tcr_el1', 'mair_el1', 'vbar_el1', 'far_el1', 'elr_el1'] as const
const WORDS = [...NAMES, 'sctlr_el1', 'esr_el1', 'spsr_el1'] as const

/** What a hypervisor sees, register by register. */
function seen({ trapped: { system: s, exception: e } }: ArmCpu): Record<(typeof WORDS)[number], bigint> {
  const whole = (lo: number, hi: number): bigint => (BigInt(hi) << 32n) | BigInt(lo)
  return {
    ttbr0_el1: whole(s.ttbr0Lo, s.ttbr0Hi),
    ttbr1_el1: whole(s.ttbr1Lo, s.ttbr1Hi),
    tcr_el1: whole(s.tcrLo, s.tcrHi),
    mair_el1: whole(s.mairLo, s.mairHi),
    vbar_el1: whole(s.vbarLo, s.vbarHi),
    far_el1: whole(e.farLo, e.farHi),
    elr_el1: whole(e.elrLo, e.elrHi),
    sctlr_el1: BigInt(s.sctlr),
    esr_el1: BigInt(e.esrEl1),
    spsr_el1: BigInt(e.spsrEl1),
  }
}
const held = ({ registers }: ArmCpu) => Object.fromEntries(WORDS.map((name) => [name, registers.get(name)]))

describe('registers of EL1', () => {
  test('are seen as they are, each its own', () => {
    const cpu = fresh()
    for (const [i, name] of NAMES.entries())
      cpu.registers.set(name, 0x0000_1230_8765_0000n + BigInt(i) * 0x11_0000_1000n)
    cpu.registers.set('esr_el1', 0x9600_0045n)
    cpu.registers.set('spsr_el1', 0x6000_03c5n)
    expect(seen(cpu)).toEqual(held(cpu))
    expect(new Set(Object.values(seen(cpu))).size).toBe(WORDS.length)
  })

  test('that an exception fills in are written whole', () => {
    const cpu = fresh()
    for (const name of ['far_el1', 'elr_el1', 'esr_el1', 'spsr_el1'] as const)
      cpu.registers.set(name, 0xffff_ffff_ffff_ffffn)
    const before = held(cpu)
    const { exception } = cpu.trapped
    exception.farLo = 0x8000_1234
    exception.farHi = 0xffff_0001
    exception.elrLo = 0x9000_5678
    exception.elrHi = 0xffff_0002
    exception.esrEl1 = 0x9600_0045
    exception.spsrEl1 = 0x8000_03c5
    const after = {
      far_el1: 0xffff_0001_8000_1234n,
      elr_el1: 0xffff_0002_9000_5678n,
      esr_el1: 0x9600_0045n,
      spsr_el1: 0x8000_03c5n,
    }
    expect(held(cpu)).toEqual({ ...before, ...after })
    expect(seen(cpu)).toMatchObject(after)
  })
})
