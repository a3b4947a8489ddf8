import { ecx, edi, edx, gs, qword, r10, r11, r8, r9, rax, rbx, rcx, rdx, rsp } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { seedsUntil, slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import type { CpuCore } from '../src/cpu-core.ts'
import { R_LENGTH, R_REG0 } from '../src/state/record.ts'
import * as S from '../src/state/state-layout.ts'
import { handlers } from '../src/system/handlers.ts'
import { setNullSegment, setSegment } from '../src/system/segments/segment-cache.ts'
import { BareCpu, CODE, PAGE_TABLE, initialState } from './support/bare-cpu.ts'
import { expectHalt } from './support/with-bare-cpu.ts'
import { formNamed, systemOf, unlessFault } from './support/handlers.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'

const SEED = slicedSeed(20_261_121)
const RUNS = slicedCount(400, 5)
/** Where SYSCALL and SYSRET lead. */
const TARGET = 0x3000
/** Operand register of the instructions that have one. */
const RBX = 3

const instructions: Readonly<Record<string, readonly number[]>> = {
  SYSCALL: [0x0f, 0x05],
  SYSRETQ: [0x48, 0x0f, 0x07],
  SWAPGS: [0x0f, 0x01, 0xf8],
  CLAC: [0x0f, 0x01, 0xca],
  STAC: [0x0f, 0x01, 0xcb],
  RDPKRU: [0x0f, 0x01, 0xee],
  RDFSBASE: [0xf3, 0x48, 0x0f, 0xae, 0xc3],
  RDGSBASE: [0xf3, 0x48, 0x0f, 0xae, 0xcb],
  WRFSBASE: [0xf3, 0x48, 0x0f, 0xae, 0xd3],
  WRGSBASE: [0xf3, 0x48, 0x0f, 0xae, 0xdb],
}

const coreOf = ({ cpu }: BareCpu): CpuCore => (cpu as unknown as { readonly core: CpuCore }).core

/** A state that instructions begin with. */
interface Given {
  readonly cpl: number
  readonly cr4: number
  readonly efer: number
  readonly eflags: number
  readonly flagsKind: number
  readonly a: bigint
  readonly b: bigint
  readonly star: number
  readonly sfmask: number
  readonly rcx: bigint
  readonly r11: number
  readonly rbx: bigint
  readonly bases: readonly bigint[]
  readonly kernelBase: bigint
  /** Attributes of GS: flat data, read-only data, null. */
  readonly gs: number
  readonly pkru: number
  /** SS: all of 4 GiB, null, or with a base. */
  readonly ss: 'flat' | 'null' | 'based'
}

const often = <T>(usual: T, others: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ arbitrary: fc.constant(usual), weight: 4 }, { arbitrary: others, weight: 1 })
const word = fc.nat(0xffff_ffff)
const address = fc.oneof(
  fc.constant(0n),
  fc.bigInt(0n, 0x7fff_ffff_ffffn),
  fc.bigInt(0xffff_8000_0000_0000n, 0xffff_ffff_ffff_ffffn),
)
/** Without RF and VM; TF has traps. */
const ARITHMETIC = 0x8d5
const USUAL_FLAGS = 0xed5
const ALL_FLAGS = 0x24_7ed5 & ~0x100

const given: fc.Arbitrary<Given> = fc.record({
  cpl: fc.constantFrom(0, 3),
  // PAE and PGE, with any of SMAP, FSGSBASE and PKE.
  cr4: fc.subarray([1 << 21, 1 << 16, 1 << 22]).map((bits) => bits.reduce((all, bit) => all | bit, 0x6a0)),
  efer: often(0x501, fc.constant(0x500)),
  eflags: fc.oneof(
    word.map((bits) => bits & USUAL_FLAGS),
    word.map((bits) => bits & ALL_FLAGS),
  ),
  flagsKind: fc.constantFrom(S.FLAGS_EXPLICIT, S.FLAGS_ADD, S.FLAGS_SUB),
  a: fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
  b: fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
  star: word,
  sfmask: fc.oneof(fc.constant(0x25_7fd5), word),
  rcx: fc.oneof(
    fc.constantFrom(BigInt(TARGET), 0n),
    fc.oneof(fc.constant(0x8000_0000_0000n), fc.constant(0x8000_0000_3000n)),
  ),
  r11: fc.oneof(
    word.map((bits) => bits & USUAL_FLAGS),
    word.map((bits) => bits & ~0x100),
  ),
  rbx: fc.oneof(address, fc.bigInt(0n, 0xffff_ffff_ffff_ffffn)),
  bases: fc.tuple(address, address),
  kernelBase: address,
  gs: fc.constantFrom(0xc093, 0xc091, 0, 0x8093),
  pkru: word,
  ss: often<Given['ss']>('flat', fc.constantFrom('null', 'based')),
})

