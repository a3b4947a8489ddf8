/** A processor at EL1 with a vector table, for tests of exceptions. */
import type { ArmCpu } from '../../src/index.ts'
import { CODE, exception, machine } from './machine.ts'

/** Where the vectors are: each is an HVC, by which the test sees which one was taken. */
export const VECTORS = 0x4000
const HVC = 0xd400_0002
const HVC_SYNDROME = 0x5a00_0000

/** A processor at EL1, its interrupts masked, with a program at {@link CODE}. */
export function atEl1(...program: number[]): ArmCpu {
  return atEl1With(...program).cpu
}

/** The same with its host. */
export function atEl1With(...program: number[]): ReturnType<typeof machine> {
  const made = machine(...program)
  const { cpu, host } = made
  const vectors = new Uint32Array(16 * 32)
  for (let i = 0; i < 16; i++) vectors[32 * i] = HVC
  host.load(VECTORS, new Uint8Array(vectors.buffer))
  const { registers } = cpu
  registers.reset()
  registers.set('vbar_el1', BigInt(VECTORS))
  registers.set('cpacr_el1', 3n << 20n)
  registers.pc = BigInt(CODE)
  registers.sp = 0x8000n
  return made
}

/** The same at EL0, below that kernel. */
export function atEl0(...program: number[]): ArmCpu {
  const cpu = atEl1(...program)
  cpu.registers.pstate = 0
  cpu.registers.sp = 0x8000n
  return cpu
}

/** Runs to the vector that an exception takes. @returns its offset, or the syndrome of the exception that left to EL2 */
export function vectorOf(cpu: ArmCpu, budget = 1000): string {
  const { syndrome } = exception(cpu, budget)
  if (syndrome !== HVC_SYNDROME) return `EL2 ${syndrome.toString(16)}`
  return `+${(Number(cpu.registers.pc) - 4 - VECTORS).toString(16)}`
}
