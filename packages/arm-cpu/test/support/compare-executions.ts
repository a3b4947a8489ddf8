/** One program, interpreted and compiled. */
import { MachineMemory } from '@retrap/memory'
import { ArmCpu, ArmEngine, exceptionClassOf, FlatHost } from '../../src/index.ts'
import type { ArmExit } from '../../src/index.ts'
import type { Random } from './compare-instructions.ts'

const CODE = 0x1000
const DATA = 0x8fc0n
const RAM_BYTES = 0x1_0000
const MOST_TURNS = 10_000
const EC_SVC64 = 0x15

/** A processor before a program: its registers are random, X28 points to data. */
function machine(
  program: readonly number[],
  registers: readonly bigint[],
  compiles: boolean,
): { cpu: ArmCpu; ram: () => Uint8Array } {
  const memory = MachineMemory.create({ bytes: 16 << 20 })
  const host = new FlatHost(memory, 0, RAM_BYTES)
  const options = { codeCacheBytes: 1 << 20, ...(compiles ? { jit: { threshold: 2, fewestInstructions: 1 } } : {}) }
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
  /** Instructions that compiled code has executed. */
  readonly executed: number
}

/** Runs a program to its SVC in turns of random length, in both executions. */
export function compareExecutions(program: readonly number[], random: Random): Comparison {
  const registers = Array.from({ length: 32 }, () => {
    const words = Array.from({ length: 4 }, () => BigInt(random()))
    return words.reduce((value, word) => (value << 32n) | word)
  })
  const [plain, fast] = [machine(program, registers, false), machine(program, registers, true)]
  const [interpreted, compiled] = [plain.cpu, fast.cpu]
  const end = (difference: string | undefined): Comparison => {
    const { executed, failures } = compiled.engine.jit!.counts
    const problem = difference ?? (failures === 0 ? undefined : `${failures} units could not be compiled`)
    return { difference: problem, retired: interpreted.retired, executed }
  }
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    const budget = 1 + (random() % 2000)
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
