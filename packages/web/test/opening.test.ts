/** A machine's network card that goes on from a snapshot: others may have gone on from there as well. */
import { once } from 'node:events'
import { writeSnapshot } from '@retrap/snapshot'
import { expect, test } from 'vitest'
import type { SentNetwork } from '../src/protocol.ts'
import { DiskRequests } from '../src/worker/disk-requests.ts'
import { openParts } from '../src/worker/opening.ts'

const listener = { progress() {}, warning() {}, requests: new DiskRequests(), keepsFetched: false }
const SAVED = '52:54:00:00:00:01'
const GIVEN = '52:54:00:00:00:02'
const CHANNEL = 'test-of-opening'

/** A snapshot's file, with this network or none. */
async function snapshotWith(network?: SentNetwork): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  const pages = { gfns: new Uint32Array(), bytes: new Uint8Array() }
  const state = { machine: { memoryBytes: 1 << 20, cpus: 1, machine: 'pc' } }
  const description = { version: 1, page: { ...(network && { network }) } }
  await writeSnapshot({ description, state, pages }, (bytes) => parts.push(bytes.slice()))
  return new Uint8Array(Buffer.concat(parts))
}

const colons = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')

/** The card's address as the guest knows it, and as the network does. */
async function addresses(snapshot: Uint8Array<ArrayBuffer> | null, given?: Partial<SentNetwork>): Promise<string[]> {
  const { network } = await openParts(
    {
      images: snapshot === null ? {} : { snapshot: { bytes: snapshot } },
      drives: null,
      jit: false,
      network: { kind: 'tabs', name: CHANNEL, ...given } as SentNetwork,
    } as never,
    listener,
  )
  const { macAddress, network: port } = network!.pcOptions().virtio![0] as never as {
    readonly macAddress: Uint8Array
    readonly network: { connect(client: object): void; send(frame: Uint8Array): boolean }
  }
  const others = new BroadcastChannel(`retrap-network-${CHANNEL}`)
  try {
    port.connect({ receive() {}, drained() {}, linkChanged() {} })
    const heard = once(others, 'message')
    const frame = new Uint8Array(64).fill(0xff, 0, 6)
    frame.set(macAddress, 6)
    port.send(frame)
    const [{ data }] = (await heard) as [{ readonly data: Uint8Array }]
    return [colons(macAddress), colons(data.subarray(6, 12))]
  } finally {
    others.close()
    await network!.connect({ kind: 'none' })
  }
}

test('a card of a machine that starts, or that is given an address, has that address', async () => {
  const snapshot = await snapshotWith({ kind: 'none', macAddress: SAVED })
  for (const from of [null, snapshot]) expect(await addresses(from, { macAddress: GIVEN })).toEqual([GIVEN, GIVEN])
  const [guests, others] = await addresses(null)
  expect(guests).toMatch(/^52:54:00/)
  expect(others).toBe(guests)
})

test('a card of a snapshot keeps its address in the guest; the network knows it by a new one each time', async () => {
  const snapshot = await snapshotWith({ kind: 'none', macAddress: SAVED })
  const [guests, others] = await addresses(snapshot)
  const [again, anew] = await addresses(snapshot)
  expect([guests, again]).toEqual([SAVED, SAVED])
  expect(new Set([SAVED, others, anew]).size).toBe(3)
})
