/** The lines that `retrap disasm` prints. */
import {
  decodeAll,
  type DecodedInstruction,
  formatAtt,
  formatIntel,
  formatNasm,
  type FormatOptions,
  type Token,
  type TokenKind,
  tokensAtt,
  tokensIntel,
  tokensNasm,
} from '@retrap/x86-decoder'
import type { Mode, Section } from './program.ts'
import { SymbolTable } from './symbols.ts'

export const SYNTAXES = ['intel', 'att', 'nasm'] as const
export type Syntax = (typeof SYNTAXES)[number]

export interface ListingOptions {
  readonly mode: Mode
  readonly syntax: Syntax
  readonly colour: boolean
  /** First address; the section's unless given. */
  readonly start?: bigint
  /** No instruction starts at this address or after it. */
  readonly stop?: bigint
  /** Called now and then with how many bytes of the section are listed. */
  readonly onProgress?: (bytes: number) => void
}

/** Lines between two calls of `onProgress`. */
const PROGRESS_LINES = 4096

type Formatter<T> = (target: DecodedInstruction, options: FormatOptions) => T

const FORMATTERS: Readonly<Record<Syntax, Formatter<string>>> = {
  intel: formatIntel,
  att: formatAtt,
  nasm: formatNasm,
}
const TOKEN_FORMATTERS: Readonly<Record<Syntax, Formatter<readonly Token[]>>> = {
  intel: tokensIntel,
  att: tokensAtt,
  nasm: tokensNasm,
}
const COMMENT_SIGNS: Readonly<Record<Syntax, string>> = { intel: ';', att: '#', nasm: ';' }

/** SGR parameters (ECMA-48). What is not here has the terminal's own colour. */
const COLOURS: Partial<Readonly<Record<TokenKind | 'label' | 'dim', string>>> = {
  prefix: '35',
  mnemonic: '1',
  register: '36',
  number: '33',
  address: '33',
  symbol: '32',
  label: '1;32',
  dim: '2',
}

/** Columns for seven bytes, as objdump has them; longer instructions push the text to the right. */
const BYTES_WIDTH = 21

/** Cuts a section to a range of addresses; undefined if none of it is left. */
export function cut(section: Section, start: bigint | undefined, stop: bigint | undefined): Section | undefined {
  const end = section.address + BigInt(section.bytes.length)
  const from = start === undefined || start < section.address ? section.address : start
  if (from >= end || (stop !== undefined && stop <= from)) return undefined
  return { ...section, address: from, bytes: section.bytes.subarray(Number(from - section.address)) }
}

/** The lines of one section. A label stands before each place with a name. */
export function* listSection(section: Section, options: ListingOptions): Generator<string, void> {
  const { mode, syntax, stop } = options
  const paint = painter(options.colour)
  const symbols = new SymbolTable(section.symbols)
  const format: FormatOptions = {
    symbols: (address) => symbols.resolve(address),
    spacing: syntax === 'att' ? 'tight' : 'normal',
    mnemonicWidth: 8,
  }
  const last = section.address + BigInt(section.bytes.length)
  const digits = Math.max(4, (stop === undefined || stop > last ? last : stop).toString(16).length)
  yield paint('dim', `${section.name}:`)
  let count = 0
  for (const decoded of decodeAll(section.bytes, { mode, address: section.address })) {
    const { address } = decoded
    if (stop !== undefined && address >= stop) return
    if (++count % PROGRESS_LINES === 0) options.onProgress?.(Number(address - section.address))
    const label = symbols.at(address)
    if (label !== undefined) {
      yield ''
      yield `${paint('label', label)}:`
    }
    const bytes = bytesOf(decoded, section)
    const text = options.colour
      ? TOKEN_FORMATTERS[syntax](decoded, format)
          .map(({ kind, text: piece }) => paint(kind, piece))
          .join('')
      : FORMATTERS[syntax](decoded, format)
    const comment = commentOn(decoded, symbols)
    const tail = comment === '' ? '' : paint('dim', `  ${COMMENT_SIGNS[syntax]} ${comment}`)
    yield `${paint('dim', address.toString(16).padStart(digits, '0'))}  ${bytes.padEnd(BYTES_WIDTH)} ${text}${tail}`
  }
}

type Paint = (kind: TokenKind | 'label' | 'dim', text: string) => string

function painter(colour: boolean): Paint {
  if (!colour) return (_, text) => text
  return (kind, text) => {
    const code = COLOURS[kind]
    return code === undefined ? text : `\u001B[${code}m${text}\u001B[0m`
  }
}

/** All bytes in hexadecimal. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** The bytes of a line: of what is no instruction one, of what the section cuts off all that is there. */
function bytesOf(decoded: DecodedInstruction, section: Section): string {
  const at = Number(decoded.address - section.address)
  const length =
    decoded.status === 'decoded' ? decoded.length : decoded.status === 'invalid' ? 1 : section.bytes.length - at
  let text = HEX[section.bytes[at] as number] as string
  for (let i = at + 1; i < at + length; i++) text += ` ${HEX[section.bytes[i] as number] as string}`
  return text
}

/** The address behind a symbol or a displacement from RIP, and why something is no instruction. */
function commentOn(decoded: DecodedInstruction, symbols: SymbolTable): string {
  if (decoded.status !== 'decoded') return decoded.reason
  for (const operand of decoded.operands) {
    const isRelative = operand.kind === 'memory' && operand.base !== undefined
    const address = operand.kind === 'branch' ? operand.target : operand.kind === 'memory' ? operand.address : undefined
    if (address !== undefined && (isRelative || symbols.resolve(address) !== undefined)) {
      return `0x${address.toString(16)}`
    }
  }
  return ''
}
