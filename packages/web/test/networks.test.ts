/** A machine's network, as its Worker connects it. */
import { afterEach, expect, test, vi } from 'vitest'
import { sentNetwork } from '../src/sent-options.ts'
import { MachineNetwork } from '../src/worker/networks.ts'

/** A connection to a relay that the test opens and closes. */
class FakeSocket extends EventTarget {
  static readonly made: FakeSocket[] = []
  binaryType = 'blob'
  readonly bufferedAmount = 0
  readyState = 0
  constructor() {
    super()
    FakeSocket.made.push(this)
  }
  readonly sent: Uint8Array[] = []
  send(message: Uint8Array): void {
    this.sent.push(message)
  }
  close(): void {
    this.dispatchEvent(new Event('close'))
  }
}

afterEach(() => {
  vi.unstubAllGlobals()
  FakeSocket.made.length = 0
})

test('a relay is missed while the cable leads to it, and not afterwards', async () => {
  vi.stubGlobal('WebSocket', FakeSocket)
  const warnings: string[] = []
  const url = 'wss://relay.test/'
  const network = await MachineNetwork.open({ kind: 'relay', url }, false, { warning: (text) => warnings.push(text) })
  const [first] = FakeSocket.made
  first!.dispatchEvent(new Event('open'))
  first!.close()
  expect(warnings).toEqual([`network: the connection is lost to the relay at ${url}; it is tried again every 2 s`])
  await network.connect({ kind: 'relay', url })
  FakeSocket.made[1]!.dispatchEvent(new Event('open'))
  await network.connect({ kind: 'none' })
  expect(warnings.length).toBe(1)
})

test('a Wisp relay that cannot be used is named once with the reason, however often it is tried, and so is its loss', async () => {
  vi.useFakeTimers()
  vi.stubGlobal('WebSocket', FakeSocket)
  try {
    const warnings: string[] = []
    const url = 'wss://relay.test/'
    const network = await MachineNetwork.open({ kind: 'wisp', url }, false, { warning: (text) => warnings.push(text) })
    const receive = (...bytes: number[]): void => {
      const socket = FakeSocket.made.at(-1)!
      socket.readyState = 1
      socket.dispatchEvent(new Event('open'))
      socket.dispatchEvent(new MessageEvent('message', { data: Uint8Array.from(bytes).buffer }))
    }
    // INFO: a password.
    receive(5, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0)
    await vi.advanceTimersByTimeAsync(2000)
    receive(5, 0, 0, 0, 0, 2, 0, 2, 0, 0, 0, 0)
    expect(warnings.splice(0)).toEqual([
      `network: the relay at ${url} is not used: it asks for a password; it is tried again every 2 s`,
    ])
    await vi.advanceTimersByTimeAsync(2000)
    receive(5, 0, 0, 0, 0, 2, 0)
    receive(3, 0, 0, 0, 0, 8, 0, 0, 0)
    FakeSocket.made.at(-1)!.close()
    expect(warnings.splice(0)).toEqual([
      `network: the connection is lost to the relay at ${url}; it is tried again every 2 s`,
    ])
    await network.connect({ kind: 'none' })
    await vi.advanceTimersByTimeAsync(60_000)
    expect([FakeSocket.made.length, warnings]).toEqual([3, []])
  } finally {
    vi.useRealTimers()
  }
})

test('addresses of relays may have the schemes that v86 has for Wisp', () => {
  vi.stubGlobal('document', { baseURI: 'https://page.test/' })
  vi.stubGlobal('location', { protocol: 'https:' })
  expect(['wisps://relay.test', 'wss://relay.test/a'].map((url) => sentNetwork({ kind: 'wisp', url }))).toEqual([
    { kind: 'wisp', url: 'wss://relay.test/' },
    { kind: 'wisp', url: 'wss://relay.test/a' },
  ])
  for (const network of [
    { kind: 'relay', url: 'wisps://relay.test' },
    { kind: 'wisp', url: 'https://relay.test' },
    { kind: 'wisp', url: 'wisp://relay.test' },
  ] as const)
    expect(() => sentNetwork(network)).toThrow(/^network\.url/)
})
