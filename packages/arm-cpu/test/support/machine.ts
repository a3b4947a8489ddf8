/** A processor with little memory, for tests of single instructions. */
import { MachineMemory } from '@retrap/memory'
import { ArmCpu, ArmEngine, FlatHost, type ArmCounter, type ArmTranslation } from '../../src/index.ts'
import { TRANSLATE_WRITE } from '../../src/state/host.ts'

/** Where programs begin. */
export const CODE = 0x1000
/** SVC #0. */
export const SVC = 0xd400_0001

/** RAM, of which one page may be read-only. */
class TestHost extends FlatHost {
  /** Number of the page. */
  readOnly = -1
  counter?: ArmCounter

  override translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean {
    const found = super.translate(lo, hi, access, into)
    if (lo >>> 12 !== this.readOnly) return found
    into.writable = false
    // A permission fault of level 3.
    into.faultStatus = 0xf
    return found && (access & TRANSLATE_WRITE) === 0
  }
}

/** A processor with a program at {@link CODE} and 64 KiB of RAM. */
export function machine(...program: number[]): { cpu: ArmCpu; host: TestHost } {
  return machineWith(undefined, ...program)
}

export function machineWith(counter: ArmCounter | undefined, ...program: number[]): { cpu: ArmCpu; host: TestHost } {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const host = new TestHost(memory, 0, 0x1_0000)
  if (counter !== undefined) host.counter = counter
  const cpu = new ArmCpu(new ArmEngine(memory), host)
  host.load(CODE, new Uint8Array(Uint32Array.from(program).buffer))
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.sp = 0x8000n
  return { cpu, host }
}

/** Runs until an exception. */
export function exception(cpu: ArmCpu, budget = 1000): { syndrome: number; address: bigint } {
  const exit = cpu.run(budget)
  if (exit.reason !== 'exception') throw new Error(`it ended by ${exit.reason}`, { cause: exit })
  return exit
}
