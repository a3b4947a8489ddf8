/** Which symbols of an ELF file name code. Source: System V ABI, "Object Files", "Symbol Table". */
import { OwnTime } from '@retrap/tooling/processor-time'
import { describe, expect, test } from 'vitest'
import { readElf } from '../../src/machine/programs/elf.ts'
import { manyHeaders, elfFile, type ElfSymbol } from '../support/executables.ts'

const TYPES = { NOTYPE: 0, OBJECT: 1, FUNC: 2, SECTION: 3, FILE: 4, COMMON: 5, TLS: 6, GNU_IFUNC: 10 }
const BINDINGS = { LOCAL: 0, GLOBAL: 1, WEAK: 2 }
const SECTIONS = { UNDEF: 0, text: 1, last: 0xfeff, LORESERVE: 0xff00, ABS: 0xfff1, COMMON: 0xfff2 }

describe.each([32, 64] as const)('%s bits', (bits) => {
  /** The one symbol as it is read; undefined: it is not. */
  const read = (symbol: Partial<ElfSymbol>) => {
    const file = elfFile(bits, [0x90, 0xc3], [{ name: 'it', value: 0x40_1001, size: 7, info: 0x12, ...symbol }])
    return readElf(file).sections[0]?.symbols[0]
  }

  test.each(Object.entries(TYPES))('a symbol of type %s', (name, type) => {
    const isName = !['SECTION', 'FILE', 'TLS'].includes(name)
    for (const [binding, number] of Object.entries(BINDINGS)) {
      // A function goes before what is none, and what others can see before what they cannot.
      const rank = (name === 'FUNC' ? 2 : 0) + (binding === 'LOCAL' ? 0 : 1)
      const expected = isName ? { name: 'it', address: 0x40_1001n, size: 7n, rank } : undefined
      const found = read({ info: (number << 4) | type })
      if (expected === undefined) expect(found).toBeUndefined()
      else expect(found).toMatchObject(expected)
    }
  })

  test.each(Object.entries(SECTIONS))('a symbol of section %s', (name, section) => {
    expect(read({ section }) !== undefined).toBe(name === 'text' || name === 'last')
  })

  test('a symbol without a name', () => {
    expect(read({ name: '' })).toBeUndefined()
  })
})

describe('tables that lie upon one another are refused before they are read', () => {
  const symbols = Array.from({ length: 2000 }, () => ({ name: 'it', value: 0x40_1001, size: 7, info: 0x12 }))
  const file = elfFile(64, new Array<number>(48_000).fill(0x90), symbols)
  const [SYMTAB, RELA, REL, DYNSYM] = [2, 4, 9, 11]

  test.each([
    ['symbols', { type: SYMTAB, copied: 2 }],
    ['dynamic symbols', { type: DYNSYM, copied: 2 }],
    ['relocations', { type: RELA, copied: 1 }],
    ['short relocations', { type: REL, copied: 1 }],
  ])('%s', (_, { type, copied }) => {
    const time = new OwnTime()
    expect(() => readElf(manyHeaders(file, { type, copied, count: 20_000 }))).toThrow('its tables lie upon one another')
    // Each of them read whole would be 40 million entries.
    expect(time.milliseconds()).toBeLessThan(1500)
  })

  test('but for one of each kind', () => {
    expect(readElf(file).sections[0]?.symbols).toHaveLength(2000)
    expect(readElf(manyHeaders(file, { type: SYMTAB, copied: 2, count: 1 })).sections[0]?.symbols).toHaveLength(4000)
  })

  test('a table that the file does not have is another error', () => {
    const cut = manyHeaders(file, { type: SYMTAB, copied: 2, count: 1, size: 1e9 })
    expect(() => readElf(cut)).toThrow('it ends before offset')
  })
})
