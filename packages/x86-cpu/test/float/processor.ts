import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { buildForHost, hostCpu } from '@retrap/tooling/host-cpu'
import { skipNote } from '@retrap/tooling/skip'
import { DECODED, Instruction, codes, decodeInto, type CodeInfo } from '@retrap/x86-decoder'
import { generateX86Interpreter } from '../../src/interpreter/interpreter.ts'
import { formOf, isStringForm, variantsOf } from '../../src/interpreter/code-forms.ts'
import { Lowering } from '../../src/interpreter/lower.ts'
import { OP_LEAVE, OP_SYSTEM, R_OP } from '../../src/state/record.ts'
import { SLOW_PROBE, SLOW_WRITE } from '../../src/state/host.ts'
import { formKey, type Form } from '../../src/state/form.ts'
import type { SemanticsTable } from '../../src/semantics/context.ts'
import * as S from '../../src/state/state-layout.ts'

/**
 * Single instructions on two processors: the host's, through a small C program, and ours. A case is what the processor
 * holds before, and afterwards; both sides use one layout.
 */

// `struct test` of host.c.
export const CASE_BYTES = 640
export const C_CODE = 0
export const C_RAX = 16
export const C_RCX = 24
export const C_RFLAGS = 32
export const C_TRAP = 40
export const C_MEMORY = 64
export const C_FX = 128
/** In the FXSAVE image. */
export const FX_FCW: number = C_FX + 0
export const FX_FSW: number = C_FX + 2
export const FX_FTW: number = C_FX + 4
export const FX_MXCSR: number = C_FX + 24
export const FX_ST: number = C_FX + 32
export const FX_XMM: number = C_FX + 160

export const NO_TRAP = 0xffff_ffff

const cpu = hostCpu()
const program = typeof cpu === 'string' ? cpu : buildForHost(join(import.meta.dirname, 'host.c'), ['-O1', '-w'])

/** Why the host cannot be asked, or undefined. */
export const hostMissing: string | undefined = typeof program === 'string' ? program : undefined

/** What to add to the name of a test that asks the host. */
export const hostNote: string = skipNote(hostMissing === undefined, hostMissing ?? '')

/** Whether the host's is an AMD processor. */
export const isAmd: boolean = typeof cpu !== 'string' && cpu.vendor === 'AuthenticAMD'

/** Whether the host has what a form needs. */
export const hostHas = ({ info }: TestForm): boolean => typeof cpu === 'string' || cpu.has(info.feature)

/** What the host makes of the cases. */
export function runOnHost(cases: Uint8Array): Uint8Array {
  if (typeof program === 'string') throw new Error(program)
  const result = spawnSync(program.path, { input: cases, maxBuffer: cases.length + 1024 })
  if (result.status !== 0 || result.stdout.length !== cases.length) {
    throw new Error(
      `host program: status ${result.status}, ${result.stdout.length} of ${cases.length} bytes, ${result.signal}`,
    )
  }
  return new Uint8Array(result.stdout)
}

/** An instruction to test, in 64-bit mode, with registers 0 and 1, or [RSI]. */
export interface TestForm {
  readonly name: string
  readonly info: CodeInfo
  readonly form: Form
  readonly bytes: Uint8Array
  readonly memory: boolean
}

const MAPS: readonly (readonly number[])[] = [[], [0x0f], [0x0f, 0x38], [0x0f, 0x3a]]
const PREFIXES: Readonly<Record<string, number>> = { '66': 0x66, F3: 0xf3, F2: 0xf2 }

/** Encodes a row with ModRM.rm = 1 or [RSI], ModRM.reg = 0 unless it is an extension; `rm` other than 1 for x87 registers. */
function encode(info: CodeInfo, memory: boolean, immediate: number, rm: number): Uint8Array {
  const bytes: number[] = []
  const prefix = PREFIXES[info.prefix]
  if (prefix !== undefined) bytes.push(prefix)
  if (info.operandSize === 64 && info.sizeClass !== '') bytes.push(0x48)
  if (info.operandSize === 16 && info.sizeClass !== '') bytes.push(0x66)
  bytes.push(...(MAPS[info.map] as number[]), info.opcode)
  if (info.modrmByte >= 0) bytes.push(info.modrmByte)
  else if (info.modrm) {
    const reg = info.extension >= 0 ? info.extension : 0
    bytes.push(memory ? (reg << 3) | 6 : 0xc0 | (reg << 3) | rm)
  }
  const [variant] = variantsOf(info)
  if (variant !== undefined && formOf(info, variant).operands.some((o) => o.kind === 'imm')) bytes.push(immediate)
  return Uint8Array.from(bytes)
}

