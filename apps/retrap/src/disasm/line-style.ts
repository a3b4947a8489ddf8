/** What lines with and without colour have in common. */

export const SYNTAXES = ['intel', 'att', 'nasm'] as const
export type Syntax = (typeof SYNTAXES)[number]

/** What a comment begins with, behind the line. */
export const COMMENT_STARTS: Readonly<Record<Syntax, string>> = { intel: '  ; ', att: '  # ', nasm: '  ; ' }

/** Columns for seven bytes and a blank, as objdump has them; longer instructions push the text to the right. */
export const BYTES_WIDTH = 22
/** Columns for the mnemonic. */
export const MNEMONIC_WIDTH = 8

/** As GNU's tools write it, AT&T syntax has no blanks behind commas. */
export const spacingOf = (syntax: Syntax): 'tight' | 'normal' => (syntax === 'att' ? 'tight' : 'normal')

/** Comment of a line whose bytes end before the instruction does. */
export const CUT_OFF = 'the bytes end too early'
