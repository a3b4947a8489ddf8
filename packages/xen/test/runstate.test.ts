import { expect, test } from 'vitest'
import { Runstate, VcpuRunstate } from '../src/runstate.ts'

test.each([false, true])('the time in the present state counts up to now (32-bit layout: %s)', (compat) => {
  const state = new VcpuRunstate(Runstate.running, 100)
  state.enter(Runstate.blocked, 350)
  const bytes = state.encode(compat, 1000)
  const view = new DataView(bytes.buffer)
  const first = compat ? 4 : 8
  const spent = (which: number): bigint => view.getBigUint64(first + 8 + 8 * which, true)
  expect(view.getInt32(0, true)).toBe(Runstate.blocked)
  expect(view.getBigUint64(first, true)).toBe(350n)
  expect([spent(Runstate.running), spent(Runstate.blocked), spent(Runstate.offline)]).toEqual([250n, 650n, 0n])
})
