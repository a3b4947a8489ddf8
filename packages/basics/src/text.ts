/**
 * Text from outside: of guests, device programs, servers, images and recordings. It is shown to people, on terminals and in
 * messages, and must not give a terminal orders, look like a message of ours, or fill the screen.
 */

/** Control and format characters, such as escapes and bidirectional controls; lone surrogates. */
const UNPRINTABLE = /[^\P{Cc}\n\t]|[\p{Cf}\p{Cs}\u2028\u2029\ufffe\uffff]/gu
const LINE_ENDS = /\r?\n|\t/g
const MOST = 2000

/**
 * Escapes the control characters of a text, which a terminal would execute: C0 as `\xNN`, others as `\uNNNN`; tabs and line feeds
 * stay. JSON, which has no C0 in it, stays JSON with the same values.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) =>
    character < ' '
      ? `\\x${hexOf(character, 2)}`
      : character
          .split('')
          .map((unit) => `\\u${hexOf(unit, 4)}`)
          .join(''),
  )
}

const hexOf = (unit: string, digits: number): string => unit.charCodeAt(0).toString(16).padStart(digits, '0')

/**
 * Makes an external text printable as a part of one line, like {@link printable}.
 *
 * @param most - most characters shown; a longer text loses its middle, because the reason is often at the end
 */
export function plainLine(text: string, most: number = MOST): string {
  const half = Math.floor(most / 2)
  const shown = text.length > most ? `${text.slice(0, half)}…${text.slice(-half)}` : text
  return printable(shown.replaceAll(LINE_ENDS, ' '))
}

/** Decodes bytes as characters of the same numbers. */
export function latin1(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096))
  return text
}
