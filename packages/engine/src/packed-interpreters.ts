import { concatenate } from '@retrap/basics'
import { EngineError } from './errors.ts'
import { OP_FIRST_FORM } from './record.ts'
import type { FormCode, InterpreterCode } from './interpreter.ts'
import type { Interpreters } from './interpreters.ts'

/** Layout version of {@link packInterpreters}' result. */
const VERSION = 2
/** Bytes of the length that precedes the description. */
const LENGTH_BYTES = 4

/** A form: its key, {@link FormCode}, its function's bytes, and its note. */
type PackedForm = readonly [key: string, op: number, fn: number, bytes: number, note: number]

interface Packed {
  readonly version: number
  readonly forms: readonly PackedForm[]
  /** As in {@link InterpreterCode.sharedEntries}. */
  readonly shared: readonly (readonly [string, number])[]
  readonly tableEntries: number
  /** The modules, which follow in this order. */
  readonly interpreters: readonly {
    readonly shared: boolean
    readonly mainBytes: number
    readonly length: number
  }[]
}

/** An interpreter, and the machines that it is for. */
export interface MachineInterpreter<Form> {
  /** Machine memory is shared between threads. */
  readonly shared: boolean
  /** The interpreter. */
  readonly code: InterpreterCode<Form>
}

/**
 * Packs interpreters of an instruction set, which differ in nothing but the machines that they are for, so that they need
 * not be generated again. Compress the result: of megabytes a twentieth is left.
 *
 * @param noteOf - returns a number for a form's key, which `formOf` of {@link unpackInterpreters} gets as `note`
 */
export function packInterpreters<Form>(
  kinds: readonly MachineInterpreter<Form>[],
  noteOf: (key: string) => number,
): Uint8Array {
  const { code } = kinds[0]!
  const packed: Packed = {
    version: VERSION,
    forms: [...code.codes].map(([key, { op, fn }]) => [key, op, fn, code.functionBytes(op, fn), noteOf(key)]),
    shared: [...code.sharedEntries],
    tableEntries: code.tableEntries,
    interpreters: kinds.map((kind) => ({
      shared: kind.shared,
      mainBytes: kind.code.mainBytes,
      length: kind.code.bytes.length,
    })),
  }
  const description = new TextEncoder().encode(JSON.stringify(packed))
  const parts = [new Uint8Array(LENGTH_BYTES), description, ...kinds.map((kind) => kind.code.bytes)]
  new DataView(parts[0]!.buffer).setUint32(0, description.length, true)
  return concatenate(parts)
}

/** An interpreter's code that was generated elsewhere. A form is looked up when hot code with it is compiled. */
class PackedCode<Form> implements InterpreterCode<Form> {
  readonly bytes: Uint8Array
  readonly codes: ReadonlyMap<string, FormCode>
  readonly sharedEntries: ReadonlyMap<string, number>
  readonly tableEntries: number
  readonly mainBytes: number
  readonly #formOf: (key: string, note: number) => Form
  readonly #inlined: readonly PackedForm[]
  readonly #called: readonly PackedForm[]
  readonly #forms = new Map<PackedForm, Form>()

  constructor(
    { forms, shared, tableEntries }: Packed,
    mainBytes: number,
    bytes: Uint8Array,
    formOf: (key: string, note: number) => Form,
  ) {
    this.bytes = bytes
    this.codes = new Map(forms.map(([key, op, fn]) => [key, { op, fn }]))
    this.sharedEntries = new Map(shared)
    this.tableEntries = tableEntries
    this.mainBytes = mainBytes
    this.#formOf = formOf
    // Forms in the order of their cases, and of their entries of the table.
    this.#inlined = forms.filter(([, op]) => op >= OP_FIRST_FORM)
    this.#called = forms.filter(([, op]) => op < OP_FIRST_FORM)
  }

  formOf(op: number, fn: number): Form | undefined {
    const packed = op >= OP_FIRST_FORM ? this.#inlined[op - OP_FIRST_FORM] : this.#called[fn]
    if (packed === undefined) return undefined
    let form = this.#forms.get(packed)
    if (form === undefined) {
      form = this.#formOf(packed[0], packed[4])
      this.#forms.set(packed, form)
    }
    return form
  }

  functionBytes(op: number, fn: number): number {
    return op >= OP_FIRST_FORM ? 0 : (this.#called[fn]?.[3] ?? 0)
  }
}

/**
 * Unpacks interpreters.
 *
 * @param formOf - makes the form packed under `key`, from its number of `noteOf`; called once for each needed form
 * @throws EngineError `ERR_PACKED_INTERPRETERS` for data of another version of {@link packInterpreters}
 */
export function unpackInterpreters<Form>(
  packed: Uint8Array,
  formOf: (key: string, note: number) => Form,
): MachineInterpreter<Form>[] {
  const description = descriptionOf(packed)
  let at = packed.length - description.interpreters.reduce((sum, { length }) => sum + length, 0)
  return description.interpreters.map(({ shared, mainBytes, length }) => {
    const bytes = packed.subarray(at, at + length)
    at += length
    return { shared, code: new PackedCode(description, mainBytes, bytes, formOf) }
  })
}

function descriptionOf(packed: Uint8Array): Packed {
  try {
    const length = new DataView(packed.buffer, packed.byteOffset, packed.byteLength).getUint32(0, true)
    const text = new TextDecoder().decode(packed.subarray(LENGTH_BYTES, LENGTH_BYTES + length))
    const description = JSON.parse(text) as Packed
    const modules = description.interpreters.reduce((sum, one) => sum + one.length, 0)
    if (description.version === VERSION && LENGTH_BYTES + length + modules === packed.length) return description
  } catch {
    // Said below.
  }
  throw new EngineError(
    'ERR_PACKED_INTERPRETERS',
    `${packed.length} bytes are no interpreters of this version; give what packInterpreters returned`,
  )
}

/**
 * Packs the interpreters of machines that compile hot code, with private and with shared memory, for {@link usePacked}.
 *
 * @param noteOf - as in {@link packInterpreters}
 */
export function packKinds<Form>(interpreters: Interpreters<Form>, noteOf: (key: string) => number): Uint8Array {
  return packInterpreters(
    [false, true].map((shared) => ({ shared, code: interpreters.of({ shared, hot: true }).code })),
    noteOf,
  )
}

/**
 * Makes future machines use packed interpreters; existing interpreters stay.
 *
 * @param formOf - as in {@link unpackInterpreters}
 * @throws EngineError `ERR_PACKED_INTERPRETERS` for data of another version of {@link packKinds}
 */
export function usePacked<Form>(
  interpreters: Interpreters<Form>,
  packed: Uint8Array,
  formOf: (key: string, note: number) => Form,
): void {
  for (const { shared, code } of unpackInterpreters(packed, formOf)) interpreters.give({ shared, hot: true }, code)
}
