import { MachineMemory } from '@retrap/memory'
import { words } from '@retrap/tooling/random'
import { describe, expect, test } from 'vitest'
import { ArmCpu, ArmEngine, FlatHost, KEY_GUARDED, type ArmExit, type ArmTranslation } from '../src/index.ts'
import { landingsOf } from '../src/system/branch-types.ts'

const CODE = 0x1000
const SVC = 0xd400_0001
const NOP = 0xd503_201f
const BTI = 0xd503_241f
const BTI_C = 0xd503_245f
const BTI_J = 0xd503_249f
const BTI_JC = 0xd503_24df
const PACIASP = 0xd503_233f
const PACIBSP = 0xd503_237f
const BR_X1 = 0xd61f_0020
const BR_X16 = 0xd61f_0200
const BLR_X1 = 0xd63f_0020
const BRAAZ_X1 = 0xd61f_083f
const RET = 0xd65f_03c0
const RETAA = 0xd65f_0bff
const BRANCH_TARGET = 0x3600_0000

/** RAM of which some pages are guarded. */
class GuardedHost extends FlatHost {
  guards = (_page: number): boolean => true

  override translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean {
    into.key = this.guards(lo >>> 12) ? KEY_GUARDED : 0
    return super.translate(lo, hi, access, into)
  }
}

interface Options {
  readonly guards?: (page: number) => boolean
  readonly compiles?: boolean
}

/** A processor at EL0 under its host, with programs at addresses. */
function machine(programs: Record<number, number[]>, options: Options = {}): { cpu: ArmCpu; host: GuardedHost } {
  const memory = MachineMemory.create({ bytes: 32 << 20 })
  const host = new GuardedHost(memory, 0, 0x1_0000)
  if (options.guards !== undefined) host.guards = options.guards
  const jit = options.compiles === true ? { jit: { threshold: 2, fewestInstructions: 1 } } : {}
  const cpu = new ArmCpu(new ArmEngine(memory, jit), host)
  for (const [at, program] of Object.entries(programs))
    host.load(Number(at), new Uint8Array(Uint32Array.from(program).buffer))
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.sp = 0x8000n
  return { cpu, host }
}

const ended = (cpu: ArmCpu, exit: ArmExit): string =>
  exit.reason === 'exception'
    ? `${(exit.syndrome >>> 0).toString(16)} at ${cpu.registers.pc.toString(16)}, BTYPE ${(cpu.registers.pstate >>> 10) & 3}`
    : exit.reason

describe('what an instruction may be reached with', () => {
  test.each([
    ['bti', BTI, 0],
    ['bti c', BTI_C, 0b0110],
    ['bti j', BTI_J, 0b1010],
    ['bti jc', BTI_JC, 0b1110],
    ['paciasp', PACIASP, 0b0111],
    ['pacibsp', PACIBSP, 0b0111],
    ['autiasp', 0xd503_23bf, 0],
    ['brk', 0xd420_0020, 0b1110],
    ['hlt', 0xd440_0020, 0b1110],
    ['svc', SVC, 0],
    ['nop', NOP, 0],
  ])('%s', (_name, word, expected) => expect(landingsOf(word)).toBe(expected))
})

