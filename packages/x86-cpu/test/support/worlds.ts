/** Execution modes that a program goes to and comes from by gates, each with handlers that step over what faults. */
import * as x86 from '@retrap/x86-assembler'
import type { Label } from '@retrap/x86-assembler'
import { descriptor } from '@retrap/x86-assembler/guest-code'
import { S_LSTAR, S_SFMASK, S_STAR, S_SYSENTER_EIP, S_SYSENTER_ESP } from '../../src/state/state-layout.ts'
import { GDT, IDT, PAGE_TABLE, STACK, TSS, initialState } from './bare-cpu.ts'
import type { BareCpu } from './bare-cpu.ts'

/** Modes, with the width of their code. All but those of users have privilege level 0. */
export const WORLDS = {
  long: 64,
  compatibility32: 32,
  compatibility16: 16,
  user64: 64,
  user32: 32,
  protected32: 32,
  pae32: 32,
  virtual8086: 16,
  real: 16,
} as const
export type World = keyof typeof WORLDS

/** RBX: what lies {@link NEAR_END} bytes further on is in the next page. */
export const DATA = 0x1_0000
export const DATA_BASE = DATA + 0xfc0
/** The same for code that cannot address more than 64 KiB. */
export const LOW_DATA = 0xa000
const LOW_DATA_BASE = LOW_DATA + 0xfc0
export const DATA_BYTES = 0x2000
/** The second address space has other frames for the second page of the data and for the page of code at 2000H. */
export const SECOND_ROOT = 0x30_9000
export const FIRST_ROOT = 0x30_0000
export const OTHER_DATA_FRAME = 0x50
export const OTHER_CODE_FRAME = 0x51
export const SECOND_CODE_PAGE = 2
/** Linear address at which code pages are mapped once more, page 1 first. */
export const ALIAS = 0x1f_0000
export const ALIAS_PAGES = 5
/** Vector of interrupts from outside. */
export const INTERRUPT = 0x40

export const SELECTORS = {
  code64: 0x08,
  data: 0x10,
  userCode64: 0x1b,
  userData: 0x23,
  code32: 0x38,
  code16: 0x40,
  /** 64 KiB. */
  data16: 0x48,
  /** Base 10H and 128 KiB. */
  moved: 0x50,
  readOnly: 0x58,
  userCode32: 0x63,
} as const

/**
 * Code of level 0 from which, with the selectors after it, fast system calls lead to level 3 and back: SYSCALL, SYSRET, and
 * SYSENTER and SYSEXIT of 64-bit code; and SYSENTER and SYSEXIT outside IA-32e mode.
 */
export const FAST_CALLS = { long: 0x80, legacy: 0xb0 } as const

/** Linear address, in RAM that all modes reach, of the target of a gate, and of the second half of the way. */
export const TARGET = 0x8000
export const WAY = 0x8008

const GATES = 0x6000
/** PAE's page-directory pointers, and the directory that the first one leads to. */
const PAE_ROOT = 0x30_d000
const PAE_DIRECTORY = 0x30_e000
const LEGACY_IDT = 0x30_8000
const HANDLER_STACK = 0x22_0000
const LOW_STACK = 0xf000
const USER_STACK = 0x7_0000
const UP = 0x50
const VECTORS = 0x51
const WITH_ERROR = new Set([8, 10, 11, 12, 13, 14, 17, 21])
/** Faults: the handler steps over a byte of the instruction. */
const isFault = (vector: number): boolean => vector < 32 && ![1, 2, 3, 4].includes(vector)

const MSR_EFER = 0xc000_0080
const EFER_LME = 0x100
const CR0_PE = 1
const CR0_PG = 0x8000_0000 | 0
const CR4_START = 0x620
const PRESENT = 1
const WRITABLE = 2
const USER = 4

/** Where control goes in at, to leave a mode (`up`) and to enter one (`down`). */
export interface Gates {
  readonly up: Readonly<Record<World, number>>
  readonly down: Readonly<Record<World, number>>
}

/**
 * Makes a processor that can change its mode.
 *
 * A program stores the linear address of a target at {@link TARGET} and a `down` gate at {@link WAY}, and jumps to the
 * `up` gate of its own mode. A gate changes EAX, ECX, EDX, EBX, ESP and segment registers.
 */