function set64(pc: BareCpu, at: number, value: bigint): void {
  pc.cpu.u64[at >>> 3] = BigInt.asUintN(64, value)
}

function prepare(pc: BareCpu, mnemonic: string, state: Given): void {
  const { cpu } = pc
  const { u32 } = cpu
  const system = systemOf(pc)
  cpu.reset(true)
  cpu.load(initialState('long'))
  // The instruction, and a jump to another page, where a turn ends.
  pc.load(CODE, [...instructions[mnemonic]!, 0xe9, 0, 0x10, 0, 0])
  // All access modes have been used for 64-bit code.
  for (const [cpl, cr4] of ACCESS_MODES) setLevel(pc, cpl, cr4)
  system.set(S.S_EFER, state.efer)
  setLevel(pc, state.cpl, state.cr4)
  if (state.ss === 'null') setNullSegment(system, S.SS, state.cpl)
  else if (state.ss === 'based') setSegment(system, S.SS, 0x10, 0x1000, 0, 0xffff_ffff, 0xc093 | (state.cpl << 5))
  setSegment(system, S.FS, 0x18, ...words(state.bases[0]!), 0xffff_ffff, 0xc093)
  setSegment(system, S.GS, 0x18, ...words(state.bases[1]!), 0xffff_ffff, state.gs)
  pc.host.controlChanged()
  cpu.flushTlb(true)
  system.set(S.S_EFLAGS, (state.eflags & ~ARITHMETIC) | 2)
  // Flags by themselves, or those of an addition or a subtraction, not computed yet.
  const explicit = state.flagsKind === S.FLAGS_EXPLICIT
  u32[S.S_FLAGS_KIND >>> 2] = state.flagsKind
  set64(pc, S.S_FLAGS_A, state.a)
  set64(pc, S.S_FLAGS_B, explicit ? BigInt(state.eflags & ARITHMETIC) : state.b)
  const sum = state.flagsKind === S.FLAGS_ADD ? state.a + state.b : state.a - state.b
  set64(pc, S.S_FLAGS_RESULT, explicit ? BigInt((state.eflags & 0x40) === 0) : sum)
  set64(pc, S.S_STAR, BigInt(state.star) << 32n)
  set64(pc, S.S_LSTAR, BigInt(TARGET))
  set64(pc, S.S_SFMASK, BigInt(state.sfmask))
  pc.setRegister('rcx', state.rcx)
  pc.setRegister('r11', state.r11)
  pc.setRegister('rbx', state.rbx)
  set64(pc, S.S_KERNEL_GS_BASE, state.kernelBase)
  system.set(S.S_PKRU, state.pkru)
  cpu.modeChanged()
}

/** Privilege level and CR4 of each access mode. */
const ACCESS_MODES = [
  [0, 0x6a0],
  [0, 0x20_06a0],
  [3, 0x6a0],
] as const

function setLevel(pc: BareCpu, cpl: number, cr4: number): void {
  const { u32 } = pc.cpu
  u32[(S.S_SEGMENTS + S.SEG_BYTES * S.CS + S.SEG_ATTRIBUTES) >>> 2] = 0xa09b | (cpl << 5)
  u32[(S.S_SEGMENTS + S.SEG_BYTES * S.SS + S.SEG_ATTRIBUTES) >>> 2] = 0xc093 | (cpl << 5)
  u32[S.S_CR4 >>> 2] = cr4
  pc.cpu.modeChanged()
}

