/** Colours of a listing. */
import type { TokenKind } from '@retrap/x86-decoder'

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

export type Paint = (kind: TokenKind | 'label' | 'dim', text: string) => string

/** Returns a function that colours text, or leaves it as it is. */
export function painter(colour: boolean): Paint {
  if (!colour) return (_, text) => text
  return (kind, text) => {
    const code = COLOURS[kind]
    return code === undefined ? text : `\u001B[${code}m${text}\u001B[0m`
  }
}