export function buildWorlds(pc: BareCpu): void {
  pc.cpu.load({ ...initialState('long'), gdtr: { base: GDT, limit: 0xcf } })
  const segments: readonly (readonly [number, bigint])[] = [
    [SELECTORS.code32, descriptor(0, 0xfffff, 0x9b, 0xc)],
    [SELECTORS.code16, descriptor(0, 0xffff, 0x9b, 0)],
    [SELECTORS.data16, descriptor(0, 0xffff, 0x93, 0)],
    [SELECTORS.moved, descriptor(0x10, 0x1_ffff, 0x93, 4)],
    [SELECTORS.readOnly, descriptor(0, 0xfffff, 0x91, 0xc)],
    [SELECTORS.userCode32 & ~7, descriptor(0, 0xfffff, 0xfb, 0xc)],
  ]
  for (const [selector, value] of segments) pc.write64(GDT + selector, value)
  const kernelData = descriptor(0, 0xfffff, 0x93, 0xc)
  const userCode = descriptor(0, 0xfffff, 0xfb, 0xc)
  const userData = descriptor(0, 0xfffff, 0xf3, 0xc)
  const long = [descriptor(0, 0xfffff, 0x9b, 0xa), kernelData, userCode, userData, descriptor(0, 0xfffff, 0xfb, 0xa)]
  const legacy = [descriptor(0, 0xfffff, 0x9b, 0xc), kernelData, userCode, userData]
  for (const [i, value] of [...long, userData].entries()) pc.write64(GDT + FAST_CALLS.long + 8 * i, value)
  for (const [i, value] of legacy.entries()) pc.write64(GDT + FAST_CALLS.legacy + 8 * i, value)
  buildTables(pc)
  const { bytes, at } = code()
  pc.load(GATES, bytes)
  setFastCalls(pc, at('fast call'))
  pc.write64(TSS + 0x24, BigInt(HANDLER_STACK))
  // SS0 of a 32-bit TSS; no 64-bit gate uses RSP0, whose upper half it is.
  pc.write32(TSS + 8, SELECTORS.data)
  for (let vector = 0; vector < VECTORS; vector++) {
    pc.vector(vector, at(`long ${vector}`))
    pc.load(IDT + 16 * vector + 4, [1])
    if (vector === UP) pc.load(IDT + 16 * vector + 5, [0xee])
    const legacy = at(`legacy ${vector}`)
    pc.write32(LEGACY_IDT + 8 * vector, (legacy & 0xffff) | (SELECTORS.code32 << 16))
    pc.write32(LEGACY_IDT + 8 * vector + 4, vector === UP ? 0xee00 : 0x8e00)
    pc.write32(4 * vector, at(`real ${vector}`))
  }
}

/** Has fast system calls lead to a stub, which goes on where (R)SI says. */
function setFastCalls({ cpu }: BareCpu, stub: number): void {
  const { u32 } = cpu
  u32[(S_STAR + 4) >>> 2] = FAST_CALLS.long | ((FAST_CALLS.long + 0x10) << 16)
  u32[S_LSTAR >>> 2] = u32[S_SYSENTER_EIP >>> 2] = stub
  u32[S_SFMASK >>> 2] = 0x4_0700
  u32[S_SYSENTER_ESP >>> 2] = STACK
}

interface Code {
  readonly bytes: Uint8Array
  readonly at: (label: string) => number
}
let assembled: Code | undefined

/** Gates and handlers. */
function code(): Code {
  if (assembled !== undefined) return assembled
  const asm = new x86.Assembler({ address: GATES })
  const labels = new Map<string, Label>()
  const label = (name: string): Label => {
    const known = labels.get(name) ?? asm.label(name)
    labels.set(name, known)
    return known
  }
  emitGates(asm, label)
  emitHandlers(asm, label)
  const { bytes, symbols } = asm.assemble()
  assembled = { bytes, at: (name) => Number(symbols.get(name)) }
  return assembled
}

export function gates(): Gates {
  const { at } = code()
  const all = (way: string): Record<World, number> =>
    Object.fromEntries(Object.keys(WORLDS).map((world) => [world, at(`${way} ${world}`)])) as Record<World, number>
  return { up: all('up'), down: all('down') }
}

/** The second address space, and the aliases of code in both. */
function buildTables(pc: BareCpu): void {
  const all = PRESENT | WRITABLE | USER
  for (const [i, table] of [SECOND_ROOT, SECOND_ROOT + 0x1000, SECOND_ROOT + 0x2000].entries()) {
    pc.write64(table, BigInt((SECOND_ROOT + 0x1000 * (i + 1)) | all))
  }
  pc.write64(SECOND_ROOT + 0x2008, BigInt(0x20_0000 | all | 0x80))
  pc.write64(PAE_ROOT, BigInt(PAE_DIRECTORY | PRESENT))
  pc.write64(PAE_DIRECTORY, BigInt(PAGE_TABLE | all))
  pc.write64(PAE_DIRECTORY + 8, BigInt(0x20_0000 | all | 0x80))
  const second = SECOND_ROOT + 0x3000
  pc.fill64(second, second + 0x1000, (at) => BigInt(((at - second) << 9) | all))
  for (const table of [PAGE_TABLE, second]) {
    for (let i = 0; i < ALIAS_PAGES; i++) {
      pc.write64(table + 8 * ((ALIAS >>> 12) + i), BigInt(((i + 1) << 12) | all))
    }
  }
  pc.write64(second + 8 * ((DATA >>> 12) + 1), BigInt((OTHER_DATA_FRAME << 12) | all))
  pc.write64(second + 8 * SECOND_CODE_PAGE, BigInt((OTHER_CODE_FRAME << 12) | all))
}

