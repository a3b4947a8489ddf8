const BYTES = '$bytes'

/** Writes a model's state as JSON; `Uint8Array`s become objects with hexadecimal digits. */
export function stateToText(state: unknown): string {
  return JSON.stringify(state, (_key, value: unknown) =>
    value instanceof Uint8Array ? { [BYTES]: hexOf(value) } : value,
  )
}

/** Reads what {@link stateToText} has written. */
export function stateFromText(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => {
    const digits = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[BYTES] : undefined
    return typeof digits === 'string' ? bytesOf(digits) : value
  })
}

function hexOf(bytes: Uint8Array): string {
  let digits = ''
  for (const byte of bytes) digits += byte.toString(16).padStart(2, '0')
  return digits
}

function bytesOf(digits: string): Uint8Array {
  const bytes = new Uint8Array(digits.length >>> 1)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16)
  return bytes
}
