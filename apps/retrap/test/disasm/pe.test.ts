import { expect, test } from 'vitest'
import { peHeader, readPe } from '../../src/commands/disasm/pe.ts'
import { peFile } from '../support/executables.ts'

// Microsoft, "PE Format", "Export Name Pointer Table": a name's ordinal is its function's place in the address table.
test.each([{ names: ['Start'] }, { names: ['Alpha', 'Beta', 'Gamma', 'D'] }])('exports $names', ({ names }) => {
  const bytes = peFile([0x90, 0x90, 0x90, 0xc3], ...names)
  const { sections, ...program } = readPe(bytes, peHeader(bytes)!)
  expect(program).toEqual({ format: 'PE', architecture: 'x86', mode: 64 })
  expect(sections).toMatchObject([{ name: '.text', address: 0x1_4000_1000n }])
  expect(sections[0]!.symbols).toEqual(
    // The last name is the first function's.
    names.map((name, i) => ({ name, address: 0x1_4000_1000n + BigInt(names.length - 1 - i), size: 0n, rank: 1 })),
  )
})