function emitGates(asm: x86.Assembler, at: (name: string) => Label): void {
  const [toLong, longIdt, legacyIdt, realIdt] = [at('to long'), at('long IDT'), at('legacy IDT'), at('real IDT')]
  const setEfer = (lme: boolean): void => {
    asm.mov(x86.ecx, MSR_EFER | 0).rdmsr()
    if (lme) asm.or(x86.eax, EFER_LME)
    else asm.and(x86.eax, ~EFER_LME)
    asm.wrmsr()
  }
  const flatData = (selector: number): void => {
    asm
      .mov(x86.eax, selector)
      .mov(x86.ds, x86.eax)
      .mov(x86.es, x86.eax)
      .mov(x86.ss, x86.eax)
      .mov(x86.fs, x86.eax)
      .mov(x86.gs, x86.eax)
  }
  // Up: to 64-bit code at level 0.
  asm.bits(64).bind(toLong)
  flatData(SELECTORS.data)
  asm.mov(x86.esp, STACK).mov(x86.ebx, DATA_BASE).jmp(x86.qword(WAY))
  asm.bind(at('up long')).jmp(x86.qword(WAY))
  asm.bits(32).bind(at('up compatibility32')).jmpf(x86.far(SELECTORS.code64, toLong))
  asm.bits(16).bind(at('up compatibility16')).jmpf(x86.far(SELECTORS.code64, toLong))
  asm.bits(64).bind(at('up user64')).bind(at('up user32')).int(UP)
  asm.bits(32).bind(at('up protected32'))
  asm.cli().mov(x86.eax, CR4_START).mov(x86.cr4, x86.eax).mov(x86.eax, FIRST_ROOT).mov(x86.cr3, x86.eax)
  setEfer(true)
  asm.mov(x86.eax, x86.cr0).or(x86.eax, CR0_PG).mov(x86.cr0, x86.eax)
  asm.lidt(x86.fword(longIdt)).jmpf(x86.far(SELECTORS.code64, toLong))
  // It leaves virtual-8086 mode through an interrupt gate.
  asm.bits(16).bind(at('up virtual8086')).int(UP)
  asm.bits(32).bind(at('from virtual-8086'))
  flatData(SELECTORS.data)
  asm.mov(x86.esp, STACK).jmp(at('up protected32'))
  asm
    .bind(at('up pae32'))
    .cli()
    .mov(x86.eax, x86.cr0)
    .and(x86.eax, ~CR0_PG)
    .mov(x86.cr0, x86.eax)
    .jmp(at('up protected32'))
  asm.bits(16).bind(at('up real'))
  asm.cli().mov(x86.eax, x86.cr0).or(x86.eax, CR0_PE).mov(x86.cr0, x86.eax)
  const fromReal = at('from real')
  asm.jmpf(x86.far(SELECTORS.code32, fromReal)).bits(32).bind(fromReal)
  flatData(SELECTORS.data)
  asm.mov(x86.esp, STACK).lidt(x86.fword(legacyIdt)).jmp(at('up protected32'))

  // Down: from 64-bit code at level 0.
  asm.bits(64).bind(at('down long')).jmp(x86.qword(TARGET))
  for (const world of ['compatibility32', 'compatibility16'] as const) {
    asm.bind(at(`down ${world}`)).mov(x86.rax, SELECTORS[world === 'compatibility32' ? 'code32' : 'code16'])
    asm.push(x86.rax).push(x86.qword(TARGET)).operandSize(64).retf()
  }
  for (const [world, selector] of [
    ['user64', SELECTORS.userCode64],
    ['user32', SELECTORS.userCode32],
  ] as const) {
    asm
      .bind(at(`down ${world}`))
      .push(SELECTORS.userData)
      .push(USER_STACK)
      .pushfq()
    asm.mov(x86.eax, SELECTORS.userData).mov(x86.ds, x86.eax).mov(x86.es, x86.eax)
    asm.push(selector).push(x86.qword(TARGET)).iretq()
  }
  const [protectedWay, realWay] = [at('to protected'), at('to real')]
  const leaveLong = (to: Label): void => {
    asm.cli().mov(x86.rax, SELECTORS.code32).push(x86.rax).mov(x86.eax, to).push(x86.rax).operandSize(64).retf()
    asm.bits(32).bind(to).mov(x86.eax, CR4_START).mov(x86.cr4, x86.eax)
    asm.mov(x86.eax, x86.cr0).and(x86.eax, ~CR0_PG).mov(x86.cr0, x86.eax)
    setEfer(false)
  }
  asm.bind(at('down protected32'))
  leaveLong(protectedWay)
  asm.lidt(x86.fword(legacyIdt)).jmp(x86.dword(TARGET))
  const [paeWay, virtualWay] = [at('to PAE'), at('to virtual-8086')]
  asm.bits(64).bind(at('down pae32'))
  leaveLong(paeWay)
  asm.mov(x86.eax, PAE_ROOT).mov(x86.cr3, x86.eax).mov(x86.eax, x86.cr0).or(x86.eax, CR0_PG).mov(x86.cr0, x86.eax)
  asm.lidt(x86.fword(legacyIdt)).jmp(x86.dword(TARGET))
  asm.bits(64).bind(at('down virtual8086'))
  leaveLong(virtualWay)
  asm.lidt(x86.fword(legacyIdt)).mov(x86.esp, STACK).mov(x86.ebx, LOW_DATA_BASE)
  // GS, FS, DS, ES, SS:ESP, EFLAGS with VM and IOPL 3, CS:EIP.
  for (let i = 0; i < 5; i++) asm.push(0)
  asm.push(LOW_STACK).push(0x2_3002).push(0).push(x86.dword(TARGET)).iret()
  asm.bits(64).bind(at('down real'))
  leaveLong(realWay)
  const [segments, real] = [at('16-bit segments'), at('real mode')]
  asm.jmpf(x86.far(SELECTORS.code16, segments)).bits(16).bind(segments)
  flatData(SELECTORS.data16)
  asm.mov(x86.eax, x86.cr0).and(x86.eax, ~CR0_PE).mov(x86.cr0, x86.eax).jmpf(x86.far(0, real)).bind(real)
  asm
    .xor(x86.ax, x86.ax)
    .mov(x86.ds, x86.ax)
    .mov(x86.es, x86.ax)
    .mov(x86.ss, x86.ax)
    .mov(x86.esp, LOW_STACK)
    .mov(x86.ebx, LOW_DATA_BASE)
  asm.lidt(x86.fword(realIdt)).jmp(x86.word(TARGET))
  // The same bytes in 64-bit and in 32-bit code.
  asm.bits(64).bind(at('fast call')).jmp(x86.rsi)
  asm.align(8).bind(longIdt).dw(0xfff).dq(IDT)
  asm
    .bind(legacyIdt)
    .dw(8 * VECTORS - 1)
    .dd(LEGACY_IDT)
  asm.bind(realIdt).dw(0x3ff).dd(0)
}