/** All forms of the mnemonics in a table, as 64-bit mode encodes them. */
export function formsOf(table: SemanticsTable, wanted: (mnemonic: string) => boolean): TestForm[] {
  const forms = new Map<string, TestForm>()
  for (const info of codes) {
    if (table[info.mnemonic] === undefined || !wanted(info.mnemonic) || isStringForm(info)) continue
    if ((info.modes & 4) === 0 || info.encoding !== 'legacy') continue
    for (const variant of variantsOf(info)) {
      const form = formOf(info, variant)
      const key = formKey(form)
      if (forms.has(key)) continue
      const bytes = encode(info, variant.memory, 0, 1)
      forms.set(key, {
        name: key,
        info,
        form,
        bytes,
        memory: variant.memory && form.operands.some((o) => o.kind === 'mem'),
      })
    }
  }
  return [...forms.values()]
}

/** The bytes of a form with an immediate, or with another register. */
export function withImmediate(form: TestForm, immediate: number, rm = 1): Uint8Array {
  return encode(form.info, form.memory, immediate, rm)
}

const STATE = 0x1000
const RECORD = 0x800
const TLB = 0x4000
/** Linear address of the memory operand: far from what an empty TLB entry stands for. */
const OPERAND = 0x1234_5678_9000n

/** No form is inlined. */
const NOTHING_HOT: unknown = Object.assign(new Set<string>(), { forms: new Set<string>(), pairs: [] })