const words = (value: bigint): [lo: number, hi: number] => [Number(value & 0xffff_ffffn), Number(value >> 32n)]

/** A record for a handler, in the state's scratch area. */
function recordOf(pc: BareCpu, length: number): number {
  const record = pc.cpu.state + S.S_SCRATCH
  pc.memory.u8[record + R_LENGTH] = length
  pc.memory.u16[(record + R_REG0) >>> 1] = S.S_GPR + 8 * RBX
  return record
}

/** What the instructions may change. */
function outcome(pc: BareCpu, jumps: boolean): object {
  const { u32, u64, state } = pc.cpu
  const segment = (n: number): unknown => [
    ...u32.slice((S.S_SEGMENTS + S.SEG_BYTES * n) >>> 2, (S.S_SEGMENTS + S.SEG_BYTES * (n + 1)) >>> 2),
  ]
  return {
    registers: [...u64.slice(S.S_GPR >>> 3, (S.S_GPR >>> 3) + 16)],
    rip: jumps ? u64[S.S_RIP >>> 3] : 0,
    flags: pc.cpu.materialiseFlags(),
    segments: [S.CS, S.SS, S.FS, S.GS].map(segment),
    level: [
      u32[S.S_CPL >>> 2],
      u32[S.S_MODE >>> 2],
      u32[S.S_ACCESS_SET >>> 2],
      u32[S.S_TLB >>> 2]! - pc.memory.u32[(state + S.S_TLB_BASE) >>> 2]!,
    ],
    kernelBase: u64[S.S_KERNEL_GS_BASE >>> 3],
  }
}

/** The instruction by its handler. @returns undefined if it faults */
function byHandler(pc: BareCpu, mnemonic: string): object | undefined {
  const form = formNamed(mnemonic, ({ operands }) => operands.every(({ size }) => size !== 4))
  return unlessFault(() => {
    const status = handlers[mnemonic]!(systemOf(pc), recordOf(pc, instructions[mnemonic]!.length), form)
    expect([S.STATUS_DONE, S.STATUS_JUMP]).toContain(status)
    return outcome(pc, status === S.STATUS_JUMP && mnemonic.startsWith('SYS'))
  })
}

/** Each with Intel's rules, and what has a case of its own for AMD's. */
const cases: readonly (readonly [mnemonic: string, cpu: string, runs: number])[] = [
  ...Object.keys(instructions).map((mnemonic) => [mnemonic, 'max', RUNS] as const),
  ['SYSRETQ', 'max,vendor=amd', 5 * RUNS],
]

describe.each(cases)(`%s in generated code and by its handler, %s (seed ${SEED})`, (mnemonic, cpu, runs) => {
  test('they do the same', () => {
    const [generated, reference] = [new BareCpu({ jit: false, cpu }), new BareCpu({ jit: false, cpu })]
    let quick = 0
    const states = fc.property(given, (state) => {
      for (const pc of [reference, generated]) coreOf(pc).placeTlb()
      prepare(reference, mnemonic, state)
      prepare(generated, mnemonic, state)
      const expected = byHandler(reference, mnemonic)
      const { systemCalls, faults } = generated.cpu.counts
      generated.run(1)
      if (expected === undefined) {
        expect(generated.cpu.counts.faults).toBeGreaterThan(faults)
        return
      }
      if (generated.cpu.counts.systemCalls === systemCalls) quick++
      expect(outcome(generated, mnemonic.startsWith('SYS'))).toEqual(expected)
    })
    for (const seed of seedsUntil(SEED, () => quick > 0)) fc.assert(states, { seed, numRuns: runs })
    // The usual states need no handler: of those for SYSRETQ one in ten.
    expect(quick).toBeGreaterThan(0)
  })
})

