import * as L from '../semantics/layout.ts'
import { GDT, IDT, IDT_32, OTHER_TSS_32, OTHER_TSS_32_SELECTOR, PAE_PDPT, TSS_32_SELECTOR } from './machine.ts'
import type { Start } from './machine.ts'

const REGISTERS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'] as const
type Register = (typeof REGISTERS)[number]

/** An instruction, or an event, with what it needs; everything else is plain. */
export interface Row {
  readonly name: string
  /** Instruction bytes, hexadecimal. */
  readonly code: string
  readonly mode?: 32 | 64
  readonly supervisor?: boolean
  /** 32-bit protected mode at level 0, with PAE paging. */
  readonly legacy?: boolean
  readonly registers?: Partial<Record<Register, number>>
  /** Little-endian words at linear addresses in the band: [address, bytes of the word, value]. */
  readonly memory?: readonly (readonly [number, number, number])[]
  readonly direction?: boolean
  readonly patch?: (ram: DataView) => void
  readonly interrupt?: number
  /** Linear address in the band, which INT3 then fills, to execute the instruction at. */
  readonly place?: number
  /** Vector that it ends with; 3, the INT3 after it, if nothing is said. */
  readonly ends?: number
}

/** `ends` of a processor that has shut down. */
export const SHUTDOWN = -1

/** The page boundary in the window. */
const EDGE = 0x1000_1000
/** RFLAGS.NT. */
const NESTED = 0x4000
/** Room for an XSAVE area that crosses it, on a multiple of 64. */
const AREA = 0x1000_0f40
/** Selectors of user code and data, which descriptors in machine.ts stand behind. */
const USER_CS = 0x33
const USER_DS = 0x2b
const STACK = 0x1000_0ff8
const TARGET = L.CODE + 1

const CROSSING = { rsi: EDGE - 3, rdi: EDGE - 5 }

const MXCSR = [AREA + 24, 4, 0x1f80] as const
type Words = [number, number, number][]

const row = (
  name: string,
  code: string,
  registers: Row['registers'] & object = {},
  memory: Row['memory'] & object = [],
  more: Partial<Row> = {},
): Row => ({ name, code, registers, memory, ...more })

