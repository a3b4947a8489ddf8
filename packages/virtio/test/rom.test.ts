import { expect, test } from 'vitest'
import { withIdentity } from '../src/pci/identity.ts'

function image(): Uint8Array {
  const rom = new Uint8Array(1536)
  rom.set([0x55, 0xaa, 2])
  rom.set([0x40, 0], 0x18)
  rom.set([...Buffer.from('PCIR'), 0xf4, 0x1a, 0x41, 0x10], 0x40)
  rom[1023] = -rom.reduce((sum, byte) => sum + byte, 0)
  return rom
}

test('a ROM says for the device that it is in, and its sum stays 0', () => {
  const rom = withIdentity(image(), 0x1af4, 0x1000)
  expect([...rom.subarray(0x44, 0x48)]).toEqual([0xf4, 0x1a, 0x00, 0x10])
  expect(rom.subarray(0, 1024).reduce((sum, byte) => (sum + byte) & 0xff, 0)).toBe(0)
})

test.each([
  { what: 'no image', rom: new Uint8Array(512) },
  { what: 'an image that ends early', rom: Uint8Array.of(0x55, 0xaa, 1) },
  { what: 'an image without PCI data', rom: Uint8Array.from({ length: 512 }, (_, i) => [0x55, 0xaa, 1][i] ?? 0xff) },
])('$what stays as it is', ({ rom }) => {
  expect(withIdentity(rom, 1, 2)).toEqual(rom)
})
