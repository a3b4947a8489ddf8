import { Instant } from '@retrap/device'
import { describe, expect, test } from 'vitest'
import { Runstate, VcpuRunstate } from '../src/vcpu/runstate.ts'

describe.each([false, true])('the times of a vCPU (32-bit layout: %s)', (compat) => {
  const first = compat ? 4 : 8
  const spent = (bytes: Uint8Array, which: number): bigint =>
    new DataView(bytes.buffer).getBigUint64(first + 8 + 8 * which, true)

  test.each([0n, 2n ** 53n - 200n, 2n ** 62n + 1n])('in the present state count up to now, from %d ns on', (start) => {
    const at = (ns: bigint): Instant => Instant.from(start + ns)
    const state = new VcpuRunstate(Runstate.running, at(100n))
    state.enter(Runstate.blocked, at(350n))
    const bytes = state.encode(compat, at(1000n))
    const view = new DataView(bytes.buffer)
    expect(view.getInt32(0, true)).toBe(Runstate.blocked)
    expect(view.getBigUint64(first, true)).toBe(start + 350n)
    expect([Runstate.running, Runstate.blocked, Runstate.offline].map((each) => spent(bytes, each))).toEqual([
      250n,
      650n,
      0n,
    ])
  })

  test('are exact where they are longer than a number holds', () => {
    const state = new VcpuRunstate(Runstate.running, Instant.from(3))
    state.enter(Runstate.blocked, Instant.from(2n ** 60n + 1n))
    state.enter(Runstate.running, Instant.from(2n ** 62n))
    const saved: unknown = JSON.parse(JSON.stringify(state.save()))
    const again = new VcpuRunstate(Runstate.offline, new Instant())
    again.restore(saved as ReturnType<VcpuRunstate['save']>)
    const bytes = again.encode(compat, Instant.from(2n ** 62n + 7n))
    expect([spent(bytes, Runstate.running), spent(bytes, Runstate.blocked)]).toEqual([
      2n ** 60n - 2n + 7n,
      2n ** 62n - 2n ** 60n - 1n,
    ])
  })
})
