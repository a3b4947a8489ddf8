import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeFrame, hexLines } from '../src/index.ts'

/** The Ethernet addresses of machine 1, to machine 0. */
const ETHERNET = '5254007c0001 5254007c0002'
const IPV6 = 'fd830000000000000000000000000002 fd830000000000000000000000000001'
const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

test.each([
  ['0806 0001 0800 0604 0001 5254007c0002 0a530002 000000000000 0a530001', 'ARP who has 10.83.0.1? asks 10.83.0.2'],
  ['0806 0001 0800 0604 0002 5254007c0002 0a530002 5254007c0001 0a530001', 'ARP 10.83.0.2 is at 52:54:00:7c:00:02'],
  [
    '0800 4500002b 00004000 40060000 0a530002 0a530001 18eb 9c40 00000005 00000009 5018 0040 00000000 6f6b0a 0000',
    'TCP 10.83.0.2:6379 > 10.83.0.1:40000 PSH ACK seq 5 ack 9, 3 bytes',
    'ok\n',
  ],
  [`86dd 60000000 0009 11 40 ${IPV6} 0007 0035 0009 0000 21`, 'UDP [fd83::2]:7 > [fd83::1]:53, 1 byte', '!'],
  [`86dd 60000000 0008 3a 40 ${IPV6} 8000 0000 0001 0003`, 'ICMPv6 fd83::2 > fd83::1 echo request 3'],
  [
    '0800 4500001c 00000000 40010000 0a530002 0a530001 0303 0000 00000000',
    'ICMP 10.83.0.2 > 10.83.0.1 unreachable (code 3)',
  ],
  [
    '0800 45000018 00000002 40110000 0a530002 0a530001 61626364',
    'IPv4 10.83.0.2 > 10.83.0.1 fragment at 16, 4 bytes',
    'abcd',
  ],
  ['8100 0001 88cc 00', 'Ethernet 52:54:00:7c:00:02 > 52:54:00:7c:00:01 type 0x88cc, 1 byte', '\0'],
  ['0800 45', 'IPv4, cut short: 1 byte', 'E'],
])('frame %s', (hex, text, payload = '') => {
  const decoded = decodeFrame(bytesOf(`${ETHERNET} ${hex}`))
  expect([decoded.text, Buffer.from(decoded.payload).toString()]).toEqual([text, payload])
})

test('any bytes are decoded to a line, and shown in hexadecimal', () => {
  const header = fc.constantFrom('0806', '0800 45', '0800 4500ffff 00000000 4006', '86dd 60000000 ffff 00', '86dd')
  fc.assert(
    fc.property(header, fc.uint8Array({ maxLength: 80 }), (start, rest) => {
      const { text, payload } = decodeFrame(Uint8Array.of(...bytesOf(`${ETHERNET} ${start}`), ...rest))
      expect(text).not.toMatch(/undefined|NaN|\n/)
      expect(hexLines(payload)).toHaveLength(Math.ceil(payload.length / 16))
    }),
  )
  expect(hexLines(bytesOf('6869000a'))).toEqual([`0000  68 69 00 0a${' '.repeat(36)}  hi..`])
})