describe('what is due comes before the next instruction', () => {
  const LSTAR = 0x5000
  /** A processor at privilege level 0 that SYSRET takes to TARGET. */
  const kernel = (): BareCpu => {
    const pc = new BareCpu()
    set64(pc, S.S_EFER, 0x501n)
    set64(pc, S.S_STAR, 0x0010_0008_0000_0000n)
    set64(pc, S.S_LSTAR, BigInt(LSTAR))
    set64(pc, S.S_SFMASK, 0x200n)
    pc.setRegister('rcx', TARGET)
    pc.setRegister('r11', 0x202)
    pc.program((asm) => asm.mov(rbx, qword(rsp)).hlt(), 0x4000)
    pc.vector(0x30, 0x4000)
    return pc
  }

  test('an interrupt that SYSRET lets in', () => {
    const pc = kernel()
    pc.load(CODE, [0x48, 0x0f, 0x07])
    pc.program((asm) => asm.mov(edx, 1).hlt(), TARGET)
    pc.interrupt(0x30)
    expectHalt(pc, { rbx: BigInt(TARGET), rdx: 0n })
  })

  test('an interrupt that SYSCALL masks waits for STI', () => {
    const pc = kernel()
    pc.load(CODE, [0x48, 0x0f, 0x07])
    pc.program((asm) => asm.syscall(), TARGET)
    const at = pc.program((asm) => asm.mov(edx, 2).sti().nop().bind(asm.label('after')).nop().hlt(), LSTAR)
    pc.setRegister('r11', 2)
    pc.run(1)
    pc.interrupt(0x30)
    expectHalt(pc, { rbx: BigInt(at('after')), rdx: 2n })
  })

  test('a user program that makes system calls, interpreted and compiled', () => {
    const [plain, compiled] = [false, EAGER_JIT].map((jit) => {
      const pc = new BareCpu({ jit })
      set64(pc, S.S_EFER, 0x501n)
      set64(pc, S.S_CR4, 0x61_06a0n)
      pc.host.controlChanged()
      pc.cpu.modeChanged()
      set64(pc, S.S_STAR, 0x0010_0008_0000_0000n)
      set64(pc, S.S_LSTAR, BigInt(LSTAR))
      set64(pc, S.S_SFMASK, 0x4_0600n)
      set64(pc, S.S_KERNEL_GS_BASE, 0x6_0000n)
      // SMAP: the kernel's data are no user's.
      for (const page of [0x60, 0x7f]) pc.write64(PAGE_TABLE + 8 * page, BigInt((page << 12) | 3))
      pc.program((asm) => asm.mov(ecx, TARGET).mov(r11, 0x202).mov(r8, 300).db(0x48, 0x0f, 0x07))
      pc.program((asm) => {
        const [again, rest] = [asm.label(), asm.label()]
        asm.bind(again).add(rax, r8).syscall().dec(r8).jne(again).xor(edi, edi).syscall().bind(rest).jmp(rest)
      }, TARGET)
      pc.program((asm) => {
        const last = asm.label()
        asm
          .swapgs()
          .mov(qword(0x10, { segment: gs }), rsp)
          .cli()
          .pushfq()
          .pop(rdx)
          .add(rax, rdx)
          .sti()
        asm.mov(r9, rcx).xor(ecx, ecx).rdpkru().mov(rcx, r9).stac().add(rbx, qword(0x2000)).clac()
        asm.rdgsbase(r10).add(rbx, r10).test(r8, r8).je(last)
        asm.pushfq().or(qword(rsp), 0x200).popfq().swapgs().db(0x48, 0x0f, 0x07)
        asm.bind(last).hlt()
      }, LSTAR)
      expect(pc.run(1_000_000).reason).toBe('hlt')
      return pc
    }) as [BareCpu, BareCpu]
    expect(outcome(compiled, true)).toEqual(outcome(plain, true))
    expect(compiled.cpu.retired).toBe(plain.cpu.retired)
    expect(compiled.engine.jitCounts?.units).toBeGreaterThan(0)
    // HLT, and the first SYSRET, which makes privilege level 3 one of 64-bit code.
    expect(compiled.cpu.counts.systemCalls).toBe(2)
  })
})
