import { FORM_SIGNATURE, importMachineMemory } from '@retrap/engine'
import type { InstructionExits, InterpreterCode } from '@retrap/engine'
import { ModuleBuilder, readCode } from '@retrap/wasm-emitter'
import type { CodeInstruction, Local, Signature } from '@retrap/wasm-emitter'
import type { FormSource } from '../../interpreter/form-context.ts'
import { RegionFlags } from '../region-flags.ts'
import { importLibrary } from '../unit-library.ts'
import { generalAt, holeOf32, holeOf64, otherAt } from './holes.ts'
import { shorten } from './shorten.ts'
import { TemplateBuilder, TemplateContext, TemplateExits } from './template-builder.ts'
import type { TemplateKnowledge } from './template-record.ts'
import {
  EXIT_TEMPORARY,
  LOCAL_TYPES,
  PATCH_32,
  PATCH_64,
  PATCH_ADDRESS,
  PATCH_FLAG,
  PATCH_MARK,
  PATCH_OFFSET,
  PATCH_REGISTER,
  PATCH_TEMPORARY,
  PATCH_TYPE,
} from './template.ts'
import type { Template } from './template.ts'

/** Parameters of a unit's function are the state, its record, and the TLB. */
const RECORD_PARAMETER = 1
const LAST_PARAMETER = 2

/** The instruction that a template is made for. */
export interface TemplateRequest {
  readonly source: FormSource
  /** Machine address of the record. */
  readonly record: number
  readonly known: TemplateKnowledge
  readonly onMiss: InstructionExits['onMiss']
  /** The kind of the flags before the instruction, if it is known. */
  readonly kind: number | undefined
}

/** Evaluates the semantics of instructions into templates. */
export class TemplateEvaluator {
  readonly #code: InterpreterCode<FormSource>
  readonly #shared: boolean
  /** Types of the functions that templates call through the table, by their numbers in all templates. */
  readonly signatures: Signature[] = []

  /** @param shared - whether machine memory is shared between threads */
  constructor(code: InterpreterCode<FormSource>, shared: boolean) {
    this.#code = code
    this.#shared = shared
  }

  /** Makes a template. */
  evaluate({ source, record, known, onMiss, kind }: TemplateRequest): Template {
    const module = new ModuleBuilder()
    importMachineMemory(module, this.#shared)
    module.importTable('cpu', 'table')
    module.importFunction('cpu', 'system', { params: ['i32', 'i32'], result: 'i32' } as const)
    const types = new Map<number, Signature>()
    const typeIndex = (signature: Signature): number => {
      const index = module.typeIndex(signature)
      types.set(index, signature)
      return index
    }
    const library = importLibrary(module, this.#code, typeIndex)
    const f = module.function('template', FORM_SIGNATURE, { builder: TemplateBuilder }) as unknown as TemplateBuilder
    const flags = new RegionFlags(f, library.flags)
    flags.meet(kind)
    f.beforeArm = () => flags.beginArm()
    f.afterArm = () => flags.endArm()
    const exits = new TemplateExits(f, flags, onMiss)
    known.pageBase = () => exits.pageBase()
    f.know(known, record)
    const context = new TemplateContext(f, source, library, record, flags, exits)
    const { semantics, form } = source
    if (semantics.conditionalFlags === true) flags.settle()
    if (form.vex) context.requireVex()
    semantics.emit(context)
    flags.settle()
    const whole = f.codeFrom(0)
    const lasting = new Set(
      [...f.registers, ...flags.locals, f.mark, exits.target, exits.status].map(({ index }) => index),
    )
    const bytes = shorten(whole, readCode(whole), (local) => local > LAST_PARAMETER && !lasting.has(local))
    const patches = new PatchReader(f, flags, exits, (index) => this.#typeNumber(types.get(index)!)).read(
      readCode(bytes),
    )
    const isSet = patches.flagsSet
    return {
      bytes,
      patches: Int32Array.from(patches.words),
      temporaries: patches.counts,
      used: f.used,
      written: f.written,
      kind: isSet ? flags.knownKind : undefined,
      readsFlags: patches.flagsRead,
      assumptions: known.assumptions,
    }
  }

  #typeNumber(signature: Signature): number {
    const key = JSON.stringify(signature)
    const known = this.signatures.findIndex((each) => JSON.stringify(each) === key)
    return known < 0 ? this.signatures.push(signature) - 1 : known
  }
}

/** Finds what is left open in the code of a template. */
class PatchReader {
  readonly words: number[] = []
  flagsSet = false
  flagsRead = false
  readonly #registers: ReadonlyMap<number, number>
  readonly #flags: readonly number[]
  readonly #temporaries = new Map<number, number>()
  /** Of the temporaries of each type. */
  readonly counts: number[] = LOCAL_TYPES.map(() => 0)
  readonly #mark: number
  readonly #typeOf: (local: number) => number
  readonly #typeNumber: (index: number) => number

