// Text for the assembler of @retrap/x86-assembler: the part of the language that the exercise's kernel needs.
import {
  ah,
  al,
  type Assembler,
  AssemblerError,
  ax,
  bh,
  bl,
  bp,
  bx,
  byte,
  ch,
  cl,
  cx,
  dh,
  di,
  dl,
  dword,
  dx,
  eax,
  ebp,
  ebx,
  ecx,
  edi,
  edx,
  esi,
  esp,
  type Label,
  ptr,
  si,
  sp,
  word,
} from '@retrap/x86-assembler'

const REGISTERS: Readonly<Record<string, object>> = {
  ...{ al, ah, bl, bh, cl, ch, dl, dh, ax, bx, cx, dx, si, di, sp, bp },
  ...{ eax, ebx, ecx, edx, esi, edi, esp, ebp },
}

/** How memory of a size is written. */
const SIZES = { byte, word, dword, ptr } as const

const MNEMONICS: ReadonlySet<string> = new Set(
  (
    'mov movzx lea add sub inc dec neg not and or xor shl shr cmp test push pop xchg call ret jmp je jne jz jnz ja jae jb jbe jg jge jl ' +
    'jle jc jnc js jns loop lodsb stosb movsb in out nop pause hlt cli sti'
  ).split(' '),
)

const NAME = /^[a-z_]\w*$/i
const NUMBER = /^-?(?:0x[\da-f]+|\d+)$/i

/** A line of a source that cannot be assembled. */
export class SourceError extends Error {
  /** Counted from 1. */
  readonly line: number

  constructor(line: number, message: string) {
    super(message)
    this.name = 'SourceError'
    this.line = line
  }
}

/** A source in an assembler. */
export interface AssembledText {
  /** The lines that have an instruction, and a label at its address. */
  readonly lines: readonly (readonly [line: number, label: Label])[]
}

/**
 * Assembles a source: an instruction, a label or data a line, with comments behind a semicolon.
 *
 * @param given - labels that the source may use, and that are bound elsewhere; it gets those of the source
 * @throws SourceError
 */
export function assembleText(asm: Assembler, source: string, given: Map<string, Label>): AssembledText {
  const bound = new Set(given.keys())
  const used = new Map<string, number>()
  const labelOf = (name: string, line: number): Label => {
    used.set(name, used.get(name) ?? line)
    const label = given.get(name) ?? asm.label(name)
    given.set(name, label)
    return label
  }
  const lines: (readonly [number, Label])[] = []
  for (const [i, text] of source.split('\n').entries()) {
    const line = i + 1
    const [, name, rest = ''] = /^\s*(?:(\w+):)?(.*)$/.exec(withoutComment(text)) ?? []
    if (name !== undefined) {
      if (bound.has(name)) throw new SourceError(line, `${name} is there already; a label has one place`)
      bound.add(name)
      asm.bind(labelOf(name, line))
    }
    const [, mnemonic = '', operands = ''] = /^\s*(\w*)\s*(.*?)\s*$/.exec(rest) ?? []
    if (mnemonic === '') continue
    if (mnemonic === 'db') {
      asm.db(...data(operands, line))
      continue
    }
    if (!MNEMONICS.has(mnemonic)) throw new SourceError(line, `${mnemonic} is no instruction that is known here`)
    lines.push([line, asm.here()])
    const values = listOf(operands).map((operand) => operandOf(operand, line, labelOf))
    const methods = asm as unknown as Readonly<Record<string, (...values: readonly unknown[]) => unknown>>
    try {
      methods[mnemonic]!.apply(asm, values)
    } catch (error) {
      throw error instanceof AssemblerError ? new SourceError(line, error.message) : error
    }
  }
  for (const [name, line] of used)
    if (!bound.has(name)) throw new SourceError(line, `there is no label ${name}; write ${name}: where it is to be`)
  return { lines }
}

/** Takes a comment off a line. A semicolon in a text is none. */
const withoutComment = (line: string): string => line.replace(/^((?:"[^"]*"|'[^']*'|[^;"'])*);.*$/, '$1')

/** The parts of a list, whose texts may have commas in them. */
const listOf = (list: string): readonly string[] =>
  (list.match(/(?:"[^"]*"|'[^']*'|[^,"'])+/g) ?? []).map((part) => part.trim())

function numberOf(text: string): number | undefined {
  if (/^'.'$/.test(text)) return text.charCodeAt(1)
  if (!NUMBER.test(text)) return undefined
  return text.startsWith('-') ? -Number(text.slice(1)) : Number(text)
}

function data(operands: string, line: number): number[] {
  return listOf(operands).flatMap((part) => {
    const value = numberOf(part)
    if (value !== undefined) return [value]
    if (/^"[^"]*"$/.test(part)) return [...new TextEncoder().encode(part.slice(1, -1))]
    throw new SourceError(line, `${part} is no data; write numbers and "texts", with commas between them`)
  })
}

function operandOf(text: string, line: number, labelOf: (name: string, line: number) => Label): unknown {
  const [, size = 'ptr', place] = /^(?:(byte|word|dword)\s+)?\[(.*)\]$/i.exec(text) ?? []
  if (place !== undefined) {
    const [registers, labels]: [object[], Label[]] = [[], []]
    let offset = 0
    for (const part of place.split('+').map((one) => one.trim())) {
      const value = numberOf(part)
      const register = REGISTERS[part.toLowerCase()]
      if (value !== undefined) offset += value
      else if (register !== undefined) registers.push(register)
      else if (NAME.test(part)) labels.push(labelOf(part, line))
      else throw new SourceError(line, `[${place}] is no place in memory; write such as [ecx + name + 1]`)
    }
    const [label] = labels
    if (labels.length > 1 || registers.length > 2)
      throw new SourceError(line, `[${place}] has more than one label, or more than two registers`)
    const at = label === undefined ? offset : label.plus(offset)
    const [base, index] = registers
    const make = SIZES[size.toLowerCase() as keyof typeof SIZES] as (...values: readonly unknown[]) => unknown
    return base === undefined ? make(at) : make(base, { disp: at, ...(index !== undefined && { index }) })
  }
  const value = numberOf(text) ?? REGISTERS[text.toLowerCase()]
  if (value !== undefined) return value
  if (NAME.test(text)) return labelOf(text, line)
  throw new SourceError(line, `${text} is no operand; write a register, a number, a label or [a place in memory]`)
}