/** System instructions, far transfers, strings and events: what random operands do not do justice to. */
export const rows: readonly Row[] = [
  // Areas of many bytes.
  row('FXSAVE', '0fae06', { rsi: AREA }),
  row('FXSAVE64', '480fae06', { rsi: AREA }),
  row('FXSAVE of a misaligned area', '0fae06', { rsi: AREA + 8 }, [], { ends: 13 }),
  row('FXRSTOR', '0fae0e', { rsi: AREA }, [MXCSR]),
  row('FXRSTOR of an MXCSR with reserved bits', '0fae0e', { rsi: AREA }, [[AREA + 24, 4, -1]], { ends: 13 }),
  row('XSAVE', '0fae26', { rsi: AREA, rax: 3, rdx: 0 }, header(0)),
  row('XSAVE64 of SSE alone', '480fae26', { rsi: AREA, rax: 2, rdx: 0 }, header(1)),
  row('XSAVEOPT', '0fae36', { rsi: AREA, rax: 3, rdx: 0 }, header(0)),
  row('XRSTOR', '0fae2e', { rsi: AREA, rax: 3, rdx: 0 }, [...header(3), MXCSR]),
  row('XRSTOR of x87 alone', '0fae2e', { rsi: AREA, rax: 3, rdx: 0 }, [...header(1), MXCSR]),
  row('XRSTOR of a header with reserved bits', '0fae2e', { rsi: AREA, rax: 3, rdx: 0 }, header(0x10), { ends: 13 }),
  row('XRSTOR of AVX alone', '0fae2e', { rsi: AREA, rax: 4, rdx: 0 }, [...header(4), MXCSR]),
  row('XSAVE of all there is', '480fae26', { rsi: AREA, rax: -1, rdx: -1 }, header(0)),
  row('XSAVEC', '0fc726', { rsi: AREA, rax: 3, rdx: 0 }),
  row('XSAVEC64 of all there is', '480fc726', { rsi: AREA, rax: -1, rdx: -1 }),
  row('XSAVES64', '480fc72e', { rsi: AREA, rax: -1, rdx: -1 }, [], { supervisor: true }),
  row('XSAVES of a user', '0fc72e', { rsi: AREA, rax: -1, rdx: -1 }, [], { ends: 13 }),
  row('XRSTOR of the compacted form', '480fae2e', { rsi: AREA, rax: 7, rdx: 0 }, [...compacted(6, 7), MXCSR]),
  row('XRSTORS64', '480fc71e', { rsi: AREA, rax: 7, rdx: 0 }, [...compacted(5, 7), MXCSR], { supervisor: true }),
  row('XRSTORS of the standard form', '480fc71e', { rsi: AREA, rax: 7, rdx: 0 }, header(3), {
    ends: 13,
    supervisor: true,
  }),
  row('WRPKRU', '0f01ef', { rax: 0x5555_5550, rcx: 0, rdx: 0 }),
  row('WRPKRU with EDX', '0f01ef', { rax: 0, rcx: 0, rdx: 1 }, [], { ends: 13 }),
  row('RDPKRU', '0f01ee', { rcx: 0 }),
  row('FNSAVE', 'dd36', { rsi: AREA }),
  row('FRSTOR', 'dd26', { rsi: EDGE - 60 }),
  row('FNSTENV', 'd936', { rsi: EDGE - 13 }),
  row('FLDENV', 'd926', { rsi: EDGE - 13 }),
  // Descriptor tables and segment registers.
  row('SGDT', '0f0106', CROSSING, [], { supervisor: true }),
  row('SIDT', '0f010e', CROSSING, [], { supervisor: true }),
  row('LGDT', '0f0116', CROSSING, table(GDT, 0x7f), { supervisor: true }),
  row('LIDT', '0f011e', CROSSING, table(IDT, 0x3ff), { supervisor: true }),
  row('LLDT', '0f0016', { rsi: EDGE - 1 }, [[EDGE - 1, 2, 0x50]], { supervisor: true }),
  row('LLDT of what is no LDT', '0f00d0', { rax: 0x28 }, [], { ends: 13, supervisor: true }),
  row('LTR', '0f001e', { rsi: EDGE - 1 }, [[EDGE - 1, 2, 0x40]], { supervisor: true }),
  row('MOV DS', '8e1e', { rsi: EDGE - 1 }, [[EDGE - 1, 2, USER_DS]]),
  row('MOV DS of a selector beyond the table', '8e1e', { rsi: EDGE - 1 }, [[EDGE - 1, 2, 0x103]], { ends: 13 }),
  row('MOV SS', '8ed0', { rax: USER_DS }),
  row('POP FS', '0fa1', { rsp: EDGE - 1 }, [[EDGE - 1, 2, USER_DS]]),
  row('LSS', '0fb206', CROSSING, pointer(EDGE - 3, 0x1234_5678, USER_DS)),
  row('LFS', '0fb406', CROSSING, pointer(EDGE - 3, 0x1234_5678, USER_DS)),
  row('LES', 'c406', CROSSING, pointer(EDGE - 3, 0x1234_5678, USER_DS), { mode: 32 }),
  row('LAR', '0f0206', { rsi: EDGE - 1 }, [[EDGE - 1, 2, USER_DS]]),
  row('LSL', '0f0306', { rsi: EDGE - 1 }, [[EDGE - 1, 2, USER_DS]]),
  row('VERR', '0f0026', { rsi: EDGE - 1 }, [[EDGE - 1, 2, USER_DS]]),
  row('VERW', '0f002e', { rsi: EDGE - 1 }, [[EDGE - 1, 2, USER_CS]]),
  row('BOUND within', '6206', { ...CROSSING, rax: 5 }, frame(EDGE - 3, [1, 9], 4), { mode: 32 }),
  row('BOUND outside', '6206', { ...CROSSING, rax: 10 }, frame(EDGE - 3, [1, 9], 4), { ends: 5, mode: 32 }),
  // Stack.
  row('PUSHAD', '60', { rsp: EDGE + 6 }, [], { mode: 32 }),
  row('PUSHA', '6660', { rsp: EDGE + 7 }, [], { mode: 32 }),
  row('POPAD', '61', { rsp: EDGE - 14 }, [], { mode: 32 }),
  row('PUSH m64', 'ff36', { rsi: EDGE - 3, rsp: EDGE + 36 }),
  row('POP m64', '8f06', { rsi: EDGE - 3, rsp: EDGE - 36 }),
  row('POP m64 through RSP', '8f0424', { rsp: EDGE - 12 }),
  row('ENTER without nesting', 'c8100000', { rsp: EDGE + 4, rbp: EDGE }),
  row('ENTER, level 3', 'c8100003', { rsp: EDGE + 12, rbp: EDGE + 64 }),
  row('ENTER, level 20', 'c8000014', { rsp: EDGE + 60, rbp: EDGE + 240 }),
  row('LEAVE', 'c9', { rbp: EDGE - 3 }),
  row('CALL m64', 'ff16', { rsi: EDGE + 16, rsp: EDGE + 3 }, [[EDGE + 16, 8, TARGET]]),
  row('PUSHFQ', '9c', { rsp: EDGE + 3 }),
  row('POPFQ', '9d', { rsp: EDGE - 3 }, [[EDGE - 3, 4, 0xad7]]),
  // Far transfers.
  row('JMP m16:32', 'ff2e', CROSSING, pointer(EDGE - 3, TARGET, USER_CS)),
  row('JMP m16:64', '48ff2e', CROSSING, pointer(EDGE - 3, TARGET, USER_CS, 8)),
  row('JMP m16:32 to 32-bit code', 'ff2e', CROSSING, pointer(EDGE - 3, TARGET, L.CS_32)),
  row('CALL m16:32', 'ff1e', { ...CROSSING, rsp: EDGE + 40 }, pointer(EDGE - 3, TARGET, USER_CS)),
  row('CALL m16:64', '48ff1e', { rsi: EDGE - 60, rsp: EDGE + 4 }, pointer(EDGE - 60, TARGET, USER_CS, 8)),
  row('CALL through a gate to level 0', 'ff1e', { ...CROSSING, rsp: STACK }, pointer(EDGE - 3, 0, 0x63), { ends: 0 }),
  row('CALL to a data segment', 'ff1e', { ...CROSSING, rsp: STACK }, pointer(EDGE - 3, 0, USER_DS), { ends: 13 }),
  row('RETF', '48cb', { rsp: EDGE - 12 }, frame(EDGE - 12, [TARGET, USER_CS])),
  row('RETF imm16', 'ca1000', { rsp: EDGE - 6 }, frame(EDGE - 6, [TARGET, USER_CS], 4)),
  row('RETF to 32-bit code', '48cb', { rsp: EDGE - 12 }, frame(EDGE - 12, [TARGET, L.CS_32])),
  row('RETF to level 3', '48cb', { rsp: EDGE - 12 }, frame(EDGE - 12, [TARGET, USER_CS, STACK, USER_DS]), {
    supervisor: true,
  }),
  row('IRETQ to level 3', '48cf', { rsp: EDGE - 12 }, frame(EDGE - 12, [TARGET, USER_CS, 0x3246, STACK, USER_DS]), {
    supervisor: true,
  }),
  row('IRETQ', '48cf', { rsp: EDGE - 20 }, frame(EDGE - 20, [TARGET, USER_CS, 0x3246, STACK, USER_DS])),
  row(
    'IRETQ to a null code segment',
    '48cf',
    { rsp: EDGE - 20 },
    frame(EDGE - 20, [TARGET, 0, 0x3246, STACK, USER_DS]),
    { ends: 13 },
  ),
  row('IRETD', 'cf', { rsp: EDGE - 6 }, frame(EDGE - 6, [TARGET, L.CS_32, 0x3246], 4), { mode: 32 }),
  // Two memory operands, and 16 bytes at once.
  row('CMPXCHG16B that fails', '480fc70e', { rsi: EDGE - 16 }),
  row('CMPXCHG16B that succeeds', 'f0480fc70e', { rsi: EDGE - 16, rax: 5, rdx: 6 }, frame(EDGE - 16, [5, 6])),
  row('CMPXCHG8B across pages', 'f00fc70e', { rsi: EDGE - 3, rax: 5, rdx: 6 }, frame(EDGE - 3, [5, 6], 4)),
  row('MASKMOVDQU', '660ff7c1', { rdi: EDGE - 7 }),
  row('MOVSB', 'a4', { rsi: EDGE - 9, rdi: EDGE + 9 }),
  row('MOVSQ across pages', '48a5', { rsi: EDGE - 3, rdi: EDGE - 6 }),
  row('REP MOVSB', 'f3a4', { rsi: EDGE - 3, rdi: EDGE + 9, rcx: 6 }),
  row('REP MOVSB downwards', 'f3a4', { rsi: EDGE + 3, rdi: EDGE + 9, rcx: 6 }, [], { direction: true }),
  row('REP MOVSD onto itself', 'f3a5', { rsi: EDGE - 10, rdi: EDGE - 8, rcx: 5 }),
  row('REP STOSQ', 'f348ab', { rdi: EDGE - 12, rcx: 4 }),
  row('REP LODSW', 'f366ad', { rsi: EDGE - 3, rcx: 4 }),
  row('REPE CMPSB', 'f3a6', { rsi: EDGE - 2, rdi: EDGE - 4, rcx: 6 }, frame(EDGE - 8, [0, 0, 0])),
  row('REPNE SCASD', 'f2af', { rdi: EDGE - 9, rcx: 5, rax: 0x1234_5678 }),
  row('REP MOVSB into an unmapped page', 'f3a4', { rsi: EDGE - 3, rdi: EDGE + 0xffe, rcx: 6 }, [], { ends: 14 }),
  row('a load that wraps at 4 GiB in 32-bit code', '8b06', { rsi: 0xffff_fffe }, [], {
    mode: 32,
    patch: wrappingWindow,
  }),
  row('a store that wraps at 4 GiB in 32-bit code', '8906', { rsi: 0xffff_fffd }, [], {
    mode: 32,
    patch: wrappingWindow,
  }),
  // Ports.
  row('IN AL, DX', 'ec', { rdx: 0x3f8 }),
  row('IN EAX, imm8', 'e560'),
  row('OUT DX, AX', '66ef', { rdx: 0x3f8 }),
  row('INSD', '6d', { rdx: 0x1f0, rdi: EDGE - 3 }),
  row('REP INSB', 'f36c', { rdx: 0x1f0, rdi: EDGE - 3, rcx: 6 }),
  row('REP INSW into an unmapped page', 'f3666d', { rdx: 0x1f0, rdi: EDGE + 0xffa, rcx: 6 }, [], { ends: 14 }),
  row('OUTSB', '6e', { rdx: 0x1f0, rsi: EDGE - 1 }),
  row('REP OUTSD', 'f36f', { rdx: 0x1f0, rsi: EDGE - 6, rcx: 3 }),
  // Instructions in a device.
  row('NOP in a device', '90', {}, [], { place: EDGE + 0x20 }),
  row('MOV EAX, imm32 in two pages', 'b878563412', {}, [], { place: EDGE - 2 }),
  row('a load in a device', '488b06', { rsi: EDGE + 0x3d }, [], { place: EDGE - 1 }),
  row('a modification in a device', '480106', { rsi: EDGE - 3 }, [], { place: EDGE - 0x20 }),
  row('a short jump in a device', 'eb10', {}, [], { place: EDGE + 8 }),
  row('a near jump from page to page', 'e9c0ffffff', {}, [], { place: EDGE + 8 }),
  row('a jump into a device', 'ffe0', { rax: EDGE + 9 }, [], { patch: executableWindow }),
  row('REP STOSB in a device', 'f3aa', { rdi: EDGE - 0x23, rcx: 3 }, [], { place: EDGE - 1 }),
  row('an invalid instruction in a device', '0f0b', {}, [], { place: EDGE - 1, ends: 6 }),
  row('PUSH RAX in 32-bit code in a device', '50', { rsp: EDGE - 0x20 }, [], { mode: 32, place: EDGE + 0x40 }),
  row('an instruction that ends in an unmapped page', '48b8', {}, [], { place: EDGE + 0xfff, ends: 14 }),
  // Tasks. The PDPTEs that a new CR3 points to are read with them.
  row('JMP to a task', 'ff2e', CROSSING, pointer(EDGE - 3, 0, OTHER_TSS_32_SELECTOR), { legacy: true }),
  row('CALL to a task', 'ff1e', CROSSING, pointer(EDGE - 3, 0, OTHER_TSS_32_SELECTOR), { legacy: true }),
  row('JMP to the task that runs', 'ff2e', CROSSING, pointer(EDGE - 3, 0, TSS_32_SELECTOR), { ends: 13, legacy: true }),
  row('IRETD from a nested task', 'cf', {}, [], { legacy: true, patch: nestedTask }),
  row('an interrupt through a task gate', '90', {}, [], { legacy: true, interrupt: 0x31, patch: taskGate(0x31) }),
  row('INT through a task gate', 'cd31', {}, [], { legacy: true, patch: taskGate(0x31) }),
  row('a page fault through a task gate, with an error code', '8b06', { rsi: 0x4000_0000 }, [], {
    legacy: true,
    patch: taskGate(14),
  }),
  row('a task whose CR3 leads nowhere', 'ff2e', CROSSING, pointer(EDGE - 3, 0, OTHER_TSS_32_SELECTOR), {
    ends: SHUTDOWN,
    legacy: true,
    patch: (ram) => ram.setUint32(OTHER_TSS_32 + 0x1c, PAE_PDPT + 0x20, true),
  }),
  row('MOV CR3 to PDPTEs with reserved bits', '0f22d8', { rax: PAE_PDPT + 0x40 }, [], {
    ends: 13,
    legacy: true,
    patch: (ram) => ram.setUint32(PAE_PDPT + 0x48, 0x3003, true),
  }),
  row('MOV CR3 under PAE paging', '0f22d8', { rax: PAE_PDPT }, [], { legacy: true }),
  row('INT 30h in protected mode', 'cd30', { rsp: EDGE + 5 }, [], { ends: 48, legacy: true }),
  // Events.
  row('INT 30h to level 0', 'cd30', { rsp: STACK }, [], { ends: 48 }),
  row('INT 30h in 32-bit code', 'cd30', { rsp: STACK }, [], { ends: 48, mode: 32 }),
  row('INT 30h within level 0', 'cd30', { rsp: EDGE + 20 }, [], { ends: 48, supervisor: true }),
  row('UD2', '0f0b', {}, [], { ends: 6 }),
  row('a division by zero of a byte in memory', 'f636', { rsi: EDGE }, [[EDGE, 1, 0]], { ends: 0 }),
  row('a page fault', '8b06', { rsi: 0x4000_0000 }, [], { ends: 14 }),
  row('a page fault in the second half', '488b06', { rsi: EDGE + 0xffd }, [], { ends: 14 }),
  row('a page fault in the second half of a modification', '480106', { rsi: EDGE + 0xffd }, [], { ends: 14 }),
  row('INT through a gate that is not present', 'cd30', {}, [], {
    ends: 11,
    patch: (ram) => ram.setUint8(IDT + 48 * 16 + 5, 0x6e),
  }),
  row('a double fault', '8b06', { rsi: 0x4000_0000 }, [], {
    ends: 8,
    patch: (ram) => ram.setUint8(IDT + 14 * 16 + 5, 0x0e),
  }),
  row('a triple fault', '8b06', { rsi: 0x4000_0000 }, [], {
    ends: SHUTDOWN,
    patch: (ram) => {
      for (const vector of [8, 14]) ram.setUint8(IDT + vector * 16 + 5, 0x0e)
    },
  }),
  row('an interrupt', '90', {}, [], { ends: 49, interrupt: 0x31 }),
  row('an interrupt within level 0', '90', { rsp: EDGE + 21 }, [], { ends: 49, interrupt: 0x31, supervisor: true }),
  row('an interrupt in 32-bit code', '90', {}, [], { ends: 49, mode: 32, interrupt: 0x31 }),
  row('an interrupt before a load', '8b06', { rsi: EDGE - 3 }, [], { ends: 49, interrupt: 0x31 }),
]

