/** Networks and addresses as text, at the edges of what can be. */
import { expect, test } from 'vitest'
import { capturePackets } from '../src/index.ts'
import { parseSubnet, readIpv4 } from '../src/addresses.ts'

const refused = expect.objectContaining({ code: 'ERR_OPTION' })

test.each([
  { text: '10.0.2.0/24', network: 0x0a00_0200, mask: 0xffff_ff00 },
  { text: '10.0.2.77/24', network: 0x0a00_0200, mask: 0xffff_ff00 },
  { text: '10.0.2.77/29', network: 0x0a00_0248, mask: 0xffff_fff8 },
  { text: '192.168.255.255/1', network: 0x8000_0000, mask: 0x8000_0000 },
  { text: '255.255.255.255/16', network: 0xffff_0000, mask: 0xffff_0000 },
  { text: '172.16.5.4/255.240.0.0', network: 0xac10_0000, mask: 0xfff0_0000 },
])('the network $text', ({ text, network, mask }) => {
  expect(parseSubnet(text)).toEqual({ network, mask })
})

test.each([
  ...['10.0.2.0/0', '10.0.2.0/30', '10.0.2.0/32', '10.0.2.0/33', '10.0.2.0', '10.0.2.0/', '/24', '10.0.2/24'],
  ...['10.0.2.256/24', '10.0.2.0/255.0.255.0', '10.0.2.0/255.255.255.252', '10.0.2.0/0.0.0.0', '10.0.2.0/24 '],
])('%j is no network', (text) => {
  expect(() => parseSubnet(text)).toThrow(refused)
})

test('a mask has as many ones as are asked for', () => {
  for (let ones = 1; ones <= 29; ones++) {
    const mask = Number.parseInt('1'.repeat(ones).padEnd(32, '0'), 2)
    expect(parseSubnet(`255.255.255.255/${ones}`)).toEqual({ network: mask, mask })
  }
})

test.each([
  { text: '0.0.0.0', is: 0 },
  { text: '255.255.255.255', is: 0xffff_ffff },
  { text: '128.0.0.1', is: 0x8000_0001 },
  { text: '1.2.3.4', is: 0x0102_0304 },
  { text: '1.2.3', is: null },
  { text: '1.2.3.4.5', is: null },
  { text: '1.2.3.256', is: null },
  { text: '1.2.3.-1', is: null },
  { text: '', is: null },
])('the address $text', ({ text, is }) => {
  expect(readIpv4(text)).toBe(is)
})

test('snapBytes is from 1 to 262144', () => {
  const make = (snapBytes: number): unknown =>
    capturePackets({ connect: () => {}, send: () => true, ready: () => {} } as never, () => {}, { snapBytes })
  for (const good of [1, 262_144]) expect(() => make(good)).not.toThrow()
  for (const bad of [0, 262_145, 1.5, NaN]) expect(() => make(bad)).toThrow(refused)
})