describe.each([
  ['interpreted', false],
  ['compiled', true],
])('branches to guarded pages, %s', (_how, compiles) => {
  const TARGET = 0x2010
  const cases: [name: string, branch: number, landing: number, own: boolean, result: string][] = [
    ['br from a guarded page to bti j', BR_X1, BTI_J, true, 'ends'],
    ['br from a guarded page to bti c', BR_X1, BTI_C, true, `${(BRANCH_TARGET | 3).toString(16)}`],
    ['br from another page to bti c', BR_X1, BTI_C, false, 'ends'],
    ['br from another page to no landing', BR_X1, NOP, false, `${(BRANCH_TARGET | 1).toString(16)}`],
    ['br through x16 to bti c', BR_X16, BTI_C, true, 'ends'],
    ['blr to bti c', BLR_X1, BTI_C, true, 'ends'],
    ['blr to bti j', BLR_X1, BTI_J, true, `${(BRANCH_TARGET | 2).toString(16)}`],
    ['blr to bti', BLR_X1, BTI, true, `${(BRANCH_TARGET | 2).toString(16)}`],
    ['blr to paciasp', BLR_X1, PACIASP, true, 'ends'],
    ['br to paciasp', BR_X1, PACIASP, true, 'ends'],
    ['braaz to bti j', BRAAZ_X1, BTI_J, true, 'ends'],
    ['braaz to bti c', BRAAZ_X1, BTI_C, true, `${(BRANCH_TARGET | 3).toString(16)}`],
    ['ret to no landing', 0xd65f_0020, NOP, true, 'ends'],
  ]
  test.each(cases)('%s', (_name, branch, landing, own, result) => {
    const programs = { [CODE]: [branch], [TARGET]: [landing, SVC] }
    const { cpu } = machine(programs, { compiles, guards: (page) => page === TARGET >>> 12 || own })
    cpu.registers.enabledKeys = 0
    // The first branch finds no page in the TLB, the others all.
    for (let round = 0; round < 6; round++) {
      cpu.registers.pc = BigInt(CODE)
      cpu.registers.pstate = 0
      cpu.registers.setX(1, BigInt(TARGET))
      cpu.registers.setX(16, BigInt(TARGET))
      const expected = result === 'ends' ? `56000000 at ${(TARGET + 8).toString(16)}, BTYPE 0` : undefined
      const found = ended(cpu, cpu.run(100))
      if (expected !== undefined) expect(found).toBe(expected)
      else expect(found).toBe(`${result} at ${TARGET.toString(16)}, BTYPE ${Number.parseInt(result, 16) & 3}`)
    }
  })

  test('PACIASP is no landing of any jump where SCTLR_EL1.BT0 is set', () => {
    const { cpu } = machine({ [CODE]: [BR_X1, BLR_X1], [TARGET]: [PACIASP, SVC] }, { compiles })
    const endOf = (start: number): string => {
      cpu.registers.pc = BigInt(start)
      cpu.registers.pstate = 0
      cpu.registers.setX(1, BigInt(TARGET))
      return ended(cpu, cpu.run(100)).split(' ')[0]!
    }
    for (const [control, end] of [
      [0n, '56000000'],
      [1n << 35n, '36000003'],
      [1n << 36n, '56000000'],
    ] as const) {
      // Which drops the TLB's entries; the call makes them again.
      cpu.registers.set('sctlr_el1', control)
      for (let round = 0; round < 4; round++) {
        expect(endOf(CODE + 4)).toBe('56000000')
        expect(endOf(CODE)).toBe(end)
      }
    }
  })

  test('what is no landing may be reached in a page that is not guarded, also when others are', () => {
    const { cpu } = machine({ [CODE]: [BLR_X1, SVC], [TARGET]: [NOP, RET] }, { compiles, guards: (page) => page === 1 })
    for (let round = 0; round < 6; round++) {
      cpu.registers.pc = BigInt(CODE)
      cpu.registers.setX(1, BigInt(TARGET))
      expect(ended(cpu, cpu.run(100))).toBe('56000000 at 1008, BTYPE 0')
    }
  })
})

test('an abort of the fetch keeps BTYPE, and that of a load after the landing has none', () => {
  const { cpu } = machine({ [CODE]: [BLR_X1], 0x2000: [BTI_C, 0xf940_0040] })
  cpu.registers.setX(1, 0x9_0000n)
  expect(ended(cpu, cpu.run(100))).toBe('82000007 at 90000, BTYPE 2')
  cpu.registers.pstate = 0
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.setX(1, 0x2000n)
  cpu.registers.setX(2, 0x9_0000n)
  expect(ended(cpu, cpu.run(100))).toBe('92000007 at 2004, BTYPE 0')
})

test('a state between a branch and its landing is saved and goes on', () => {
  const programs = { [CODE]: [BLR_X1], 0x2000: [NOP, SVC] }
  const { cpu } = machine(programs)
  cpu.registers.setX(1, 0x2000n)
  expect(cpu.run(1).reason).toBe('budget')
  expect([cpu.registers.pc, cpu.registers.pstate]).toEqual([0x2000n, 0x800])
  const other = machine(programs).cpu
  other.registers.restore(cpu.registers.save())
  expect(ended(other, other.run(10))).toBe('36000002 at 2000, BTYPE 2')
})

test('an interrupt at a landing saves BTYPE, and the return from it looks at what is there then', () => {
  // The vector: eret.
  const { cpu, host } = machine({ [CODE]: [BLR_X1], 0x2000: [BTI_C, SVC], 0x4280: [0xd69f_03e0] })
  cpu.registers.reset()
  cpu.registers.set('vbar_el1', 0x4000n)
  cpu.registers.pstate = 0x5
  cpu.registers.pc = BigInt(CODE)
  cpu.registers.setX(1, 0x2000n)
  expect(cpu.run(1).reason).toBe('budget')
  cpu.setIrq(true)
  expect(cpu.run(1).reason).toBe('budget')
  expect([cpu.registers.get('elr_el1'), cpu.registers.get('spsr_el1')]).toEqual([0x2000n, 0x805n])
  cpu.setIrq(false)
  host.load(0x2000, new Uint8Array(Uint32Array.of(NOP).buffer))
  cpu.run(2)
  expect([cpu.registers.get('esr_el1'), cpu.registers.get('spsr_el1') & 0xc00n]).toEqual([
    BigInt(BRANCH_TARGET | 2),
    0x800n,
  ])
})

