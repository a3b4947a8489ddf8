/** The symbols that a Linux kernel keeps of itself, as it has them in memory. */

/** Tokens of several letters; all other numbers stand for the character of that number, or for nothing. */
const TOKENS = new Map([
  [1, 'do_'],
  [2, 'sys_'],
  [3, 'Tdo_sys_'],
])

export interface Tables {
  readonly bits: 32 | 64
  /** Where the addresses are: in front of the names, as up to Linux 6.4, or behind the tokens. */
  readonly addresses: 'before' | 'after'
  readonly base: bigint
  readonly symbols: readonly { readonly type: string; readonly name: string; readonly address: bigint }[]
  readonly perCpu: boolean
}

const token = (i: number): string => TOKENS.get(i) ?? (i >= 0x20 && i < 0x7f ? String.fromCharCode(i) : '')

/** Compresses a name: a long token where it begins with one, else letters. */
function compressed(text: string): number[] {
  for (const [number, long] of [...TOKENS].toReversed())
    if (text.startsWith(long)) return [number, ...compressed(text.slice(long.length))]
  return text === '' ? [] : [text.charCodeAt(0), ...compressed(text.slice(1))]
}

/** The tables as a kernel has them, with other things around. */
export function tables({ bits, addresses, base, symbols, perCpu }: Tables): Uint8Array {
  const bytes: number[] = Array.from({ length: 4096 }, (_, i) => (i * 37) & 0xff)
  const word = bits / 8
  const align = (): void => {
    while (bytes.length % word !== 0) bytes.push(0)
  }
  const number = (value: bigint, size: number): void => {
    for (let i = 0n; i < size; i++) bytes.push(Number((value >> (8n * i)) & 0xffn))
  }
  const table = (): void => {
    align()
    for (const { address } of symbols) {
      const isPerCpu = perCpu && address < 0x10_0000n
      const offset = isPerCpu ? address : perCpu ? base - 1n - address : address - base
      number(BigInt.asUintN(32, offset), 4)
    }
    align()
    number(base, word)
  }
  if (addresses === 'before') table()
  align()
  number(BigInt(symbols.length), 4)
  align()
  const names = bytes.length
  const marks: number[] = []
  for (const [i, { type, name }] of symbols.entries()) {
    if (i % 256 === 0) marks.push(bytes.length - names)
    const code = compressed(type + name)
    if (code.length < 0x80) bytes.push(code.length)
    else bytes.push((code.length & 0x7f) | 0x80, code.length >> 7)
    bytes.push(...code)
  }
  align()
  for (const mark of marks) number(BigInt(mark), 4)
  align()
  const start = bytes.length
  const index: number[] = []
  for (let i = 0; i < 256; i++) {
    index.push(bytes.length - start)
    bytes.push(...new TextEncoder().encode(`${token(i)}\0`))
  }
  align()
  for (const at of index) number(BigInt(at), 2)
  if (addresses === 'after') table()
  return Uint8Array.from([...bytes, ...Array.from({ length: 1000 }, () => 0x55)])
}
