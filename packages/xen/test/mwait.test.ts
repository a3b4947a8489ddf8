/** MWAIT in a guest of Xen: what hypercalls write for their caller ends another vCPU's wait. */
import type { X86Vcpu } from '@retrap/hvm'
import { Assembler, eax, ecx, edx } from '@retrap/x86-assembler'
import { describe, expect, test } from 'vitest'
import { SELF } from './support/headers.ts'
import { ARGUMENTS, XenTestGuest } from './support/xen-guest.ts'

const GRANT_TABLE_OP = 20
const GRANT_COPY = 5
const MEMORY_OP = 12
const ADD_TO_PHYSMAP = 7
const XEN_VERSION = 17
const EXTRA_VERSION = 1
const WAITING = 0x2_8000
const LINE = 0x20_1000
const GRANTED = 0x200

/** A guest whose second vCPU waits for a line, after `prepare`. */
async function waiting(line: number): Promise<{ guest: XenTestGuest; second: X86Vcpu }> {
  const guest = new XenTestGuest('64', { vcpus: 2 })
  const asm = new Assembler({ bits: 64, address: WAITING })
  asm.mov(eax, line).xor(ecx, ecx).xor(edx, edx).monitor().mwait().hlt()
  guest.write(WAITING, asm.assemble().bytes)
  // Frames are populated, and the first hypercall has been made: nothing else of the map changes after this.
  await guest.call(XEN_VERSION, 0, 0)
  const second = guest.domain.vcpus[1] as X86Vcpu
  second.cpu.load({ ...guest.state(), registers: { rip: WAITING, rsp: WAITING, rflags: 2 } })
  expect(runs(second)).toBe('mwait')
  return { guest, second }
}

/** How it ends; the domain's end has asked it to come back before. */
function runs({ cpu }: X86Vcpu): string {
  const { reason } = cpu.run(100)
  return reason === 'budget' ? cpu.run(100).reason : reason
}

describe('MWAIT ends with', () => {
  test('a grant copy', async () => {
    const { guest, second } = await waiting(LINE)
    // Four bytes from frame to frame.
    guest.writeLongs(ARGUMENTS, GRANTED)
    guest.write32(ARGUMENTS + 8, SELF)
    guest.writeLongs(ARGUMENTS + 16, LINE >>> 12)
    guest.write32(ARGUMENTS + 24, SELF)
    guest.write32(ARGUMENTS + 32, 4, 0)
    expect(await guest.call(GRANT_TABLE_OP, GRANT_COPY, ARGUMENTS, 1)).toBe(0)
    expect(runs(second)).toBe('hlt')
  })

  test('the copy of a result', async () => {
    const { guest, second } = await waiting(LINE)
    expect(await guest.call(XEN_VERSION, EXTRA_VERSION, LINE + 32)).toBe(0)
    expect(runs(second)).toBe('hlt')
  })

  test('another frame at its place', async () => {
    const { guest, second } = await waiting(LINE)
    guest.write32(ARGUMENTS, SELF, 0)
    guest.writeLongs(ARGUMENTS + 8, 0, LINE >>> 12)
    expect(await guest.call(MEMORY_OP, ADD_TO_PHYSMAP, ARGUMENTS)).toBe(0)
    expect(runs(second)).toBe('hlt')
  })

  test('and not with another hypercall', async () => {
    const { guest, second } = await waiting(LINE)
    expect(await guest.call(XEN_VERSION, EXTRA_VERSION, LINE + 64)).toBe(0)
    expect(runs(second)).toBe('mwait')
  })
})
