import type { MachineMemory } from '@retrap/memory'
import { I32, I64 } from '@retrap/wasm-emitter'
import type { LoadOp, Value } from '@retrap/wasm-emitter'
import {
  ADDRESS_DISP64,
  R_ADDRESS,
  R_BASE,
  R_DISP,
  R_IMM,
  R_INDEX,
  R_LENGTH,
  R_OFFSET,
  R_REG0,
  R_REG1,
  R_REG2,
  R_SCALE,
  R_SEGMENT,
  SEGMENT_LINK,
} from '../../interpreter/record.ts'
import type { Form } from '../../semantics/form.ts'
import { S_GPR, S_PAGE_BASE, S_TWO_TO_28, S_ZERO } from '../../state-layout.ts'
import { StateKnowledge } from '../known-state.ts'
import {
  HOLE_DISPLACEMENT,
  HOLE_IMMEDIATE,
  HOLE_LENGTH,
  HOLE_OFFSET,
  generalField,
  hole32,
  hole64,
  otherField,
} from './holes.ts'

/** Instructions that take any immediate alike. */
const ANY_IMMEDIATE: ReadonlySet<string> = new Set([
  ...['ADD', 'OR', 'ADC', 'SBB', 'AND', 'SUB', 'XOR', 'CMP', 'TEST', 'MOV', 'PUSH', 'IMUL'],
])

/** The kind of a record's field with a register. */
const FIELD_CONSTANT = 0
const FIELD_GENERAL = 1
const FIELD_OTHER = 2

/** The fields of a record that name registers. */
const FIELDS = [R_REG0, R_REG1, R_REG2, R_BASE, R_INDEX] as const
const GPR_END = S_GPR + 8 * 16

/** How the records of a form are told apart. */
export interface RecordPlan {
  /** `FIELD_*` of {@link FIELDS}. */
  readonly fields: readonly number[]
  /** Whether the immediate is left open. */
  readonly hasImmediate: boolean
  /** Whether the form has no immediate at all. */
  readonly isPlain: boolean
}

/** Makes the plan of a form. */
export function recordPlan({ mnemonic, operands }: Form): RecordPlan {
  const registers = [0, 1, 2].map((i) => {
    const kind = operands[i]?.kind
    if (kind === 'reg') return FIELD_GENERAL
    return kind === 'xmm' || kind === 'mmx' || kind === 'vsib' ? FIELD_OTHER : FIELD_CONSTANT
  })
  const isBranch = operands.some(({ kind }) => kind === 'rel' || kind === 'relp' || kind === 'relf')
  const isPlain = !operands.some(({ kind }, i) => kind === 'imm' || kind === 'st' || kind === 'system' || i === 3)
  return {
    fields: [...registers, FIELD_GENERAL, FIELD_GENERAL],
    hasImmediate: isBranch || (ANY_IMMEDIATE.has(mnemonic) && operands.some(({ kind }) => kind === 'imm')),
    isPlain: isPlain && operands.length > 0,
  }
}

/** A record, taken apart into what its template has and what is left open. */
export class TemplateRecord {
  readonly #memory: MachineMemory
  /** Machine address. */
  at = 0
  /** Registers that it names, apart from one another: the numbers of general ones, the fields of others. */
  readonly named: number[] = []
  /** The places of the fields that name them, by number. */
  readonly #fields: number[] = [0, 0, 0, 0, 0]
  /** Equal for records with the same template, where {@link constants} are empty. */
  key = 0
  /** The values that the template has as they are. */
  readonly constants: number[] = []
  /** Whether the immediate, and whether the displacement, is left open. */
  hasImmediate = false
  hasDisplacement = false
  /** Whether the immediate is the extension of its low half. */
  isNarrow = false

  constructor(memory: MachineMemory) {
    this.#memory = memory
  }

  /**
   * Takes a record apart.
   *
   * @param own - general registers that the form names itself, by bits: where they are named they stay as they are
   */
  read(at: number, plan: RecordPlan, own: number): void {
    const { u8, u16, i32 } = this.#memory
    this.at = at
    this.named.length = 0
    this.constants.length = 0
    let key = u8[at + R_ADDRESS]!
    const segment = u8[at + R_SEGMENT]!
    key = key * 16 + (segment & 7) + (segment >= SEGMENT_LINK ? 8 : 0)
    key = key * 4 + (u8[at + R_SCALE]! & 3)
    for (let i = 0; i < FIELDS.length; i++)
      key = key * 16 + this.#field(i, u16[(at + FIELDS[i]!) >>> 1]!, plan.fields[i]!, own)
    const [lo, hi] = [i32[(at + R_IMM) >>> 2]!, i32[(at + R_IMM + 4) >>> 2]!]
    const isWide = (u8[at + R_ADDRESS]! & ADDRESS_DISP64) !== 0
    this.hasImmediate = plan.hasImmediate || isWide
    this.isNarrow = !isWide && hi === lo >> 31
    if (!this.hasImmediate && !plan.isPlain) this.constants.push(lo, hi)
    this.hasDisplacement = segment < SEGMENT_LINK && i32[(at + R_DISP) >>> 2] !== 0
    this.key = key * 4 + (this.hasDisplacement ? 2 : 0) + (this.isNarrow ? 1 : 0)
  }

  /** Returns the key's part for a field. */
  #field(i: number, value: number, kind: number, own: number): number {
    this.#fields[i] = value
    if (kind === FIELD_OTHER && value !== 0) return this.#name(i, value, otherField(0))
    const isGeneral = kind === FIELD_GENERAL && value < GPR_END
    const number = (value - S_GPR) >>> 3
    if (isGeneral && ((own >>> number) & 1) === 0) return this.#name(i, number, generalField(0)) + (value & 1)
    if (value === 0) return 10
    if (value === S_ZERO) return 11
    if (value === S_PAGE_BASE) return 12
    if (value === S_TWO_TO_28) return 13
    this.constants.push(value)
    return 14
  }

  #name(i: number, register: number, first: number): number {
    let named = this.named.indexOf(register)
    if (named < 0) named = this.named.push(register) - 1
    const field = first === generalField(0) ? generalField(named) + (this.#fields[i]! & 7) : otherField(named)
    this.#fields[i] = field
    return 2 * named
  }

  /** Returns the value of a load from a field while the template is evaluated; undefined where that is the field's own. */
  load(op: LoadOp, offset: number): Value | undefined {
    const field = FIELDS.indexOf(offset as (typeof FIELDS)[number])
    if (field >= 0) return I32.of(this.#fields[field]!)
    switch (offset) {
      case R_DISP:
        return this.hasDisplacement ? hole64(HOLE_DISPLACEMENT, true) : I64.of(0)
      case R_OFFSET:
        return hole64(HOLE_OFFSET, false)
      case R_LENGTH:
        return hole64(HOLE_LENGTH, false)
      case R_IMM:
        if (!this.hasImmediate) return undefined
        return op.startsWith('i32') ? hole32(HOLE_IMMEDIATE) : hole64(HOLE_IMMEDIATE, this.isNarrow)
      default:
        return undefined
    }
  }
}

/** The knowledge of the state and of a record while its template is evaluated. */
export class TemplateKnowledge extends StateKnowledge {
  readonly #record: TemplateRecord

  constructor(memory: MachineMemory, state: number, mode: number, record: TemplateRecord) {
    super(memory, state, mode)
    this.#record = record
  }

  override record(op: LoadOp, address: number): Value {
    return this.#record.load(op, address - this.#record.at) ?? super.record(op, address)
  }
}
