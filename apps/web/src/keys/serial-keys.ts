/** Held modifier keys. */
export interface Held {
  readonly control: boolean
  readonly alt: boolean
  readonly shift: boolean
}

/** Final bytes of keys after CSI, or SS3. */
const LETTERS: Readonly<Record<string, string>> = {
  ArrowUp: 'A',
  ArrowDown: 'B',
  ArrowRight: 'C',
  ArrowLeft: 'D',
  End: 'F',
  Home: 'H',
  F1: 'P',
  F2: 'Q',
  F3: 'R',
  F4: 'S',
}
/** Numbers of keys before `~`. */
const NUMBERS: Readonly<Record<string, number>> = {
  ...{
    Insert: 2,
    Delete: 3,
    PageUp: 5,
    PageDown: 6,
    F5: 15,
    F6: 17,
    F7: 18,
    F8: 19,
    F9: 20,
    F10: 21,
    F11: 23,
    F12: 24,
  },
}
const PLAIN: Readonly<Record<string, string>> = { Escape: '\x1b', Tab: '\t', Enter: '\r', Backspace: '\x7f' }

/**
 * Returns the bytes that a terminal sends for a key; undefined: none.
 *
 * Source: XTerm Control Sequences, "PC-Style Function Keys".
 */
export function terminalKey(code: string, { control, alt, shift }: Held): string | undefined {
  const modifiers = 1 + (shift ? 1 : 0) + (alt ? 2 : 0) + (control ? 4 : 0)
  const letter = LETTERS[code]
  if (letter !== undefined) {
    if (modifiers > 1) return `\x1b[1;${modifiers}${letter}`
    return `${code.startsWith('F') ? '\x1bO' : '\x1b['}${letter}`
  }
  const number = NUMBERS[code]
  if (number !== undefined) return `\x1b[${number}${modifiers > 1 ? `;${modifiers}` : ''}~`
  if (code === 'Tab' && shift) return '\x1b[Z'
  const plain = PLAIN[code]
  return plain === undefined ? undefined : `${alt ? '\x1b' : ''}${plain}`
}

/** Returns the bytes that a terminal sends for text: with Control the control characters, with Alt an escape before each. */
export function terminalText(text: string, { control, alt }: Held): string {
  const characters = [...text].map((character) => {
    const code = character.toUpperCase().charCodeAt(0)
    const plain = control && code >= 0x40 && code < 0x60 ? String.fromCharCode(code & 0x1f) : character
    return `${alt ? '\x1b' : ''}${plain === '\n' ? '\r' : plain}`
  })
  return characters.join('')
}