  constructor(
    f: TemplateBuilder,
    flags: RegionFlags,
    { target, status }: TemplateExits,
    typeNumber: (index: number) => number,
  ) {
    this.#registers = new Map(f.registers.map(({ index }, i) => [index, i]))
    this.#flags = flags.locals.map(({ index }) => index)
    this.#mark = f.mark.index
    this.#typeNumber = typeNumber
    this.#typeOf = (local) => LOCAL_TYPES.indexOf(f.typeOf(local) as (typeof LOCAL_TYPES)[number])
    for (const { index, type } of [target, status] as readonly Local[]) {
      this.#temporaries.set(index, 256 * LOCAL_TYPES.indexOf(type) + EXIT_TEMPORARY)
    }
  }

  read(code: readonly CodeInstruction[]): this {
    for (let i = 0; i < code.length; i++) {
      const insn = code[i]!
      const next = code[i + 1]
      if (insn.name === 'i32.const' && next?.name === 'local.set' && Number(next.operands) === this.#mark) {
        this.words.push(insn.from, next.to, PATCH_MARK, Number(insn.operands) + 256 * insn.depth)
        i++
      } else this.#read(insn)
    }
    return this
  }

  #read({ name, from, to, operands }: CodeInstruction): void {
    if (name.startsWith('local.')) this.#local(from + 1, to, Number(operands), name !== 'local.get')
    else if (name === 'i64.const') {
      const hole = holeOf64(BigInt(operands.trim()))
      if (hole >= 0) this.words.push(from, to, PATCH_64, hole)
    } else if (name === 'i32.const') {
      const value = Number(operands)
      const hole = holeOf32(value)
      const other = otherAt(value)
      if (hole >= 0) this.words.push(from, to, PATCH_32, hole)
      else if (other !== undefined) this.words.push(from, to, PATCH_ADDRESS, 4096 * other.named + other.byte)
      else if (generalAt(value) >= 0) throw new TypeError('a register in a local has no address')
    } else if (name === 'call_indirect') {
      const index = Number(/\d+/.exec(operands)![0])
      this.words.push(from + 1, to - 1, PATCH_TYPE, this.#typeNumber(index))
    } else {
      const offset = / offset=(\d+)/.exec(operands)
      const other = offset === null ? undefined : otherAt(Number(offset[1]))
      // Five bytes at the end.
      if (other !== undefined) this.words.push(to - 5, to, PATCH_OFFSET, 4096 * other.named + other.byte)
    }
  }

  #local(from: number, to: number, local: number, isSet: boolean): void {
    if (local === this.#mark || local === RECORD_PARAMETER) throw new TypeError('code that no template has')
    if (local <= LAST_PARAMETER) return
    const register = this.#registers.get(local)
    const flag = this.#flags.indexOf(local)
    if (register !== undefined) this.words.push(from, to, PATCH_REGISTER, register)
    else if (flag >= 0) {
      this.words.push(from, to, PATCH_FLAG, flag)
      if (isSet) this.flagsSet = true
      else this.flagsRead = true
    } else this.words.push(from, to, PATCH_TEMPORARY, this.#temporary(local))
  }

  #temporary(local: number): number {
    let number = this.#temporaries.get(local)
    if (number === undefined) {
      const type = this.#typeOf(local)
      number = 256 * type + this.counts[type]!++
      this.#temporaries.set(local, number)
    }
    return number
  }
}
