/** A machine's network, as its Worker connects it. */
import { afterEach, expect, test, vi } from 'vitest'
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
  send(): void {}
  close(): void {
    this.dispatchEvent(new Event('close'))
  }
}

afterEach(() => vi.unstubAllGlobals())

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