function header(bits: number): [number, number, number][] {
  return Array.from({ length: 16 }, (_, i) => [AREA + 512 + 4 * i, 4, i === 0 ? bits : 0])
}

function compacted(bits: number, layout: number): [number, number, number][] {
  return header(bits).map(([at, bytes, value], i) => [at, bytes, i === 2 ? layout : i === 3 ? 0x8000_0000 | 0 : value])
}

function table(base: number, limit: number): Words {
  return [[EDGE - 3, 2, limit], ...frame(EDGE - 1, [base])]
}

function pointer(at: number, offset: number, selector: number, bytes = 4): Words {
  return [...frame(at, [offset], bytes), [at + bytes, 2, selector]]
}

function frame(at: number, words: readonly number[], bytes = 8): Words {
  return words.map((word, i) => [at + bytes * i, bytes, word])
}

/** Where rows have their code. */
export const ROW_CODE: number = L.CODE + 0x200

/** NT is set, and the current task's link leads to the other one, which is busy. */
function nestedTask(ram: DataView): void {
  ram.setUint16(0xa200, OTHER_TSS_32_SELECTOR, true)
  ram.setUint8(GDT + OTHER_TSS_32_SELECTOR + 5, 0x8b)
}

function taskGate(vector: number): (ram: DataView) => void {
  return (ram) => {
    ram.setUint32(IDT_32 + 8 * vector, OTHER_TSS_32_SELECTOR << 16, true)
    ram.setUint32(IDT_32 + 8 * vector + 4, 0xe500, true)
  }
}

