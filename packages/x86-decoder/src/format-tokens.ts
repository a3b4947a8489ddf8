/** How to print an instruction, and the pieces that a printed one consists of. */

/** How to print. */
export interface FormatOptions {
  /** Offset of the first byte in its code segment; taken from a `DecodedInstruction` unless given. */
  readonly address?: bigint
  /** Name of an address, as `symbol` or `symbol+0x10`, or undefined if it has none. */
  readonly symbols?: (address: bigint) => string | undefined
  /** `prefix`: 0x1f, the default; `suffix`: 1fh. AT&T syntax knows the prefix alone. */
  readonly hex?: 'prefix' | 'suffix'
  /** Mnemonics, registers, keywords and hexadecimal digits in capitals; symbols stay as they are. */
  readonly upperCase?: boolean
  /**
   * `normal`, the default: a blank after each comma (`mov rax, rbx`); `tight`: none, as objdump prints (`mov rax,rbx`);
   * `loose`: blanks also around the + and - of an address.
   */
  readonly spacing?: 'tight' | 'normal' | 'loose'
  /** Characters up to the first operand, filled with blanks; 0 unless given. */
  readonly mnemonicWidth?: number
}

/**
 * Names the kind of a piece of a printed instruction.
 *
 * `prefix`: LOCK, REP and their like; `keyword`: a word of the syntax such as `ptr` or `far`; `number`: an immediate,
 * displacement or scale; `address`: a branch's target or an absolute operand; `symbol`: the resolver's text for an
 * address; `punctuation`: brackets, commas, signs, sigils; `space`: blanks.
 */
export type TokenKind =
  | 'prefix'
  | 'mnemonic'
  | 'keyword'
  | 'register'
  | 'number'
  | 'address'
  | 'symbol'
  | 'punctuation'
  | 'space'

/** A piece of a printed instruction. The texts of all pieces, in order, are the line. */
export interface Token {
  /** The kind, by which a tool colours or links the piece. */
  readonly kind: TokenKind
  /** The characters; never empty. */
  readonly text: string
}

/** Joins tokens to the line that they make. */
export function joinTokens(tokens: readonly Token[]): string {
  let text = ''
  for (const token of tokens) text += token.text
  return text
}
