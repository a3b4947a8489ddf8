/** The command line that a page's snapshot has. */
import { expect, test } from 'vitest'
import type { SentOptions } from '../src/protocol.ts'
import { commandLineOf } from '../src/worker/command-line.ts'

const lineOf = (options: Partial<SentOptions>): string =>
  commandLineOf({ images: {}, drives: null, shared: false, ...options }).join(' ')

test('a relay is not named: its address may hold a secret, and others get the snapshot', () => {
  const network = { kind: 'relay', url: 'wss://relay.test/?token=secret', macAddress: '52:54:00:12:34:56' } as const
  expect(lineOf({ network })).toBe('run --nic hubport,hubid=0,mac=52:54:00:12:34:56')
  for (const where of [{ kind: 'fetch' }, { kind: 'wisp', url: 'wss://relay.test/' }] as const)
    expect(lineOf({ network: { ...where, card: 'e1000' } })).toBe('run --nic user,model=e1000')
})

test("an Arm board is the command line's", () => {
  expect(lineOf({ board: 'virt', cpus: 2 })).toBe('run --cpus 2 --arch arm64')
  expect(lineOf({ board: 'q35' })).toBe('run --machine q35')
})
