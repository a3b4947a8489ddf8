import { formatOperand, type Operand } from './operands.ts'
import { NO_PREFIXES, type InstructionPrefixes } from './prefixes.ts'

/** An instruction's text in listings. */
export class InstructionText {
  readonly #mnemonic: string
  readonly #operands: readonly Operand[]
  readonly #prefixes: InstructionPrefixes

  constructor(mnemonic: string, operands: readonly Operand[], prefixes: InstructionPrefixes) {
    this.#mnemonic = mnemonic
    this.#operands = operands
    this.#prefixes = prefixes
  }

  toString(): string {
    const operands = this.#operands.map(formatOperand).join(', ')
    return `${leadOf(this.#prefixes)}${this.#mnemonic.toLowerCase()} ${operands}`.trimEnd()
  }
}

/** Formats prefixes for listings. */
function leadOf(prefixes: InstructionPrefixes): string {
  if (prefixes === NO_PREFIXES) return ''
  const words = [
    ...prefixes.raw.map((value) => `{0x${value.toString(16)}}`),
    ...(prefixes.encoding === undefined ? [] : [`{${prefixes.encoding}}`]),
    ...(prefixes.noFlags ? ['{nf}'] : []),
    ...prefixes.hints.map((hint) => (hint === 'notTaken' ? 'not taken' : hint)),
    ...(prefixes.lock ? ['lock'] : []),
    ...(prefixes.repeat === 0 ? [] : [prefixes.repeat === 0xf3 ? 'rep' : 'repne']),
  ]
  return words.map((word) => `${word} `).join('')
}
