import type { InstructionExits, InterpreterCode, MissAction } from '@retrap/engine'
import type { MachineMemory } from '@retrap/memory'
import type { Signature } from '@retrap/wasm-emitter'
import type { FormSource } from '../../interpreter/form-context.ts'
import { R_FUNCTION, R_OP } from '../../interpreter/record.ts'
import { CS, DS, ES, SEG_BASE, SEG_BYTES, SEG_RIGHTS, SS, S_SEGMENTS } from '../../state-layout.ts'
import { ASSUMED, holds } from '../known-state.ts'
import { TemplateEvaluator } from './evaluate-template.ts'
import { FIRST_NAMED } from './template.ts'
import type { Template } from './template.ts'
import { TemplateKnowledge, TemplateRecord, recordPlan } from './template-record.ts'
import type { RecordPlan } from './template-record.ts'

const ACTIONS: readonly MissAction[] = ['count', 'fill', 'call', 'leave']
/** More than there are kinds of flags. */
const KINDS = 16
const RIGHTS: ReadonlySet<number> = new Set(
  [ES, CS, SS, DS].map((segment) => S_SEGMENTS + SEG_BYTES * segment + SEG_RIGHTS),
)
const CODE_BASE = S_SEGMENTS + SEG_BYTES * CS + SEG_BASE
/** Templates that are kept: a guest chooses immediates and bases of its code. A boot of Linux makes some hundreds. */
const MOST_TEMPLATES = 16_384
const OWN = (1 << FIRST_NAMED) - 1
/** States that are told apart by bits of a number. */
const MOST_STATES = 31

/** The assumed fields of a byte, and the words of all others. */
const BYTES = [...ASSUMED].filter((offset) => RIGHTS.has(offset))
const WORDS = [...ASSUMED]
  .filter((offset) => !RIGHTS.has(offset))
  .flatMap((offset) => (offset === CODE_BASE ? [offset, offset + 4] : [offset]))

/** The templates of a form. */
export interface FormTemplates {
  readonly plan: RecordPlan
  /** General registers that the form names itself, by bits. */
  own: number
  /** Whether the kind of the flags is part of the key. */
  readsFlags: boolean
  /** Those of a key differ in what they take for granted of the state. */
  readonly templates: Map<number | string, KeptTemplate[]>
}

interface KeptTemplate {
  readonly template: Template
  /** States for which it is known to be right, and to be wrong: a bit each. */
  right: number
  wrong: number
}

/** The key of a unit's templates. */
export interface TemplateState {
  readonly forms: Map<number, FormTemplates>
  /** Bit of the state. */
  readonly bit: number
}

/** Templates, made when they are first needed: for what the mode and the assumed fields of the state are. */
export class Templates {
  readonly #memory: MachineMemory
  readonly #evaluator: TemplateEvaluator
  /** By the mode, then by the case and the function of records. */
  readonly #all = new Map<number, Map<number, FormTemplates>>()
  /** Bits of states, by the mode and what may be assumed of them. */
  readonly #states = new Map<string, number>()
  /** The record that was looked up last. */
  readonly record: TemplateRecord
  readonly #most: number
  #count = 0

  /** @param most - templates that are kept, and besides those of one unit */
  constructor(memory: MachineMemory, code: InterpreterCode<FormSource>, most: number = MOST_TEMPLATES) {
    this.#most = most
    this.#memory = memory
    this.#evaluator = new TemplateEvaluator(code, memory.shared)
    this.record = new TemplateRecord(memory)
  }

  /** See {@link TemplateEvaluator.signatures}. */
  get signatures(): readonly Signature[] {
    return this.#evaluator.signatures
  }

  /** Templates that are kept. */
  get count(): number {
    return this.#count
  }

  /** Returns the templates of code of a mode, for a state whose assumed fields are as they are now. */
  for(mode: number, state: number): TemplateState {
    const { u8, u32 } = this.#memory
    let key = `${mode}`
    for (const offset of WORDS) key += ` ${u32[(state + offset) >>> 2]!}`
    for (const offset of BYTES) key += ` ${u8[state + offset]!}`
    // Not while a unit is compiled: what it has found is looked up here once.
    if (this.#count >= this.#most || this.#states.size >= MOST_STATES) this.#clear()
    let bit = this.#states.get(key)
    if (bit === undefined) this.#states.set(key, (bit = 1 << this.#states.size))
    let forms = this.#all.get(mode)
    if (forms === undefined) this.#all.set(mode, (forms = new Map()))
    return { forms, bit }
  }

  #clear(): void {
    this.#all.clear()
    this.#states.clear()
    this.#count = 0
  }

  /** Finds the template of a record, whose parts are in {@link Templates.record} then. @param kind - of the flags before it, if it is known */
  find(
    { forms, bit }: TemplateState,
    source: FormSource,
    at: number,
    onMiss: InstructionExits['onMiss'],
    kind: number | undefined,
    mode: number,
    state: number,
  ): Template {
    const { u16 } = this.#memory
    const number = u16[(at + R_OP) >>> 1]! * 0x1_0000 + u16[(at + R_FUNCTION) >>> 1]!
    let form = forms.get(number)
    if (form === undefined) {
      form = { plan: recordPlan(source.form), own: 0, readsFlags: false, templates: new Map() }
      forms.set(number, form)
    }
    this.record.read(at, form.plan, form.own)
    const found = this.#lookUp(form, this.#keyOf(form, onMiss, kind), bit, state)
    if (found !== undefined) return found
    for (;;) {
      const { readsFlags, own } = form
      const known = new TemplateKnowledge(this.#memory, state, mode, this.record)
      const before = readsFlags ? kind : undefined
      const template = this.#evaluator.evaluate({ source, record: at, known, onMiss, kind: before })
      form.own |= template.used & OWN
      form.readsFlags ||= template.readsFlags
      if (form.own !== own || form.readsFlags !== readsFlags) {
        // The present templates were looked up by other keys.
        for (const { length } of form.templates.values()) this.#count -= length
        form.templates.clear()
      }
      const { key } = this.record
      const named = this.record.named.join(' ')
      this.record.read(at, form.plan, form.own)
      // Registers that the form names itself are not left open; where the instruction names none of them, nothing changes.
      const isSame = this.record.key === key && this.record.named.join(' ') === named
      if (!isSame || (form.readsFlags !== readsFlags && kind !== undefined)) continue
      this.#keep(form, this.#keyOf(form, onMiss, kind), { template, right: bit, wrong: 0 })
      return template
    }
  }

  #keep({ templates }: FormTemplates, key: number | string, kept: KeptTemplate): void {
    const known = templates.get(key)
    if (known === undefined) templates.set(key, [kept])
    else known.push(kept)
    this.#count++
  }

  #lookUp({ templates }: FormTemplates, key: number | string, bit: number, state: number): Template | undefined {
    const known = templates.get(key)
    if (known === undefined) return undefined
    for (const kept of known) {
      if ((kept.right & bit) !== 0) return kept.template
      if ((kept.wrong & bit) !== 0) continue
      if (holds(this.#memory, kept.template.assumptions, state)) {
        kept.right |= bit
        return kept.template
      }
      kept.wrong |= bit
    }
    return undefined
  }

  #keyOf({ readsFlags }: FormTemplates, onMiss: MissAction, kind: number | undefined): number | string {
    const { key: own, constants } = this.record
    const key =
      (own * ACTIONS.length + ACTIONS.indexOf(onMiss)) * KINDS + (readsFlags ? (kind ?? KINDS - 1) : KINDS - 2)
    return constants.length === 0 ? key : `${key} ${constants.join(' ')}`
  }
}