/** Our processor, with nothing but the forms of a table. */
export class Processor {
  readonly #memory = new WebAssembly.Memory({ initial: 16 })
  readonly #view = new DataView(this.#memory.buffer)
  readonly #bytes = new Uint8Array(this.#memory.buffer)
  readonly #run: (state: number, record: number) => number
  readonly #lowering: Lowering
  readonly #instruction = new Instruction()
  #operand: Uint8Array = new Uint8Array(64)
  /** The vCPU's state, as the last instruction left it. */
  readonly state: DataView = new DataView(this.#memory.buffer, STATE, 0x1000)
  /** Which memory access of an instruction, from 0, is answered with "not yet"; -1: none. */
  refused = -1
  /** Accesses of the last instruction. */
  accesses = 0
  /** Where in its page the operand lies. */
  operandOffset = 0

  constructor(table: SemanticsTable) {
    const sources = codes.flatMap((info) => {
      const semantics = isStringForm(info) ? undefined : table[info.mnemonic]
      if (semantics === undefined) return []
      return [...variantsOf(info)].map((variant) => ({ form: formOf(info, variant), semantics, accessFlags: 0 }))
    })
    const code = generateX86Interpreter(sources, NOTHING_HOT as Parameters<typeof generateX86Interpreter>[1], {
      shared: false,
    })
    const imports = {
      memory: this.#memory,
      access: (lo: number, _hi: number, flags: number) => this.#access(lo, flags),
      timestamp: () => 0,
      system: () => {
        throw new Error('no TypeScript handler here')
      },
      fetch: () => 0,
      cross: () => 0,
      hot: () => 0,
    }
    const module = new WebAssembly.Module(code.bytes as Uint8Array<ArrayBuffer>)
    this.#run = new WebAssembly.Instance(module, { cpu: imports }).exports['run'] as (
      state: number,
      record: number,
    ) => number
    const views = {
      u8: this.#bytes,
      u16: new Uint16Array(this.#memory.buffer),
      u32: new Uint32Array(this.#memory.buffer),
      i32: new Int32Array(this.#memory.buffer),
    }
    this.#lowering = new Lowering(views, (_info, form) => code.codes.get(formKey(form)) ?? { op: OP_SYSTEM, fn: 0 })
  }

  #access(lo: number, flags: number): number {
    if (this.accesses++ === this.refused) return S.STATUS_RETRY
    if ((flags & SLOW_PROBE) !== 0) return 0
    const at = lo & 63
    const size = flags & 0xff
    if ((flags & SLOW_WRITE) !== 0)
      this.#operand.set(this.#bytes.subarray(STATE + S.S_DATA, STATE + S.S_DATA + size), at)
    else this.#bytes.set(this.#operand.subarray(at, at + size), STATE + S.S_DATA)
    return 0
  }

  /**
   * Executes the case at `at` of `cases`, in place.
   *
   * @param prepare - changes what else there is in the state, before
   * @returns how it ended: `STATUS_*`, or the vector of an exception plus 0x100
   */
  execute(cases: Uint8Array, at: number, prepare?: (state: DataView) => void): number {
    const insn = this.#instruction
    if (decodeInto(cases, at, at + 15, 64, insn) !== DECODED) throw new Error('not an instruction')
    const view = this.#view
    view.setUint16(RECORD + 32 + R_OP, OP_LEAVE, true)
    this.#lowering.write(RECORD, insn, 0)
    const input = new DataView(cases.buffer, cases.byteOffset + at, CASE_BYTES)
    this.#operand = cases.subarray(at + C_MEMORY, at + C_MEMORY + 64)
    this.#load(input, cases, at)
    prepare?.(this.state)
    this.accesses = 0
    const status = this.#run(STATE, RECORD)
    if (status === S.STATUS_LEAVE) input.setUint32(C_TRAP, NO_TRAP, true)
    else if (status === S.STATUS_FAULT) input.setUint32(C_TRAP, view.getUint32(STATE + S.S_FAULT_VECTOR, true), true)
    else if (status !== S.STATUS_RETRY) throw new Error(`status ${status}`)
    this.#store(input, cases, at)
    return status === S.STATUS_FAULT ? 0x100 + view.getUint32(STATE + S.S_FAULT_VECTOR, true) : status
  }

  #load(input: DataView, cases: Uint8Array, at: number): void {
    const view = this.#view
    const bytes = this.#bytes
    bytes.fill(0, STATE, STATE + 0x1000)
    view.setUint32(STATE + S.S_TLB, TLB, true)
    view.setUint32(STATE + S.S_BUDGET, 1000, true)
    view.setUint32(STATE + S.S_CR4, 0x600, true)
    view.setBigUint64(STATE + S.S_GPR, input.getBigUint64(C_RAX, true), true)
    view.setBigUint64(STATE + S.S_GPR + 8, input.getBigUint64(C_RCX, true), true)
    view.setBigUint64(STATE + S.S_GPR + 48, OPERAND + BigInt(this.operandOffset), true)
    const flags = input.getUint32(C_RFLAGS, true) & 0x8d5
    view.setUint32(STATE + S.S_FLAGS_KIND, S.FLAGS_EXPLICIT, true)
    view.setUint32(STATE + S.S_FLAGS_B, flags, true)
    view.setUint32(STATE + S.S_FLAGS_RESULT, (flags & 0x40) === 0 ? 1 : 0, true)
    const top = (input.getUint16(FX_FSW, true) >>> 11) & 7
    view.setUint32(STATE + S.S_FCW, input.getUint16(FX_FCW, true), true)
    view.setUint32(STATE + S.S_FSW, input.getUint16(FX_FSW, true) & 0xc7ff, true)
    view.setUint32(STATE + S.S_FTOP, top, true)
    view.setUint32(STATE + S.S_FTAG_EMPTY, ~input.getUint8(FX_FTW) & 0xff, true)
    view.setUint32(STATE + S.S_MXCSR, input.getUint32(FX_MXCSR, true), true)
    for (let i = 0; i < 8; i++) {
      const from = at + FX_ST + 16 * i
      bytes.set(cases.subarray(from, from + 10), STATE + S.S_FPR + 16 * ((top + i) & 7))
    }
    for (let i = 0; i < 16; i++)
      bytes.set(cases.subarray(at + FX_XMM + 16 * i, at + FX_XMM + 16 * i + 16), STATE + S.S_XMM + 64 * i)
  }

  #store(output: DataView, cases: Uint8Array, at: number): void {
    const view = this.#view
    const bytes = this.#bytes
    output.setBigUint64(C_RAX, view.getBigUint64(STATE + S.S_GPR, true), true)
    output.setBigUint64(C_RCX, view.getBigUint64(STATE + S.S_GPR + 8, true), true)
    if (view.getUint32(STATE + S.S_FLAGS_KIND, true) !== S.FLAGS_EXPLICIT) throw new Error('flags are not explicit')
    const flags = view.getUint32(STATE + S.S_FLAGS_B, true)
    if (((flags & 0x40) !== 0) !== (view.getBigUint64(STATE + S.S_FLAGS_RESULT, true) === 0n))
      throw new Error('ZF contradicts the result')
    output.setUint32(C_RFLAGS, flags, true)
    const top = view.getUint32(STATE + S.S_FTOP, true)
    output.setUint16(FX_FCW, view.getUint32(STATE + S.S_FCW, true), true)
    output.setUint16(FX_FSW, view.getUint32(STATE + S.S_FSW, true) | (top << 11), true)
    output.setUint8(FX_FTW, ~view.getUint32(STATE + S.S_FTAG_EMPTY, true) & 0xff)
    output.setUint32(FX_MXCSR, view.getUint32(STATE + S.S_MXCSR, true), true)
    for (let i = 0; i < 8; i++) {
      const from = STATE + S.S_FPR + 16 * ((top + i) & 7)
      cases.set(bytes.subarray(from, from + 10), at + FX_ST + 16 * i)
    }
    for (let i = 0; i < 16; i++)
      cases.set(bytes.subarray(STATE + S.S_XMM + 64 * i, STATE + S.S_XMM + 64 * i + 16), at + FX_XMM + 16 * i)
  }
}

/** What a case has left, by names. */
export type Outcome = Record<string, unknown>

/** The fields in which two outcomes differ, for people. */
export const differencesOf = (is: Outcome, should: Outcome): string =>
  Object.keys(is)
    .filter((key) => is[key] !== should[key])
    .map((key) => `${key} is ${String(is[key])}, should be ${String(should[key])}`)
    .join('; ')
