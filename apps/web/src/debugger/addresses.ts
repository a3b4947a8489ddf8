import type { Machine } from '@retrap/web'

const DIGITS = /^[\da-f]{1,16}$/i

/** Reads a typed address: a symbol, with an offset perhaps, or hexadecimal digits. @throws Error with the expected form */
export async function addressOf(machine: Machine, text: string): Promise<bigint> {
  const [, name = '', offset] = /^([^+]+?)(?:\+(?:0x)?([\da-f]{1,16}))?$/i.exec(text.trim()) ?? []
  const digits = name.replace(/^0x/i, '').replaceAll('_', '')
  const isDigits = DIGITS.test(digits)
  const isNumber = isDigits && (/^0x/i.test(name) || /^\d/.test(name))
  // A machine that is not recorded knows no symbols.
  const named = isNumber ? null : await machine.debugger.addressOf(name).catch(() => null)
  const found = named ?? (isDigits ? BigInt(`0x${digits}`) : null)
  if (found !== null) return BigInt.asUintN(64, found + BigInt(`0x${offset ?? '0'}`))
  throw new Error(
    `'${text}' is no address: expected a symbol such as schedule, or up to 16 hexadecimal digits. Symbols are known of a recorded machine, once a Linux kernel runs, or from a file.`,
  )
}

/** Reads an address as {@link addressOf} does, which may be guest-physical by `@p` behind it. @throws as it */
export async function placeOf(machine: Machine, text: string): Promise<{ address: bigint; physical: boolean }> {
  const [, before = text] = /^(.*)@p\s*$/.exec(text) ?? []
  return { address: await addressOf(machine, before), physical: before !== text }
}

/** Reads the vector of an exception: a decimal number, or hexadecimal digits behind 0x. @throws Error with the expected form */
export function vectorOf(text: string): bigint {
  const number = text.trim()
  if (/^(\d{1,2}|0x[\da-f]{1,2})$/i.test(number)) return BigInt(number)
  throw new Error(`'${text}' is no exception: expected its vector, such as 14 for a page fault.`)
}
