import type { KeyName } from './keys.ts'

/** A key that a terminal's user has pressed: a character of any layout, or a key by its name. */
export interface TerminalKey {
  readonly key: { readonly character: string } | { readonly name: KeyName }
  /** Modifier keys, in the order in which they go down. */
  readonly held: readonly KeyName[]
}

/** The meaning of the beginning of a terminal's input. */
export interface TerminalInput {
  /** The key; undefined: an unknown sequence. */
  readonly pressed?: TerminalKey
  /** Number of UTF-16 units; 0: the sequence is incomplete. */
  readonly length: number
}

const ESCAPE = '\x1b'
/** UTF-16 units of the longest sequence, without its ESC. */
const LONGEST = 32

/** CSI sequences by their last letter (ECMA-48, and xterm, "PC-Style Function Keys"). */
const BY_LETTER: Readonly<Record<string, KeyName>> = {
  A: 'ArrowUp',
  B: 'ArrowDown',
  C: 'ArrowRight',
  D: 'ArrowLeft',
  E: 'Numpad5',
  F: 'End',
  H: 'Home',
  P: 'F1',
  Q: 'F2',
  R: 'F3',
  S: 'F4',
}
/** Keys of a keypad in application mode, behind ESC O (xterm, "VT220-Style Function Keys"). */
const BY_KEYPAD_LETTER: Readonly<Record<string, KeyName>> = {
  M: 'NumpadEnter',
  X: 'NumpadEqual',
  j: 'NumpadMultiply',
  k: 'NumpadAdd',
  l: 'NumpadComma',
  m: 'NumpadSubtract',
  n: 'NumpadDecimal',
  o: 'NumpadDivide',
  ...Object.fromEntries([...'pqrstuvwxy'].map((letter, i) => [letter, `Numpad${i}` as KeyName])),
}
/** CSI sequences with `~`, by their first number, of xterm, the VT220, rxvt and Linux; `-`: unused. */
const BY_NUMBER: readonly string[] = [
  ...['-', 'Home', 'Insert', 'Delete', 'End', 'PageUp', 'PageDown', 'Home', 'End', '-', '-'],
  ...['F1', 'F2', 'F3', 'F4', 'F5', '-', 'F6', 'F7', 'F8', 'F9', 'F10', '-', 'F11', 'F12'],
  ...['F13', 'F14', '-', 'F15', 'F16', '-', 'F17', 'F18', 'F19', 'F20'],
]
/** Modifier bits by the final character of rxvt's sequences. */
const RXVT_MODIFIERS: Readonly<Record<string, number>> = { $: 1, '^': 4, '@': 5 }
/** Modifiers by bit of a sequence's second number, minus one. */
const MODIFIERS: readonly KeyName[] = ['ShiftLeft', 'AltLeft', 'ControlLeft', 'MetaLeft']
const SHIFT = 1
const ALT = 2
const CONTROL = 4

/** `CSI 27 ; modifiers ; character ~`: xterm's modifyOtherKeys. */
const OTHER_KEY = 27

