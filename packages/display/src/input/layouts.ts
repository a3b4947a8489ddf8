import { DisplayError } from '../errors.ts'
import { type KeyName, keyUsage } from './keys.ts'

/** Names a keyboard layout: the legends printed on the keys. The guest must be set to the same layout. */
export type KeyboardLayoutName = 'us' | 'gb' | 'de' | 'fr'

/** A key stroke of a character, with the keys held meanwhile. */
export interface KeyStroke {
  /** Usage of the HID Keyboard/Keypad page. */
  readonly usage: number
  /** Whether Shift is held. */
  readonly shift: boolean
  /** Whether AltGr is held. */
  readonly altGr: boolean
}

/**
 * Four rows of keys as four strings: the characters alone, with Shift, and with AltGr. A blank: no character.
 *
 * The rows begin at the keys Backquote, KeyQ, KeyA and IntlBackslash.
 */
interface Layout {
  readonly plain: readonly [string, string, string, string]
  readonly shift: readonly [string, string, string, string]
  readonly altGr?: readonly [string, string, string, string]
  /** Characters of dead keys, which wait for a second key. */
  readonly dead?: string
}

// As in xkeyboard-config 2.35, the layouts' first variants.
const LAYOUTS: Readonly<Record<KeyboardLayoutName, Layout>> = {
  us: {
    plain: ['`1234567890-=', 'qwertyuiop[]', "asdfghjkl;'\\", ' zxcvbnm,./'],
    shift: ['~!@#$%^&*()_+', 'QWERTYUIOP{}', 'ASDFGHJKL:"|', ' ZXCVBNM<>?'],
  },
  gb: {
    plain: ['`1234567890-=', 'qwertyuiop[]', "asdfghjkl;'#", '\\zxcvbnm,./'],
    shift: ['¬!"£$%^&*()_+', 'QWERTYUIOP{}', 'ASDFGHJKL:@~', '|ZXCVBNM<>?'],
    altGr: ['    €        ', '            ', '            ', '           '],
  },
  de: {
    plain: ['^1234567890ß´', 'qwertzuiopü+', 'asdfghjklöä#', '<yxcvbnm,.-'],
    shift: ['°!"§$%&/()=?`', 'QWERTZUIOPÜ*', "ASDFGHJKLÖÄ'", '>YXCVBNM;:_'],
    altGr: ['  ²³   {[]}\\ ', '@ €        ~', '            ', '|      µ   '],
    dead: '^´`',
  },
  fr: {
    plain: ['²&é"\'(-è_çà)=', 'azertyuiop^$', 'qsdfghjklmù*', '<wxcvbn,;:!'],
    shift: [' 1234567890°+', 'AZERTYUIOP¨£', 'QSDFGHJKLM%µ', '>WXCVBN?./§'],
    altGr: ['  ~#{[|`\\^@]}', '  €        ¤', '            ', '           '],
    dead: '^¨',
  },
}

const ROWS: readonly (readonly KeyName[])[] = [
  ['Backquote', ...[...'1234567890'].map((digit) => `Digit${digit}` as KeyName), 'Minus', 'Equal'],
  [...letters('QWERTYUIOP'), 'BracketLeft', 'BracketRight'],
  [...letters('ASDFGHJKL'), 'Semicolon', 'Quote', 'Backslash'],
  ['IntlBackslash', ...letters('ZXCVBNM'), 'Comma', 'Period', 'Slash'],
]

function letters(text: string): KeyName[] {
  return [...text].map((letter) => `Key${letter}` as KeyName)
}

/** Keys with the same character on every layout. */
const COMMON: readonly (readonly [character: string, key: KeyName])[] = [
  [' ', 'Space'],
  ['\n', 'Enter'],
  ['\r', 'Enter'],
  ['\t', 'Tab'],
  ['\b', 'Backspace'],
  ['\x7f', 'Backspace'],
  ['\x1b', 'Escape'],
]

/** The accents of dead keys, and the combining characters that Unicode decomposes letters into. */
const ACCENTS: ReadonlyMap<string, string> = new Map([
  ['\u0300', '`'],
  ['\u0301', '´'],
  ['\u0302', '^'],
  ['\u0308', '¨'],
])

/** Key strokes for the characters of one keyboard layout. */
export class KeyboardLayout {
  /** Name. */
  readonly name: KeyboardLayoutName
  readonly #strokes = new Map<string, KeyStroke>()
  /** Strokes after which the guest waits for a second one. */
  readonly #dead = new Map<string, KeyStroke>()

  /** @throws DisplayError `ERR_OPTION` for a layout that does not exist */
  constructor(name: KeyboardLayoutName) {
    const layout = Object.hasOwn(LAYOUTS, name) ? LAYOUTS[name] : undefined
    if (layout === undefined) {
      const known = Object.keys(LAYOUTS).join(', ')
      throw new DisplayError('ERR_OPTION', `keyboard layout '${String(name)}': expected one of ${known}`)
    }
    this.name = name
    for (const [character, key] of COMMON) {
      this.#strokes.set(character, { usage: keyUsage(key), shift: false, altGr: false })
    }
    const { plain, shift, altGr, dead = '' } = layout
    this.#addRows(plain, false, false, dead)
    this.#addRows(shift, true, false, dead)
    // These keys are not dead keys.
    this.#addRows(altGr ?? [], false, true, '')
  }

  #addRows(rows: readonly string[], shift: boolean, altGr: boolean, dead: string): void {
    for (const [i, row] of rows.entries()) {
      for (const [k, character] of [...row].entries()) {
        const strokes = dead.includes(character) ? this.#dead : this.#strokes
        // A character that several keys have is typed with the fewest modifiers.
        if (character === ' ' || strokes.has(character)) continue
        strokes.set(character, { usage: keyUsage(ROWS[i]![k]!), shift, altGr })
      }
    }
  }

  /** Returns the key with a character, with or without modifiers; undefined: none. */
  usageOf(character: string): number | undefined {
    return (this.#strokes.get(character) ?? this.#dead.get(character))?.usage
  }

  /** Returns the strokes of a character; undefined if the layout cannot type it. */
  strokesOf(character: string): readonly KeyStroke[] | undefined {
    const stroke = this.#strokes.get(character)
    if (stroke !== undefined) return [stroke]
    const alone = this.#dead.get(character)
    if (alone !== undefined) return [alone, this.#strokes.get(' ')!]
    const [base = '', mark = '', ...more] = character.normalize('NFD')
    const accent = this.#dead.get(ACCENTS.get(mark) ?? '')
    const letter = this.#strokes.get(base)
    return accent === undefined || letter === undefined || more.length > 0 ? undefined : [accent, letter]
  }
}

const made = new Map<KeyboardLayoutName, KeyboardLayout>()

/** The layout of a name, which all keyboards of a process share. @throws DisplayError `ERR_OPTION` */
export function layoutOf(name: KeyboardLayoutName): KeyboardLayout {
  const layout = made.get(name) ?? new KeyboardLayout(name)
  made.set(name, layout)
  return layout
}
