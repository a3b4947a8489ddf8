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

/** System instructions, far transfers, strings and events: what random operands do not do justice to. */
export const rows: readonly Row[] = [
  // Areas of many bytes.
  { name: 'FXSAVE', code: '0fae06', registers: { rsi: AREA } },
  { name: 'FXSAVE64', code: '480fae06', registers: { rsi: AREA } },
  { name: 'FXSAVE of a misaligned area', ends: 13, code: '0fae06', registers: { rsi: AREA + 8 } },
  { name: 'FXRSTOR', code: '0fae0e', registers: { rsi: AREA }, memory: [[AREA + 24, 4, 0x1f80]] },
  {
    name: 'FXRSTOR of an MXCSR with reserved bits',
    ends: 13,
    code: '0fae0e',
    registers: { rsi: AREA },
    memory: [[AREA + 24, 4, -1]],
  },
  { name: 'XSAVE', code: '0fae26', registers: { rsi: AREA, rax: 3, rdx: 0 }, memory: header(0) },
  { name: 'XSAVE64 of SSE alone', code: '480fae26', registers: { rsi: AREA, rax: 2, rdx: 0 }, memory: header(1) },
  { name: 'XSAVEOPT', code: '0fae36', registers: { rsi: AREA, rax: 3, rdx: 0 }, memory: header(0) },
  {
    name: 'XRSTOR',
    code: '0fae2e',
    registers: { rsi: AREA, rax: 3, rdx: 0 },
    memory: [...header(3), [AREA + 24, 4, 0x1f80]],
  },
  {
    name: 'XRSTOR of x87 alone',
    code: '0fae2e',
    registers: { rsi: AREA, rax: 3, rdx: 0 },
    memory: [...header(1), [AREA + 24, 4, 0x1f80]],
  },
  {
    name: 'XRSTOR of a header with reserved bits',
    ends: 13,
    code: '0fae2e',
    registers: { rsi: AREA, rax: 3, rdx: 0 },
    memory: header(0x10),
  },
  {
    name: 'XRSTOR of AVX alone',
    code: '0fae2e',
    registers: { rsi: AREA, rax: 4, rdx: 0 },
    memory: [...header(4), [AREA + 24, 4, 0x1f80]],
  },
  { name: 'XSAVE of all there is', code: '480fae26', registers: { rsi: AREA, rax: -1, rdx: -1 }, memory: header(0) },
  { name: 'XSAVEC', code: '0fc726', registers: { rsi: AREA, rax: 3, rdx: 0 } },
  { name: 'XSAVEC64 of all there is', code: '480fc726', registers: { rsi: AREA, rax: -1, rdx: -1 } },
  { name: 'XSAVES64', code: '480fc72e', supervisor: true, registers: { rsi: AREA, rax: -1, rdx: -1 } },
  { name: 'XSAVES of a user', ends: 13, code: '0fc72e', registers: { rsi: AREA, rax: -1, rdx: -1 } },
  {
    name: 'XRSTOR of the compacted form',
    code: '480fae2e',
    registers: { rsi: AREA, rax: 7, rdx: 0 },
    memory: [...compacted(6, 7), [AREA + 24, 4, 0x1f80]],
  },
  {
    name: 'XRSTORS64',
    code: '480fc71e',
    supervisor: true,
    registers: { rsi: AREA, rax: 7, rdx: 0 },
    memory: [...compacted(5, 7), [AREA + 24, 4, 0x1f80]],
  },
  {
    name: 'XRSTORS of the standard form',
    ends: 13,
    code: '480fc71e',
    supervisor: true,
    registers: { rsi: AREA, rax: 7, rdx: 0 },
    memory: header(3),
  },
  { name: 'WRPKRU', code: '0f01ef', registers: { rax: 0x5555_5550, rcx: 0, rdx: 0 } },
  { name: 'WRPKRU with EDX', ends: 13, code: '0f01ef', registers: { rax: 0, rcx: 0, rdx: 1 } },
  { name: 'RDPKRU', code: '0f01ee', registers: { rcx: 0 } },
  { name: 'FNSAVE', code: 'dd36', registers: { rsi: AREA } },
  { name: 'FRSTOR', code: 'dd26', registers: { rsi: EDGE - 60 } },
  { name: 'FNSTENV', code: 'd936', registers: { rsi: EDGE - 13 } },
  { name: 'FLDENV', code: 'd926', registers: { rsi: EDGE - 13 } },
  // Descriptor tables and segment registers.
  { name: 'SGDT', code: '0f0106', supervisor: true, registers: CROSSING },
  { name: 'SIDT', code: '0f010e', supervisor: true, registers: CROSSING },
  { name: 'LGDT', code: '0f0116', supervisor: true, registers: CROSSING, memory: table(GDT, 0x7f) },
  { name: 'LIDT', code: '0f011e', supervisor: true, registers: CROSSING, memory: table(IDT, 0x3ff) },
  { name: 'LLDT', code: '0f0016', supervisor: true, registers: { rsi: EDGE - 1 }, memory: [[EDGE - 1, 2, 0x50]] },
  { name: 'LLDT of what is no LDT', ends: 13, code: '0f00d0', supervisor: true, registers: { rax: 0x28 } },
  { name: 'LTR', code: '0f001e', supervisor: true, registers: { rsi: EDGE - 1 }, memory: [[EDGE - 1, 2, 0x40]] },
  { name: 'MOV DS', code: '8e1e', registers: { rsi: EDGE - 1 }, memory: [[EDGE - 1, 2, USER_DS]] },
  {
    name: 'MOV DS of a selector beyond the table',
    ends: 13,
    code: '8e1e',
    registers: { rsi: EDGE - 1 },
    memory: [[EDGE - 1, 2, 0x103]],
  },
  { name: 'MOV SS', code: '8ed0', registers: { rax: USER_DS } },
  { name: 'POP FS', code: '0fa1', registers: { rsp: EDGE - 1 }, memory: [[EDGE - 1, 2, USER_DS]] },
  { name: 'LSS', code: '0fb206', registers: CROSSING, memory: pointer(EDGE - 3, 0x1234_5678, USER_DS) },
  { name: 'LFS', code: '0fb406', registers: CROSSING, memory: pointer(EDGE - 3, 0x1234_5678, USER_DS) },
  { name: 'LES', code: 'c406', mode: 32, registers: CROSSING, memory: pointer(EDGE - 3, 0x1234_5678, USER_DS) },
  { name: 'LAR', code: '0f0206', registers: { rsi: EDGE - 1 }, memory: [[EDGE - 1, 2, USER_DS]] },
  { name: 'LSL', code: '0f0306', registers: { rsi: EDGE - 1 }, memory: [[EDGE - 1, 2, USER_DS]] },
  { name: 'VERR', code: '0f0026', registers: { rsi: EDGE - 1 }, memory: [[EDGE - 1, 2, USER_DS]] },
  { name: 'VERW', code: '0f002e', registers: { rsi: EDGE - 1 }, memory: [[EDGE - 1, 2, USER_CS]] },
  {
    name: 'BOUND within',
    code: '6206',
    mode: 32,
    registers: { ...CROSSING, rax: 5 },
    memory: [
      [EDGE - 3, 4, 1],
      [EDGE + 1, 4, 9],
    ],
  },
  {
    name: 'BOUND outside',
    ends: 5,
    code: '6206',
    mode: 32,
    registers: { ...CROSSING, rax: 10 },
    memory: [
      [EDGE - 3, 4, 1],
      [EDGE + 1, 4, 9],
    ],
  },
  // Stack.
  { name: 'PUSHAD', code: '60', mode: 32, registers: { rsp: EDGE + 6 } },
  { name: 'PUSHA', code: '6660', mode: 32, registers: { rsp: EDGE + 7 } },
  { name: 'POPAD', code: '61', mode: 32, registers: { rsp: EDGE - 14 } },
  { name: 'PUSH m64', code: 'ff36', registers: { rsi: EDGE - 3, rsp: EDGE + 36 } },
  { name: 'POP m64', code: '8f06', registers: { rsi: EDGE - 3, rsp: EDGE - 36 } },
  { name: 'POP m64 through RSP', code: '8f0424', registers: { rsp: EDGE - 12 } },
  { name: 'ENTER without nesting', code: 'c8100000', registers: { rsp: EDGE + 4, rbp: EDGE } },
  { name: 'ENTER, level 3', code: 'c8100003', registers: { rsp: EDGE + 12, rbp: EDGE + 64 } },
  { name: 'ENTER, level 20', code: 'c8000014', registers: { rsp: EDGE + 60, rbp: EDGE + 240 } },
  { name: 'LEAVE', code: 'c9', registers: { rbp: EDGE - 3 } },
  { name: 'CALL m64', code: 'ff16', registers: { rsi: EDGE + 16, rsp: EDGE + 3 }, memory: [[EDGE + 16, 8, TARGET]] },
  { name: 'PUSHFQ', code: '9c', registers: { rsp: EDGE + 3 } },
  { name: 'POPFQ', code: '9d', registers: { rsp: EDGE - 3 }, memory: [[EDGE - 3, 4, 0xad7]] },
  // Far transfers.
  { name: 'JMP m16:32', code: 'ff2e', registers: CROSSING, memory: pointer(EDGE - 3, TARGET, USER_CS) },
  {
    name: 'JMP m16:64',
    code: '48ff2e',
    registers: CROSSING,
    memory: [
      [EDGE - 3, 8, TARGET],
      [EDGE + 5, 2, USER_CS],
    ],
  },
  { name: 'JMP m16:32 to 32-bit code', code: 'ff2e', registers: CROSSING, memory: pointer(EDGE - 3, TARGET, L.CS_32) },
  {
    name: 'CALL m16:32',
    code: 'ff1e',
    registers: { ...CROSSING, rsp: EDGE + 40 },
    memory: pointer(EDGE - 3, TARGET, USER_CS),
  },
  {
    name: 'CALL m16:64',
    code: '48ff1e',
    registers: { rsi: EDGE - 60, rsp: EDGE + 4 },
    memory: [
      [EDGE - 60, 8, TARGET],
      [EDGE - 52, 2, USER_CS],
    ],
  },
  {
    name: 'CALL through a gate to level 0',
    ends: 0,
    code: 'ff1e',
    registers: { ...CROSSING, rsp: STACK },
    memory: pointer(EDGE - 3, 0, 0x63),
  },
  {
    name: 'CALL to a data segment',
    ends: 13,
    code: 'ff1e',
    registers: { ...CROSSING, rsp: STACK },
    memory: pointer(EDGE - 3, 0, USER_DS),
  },
  {
    name: 'RETF',
    code: '48cb',
    registers: { rsp: EDGE - 12 },
    memory: [
      [EDGE - 12, 8, TARGET],
      [EDGE - 4, 8, USER_CS],
    ],
  },
  {
    name: 'RETF imm16',
    code: 'ca1000',
    registers: { rsp: EDGE - 6 },
    memory: [
      [EDGE - 6, 4, TARGET],
      [EDGE - 2, 4, USER_CS],
    ],
  },
  {
    name: 'RETF to 32-bit code',
    code: '48cb',
    registers: { rsp: EDGE - 12 },
    memory: [
      [EDGE - 12, 8, TARGET],
      [EDGE - 4, 8, L.CS_32],
    ],
  },
  {
    name: 'RETF to level 3',
    code: '48cb',
    supervisor: true,
    registers: { rsp: EDGE - 12 },
    memory: frame(EDGE - 12, [TARGET, USER_CS, STACK, USER_DS]),
  },
  {
    name: 'IRETQ to level 3',
    code: '48cf',
    supervisor: true,
    registers: { rsp: EDGE - 12 },
    memory: frame(EDGE - 12, [TARGET, USER_CS, 0x3246, STACK, USER_DS]),
  },
  {
    name: 'IRETQ',
    code: '48cf',
    registers: { rsp: EDGE - 20 },
    memory: frame(EDGE - 20, [TARGET, USER_CS, 0x3246, STACK, USER_DS]),
  },
  {
    name: 'IRETQ to a null code segment',
    ends: 13,
    code: '48cf',
    registers: { rsp: EDGE - 20 },
    memory: frame(EDGE - 20, [TARGET, 0, 0x3246, STACK, USER_DS]),
  },
  {
    name: 'IRETD',
    code: 'cf',
    mode: 32,
    registers: { rsp: EDGE - 6 },
    memory: [
      [EDGE - 6, 4, TARGET],
      [EDGE - 2, 4, L.CS_32],
      [EDGE + 2, 4, 0x3246],
    ],
  },
  // Two memory operands, and 16 bytes at once.
  { name: 'CMPXCHG16B that fails', code: '480fc70e', registers: { rsi: EDGE - 16 } },
  {
    name: 'CMPXCHG16B that succeeds',
    code: 'f0480fc70e',
    registers: { rsi: EDGE - 16, rax: 5, rdx: 6 },
    memory: frame(EDGE - 16, [5, 6]),
  },
  {
    name: 'CMPXCHG8B across pages',
    code: 'f00fc70e',
    registers: { rsi: EDGE - 3, rax: 5, rdx: 6 },
    memory: [
      [EDGE - 3, 4, 5],
      [EDGE + 1, 4, 6],
    ],
  },
  { name: 'MASKMOVDQU', code: '660ff7c1', registers: { rdi: EDGE - 7 } },
  { name: 'MOVSB', code: 'a4', registers: { rsi: EDGE - 9, rdi: EDGE + 9 } },
  { name: 'MOVSQ across pages', code: '48a5', registers: { rsi: EDGE - 3, rdi: EDGE - 6 } },
  { name: 'REP MOVSB', code: 'f3a4', registers: { rsi: EDGE - 3, rdi: EDGE + 9, rcx: 6 } },
  { name: 'REP MOVSB downwards', code: 'f3a4', direction: true, registers: { rsi: EDGE + 3, rdi: EDGE + 9, rcx: 6 } },
  { name: 'REP MOVSD onto itself', code: 'f3a5', registers: { rsi: EDGE - 10, rdi: EDGE - 8, rcx: 5 } },
  { name: 'REP STOSQ', code: 'f348ab', registers: { rdi: EDGE - 12, rcx: 4 } },
  { name: 'REP LODSW', code: 'f366ad', registers: { rsi: EDGE - 3, rcx: 4 } },
  {
    name: 'REPE CMPSB',
    code: 'f3a6',
    registers: { rsi: EDGE - 2, rdi: EDGE - 4, rcx: 6 },
    memory: frame(EDGE - 8, [0, 0, 0]),
  },
  { name: 'REPNE SCASD', code: 'f2af', registers: { rdi: EDGE - 9, rcx: 5, rax: 0x1234_5678 } },
  {
    name: 'REP MOVSB into an unmapped page',
    ends: 14,
    code: 'f3a4',
    registers: { rsi: EDGE - 3, rdi: EDGE + 0xffe, rcx: 6 },
  },
  {
    name: 'a load that wraps at 4 GiB in 32-bit code',
    code: '8b06',
    mode: 32,
    registers: { rsi: 0xffff_fffe },
    patch: wrappingWindow,
  },
  {
    name: 'a store that wraps at 4 GiB in 32-bit code',
    code: '8906',
    mode: 32,
    registers: { rsi: 0xffff_fffd },
    patch: wrappingWindow,
  },
  // Ports.
  { name: 'IN AL, DX', code: 'ec', registers: { rdx: 0x3f8 } },
  { name: 'IN EAX, imm8', code: 'e560' },
  { name: 'OUT DX, AX', code: '66ef', registers: { rdx: 0x3f8 } },
  { name: 'INSD', code: '6d', registers: { rdx: 0x1f0, rdi: EDGE - 3 } },
  { name: 'REP INSB', code: 'f36c', registers: { rdx: 0x1f0, rdi: EDGE - 3, rcx: 6 } },
  {
    name: 'REP INSW into an unmapped page',
    ends: 14,
    code: 'f3666d',
    registers: { rdx: 0x1f0, rdi: EDGE + 0xffa, rcx: 6 },
  },
  { name: 'OUTSB', code: '6e', registers: { rdx: 0x1f0, rsi: EDGE - 1 } },
  { name: 'REP OUTSD', code: 'f36f', registers: { rdx: 0x1f0, rsi: EDGE - 6, rcx: 3 } },
  // Instructions in a device.
  { name: 'NOP in a device', code: '90', place: EDGE + 0x20 },
  { name: 'MOV EAX, imm32 in two pages', code: 'b878563412', place: EDGE - 2 },
  { name: 'a load in a device', code: '488b06', place: EDGE - 1, registers: { rsi: EDGE + 0x3d } },
  { name: 'a modification in a device', code: '480106', place: EDGE - 0x20, registers: { rsi: EDGE - 3 } },
  { name: 'a short jump in a device', code: 'eb10', place: EDGE + 8 },
  { name: 'a near jump from page to page', code: 'e9c0ffffff', place: EDGE + 8 },
  { name: 'a jump into a device', code: 'ffe0', registers: { rax: EDGE + 9 }, patch: executableWindow },
  { name: 'REP STOSB in a device', code: 'f3aa', place: EDGE - 1, registers: { rdi: EDGE - 0x23, rcx: 3 } },
  { name: 'an invalid instruction in a device', code: '0f0b', place: EDGE - 1, ends: 6 },
  {
    name: 'PUSH RAX in 32-bit code in a device',
    code: '50',
    mode: 32,
    place: EDGE + 0x40,
    registers: { rsp: EDGE - 0x20 },
  },
  { name: 'an instruction that ends in an unmapped page', code: '48b8', place: EDGE + 0xfff, ends: 14 },
  // Tasks. The PDPTEs that a new CR3 points to are read with them.
  {
    name: 'JMP to a task',
    code: 'ff2e',
    legacy: true,
    registers: CROSSING,
    memory: pointer(EDGE - 3, 0, OTHER_TSS_32_SELECTOR),
  },
  {
    name: 'CALL to a task',
    code: 'ff1e',
    legacy: true,
    registers: CROSSING,
    memory: pointer(EDGE - 3, 0, OTHER_TSS_32_SELECTOR),
  },
  {
    name: 'JMP to the task that runs',
    ends: 13,
    code: 'ff2e',
    legacy: true,
    registers: CROSSING,
    memory: pointer(EDGE - 3, 0, TSS_32_SELECTOR),
  },
  { name: 'IRETD from a nested task', code: 'cf', legacy: true, patch: nestedTask },
  { name: 'an interrupt through a task gate', code: '90', legacy: true, interrupt: 0x31, patch: taskGate(0x31) },
  { name: 'INT through a task gate', code: 'cd31', legacy: true, patch: taskGate(0x31) },
  {
    name: 'a page fault through a task gate, with an error code',
    code: '8b06',
    legacy: true,
    registers: { rsi: 0x4000_0000 },
    patch: taskGate(14),
  },
  {
    name: 'a task whose CR3 leads nowhere',
    ends: SHUTDOWN,
    code: 'ff2e',
    legacy: true,
    registers: CROSSING,
    memory: pointer(EDGE - 3, 0, OTHER_TSS_32_SELECTOR),
    patch: (ram) => ram.setUint32(OTHER_TSS_32 + 0x1c, PAE_PDPT + 0x20, true),
  },
  {
    name: 'MOV CR3 to PDPTEs with reserved bits',
    ends: 13,
    code: '0f22d8',
    legacy: true,
    registers: { rax: PAE_PDPT + 0x40 },
    patch: (ram) => ram.setUint32(PAE_PDPT + 0x48, 0x3003, true),
  },
  { name: 'MOV CR3 under PAE paging', code: '0f22d8', legacy: true, registers: { rax: PAE_PDPT } },
  { name: 'INT 30h in protected mode', ends: 48, code: 'cd30', legacy: true, registers: { rsp: EDGE + 5 } },
  // Events.
  { name: 'INT 30h to level 0', ends: 48, code: 'cd30', registers: { rsp: STACK } },
  { name: 'INT 30h in 32-bit code', ends: 48, code: 'cd30', mode: 32, registers: { rsp: STACK } },
  { name: 'INT 30h within level 0', ends: 48, code: 'cd30', supervisor: true, registers: { rsp: EDGE + 20 } },
  { name: 'UD2', ends: 6, code: '0f0b' },
  {
    name: 'a division by zero of a byte in memory',
    ends: 0,
    code: 'f636',
    registers: { rsi: EDGE },
    memory: [[EDGE, 1, 0]],
  },
  { name: 'a page fault', ends: 14, code: '8b06', registers: { rsi: 0x4000_0000 } },
  { name: 'a page fault in the second half', ends: 14, code: '488b06', registers: { rsi: EDGE + 0xffd } },
  {
    name: 'a page fault in the second half of a modification',
    ends: 14,
    code: '480106',
    registers: { rsi: EDGE + 0xffd },
  },
  {
    name: 'INT through a gate that is not present',
    ends: 11,
    code: 'cd30',
    patch: (ram) => ram.setUint8(IDT + 48 * 16 + 5, 0x6e),
  },
  {
    name: 'a double fault',
    ends: 8,
    code: '8b06',
    registers: { rsi: 0x4000_0000 },
    patch: (ram) => ram.setUint8(IDT + 14 * 16 + 5, 0x0e),
  },
  {
    name: 'a triple fault',
    ends: SHUTDOWN,
    code: '8b06',
    registers: { rsi: 0x4000_0000 },
    patch: (ram) => {
      for (const vector of [8, 14]) ram.setUint8(IDT + vector * 16 + 5, 0x0e)
    },
  },
  { name: 'an interrupt', ends: 49, code: '90', interrupt: 0x31 },
  {
    name: 'an interrupt within level 0',
    ends: 49,
    code: '90',
    interrupt: 0x31,
    supervisor: true,
    registers: { rsp: EDGE + 21 },
  },
  { name: 'an interrupt in 32-bit code', ends: 49, code: '90', mode: 32, interrupt: 0x31 },
  { name: 'an interrupt before a load', ends: 49, code: '8b06', interrupt: 0x31, registers: { rsi: EDGE - 3 } },
]

function header(bits: number): [number, number, number][] {
  return Array.from({ length: 16 }, (_, i) => [AREA + 512 + 4 * i, 4, i === 0 ? bits : 0])
}

/** A header of the compacted form. */
function compacted(bits: number, layout: number): [number, number, number][] {
  return header(bits).map(([at, bytes, value], i) => [at, bytes, i === 2 ? layout : i === 3 ? 0x8000_0000 | 0 : value])
}

function table(base: number, limit: number): [number, number, number][] {
  return [
    [EDGE - 3, 2, limit],
    [EDGE - 1, 8, base],
  ]
}

function pointer(at: number, offset: number, selector: number): [number, number, number][] {
  return [
    [at, 4, offset],
    [at + 4, 2, selector],
  ]
}

/** Eight-byte words from an address on. */
function frame(at: number, words: readonly number[]): [number, number, number][] {
  return words.map((word, i) => [at + 8 * i, 8, word])
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
