/** One program, interpreted and compiled. */
import { MachineMemory } from '@retrap/memory'
import { MemoryKeeper } from '@retrap/tooling/kept-code'
import { ArmCpu, ArmEngine, exceptionClassOf, FlatHost, type ArmExit } from '../../src/index.ts'
import type { Random } from './compare-instructions.ts'

const CODE = 0x1000
const DATA = 0x8fc0n
const RAM_BYTES = 0x1_0000
const MOST_TURNS = 10_000
const EC_SVC64 = 0x15

interface Made {
  readonly cpu: ArmCpu
  readonly ram: () => Uint8Array
}

/**
 * A processor before a program: its registers are random, X28 points to data.
 *
 * @param keep - where it keeps compiled code; absent, it interprets the program
 * @param reservedBytes - by which all lies higher in machine memory
 */
function machine(
  program: readonly number[],
  registers: readonly bigint[],
  keep?: MemoryKeeper,
  reservedBytes = 0,
): Made {
  const memory = MachineMemory.create({ bytes: 16 << 20 })
  if (reservedBytes > 0) memory.allocate(reservedBytes, 8, 'another part')
  const host = new FlatHost(memory, 0, RAM_BYTES)
  const options = {
    codeCacheBytes: 1 << 20,
    poison: true,
    ...(keep && { jit: { threshold: 2, fewestInstructions: 1, keep } }),
  }
  const cpu = new ArmCpu(new ArmEngine(memory, options), host)
  host.load(CODE, new Uint8Array(Uint32Array.from(program).buffer))
  for (let i = 0; i < 31; i++) cpu.registers.setX(i, registers[i]! & 0xffff_ffff_ffff_ffffn)
  for (let i = 0; i < 32; i++) cpu.registers.setV(i, registers[i]!)
  cpu.registers.setX(28, DATA)
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.sp = 0x8000n
  return { cpu, ram: () => memory.read(host.ramAddress(0), RAM_BYTES) }
}

/** All that a program can see, and where the turn ended. */
function seen({ registers, retired }: ArmCpu, exit: ArmExit): string {
  const x = Array.from({ length: 31 }, (_, i) => `x${i} ${registers.x(i).toString(16)}`)
  const v = Array.from({ length: 32 }, (_, i) => `v${i} ${registers.v(i).toString(16)}`)
  const end = exit.reason === 'exception' ? `exception ${exit.syndrome.toString(16)}` : exit.reason
  const { pc, nzcv, fpsr } = registers
  return [end, `retired ${retired}`, `pc ${pc.toString(16)}`, `nzcv ${nzcv}`, `fpsr ${fpsr}`, ...x, ...v].join('\n')
}

/** What two executions of a program have come to. */
export interface Comparison {
  /** Where they differ first, if they do. */
  readonly difference: string | undefined
  readonly retired: number
  readonly executed: number
  /** Units whose code was kept by the first execution of compiled code, of the second one. */
  readonly loaded: number
}

/** Runs a program to its SVC in turns of random length: interpreted, compiled, and by the code that was kept of that. */
export function compareExecutions(program: readonly number[], random: Random): Comparison {
  const registers = Array.from({ length: 32 }, () => {
    const words = Array.from({ length: 4 }, () => BigInt(random()))
    return words.reduce((value, word) => (value << 32n) | word)
  })
  const keep = new MemoryKeeper()
  const budgets = Array.from({ length: MOST_TURNS }, () => 1 + (random() % 2000))
  const made = (kept: MemoryKeeper | undefined, bytes = 0): Made => machine(program, registers, kept, bytes)
  const cold = compareWith(made(keep), made(undefined), budgets)
  if (cold.difference !== undefined) return cold
  const { difference, loaded } = compareWith(made(keep, 0x1230), made(undefined), budgets)
  return { ...cold, loaded, difference: difference && `kept code: ${difference}` }
}

function compareWith(fast: Made, plain: Made, budgets: readonly number[]): Comparison {
  const [interpreted, compiled] = [plain.cpu, fast.cpu]
  const end = (difference: string | undefined): Comparison => {
    const { executed, failures, loaded } = compiled.engine.jit!.counts
    const problem = difference ?? (failures === 0 ? undefined : `${failures} units could not be compiled`)
    return { difference: problem, retired: interpreted.retired, executed, loaded }
  }
  for (const budget of budgets) {
    const exit = interpreted.run(budget)
    const [ours, theirs] = [seen(compiled, compiled.run(budget)), seen(interpreted, exit)]
    if (ours !== theirs) {
      const lines = theirs.split('\n')
      return end(
        ours
          .split('\n')
          .flatMap((line, i) => (line === lines[i] ? [] : [`${line}, not ${lines[i]}`]))
          .join('; '),
      )
    }
    if (exit.reason === 'exception') {
      if (Buffer.compare(plain.ram(), fast.ram()) !== 0) return end('memory differs')
      return end(exceptionClassOf(exit.syndrome) === EC_SVC64 ? undefined : `it ended by ${theirs.split('\n')[0]}`)
    }
  }
  return end('it did not come to its end')
}