/** Maps the window's pages at the two ends of the low 4 GiB. */
function wrappingWindow(ram: DataView): void {
  const entries: readonly (readonly [number, number])[] = [
    [0x2018, 0x3067],
    [0x3ff8, 0x4067],
    [0x4ff8, 0x1_0067],
    [0x4000, 0x1_1067],
  ]
  for (const [at, entry] of entries) ram.setUint32(at, entry, true)
}

/** Clears bit 63 of the window's entries. */
function executableWindow(ram: DataView): void {
  for (let i = 0; i < 2; i++) ram.setUint32(0x5004 + 8 * i, 0, true)
}

export function startOf(row: Row): Start {
  const input = new Uint8Array(L.IN_BYTES)
  const view = new DataView(input.buffer)
  const long = row.mode !== 32 && row.legacy !== true
  view.setUint32(L.IN_RIP, row.place ?? ROW_CODE, true)
  view.setUint32(L.IN_CS, long ? L.CS_64 : L.CS_32, true)
  view.setUint32(L.IN_RFLAGS, (row.direction === true ? 0x602 : 0x202) | (row.patch === nestedTask ? NESTED : 0), true)
  for (let i = 0; i < L.BAND_BYTES; i++)
    input[L.IN_BAND + i] = row.place === undefined && row.patch !== executableWindow ? 17 * i + 5 : 0xcc
  for (let i = 0; i < (long ? 16 : 8); i++) view.setUint32(L.IN_GPR + 8 * i, 0x0101_0101 * (i + 1), true)
  view.setUint32(L.IN_GPR + 8 * 4, STACK, true)
  for (const [name, value] of Object.entries(row.registers ?? {})) {
    view.setBigUint64(L.IN_GPR + 8 * REGISTERS.indexOf(name as Register), BigInt(value), true)
  }
  view.setUint16(L.IN_FX, 0x37f, true)
  view.setUint32(L.IN_FX + 24, 0x1f80, true)
  input[L.IN_FX + 4] = 0xff
  for (let i = 160; i < 416; i++) input[L.IN_FX + i] = 29 * i + 7
  for (let i = 32; i < 160; i++) if (i % 16 < 10) input[L.IN_FX + i] = 31 * i + 11
  const late: (readonly [number, number, number])[] = []
  const bytes = row.code.match(/../g) ?? []
  const placed = bytes.map((byte, i): [number, number, number] => [(row.place ?? 0) + i, 1, Number.parseInt(byte, 16)])
  for (const word of [...(row.memory ?? []), ...(row.place === undefined ? [] : placed)]) {
    const [at, size, value] = word
    if (at < L.BAND || at + size > L.BAND + L.BAND_BYTES) late.push(word)
    else put(view, L.IN_BAND + at - L.BAND, size, value)
  }
  return {
    input,
    supervisor: row.supervisor === true,
    legacy: row.legacy,
    length: row.code.length / 2,
    used: false,
    interrupt: row.interrupt,
    patch: (ram) => {
      for (const [at, size, value] of late) put(ram, (at & 0x1fff) + 0x1_0000, size, value)
      if (row.place !== undefined) executableWindow(ram)
      row.patch?.(ram)
    },
  }
}

function put(view: DataView, at: number, size: number, value: number): void {
  if (size === 8) view.setBigUint64(at, BigInt(value), true)
  else if (size === 4) view.setUint32(at, value, true)
  else if (size === 2) view.setUint16(at, value, true)
  else view.setUint8(at, value)
}