function emitHandlers(asm: x86.Assembler, label: (name: string) => Label): void {
  for (let vector = 0; vector < VECTORS; vector++) {
    const hasError = WITH_ERROR.has(vector)
    asm.bits(64).bind(label(`long ${vector}`))
    if (hasError) asm.add(x86.rsp, 8)
    if (isFault(vector)) asm.inc(x86.qword(x86.rsp))
    // RFLAGS.TF is cleared, and RF lets the instruction at a breakpoint run.
    if (vector === 1) asm.and(x86.byte(x86.rsp, { disp: 17 }), 0xfe).or(x86.byte(x86.rsp, { disp: 18 }), 1)
    if (vector === UP) {
      asm.mov(x86.qword(x86.rsp), label('to long')).mov(x86.qword(x86.rsp, { disp: 8 }), SELECTORS.code64)
      asm.mov(x86.qword(x86.rsp, { disp: 24 }), STACK).mov(x86.qword(x86.rsp, { disp: 32 }), SELECTORS.data)
    }
    asm.iretq()
    asm.bits(32).bind(label(`legacy ${vector}`))
    if (hasError) asm.add(x86.esp, 4)
    if (isFault(vector)) asm.inc(x86.dword(x86.esp))
    if (vector === 1) asm.and(x86.byte(x86.esp, { disp: 9 }), 0xfe).or(x86.byte(x86.esp, { disp: 10 }), 1)
    if (vector === UP) asm.jmp(label('from virtual-8086'))
    asm.iret()
    asm
      .bits(16)
      .bind(label(`real ${vector}`))
      .push(x86.bp)
      .mov(x86.bp, x86.sp)
    if (isFault(vector)) asm.inc(x86.word(x86.bp, { disp: 2 }))
    // IRET gives no RF here: the breakpoint goes.
    if (vector === 1)
      asm
        .and(x86.byte(x86.bp, { disp: 7 }), 0xfe)
        .push(x86.eax)
        .mov(x86.eax, 0x400)
        .mov(x86.dr7, x86.eax)
        .pop(x86.eax)
    asm.pop(x86.bp).iret()
  }
}
