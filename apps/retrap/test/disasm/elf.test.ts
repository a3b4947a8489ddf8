/** Which symbols of an ELF file name code. Source: System V ABI, "Object Files", "Symbol Table". */
import { describe, expect, test } from 'vitest'
import { readElf } from '../../src/disasm/elf.ts'
import { elfFile, type ElfSymbol } from '../support/executables.ts'

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
