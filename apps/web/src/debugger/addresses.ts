/** Reads an address that somebody has typed, in hexadecimal. @throws Error with what is expected */
export function addressOf(text: string): bigint {
  const digits = text.trim().replace(/^0x/i, '').replaceAll('_', '')
  if (!/^[\da-f]{1,16}$/i.test(digits))
    throw new Error(`'${text}' is no address: expected up to 16 hexadecimal digits, such as ffffffff81000000`)
  return BigInt(`0x${digits}`)
}
