import { MachineMemory } from '@retrap/memory'
import { describe, expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost, type ArmTranslation } from '../src/index.ts'
import { CODE, exception } from './support/machine.ts'

const DATA = 0x5000
const LDR = 0xf940_0022 // ldr x2, [x1]
const HVC = 0xd400_0002
const TTBR0 = 0xd518_2000 // msr ttbr0_el1, x0

/** Counts how often it is asked for {@link DATA}. */
class CountingHost extends FlatHost {
  asked = 0

  override translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean {
    if (lo >>> 12 === DATA >>> 12) this.asked++
    return super.translate(lo, hi, access, into)
  }
}

/** A processor at EL1 that has just read {@link DATA}, with a program that goes on. */
function reader(...program: number[]): { cpu: ArmCpu; host: CountingHost } {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const host = new CountingHost(memory, 0, 0x1_0000)
  const cpu = new ArmCpu(new ArmEngine(memory), host)
  host.load(CODE, new Uint8Array(Uint32Array.of(LDR, HVC, ...program, HVC).buffer))
  const { registers } = cpu
  registers.reset()
  registers.pc = BigInt(CODE)
  registers.setX(1, BigInt(DATA))
  exception(cpu)
  host.asked = 0
  return { cpu, host }
}

describe('translations that are known, after a write of', () => {
  // Those that a switch of processes writes leave them: CONTEXTIDR_EL1, keys and their enables, TTBR0_EL1 with the same ASID.
  test.each([
    ['CONTEXTIDR_EL1', 0xd518_d020, 7n, 'stay'],
    ['TPIDRRO_EL0', 0xd51b_d060, 7n, 'stay'],
    ['APIAKeyLo_EL1', 0xd518_2100, 7n, 'stay'],
    ['SCTLR_EL1.EnIA', 0xd518_1000, 0xb0d0_0800n, 'stay'],
    ['SCTLR_EL1.WXN', 0xd518_1000, 0x30d8_0800n, 'go'],
    ['CPACR_EL1', 0xd518_1040, 3n << 20n, 'stay'],
    ['TTBR0_EL1', TTBR0, 0x8000n, 'stay'],
    ['TTBR0_EL1 with another ASID', TTBR0, 3n << 48n, 'go'],
    ['TCR_EL1.HPD0', 0xd518_2040, 1n << 41n, 'go'],
    ['TCR_EL1 with the value that it has', 0xd518_2040, 0n, 'stay'],
    ['MAIR_EL1', 0xd518_a200, 0xffn, 'go'],
  ] as const)('%s', (_name, word, value, outcome) => {
    const { cpu, host } = reader(word, LDR)
    cpu.registers.setX(0, value)
    exception(cpu)
    expect(host.asked).toBe(outcome === 'go' ? 1 : 0)
  })

  test('TTBR0_EL1 with an ASID of before are known again', () => {
    const { cpu, host } = reader(TTBR0, LDR, 0xaa1f_03e0, TTBR0, LDR) // mov x0, xzr in between
    cpu.registers.setX(0, 3n << 48n)
    exception(cpu)
    expect(host.asked).toBe(1)
  })
})