/** Calls of four functions through a table, some from a page that is not guarded, and a last one of what is no landing. */
const CALLS: Record<number, number[]> = {
  // add x2, x2, #1; and x3, x2, #3; lsl x3, x3, #4; movz x1, #0x2000; add x1, x1, x3; blr x1
  // sub x0, x0, #1; cbnz x0, -7; movz x1, #0x2040; blr x1
  [CODE]: [
    0x9100_0442,
    0x9240_0443,
    0xd37c_ec63,
    0xd284_0001,
    0x8b03_0021,
    BLR_X1,
    0xd100_0400,
    0xb5ff_ff20,
    0xd284_0801,
    BLR_X1,
  ],
  0x2000: [
    ...[BTI_C, 0x8b00_0084, RET, NOP],
    ...[PACIASP, 0xca00_0084, RET, NOP],
    // bti jc; adr x5, .+8; br x5 (to the next)
    ...[BTI_JC, 0x1000_0065, 0xd61f_00a0, NOP],
    ...[BTI_JC, 0xcb02_0084, RET, NOP],
    ...[NOP, SVC],
  ],
}

/** The same with pointers that are signed: BLRAAZ, BRAAZ and RETAA in place of BLR, BR and RET. */
const SIGNED_CALLS: Record<number, number[]> = {
  // As above, but lsl x3, x3, #5; movz x1, #0x2000; add x1, x1, x3; paciza x1; blraaz x1
  // sub x0, x0, #1; cbnz x0, -8; movz x1, #0x2080; blr x1
  [CODE]: [
    ...[0x9100_0442, 0x9240_0443, 0xd37b_e863, 0xd284_0001, 0x8b03_0021, 0xdac1_23e1, 0xd63f_083f],
    ...[0xd100_0400, 0xb5ff_ff00, 0xd284_1001, BLR_X1],
  ],
  0x2000: [
    ...[PACIASP, 0x8b00_0084, RETAA, NOP, NOP, NOP, NOP, NOP],
    ...[BTI_C, PACIASP, 0xca00_0084, RETAA, NOP, NOP, NOP, NOP],
    // bti jc; adr x5, .+28; paciza x5; braaz x5 (to the next)
    ...[BTI_JC, 0x1000_00e5, 0xdac1_23e5, 0xd61f_08bf, NOP, NOP, NOP, NOP],
    ...[BTI_JC, 0xcb02_0084, PACIASP, RETAA, NOP, NOP, NOP, NOP],
    ...[NOP, SVC],
  ],
}

const GUARDS: readonly (readonly [name: string, guards: (page: number) => boolean])[] = [
  ['in guarded pages', (): boolean => true],
  ['from a page that is not', (page: number): boolean => page !== 1],
  ['without any', (): boolean => false],
]

test.each([
  ...GUARDS.map(([name, guards]) => [`calls ${name}`, CALLS, 0, 0x2040, guards] as const),
  ...GUARDS.map(([name, guards]) => [`signed calls ${name}`, SIGNED_CALLS, 15, 0x2080, guards] as const),
])('%s: every turn ends alike, interpreted, compiled and one at a time', (_name, programs, keys, last, guards) => {
  const random = words(20_261_123)
  const all = [false, true].map((compiles) => machine(programs, { guards, compiles }).cpu)
  const single = machine(programs, { guards }).cpu
  for (const { registers } of [...all, single]) {
    registers.setX(0, 2000n)
    registers.enabledKeys = keys
    registers.setKey('IA', 0x84be_85ce_9804_e94b_ec28_02d4_e0a4_88e9n)
  }
  const seen = (cpu: ArmCpu, exit: ArmExit): string =>
    [
      ended(cpu, exit),
      cpu.registers.pc,
      cpu.registers.pstate,
      cpu.registers.x(4),
      cpu.registers.x(30),
      cpu.retired,
    ].join(' ')
  for (;;) {
    const budget = 1 + (random() % 1000)
    const [plain, fast] = all.map((cpu) => {
      const exit = cpu.run(budget)
      return { text: seen(cpu, exit), exit }
    })
    expect(fast!.text).toBe(plain!.text)
    let exit: ArmExit = { reason: 'budget' }
    while (single.retired < all[0]!.retired) exit = single.run(1)
    if (plain!.exit.reason !== 'budget') exit = exit.reason === 'budget' ? single.run(1) : exit
    expect(seen(single, exit)).toBe(plain!.text)
    if (plain!.exit.reason !== 'budget') break
  }
  const { executed, exits } = all[1]!.engine.jit!.counts
  expect(executed).toBeGreaterThan(5000)
  // The interpreter executes no branch: nearly all of them stay in compiled code.
  expect(exits.system).toBeLessThan(100)
  const end = guards(2)
    ? `36000002 at ${last.toString(16)}, BTYPE 2`
    : `56000000 at ${(last + 8).toString(16)}, BTYPE 0`
  expect(ended(single, { reason: 'exception', syndrome: guards(2) ? 0x3600_0002 : 0x5600_0000, address: 0n })).toBe(end)
})