const CSI = /^\[([<=>?]?)([\d;:]*)[ -/]*([@-~])/
const CSI_BEGUN = /^\[(\[|[<=>?]?[\d;:]*[ -/]*)$/
/** F1 to F5 of Linux's console. */
const LINUX_FUNCTION = /^\[\[([A-E])/
/** Keys with modifiers of rxvt, which tells them by the end of a sequence. */
const RXVT = /^\[(\d+)([$^@])/
/** Arrows in lower case: with Shift behind CSI, and with Control behind ESC O. */
const RXVT_ARROW = /^[[O]([a-d])/
const SS3 = /^O(\d?)([A-Za-z])/
const SS3_BEGUN = /^O\d?$/

/**
 * Reads the first key of a terminal's input.
 *
 * @param text - the typed text, not empty
 * @param whole - nothing more of a sequence that has begun is to come
 *
 * Sources: ECMA-48, "Control sequences"; XTerm Control Sequences, "PC-Style Function Keys"; console_codes(4).
 */
export function readTerminalKey(text: string, whole: boolean): TerminalInput {
  if (!text.startsWith(ESCAPE)) return plainKey(text)
  if (!whole && (text === ESCAPE || text === ESCAPE + ESCAPE)) return { length: 0 }
  // A terminal puts a further ESC before the sequence of a key that is pressed with Alt.
  const alt = text.startsWith(ESCAPE + ESCAPE)
  const at = alt ? 2 : 1
  const rest = text.slice(at, at + LONGEST)
  if (!RXVT.test(rest) && (CSI_BEGUN.test(rest) || SS3_BEGUN.test(rest))) {
    if (rest.length < LONGEST && !whole) return { length: 0 }
    // A single character may have been typed with Alt; the rest of a sequence stands for nothing.
    if (rest.length > 1) return { length: at + rest.length }
  }
  const read = sequence(rest, alt ? ALT : 0)
  if (read !== undefined) return { ...read, length: at + read.length }
  if (rest === '' || alt) return { pressed: named('Escape', 0), length: 1 }
  // Linux's console. Alt with Tab is the desktop's on the others.
  if (rest.startsWith('\t')) return { pressed: named('Tab', SHIFT), length: 2 }
  // ESC and a character: the character with Alt.
  const { pressed, length } = plainKey(rest)
  return found(pressed && withAlt(pressed), 1 + length)
}

/** @param modifiers - bits of {@link MODIFIERS} that are held anyway */
function sequence(rest: string, modifiers: number): TerminalInput | undefined {
  const linux = LINUX_FUNCTION.exec(rest)
  if (linux !== null) {
    return { pressed: named(`F${linux[1]!.charCodeAt(0) - 0x40}` as KeyName, modifiers), length: 3 }
  }
  const rxvt = RXVT.exec(rest)
  if (rxvt !== null) {
    const [{ length }, number = '', end = ''] = rxvt
    return found(csiKey([number], '~', modifiers | RXVT_MODIFIERS[end]!), length)
  }
  const arrow = RXVT_ARROW.exec(rest)?.[1]
  if (arrow !== undefined) {
    const held = modifiers | (rest.startsWith('O') ? CONTROL : SHIFT)
    return found(named(BY_LETTER[arrow.toUpperCase()]!, held), 2)
  }
  const ss3 = SS3.exec(rest)
  if (ss3 !== null) {
    const [{ length }, held = '', letter = ''] = ss3
    const name = BY_LETTER[letter] ?? BY_KEYPAD_LETTER[letter]
    // ESC O is Alt with O as well.
    if (name === undefined) return undefined
    return { pressed: named(name, modifiers | modifiersOf(held)), length }
  }
  const csi = CSI.exec(rest)
  if (csi === null) return undefined
  const [{ length }, prefix, parameters = '', final = ''] = csi
  return found(prefix === '' ? csiKey(parameters.split(';'), final, modifiers) : undefined, length)
}

function found(pressed: TerminalKey | undefined, length: number): TerminalInput {
  return { length, ...(pressed !== undefined && { pressed }) }
}

function csiKey(parameters: readonly string[], final: string, modifiers: number): TerminalKey | undefined {
  const held = modifiers | modifiersOf(parameters[1])
  const number = Number.parseInt(parameters[0] ?? '', 10)
  if (final === 'Z') return named('Tab', held | SHIFT)
  if (final === 'u') return otherKey(number, held)
  if (final !== '~') return BY_LETTER[final] === undefined ? undefined : named(BY_LETTER[final], held)
  if (number === OTHER_KEY) return otherKey(Number.parseInt(parameters[2] ?? '', 10), held)
  const name = BY_NUMBER[number] ?? '-'
  return name === '-' ? undefined : named(name as KeyName, held)
}

/** Returns the key of a character code with separate modifiers. */
function otherKey(code: number, held: number): TerminalKey | undefined {
  // Surrogates and values beyond Unicode are not characters.
  if (!(code >= 0 && code <= 0xffff) || (code >= 0xd800 && code <= 0xdfff)) return undefined
  const { pressed } = plainKey(String.fromCharCode(code))
  return pressed === undefined ? undefined : { ...pressed, held: [...modifierKeys(held), ...pressed.held] }
}

/** Returns the key of a character, or the keys of a control character. */
function plainKey(text: string): TerminalInput {
  const character = String.fromCodePoint(text.codePointAt(0)!)
  const code = character.charCodeAt(0)
  // Tab, Enter as CR or LF, Escape; Backspace is DEL on most terminals and BS on the others.
  if ('\t\r\n\b\x1b\x7f'.includes(character)) return { pressed: { key: { character }, held: [] }, length: 1 }
  if (code >= 0x20) return { pressed: { key: { character }, held: [] }, length: character.length }
  const letter = code === 0 ? ' ' : String.fromCharCode(code + 0x40).toLowerCase()
  return { pressed: { key: { character: letter }, held: modifierKeys(CONTROL) }, length: 1 }
}

function withAlt({ key, held }: TerminalKey): TerminalKey {
  return { key, held: [...modifierKeys(ALT), ...held] }
}

function named(name: KeyName, modifiers: number): TerminalKey {
  return { key: { name }, held: modifierKeys(modifiers) }
}

/** The bits of a number that is 1 without any, and may have more behind a colon. */
function modifiersOf(text: string | undefined): number {
  const number = Number.parseInt(text ?? '', 10)
  return number > 1 ? (number - 1) & 0xf : 0
}

function modifierKeys(modifiers: number): readonly KeyName[] {
  return MODIFIERS.filter((_, bit) => ((modifiers >> bit) & 1) !== 0)
}
