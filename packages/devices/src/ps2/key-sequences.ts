import { EXTENDED, SET_2, SET_3, translate } from './scan-codes.ts'

const PREFIX = 0xe0
const BREAK = 0xf0
const LEFT_SHIFT = 0x12
const RIGHT_SHIFT = 0x59
const PRINT_SCREEN = 0x7c
const SYSTEM_REQUEST = 0x84

/** Usages with rules of their own. */
export const USAGE = {
  printScreen: 0x46,
  pause: 0x48,
  insert: 0x49,
  up: 0x52,
  keypadSlash: 0x54,
  leftControl: 0xe0,
  leftShift: 0xe1,
  leftAlt: 0xe2,
  rightControl: 0xe4,
  rightShift: 0xe5,
  rightAlt: 0xe6,
} as const

/** The state that decides between the sequences of a key, beside the key. */
export interface KeyContext {
  /** The keys that are down. */
  readonly down: ReadonlySet<number>
  /** Whether the lamp of Num Lock is lit: the keyboard has no other knowledge of it. */
  readonly numLock: boolean
  /** Print Screen was pressed as System Request, with Alt. */
  systemRequest: boolean
}

/** Longest sequence of one event: a navigation key with both Shift keys down. */
export const LONGEST_SEQUENCE = 8

/**
 * The bytes that a key sends in a set of scan codes when it goes down or up; none for a key that the set lacks.
 *
 * Source: Microsoft, "Keyboard Scan Code Specification" 1.3a, notes 1 to 5 of its table.
 */
export function keySequence(set: number, usage: number, down: boolean, context: KeyContext): number[] {
  if (set === 3) {
    const code = SET_3[usage]!
    if (code === 0) return []
    return down ? [code] : [BREAK, code]
  }
  const bytes = setTwoSequence(usage, down, context)
  return set === 1 ? asSetOne(bytes) : bytes
}

/** The make code that a key repeats, without what surrounds it on its first press. */
export function repeatSequence(set: number, usage: number, context: KeyContext): number[] {
  if (set === 3) return SET_3[usage] === 0 ? [] : [SET_3[usage]!]
  const bytes: number[] = []
  if (usage === USAGE.printScreen) bytes.push(...(context.systemRequest ? [SYSTEM_REQUEST] : [PREFIX, PRINT_SCREEN]))
  else if (SET_2[usage] !== 0) pushCode(bytes, SET_2[usage]!, true)
  return set === 1 ? asSetOne(bytes) : bytes
}

function setTwoSequence(usage: number, down: boolean, context: KeyContext): number[] {
  if (usage === USAGE.printScreen) return printScreen(down, context)
  if (usage === USAGE.pause) return pause(down, context)
  const code = SET_2[usage]!
  const bytes: number[] = []
  if (code === 0) return bytes
  const navigation = usage >= USAGE.insert && usage <= USAGE.up
  const shifts = [LEFT_SHIFT, RIGHT_SHIFT].filter((shift) =>
    context.down.has(shift === LEFT_SHIFT ? USAGE.leftShift : USAGE.rightShift),
  )
  // Software of the first PCs takes a navigation key for one of the keypad: Shift has to seem up while it is down.
  const unshift = shifts.length > 0 && (usage === USAGE.keypadSlash || (navigation && !context.numLock))
  const shift = shifts.length === 0 && navigation && context.numLock
  if (down && unshift) for (const key of shifts) bytes.push(PREFIX, BREAK, key)
  if (down && shift) bytes.push(PREFIX, LEFT_SHIFT)
  pushCode(bytes, code, down)
  if (!down && unshift) for (const key of shifts) bytes.push(PREFIX, key)
  if (!down && shift) bytes.push(PREFIX, BREAK, LEFT_SHIFT)
  return bytes
}

function pushCode(bytes: number[], code: number, down: boolean): void {
  if ((code & EXTENDED) !== 0) bytes.push(PREFIX)
  if (!down) bytes.push(BREAK)
  bytes.push(code & 0xff)
}

function printScreen(down: boolean, context: KeyContext): number[] {
  if (down) context.systemRequest = context.down.has(USAGE.leftAlt) || context.down.has(USAGE.rightAlt)
  if (context.systemRequest) return down ? [SYSTEM_REQUEST] : [BREAK, SYSTEM_REQUEST]
  const plain = [USAGE.leftControl, USAGE.rightControl, USAGE.leftShift, USAGE.rightShift].every(
    (usage) => !context.down.has(usage),
  )
  if (!plain) return down ? [PREFIX, PRINT_SCREEN] : [PREFIX, BREAK, PRINT_SCREEN]
  return down ? [PREFIX, LEFT_SHIFT, PREFIX, PRINT_SCREEN] : [PREFIX, BREAK, PRINT_SCREEN, PREFIX, BREAK, LEFT_SHIFT]
}

/** Pause sends its break code at once. */
function pause(down: boolean, context: KeyContext): number[] {
  if (!down) return []
  const control = context.down.has(USAGE.leftControl) || context.down.has(USAGE.rightControl)
  return control ? [PREFIX, 0x7e, PREFIX, BREAK, 0x7e] : [0xe1, 0x14, 0x77, 0xe1, BREAK, 0x14, BREAK, 0x77]
}

/** The same keys in set 1, whose break codes are make codes with bit 7. */
function asSetOne(bytes: readonly number[]): number[] {
  const codes: number[] = []
  let bit = 0
  for (const byte of bytes) {
    if (byte === BREAK) bit = 0x80
    else if (byte === PREFIX || byte === 0xe1) codes.push(byte)
    else {
      codes.push(translate(byte) | bit)
      bit = 0
    }
  }
  return codes
}
