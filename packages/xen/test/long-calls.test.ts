/** A hypercall is one instruction: one that is as much work as a turn must not keep timers and the host waiting. */
import { expect, test } from 'vitest'
import type { X86Paravirtual } from '@retrap/hvm'
import { XenTestGuest } from './support/xen-guest.ts'

const MULTICALL = 13
const XEN_VERSION = 17
const LIST = 0x60_0000

test.each([
  { entries: 8, ends: false },
  { entries: 1000, ends: true },
])('a multicall of $entries entries ends the turn of its vCPU: $ends', async ({ entries, ends }) => {
  const guest = new XenTestGuest('64', { memoryBytes: 64 << 20 })
  guest.domain.p2m.populate(LIST / 0x1000, 16)
  for (let i = 0; i < entries; i++) guest.write64(LIST + 64 * i, XEN_VERSION)
  const calls = guest.domain.paravirtual as X86Paravirtual
  const hypercall = calls.hypercall.bind(calls)
  const { cpu } = guest.domain.vcpus[0]!
  let stops = 0
  calls.hypercall = (vcpu) => {
    const stop = cpu.stop.bind(cpu)
    cpu.stop = () => {
      stops++
      stop()
    }
    const status = hypercall(vcpu)
    cpu.stop = stop
    return status
  }
  expect(await guest.call(MULTICALL, LIST, entries)).toBe(0)
  expect(stops > 0).toBe(ends)
})
