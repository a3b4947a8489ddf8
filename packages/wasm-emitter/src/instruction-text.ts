import type { ByteReader } from './byte-reader.ts'
import { WasmEmitterError } from './errors.ts'
import { ATOMIC_RMW, LANES, LOADS, NUMERIC, STORES } from './opcodes.ts'

/** The operands that follow an instruction's code. */
type Operands = (reader: ByteReader) => string

const none: Operands = () => ''
/** Bytes that are equal in all modules of this emitter: blocks have no result, and memory and table have index 0. */
const skip =
  (count: number): Operands =>
  (reader) => {
    reader.bytes(count)
    return ''
  }
const index: Operands = (reader) => ` ${reader.leb()}`
/** Alignment and offset of an access; {@link FunctionBuilder} claims no alignment that is not needed. */
const access: Operands = (reader) => {
  const align = 2 ** reader.leb()
  const offset = reader.leb()
  return `${offset === 0 ? '' : ` offset=${offset}`} align=${align}`
}
const lane: Operands = (reader) => ` ${reader.u8()}`
const lanes: Operands = (reader) => ` ${Array.from(reader.bytes(16)).join(' ')}`
/** Calls through table 0. */
const indirect: Operands = (reader) => {
  const type = reader.leb()
  reader.leb()
  return ` (type ${type})`
}
const targets: Operands = (reader) => ` ${[...reader.list(() => reader.leb()), reader.leb()].join(' ')}`

function float(value: number): string {
  if (Number.isNaN(value)) return ' nan'
  if (Math.abs(value) === Infinity) return value < 0 ? ' -inf' : ' inf'
  return Object.is(value, -0) ? ' -0' : ` ${value}`
}

/** First bytes of multi-byte opcodes. */
const PREFIXES = new Set([0xfc, 0xfd, 0xfe])

const INSTRUCTIONS = new Map<string, readonly [name: string, operands: Operands]>([
  ['0', ['unreachable', none]],
  ['2', ['block', skip(1)]],
  ['3', ['loop', skip(1)]],
  ['4', ['if', skip(1)]],
  ['5', ['else', none]],
  ['11', ['end', none]],
  ['12', ['br', index]],
  ['13', ['br_if', index]],
  ['14', ['br_table', targets]],
  ['15', ['return', none]],
  ['16', ['call', index]],
  ['17', ['call_indirect', indirect]],
  ['19', ['return_call_indirect', indirect]],
  ['27', ['select', none]],
  ['32', ['local.get', index]],
  ['33', ['local.set', index]],
  ['34', ['local.tee', index]],
  ['65', ['i32.const', (reader) => ` ${reader.signedLeb(32)}`]],
  ['66', ['i64.const', (reader) => ` ${reader.signedLeb(64)}`]],
  ['67', ['f32.const', (reader) => float(reader.f32())]],
  ['68', ['f64.const', (reader) => float(reader.f64())]],
  ['252,10', ['memory.copy', skip(2)]],
  ['252,11', ['memory.fill', skip(1)]],
  ['253,12', ['v128.const i8x16', lanes]],
  ['253,13', ['i8x16.shuffle', lanes]],
])
for (const [table, operands] of [
  [NUMERIC, none],
  [LOADS, access],
  [STORES, access],
  [ATOMIC_RMW, access],
  [LANES, lane],
] as const) {
  for (const [name, [code]] of Object.entries(table)) INSTRUCTIONS.set(code.join(','), [name, operands])
}

/** Reads an instruction, and returns its name and operands in WebAssembly's text format. */
export function instructionText(reader: ByteReader): { readonly name: string; readonly operands: string } {
  const { at } = reader
  const first = reader.u8()
  const code = [first]
  if (PREFIXES.has(first)) {
    do code.push(reader.u8())
    while (code.at(-1)! >= 0x80)
  }
  const known = INSTRUCTIONS.get(code.join(','))
  if (known === undefined) {
    const bytes = code.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    throw new WasmEmitterError('ERR_STRUCTURE', `no instruction of this emitter at byte ${at}: ${bytes}`)
  }
  const [name, operands] = known
  return { name, operands: operands(reader) }
}
