/** Small ELF and PE files, made by hand. */

const text = (value: string): number[] => [...new TextEncoder().encode(value)]

class FileBuilder {
  readonly bytes: number[] = []

  /** Little-endian fields: pairs of size and value. */
  fields(...pairs: readonly (readonly [size: 1 | 2 | 4 | 8, value: number])[]): void {
    for (const [size, value] of pairs) {
      for (let i = 0; i < size; i++) this.bytes.push(Math.floor(value / 2 ** (8 * i)) & 0xff)
    }
  }

  pad(to: number): void {
    while (this.bytes.length < to) this.bytes.push(0)
  }
}

export interface ElfSymbol {
  readonly name: string
  readonly value: number
  readonly size: number
  /** Binding << 4 | type. */
  readonly info: number
  /** Index of its section; default that of `.text`. */
  readonly section?: number
}

const TEXT_AT = 0x100

/** A linked ELF file: `.text` at 0x401000 with `code`, and symbols in it. */
export function elfFile(bits: 32 | 64, code: readonly number[], symbols: readonly ElfSymbol[]): Uint8Array {
  const file = new FileBuilder()
  const word = bits === 64 ? 8 : 4
  const sectionNames = '\0.text\0.symtab\0.strtab\0'
  const names = `\0${symbols.map(({ name }) => `${name}\0`).join('')}`
  const symbolSize = bits === 64 ? 24 : 16
  const symbolsAt = TEXT_AT + code.length
  const namesAt = symbolsAt + symbolSize * symbols.length
  const sectionNamesAt = namesAt + text(names).length
  const headersAt = sectionNamesAt + sectionNames.length
  file.bytes.push(0x7f, ...text('ELF'), bits === 64 ? 2 : 1, 1, 1)
  file.pad(16)
  file.fields([2, 2], [2, bits === 64 ? 62 : 3], [4, 1], [word, 0x401000], [word, 0], [word, headersAt], [4, 0])
  file.fields([2, 0], [2, 0], [2, 0], [2, 16 + 6 * word], [2, 5], [2, 4])
  file.pad(TEXT_AT)
  file.bytes.push(...code)
  let nameAt = 1
  for (const { name, value, size, info, section = 1 } of symbols) {
    if (bits === 64) file.fields([4, nameAt], [1, info], [1, 0], [2, section], [8, value], [8, size])
    else file.fields([4, nameAt], [4, value], [4, size], [1, info], [1, 0], [2, section])
    nameAt += text(name).length + 1
  }
  file.bytes.push(...text(names), ...text(sectionNames))
  const header = (...values: readonly number[]): void => {
    const sizes = [4, 4, word, word, word, word, 4, 4, word, word] as const
    file.fields(...sizes.map((size, i) => [size as 4 | 8, values[i] ?? 0] as const))
  }
  header()
  header(1, 1, 6, 0x401000, TEXT_AT, code.length)
  header(7, 2, 0, 0, symbolsAt, symbolSize * symbols.length, 3, 0, 8, symbolSize)
  header(15, 3, 0, 0, namesAt, text(names).length)
  header(15, 3, 0, 0, sectionNamesAt, sectionNames.length)
  return Uint8Array.from(file.bytes)
}

/** A PE32+ file: `.text` at 0x140001000 with `code`, whose first bytes are exported; the last name is that of the first one. */
export function peFile(code: readonly number[], ...names: readonly string[]): Uint8Array {
  const file = new FileBuilder()
  file.bytes.push(...text('MZ'))
  file.pad(60)
  file.fields([4, 0x40])
  file.bytes.push(...text('PE'), 0, 0)
  file.fields([2, 0x8664], [2, 1], [4, 0], [4, 0], [4, 0], [2, 0xf0], [2, 0x22])
  const optional = file.bytes.length
  file.fields([2, 0x20b])
  file.pad(optional + 24)
  file.fields([8, 0x140000000])
  file.pad(optional + 108)
  // One directory is enough: the exports, behind the code.
  const exportsAt = 0x1000 + code.length
  file.fields([4, 16], [4, exportsAt])
  file.pad(optional + 0xf0)
  const count = names.length
  const strings = names.map((name) => `${name}\0`)
  const size = code.length + 40 + 10 * count + strings.join('').length
  file.bytes.push(...text('.text'), 0, 0, 0)
  file.fields([4, size], [4, 0x1000], [4, 0x400], [4, 0x200], [4, 0], [4, 0], [4, 0], [4, 0x60000020])
  file.pad(0x200)
  file.bytes.push(...code)
  file.fields([4, 0], [4, 0], [4, 0], [4, 0], [4, 1], [4, count], [4, count])
  const tables = exportsAt + 40
  file.fields([4, tables], [4, tables + 4 * count], [4, tables + 8 * count])
  for (let i = 0; i < count; i++) file.fields([4, 0x1000 + i])
  for (let i = 0; i < count; i++) file.fields([4, tables + 10 * count + strings.slice(0, i).join('').length])
  for (let i = 0; i < count; i++) file.fields([2, count - 1 - i])
  file.bytes.push(...text(strings.join('')))
  file.pad(0x600)
  return Uint8Array.from(file.bytes)
}

/** A 64-bit file of `elfFile` with more section headers, each like one that it has but for its type, and its size. */
export function manyHeaders(
  file: Uint8Array,
  { type, copied, count, size }: { type: number; copied: number; count: number; size?: number },
): Uint8Array {
  const headersAt = Number(new DataView(file.buffer).getBigUint64(40, true))
  const bytes = new Uint8Array(file.length + 64 * count)
  bytes.set(file)
  const view = new DataView(bytes.buffer)
  view.setUint16(60, 5 + count, true)
  for (let i = 0; i < count; i++) {
    const at = file.length + 64 * i
    bytes.copyWithin(at, headersAt + 64 * copied, headersAt + 64 * (copied + 1))
    view.setUint32(at + 4, type, true)
    if (size !== undefined) view.setBigUint64(at + 32, BigInt(size), true)
  }
  return bytes
}
