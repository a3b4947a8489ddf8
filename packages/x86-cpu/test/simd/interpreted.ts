import { DECODED, Instruction, codes, decodeInto, type CodeInfo } from '@retrap/x86-decoder'
import { generateX86Interpreter } from '../../src/interpreter/interpreter.ts'
import type { FormSource } from '../../src/semantics/form-context.ts'
import { formOf, variantsOf } from '../../src/interpreter/code-forms.ts'
import { Lowering } from '../../src/interpreter/lower.ts'
import { OP_LEAVE, RECORD_BYTES, R_OP } from '../../src/state/record.ts'
import * as S from '../../src/state/state-layout.ts'
import { formKey } from '../../src/state/form.ts'
import { instructionSemantics } from '../../src/semantics/index.ts'
import { sseInteger } from '../../src/semantics/vector/avx.ts'
// One instruction with the state before it: an FXSAVE image (SDM vol. 1, "FXSAVE and FXRSTOR Instructions"), and what is behind it.
export const CASE_BYTES = 768
const CASE_GPR = 512
export const CASE_FLAGS = 640
const CASE_MEMORY = 704
const CASE_MEMORY_BYTES = 64
export const FX_FCW = 0
export const FX_FSW = 2
const FX_FTW = 4
export const FX_MXCSR = 24
const FX_ST = 32
const FX_XMM = 160

const RBX = 3
/** Where things lie in the interpreter's memory. */
const GUEST_PAGE = 0x1000
const RECORD = 0x2000
const CODE = 0x3000
export const STATE = 0x4000
/** Linear addresses: of the page that is mapped, and of the case's memory in it. */
export const LINEAR_PAGE = 0x7654_3000
export const MEMORY_ADDRESS: number = LINEAR_PAGE + 0x100

/** Operations on integers, and the moves of whole vectors that some of them are. */
export const isInteger = ({ operation }: CodeInfo): boolean => operation in sseInteger || /^MOV[AU]PS$/.test(operation)

/** Generated code for the integer vector instructions alone, around a state that tests can look at. */
export class Interpreted {
  readonly view: DataView
  readonly u8: Uint8Array
  readonly #run: (state: number, record: number) => number
  readonly #lowering: Lowering
  readonly #instruction = new Instruction()
  /** RBX, the base of every memory operand. */
  base = MEMORY_ADDRESS
  /** What the slow path answers; a status. Nothing reaches it in an ordinary case. */
  slowAccess: (lo: number, hi: number, flags: number) => number = () => {
    throw new Error('slow access')
  }

  constructor() {
    const sources: FormSource[] = []
    for (const info of codes) {
      const semantics = instructionSemantics[info.operation]
      if (semantics === undefined || !isInteger(info)) continue
      for (const variant of variantsOf(info)) sources.push({ form: formOf(info, variant), semantics, accessFlags: 0 })
    }
    const code = generateX86Interpreter(sources, new Set(), { shared: false })
    const memory = new WebAssembly.Memory({ initial: 16 })
    const unexpected = (): never => {
      throw new Error('left the instruction')
    }
    const instance = new WebAssembly.Instance(new WebAssembly.Module(code.bytes as Uint8Array<ArrayBuffer>), {
      cpu: {
        memory,
        access: (lo: number, hi: number, flags: number) => this.slowAccess(lo, hi, flags),
        timestamp: unexpected,
        system: unexpected,
        fetch: unexpected,
        cross: unexpected,
        hot: unexpected,
      },
    })
    this.#run = instance.exports['run'] as (state: number, record: number) => number
    this.view = new DataView(memory.buffer)
    this.u8 = new Uint8Array(memory.buffer)
    const views = {
      u8: this.u8,
      u16: new Uint16Array(memory.buffer),
      u32: new Uint32Array(memory.buffer),
      i32: new Int32Array(memory.buffer),
    }
    this.#lowering = new Lowering(views, (info, form) => {
      const known = code.codes.get(formKey(form))
      if (known === undefined) throw new Error(`${info.form} is not generated`)
      return known
    })
    this.#map()
  }

  #map(): void {
    const entry = STATE + S.STATE_BYTES + ((LINEAR_PAGE >>> 8) & S.TLB_INDEX_MASK)
    this.view.setUint32(STATE + S.S_TLB, STATE + S.STATE_BYTES, true)
    for (const table of [0, S.TLB_WRITE_OFFSET]) {
      this.view.setUint32(entry + table, LINEAR_PAGE, true)
      this.view.setUint32(entry + table + 8, GUEST_PAGE, true)
    }
  }

  /** Writes the instruction's record. */
  decode(bytes: Uint8Array): void {
    this.u8.set(bytes, CODE)
    const status = decodeInto(this.u8, CODE, CODE + bytes.length, 64, this.#instruction)
    if (status !== DECODED || this.#instruction.length !== bytes.length) throw new Error(`does not decode: ${bytes}`)
    this.#lowering.write(RECORD, this.#instruction, 0)
    this.view.setUint16(RECORD + RECORD_BYTES + R_OP, OP_LEAVE, true)
  }

  /** Executes the record; returns the status. */
  execute(): number {
    this.view.setInt32(STATE + S.S_BUDGET, 1000, true)
    return this.#run(STATE, RECORD)
  }

  /** Loads a case, without its memory operand where that is somewhere else. */
  load(host: DataView): void {
    const { view } = this
    const top = (host.getUint16(FX_FSW, true) >>> 11) & 7
    view.setUint32(STATE + S.S_FCW, host.getUint16(FX_FCW, true), true)
    view.setUint32(STATE + S.S_FSW, host.getUint16(FX_FSW, true) & 0xc7ff, true)
    view.setUint32(STATE + S.S_FTOP, top, true)
    view.setUint32(STATE + S.S_FTAG_EMPTY, ~host.getUint8(FX_FTW) & 0xff, true)
    view.setUint32(STATE + S.S_MXCSR, host.getUint32(FX_MXCSR, true), true)
    for (let i = 0; i < 8; i++) {
      const register = STATE + S.S_FPR + 16 * ((top + i) & 7)
      for (let j = 0; j < 10; j++) view.setUint8(register + j, host.getUint8(FX_ST + 16 * i + j))
    }
    for (let i = 0; i < 16; i++) {
      for (let j = 0; j < 16; j++) view.setUint8(STATE + S.S_XMM + 64 * i + j, host.getUint8(FX_XMM + 16 * i + j))
      const value = i === RBX ? BigInt(this.base) : host.getBigUint64(CASE_GPR + 8 * i, true)
      view.setBigUint64(STATE + S.S_GPR + 8 * i, value, true)
    }
    const flags = host.getUint32(CASE_FLAGS, true) & S.FLAGS_ARITHMETIC
    view.setUint32(STATE + S.S_FLAGS_KIND, S.FLAGS_EXPLICIT, true)
    view.setBigUint64(STATE + S.S_FLAGS_B, BigInt(flags), true)
    view.setBigUint64(STATE + S.S_FLAGS_RESULT, (flags & S.FLAG_ZF) === 0 ? 1n : 0n, true)
    for (let i = 0; i < CASE_MEMORY_BYTES; i++) view.setUint8(GUEST_PAGE + 0x100 + i, host.getUint8(CASE_MEMORY + i))
  }
}
