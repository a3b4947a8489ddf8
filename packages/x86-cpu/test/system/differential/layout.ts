/**
 * The machine that runs cases of segmentation, here and on QEMU: one image, entered as multiboot enters it (32-bit
 * protected mode, no paging), that performs one operation after another and records how each ended.
 */

/** Where the image and its parts lie. All below 4 MiB. */
export const LOAD = 0x10_0000
/** `INT 0x50`, the end of an operation that has gone where it should; and again at its low 16 bits. */
export const LANDING = 0x10_8000
export const GDT = 0x12_0000
export const IDT = 0x12_1000
export const TSS = 0x12_2000
/** The task of double faults (32-bit). */
export const FAULT_TSS: number = TSS + 0x100
/** Tasks that are switched to: 32-bit, 16-bit. */
export const OTHER_TSS: number = TSS + 0x400
export const OTHER_TSS16: number = TSS + 0x600
export const LDT = 0x12_3800
export const TABLES = 0x12_6000
export const CASES = 0x18_0000
export const RECORDS = 0x28_0000

export const VARIABLES = 0x12_3000
export const V_CASE = 0
export const V_RECORD = 4
export const V_END = 8
/** Far pointers: 16-bit offset, 32-bit offset, 64-bit offset, each followed by the selector. */
export const V_FAR16 = 16
export const V_FAR32 = 24
export const V_FAR64 = 32
export const V_STACK_SELECTOR = 48
export const V_FLAGS = 56

export const CASE_BYTES = 80
export const C_OPERATION = 0
export const C_CPL = 4
export const C_SELECTOR = 8
export const C_OFFSET = 12
/** Four entries of the GDT from selector 40H on. */
export const C_SLOTS = 16
/** The gate of vector 60H: low half; the high half of a 64-bit gate is zero. */
export const C_GATE = 48
export const C_STACK0 = 56
export const C_STACK_SELECTOR = 60
export const C_FLAGS = 64
/** Selectors of the other task: CS, DS, SS, LDT. */
export const C_TASK = 68

export const SLOT_SELECTOR = 0x40
/** The vector of the gate under test, and the vector that ends an operation. */
export const GATE_VECTOR = 0x60
export const END_VECTOR = 0x50

/** What is recorded of a case: 32-bit words by these names. `slots`: the type bytes of the four GDT entries. */
export const RECORD_FIELDS = [
  'vector',
  'error',
  'ip',
  'cs',
  'flags',
  'sp',
  'ss',
  'ds',
  'es',
  'fs',
  'gs',
  'ax',
  'cx',
  'slots',
  'ldtr',
  'tr',
] as const
/** What the stack holds when an operation has ended, from its top on. What the processor has pushed begins with `error`. */
export const FRAME = ['gs', 'fs', 'es', 'ds', 'ss', 'cx', 'ax', 'vector', 'error', 'ip', 'cs', 'flags'] as const
export const RECORD_BYTES: number = 4 * RECORD_FIELDS.length
export type Record = { readonly [field in (typeof RECORD_FIELDS)[number]]: number }

/** Port that results go to, and the one that ends QEMU. */
export const RESULT_PORT = 0xe9
export const EXIT_PORT = 0x501

export interface SegmentationCase {
  readonly operation: string
  readonly cpl: number
  readonly selector: number
  readonly offset: number
  readonly slots: readonly bigint[]
  readonly gate: bigint
  /** 32-bit: SS0; 64-bit: RSP0. */
  readonly stack0: number
  readonly stackSelector: number
  readonly flags: number
  readonly task: readonly number[]
}

/** Writes the cases as the image has them. */
export function encodeCases(cases: readonly SegmentationCase[], operations: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(cases.length * CASE_BYTES)
  const view = new DataView(bytes.buffer)
  for (const [i, c] of cases.entries()) {
    const at = i * CASE_BYTES
    view.setUint32(at + C_OPERATION, operations.indexOf(c.operation), true)
    view.setUint32(at + C_CPL, c.cpl, true)
    view.setUint32(at + C_SELECTOR, c.selector, true)
    view.setUint32(at + C_OFFSET, c.offset, true)
    for (const [j, slot] of c.slots.entries()) view.setBigUint64(at + C_SLOTS + 8 * j, slot, true)
    view.setBigUint64(at + C_GATE, c.gate, true)
    view.setUint32(at + C_STACK0, c.stack0, true)
    view.setUint32(at + C_STACK_SELECTOR, c.stackSelector, true)
    view.setUint32(at + C_FLAGS, c.flags, true)
    for (const [j, selector] of c.task.entries()) view.setUint16(at + C_TASK + 2 * j, selector, true)
  }
  return bytes
}
