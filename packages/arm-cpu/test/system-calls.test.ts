import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost, SYSTEM_REGISTERS, type ArmExit } from '../src/index.ts'
import { CODE } from './support/machine.ts'
import { VECTORS } from './support/el1.ts'

const USER = [
  0xd400_0021, // user: svc #1
  0xd53b_d040, // mrs x0, tpidr_el0
  0x9100_0400, // add x0, x0, #1
  0xd51b_d040, // msr tpidr_el0, x0
  0xab03_0042, // adds x2, x2, x3
  0xd100_0421, // sub x1, x1, #1
  0xb5ff_ff41, // cbnz x1, user
  0xd420_0000, // brk #0
]
const KERNEL = [
  0xd538_5209, // mrs x9, esr_el1
  0xd35a_fd2a, // lsr x10, x9, #26
  0xf100_555f, // cmp x10, #0x15
  0x5400_01c1, // b.ne end
  0xd538_402b, // mrs x11, elr_el1
  0xd538_400c, // mrs x12, spsr_el1
  0xd538_410d, // mrs x13, sp_el0
  0xd518_d08d, // msr tpidr_el1, x13
  0xd538_d08e, // mrs x14, tpidr_el1
  0xd53b_422f, // mrs x15, daif
  0xd503_42ff, // msr daifclr, #2
  0xd503_42df, // msr daifset, #2
  0xd518_402b, // msr elr_el1, x11
  0xd518_400c, // msr spsr_el1, x12
  0xd518_410d, // msr sp_el0, x13
  0xd51b_422f, // msr daif, x15
  0xd69f_03e0, // eret
  0xd400_0002, // end: hvc #0
]
const CALLS = 2000n

/** @param fpen - of CPACR_EL1: 3; 1 has all exceptions taken in TypeScript */
function machine(compiles: boolean, fpen: bigint): ArmCpu {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const host = new FlatHost(memory, 0, 0x1_0000)
  const cpu = new ArmCpu(new ArmEngine(memory, compiles ? { jit: { threshold: 2, fewestInstructions: 1 } } : {}), host)
  host.load(CODE, new Uint8Array(Uint32Array.from(USER).buffer))
  host.load(VECTORS + 0x400, new Uint8Array(Uint32Array.from(KERNEL).buffer))
  const { registers } = cpu
  registers.reset()
  registers.set('vbar_el1', BigInt(VECTORS))
  registers.set('cpacr_el1', fpen << 20n)
  registers.sp = 0x8000n
  registers.pstate = 0x1000
  registers.sp = 0x7000n
  registers.setX(1, CALLS)
  registers.setX(3, 0x7fff_ffff_ffff_ff01n)
  registers.pc = BigInt(CODE)
  return cpu
}

/** All that the program can see. */
function seen({ registers, retired }: ArmCpu): string[] {
  const names = SYSTEM_REGISTERS.filter((name) => name !== 'cpacr_el1')
  return [
    ...Array.from({ length: 31 }, (_, i) => `x${i} ${registers.x(i).toString(16)}`),
    ...names.map((name) => `${name} ${registers.get(name).toString(16)}`),
    ...(['pc', 'sp', 'nzcv', 'pstate'] as const).map((name) => `${name} ${registers[name].toString(16)}`),
    `retired ${retired}`,
  ]
}

/** Runs to the HVC in turns. */
function* turns(cpu: ArmCpu, budget: number): Iterable<ArmExit> {
  for (let left = 1000; left > 0; left--) {
    const exit = cpu.run(budget)
    yield exit
    if (exit.reason !== 'budget') return
  }
}

test.each([1, 61, 997, Infinity])(
  'system calls in turns of %s: compiled and interpreted agree at each end',
  (budget) => {
    const [plain, fast] = [machine(false, 3n), machine(true, 3n)]
    const theirs = turns(fast, budget)[Symbol.iterator]()
    for (const exit of turns(plain, budget)) {
      expect(theirs.next().value).toEqual(exit)
      const [a, b] = [seen(plain), seen(fast)]
      if (a.join() !== b.join()) expect(b).toEqual(a)
    }
    if (budget < 100) return
    expect(plain.registers.get('tpidr_el0')).toBe(CALLS)
    expect(fast.engine.jit!.counts.executed).toBeGreaterThan(Number(CALLS) * 10)
  },
)

test('system calls end as those that TypeScript takes', () => {
  const [plain, slow] = [machine(false, 3n), machine(false, 1n)]
  for (const cpu of [plain, slow]) expect(cpu.run(Infinity)).toMatchObject({ syndrome: 0x5a00_0000 })
  expect(seen(slow)).toEqual(seen(plain))
  // An exception that TypeScript takes costs more.
  expect(slow.cost).toBeGreaterThan(plain.cost + Number(CALLS))
})

test('an interrupt that waits is taken where compiled code unmasks it', () => {
  const cpu = machine(true, 3n)
  cpu.run(20_000)
  cpu.setIrq(true)
  const exit = cpu.run(1000)
  // EL0 and the kernel's DAIFClr admit it: the vector is empty, and what lies there is not allocated.
  expect(exit.reason).toBe('budget')
  expect(cpu.registers.get('esr_el1')).toBe(0x0200_0000n)
})
