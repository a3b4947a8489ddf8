/** A guest's TCP connection to the name server. Source: RFC 7766 §8, "TCP Message Framing". */
import { expect, test } from 'vitest'
import { type DnsForwarder, DnsStream } from '../src/user/dns.ts'

/** A stream whose questions the test answers. */
function stream(takes = true) {
  const told: string[] = []
  const asked: { readonly question: string; readonly answer: (bytes: Uint8Array) => void }[] = []
  const dns = {
    receive: (question: Uint8Array, answer: (bytes: Uint8Array) => void, overTcp: boolean) => {
      expect(overTcp).toBe(true)
      if (takes) asked.push({ question: Buffer.from(question).toString('hex'), answer })
      return takes
    },
  }
  const client = {
    connected: () => void told.push('connected'),
    data: (bytes: Uint8Array) => void told.push(Buffer.from(bytes).toString('hex')),
    ended: () => void told.push('ended'),
    drained: () => void told.push('drained'),
    closed: (end: string) => void told.push(end),
  }
  const later: (() => void)[] = []
  const made = new DnsStream(dns as unknown as DnsForwarder, client, (callback) => void later.push(callback))
  const write = (hex: string): boolean => made.write(Uint8Array.from(Buffer.from(hex, 'hex')))
  return { made, told, asked, write, later }
}

test('a question is asked when all of it has come, and writing waits for the answer', () => {
  const { told, asked, write, later } = stream()
  expect(told).toEqual([])
  for (const callback of later) callback()
  expect(told).toEqual(['connected'])
  expect([write('01'), write('02'), write('aa'.repeat(257))]).toEqual([true, true, true])
  expect(asked).toEqual([])
  expect(write('bb0001cc')).toBe(false)
  expect(asked.map(({ question }) => question)).toEqual([`${'aa'.repeat(257)}bb`])
  asked[0]!.answer(new Uint8Array(300).fill(0xdd))
  expect(told.slice(1)).toEqual([`012c${'dd'.repeat(300)}`])
  // The next one was there already.
  expect(asked.map(({ question }) => question).slice(1)).toEqual(['cc'])
  asked[1]!.answer(Uint8Array.of(1))
  expect(told.slice(2)).toEqual(['000101', 'drained'])
})

test('a guest that reads nothing is asked to wait, and is answered when it goes on', () => {
  const { made, told, asked, write } = stream()
  made.pause()
  expect(write('0001aa')).toBe(false)
  expect(asked).toEqual([])
  made.resume()
  expect(asked).toHaveLength(1)
  made.pause()
  asked[0]!.answer(Uint8Array.of(7))
  expect(told).toEqual(['000107'])
  made.resume()
  expect(told).toEqual(['000107', 'drained'])
  expect(write('00')).toBe(true)
})

test('the end comes behind the last answer', () => {
  const { made, told, asked, write } = stream()
  write('0001aa0001')
  made.end()
  expect(told).toEqual([])
  asked[0]!.answer(Uint8Array.of(7))
  // Writing had been told to wait; then half a question is none.
  expect(told).toEqual(['000107', 'drained'])
  made.resume()
  expect(told).toEqual(['000107', 'drained', 'ended', 'finished'])
})

test('what is no question breaks the connection off, and what is broken off is told nothing', () => {
  const refused = stream(false)
  refused.write('0001aa')
  expect(refused.told).toEqual(['reset'])
  const { made, told, asked, write, later } = stream()
  write('0001aa')
  made.abort()
  for (const callback of later) callback()
  asked[0]!.answer(Uint8Array.of(7))
  made.resume()
  made.end()
  expect(told).toEqual([])
})
