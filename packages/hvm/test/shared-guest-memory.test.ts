/** A device model in a Worker that maps the guest's memory itself, without the vCPUs' thread. */
import type { SharedTransport } from '@retrap/device-hosting'
import { P2mEntry } from '@retrap/p2m'
import { type Assembler, al, ax, byte, dx, eax } from '@retrap/x86-assembler'
import { STATUS_DONE } from '@retrap/x86-cpu'
import { afterEach, expect, test } from 'vitest'
import { BeforeImages } from '../src/checkpoints/before-images.ts'
import type { X86Domain, X86Vcpu } from '../src/index.ts'
import { EXIT_PORT, Guest, startMapper } from './support/guest.ts'

const PAGE = 0x60
const MARK = 0x5000
const DEADLINE_MS = 60_000
const SLOW = { timeout: 2 * DEADLINE_MS }

let transport: SharedTransport | undefined
afterEach(() => transport?.close())

const leave = (asm: Assembler): Assembler => asm.mov(al, 1).out(EXIT_PORT, al).hlt()
const map = (asm: Assembler, page = PAGE): Assembler => asm.mov(dx, 0x300).mov(ax, page).out(dx, ax)

async function guestWithWorker(build: (asm: Assembler) => void): Promise<Guest> {
  const guest = new Guest(build, { shared: true })
  transport = await startMapper(guest)
  return guest
}

function removePageAtVmcall(domain: X86Domain): number {
  const vcpu = domain.vcpus[0] as X86Vcpu
  const entry = new P2mEntry()
  domain.p2m.lookup(PAGE, entry)
  const { mfn } = entry
  vcpu.hypercall = () => {
    const before = domain.invalidations.enter(0)
    domain.p2m.remove(PAGE, mfn)
    domain.invalidations.leave(before)
    return STATUS_DONE
  }
  return mfn
}

const until = async (what: () => boolean): Promise<void> => {
  for (const end = performance.now() + DEADLINE_MS; !what() && performance.now() < end;) {
    await new Promise((resolve) => void setTimeout(resolve, 2))
  }
  expect(what()).toBe(true)
}

test('its mapping delays the vCPU that removes the page, and keeps the frame', SLOW, async () => {
  const guest = await guestWithWorker((asm) => leave(map(asm).vmcall().mov(byte(MARK), 1)))
  const { domain, memory } = guest
  const mfn = removePageAtVmcall(domain)
  const run = guest.run()
  await until(() => domain.dispatch.requests.has(0) && domain.invalidations.epoch > 0)
  await new Promise((resolve) => void setTimeout(resolve, 30))
  expect([guest.read32(MARK), memory.frames.isAllocated(mfn)]).toEqual([0, true])
  transport?.remote.post(Uint8Array.of(1))
  expect(await run).toEqual({ reason: 'debug-exit', code: 1 })
  expect([guest.read32(MARK), memory.frames.isAllocated(mfn)]).toEqual([1, false])
})

test('what it writes kills translated code, and is logged', SLOW, async () => {
  const guest = await guestWithWorker((asm) => {
    const target = PAGE << 12
    map(asm).mov(eax, target).call(eax)
    // NOP becomes RET.
    asm.mov(dx, 0x304).mov(al, 0xc3).out(dx, al).mov(eax, target).call(eax)
    leave(asm)
  })
  const { domain } = guest
  const log = domain.dirtyLogs.start(PAGE, 4)
  // nop; inc byte [MARK]; ret
  domain.guestMemory.load(PAGE << 12, Uint8Array.of(0x90, 0xfe, 0x05, 0x00, 0x50, 0x00, 0x00, 0xc3))
  log.take(new Uint32Array(1))
  expect(await guest.run()).toEqual({ reason: 'debug-exit', code: 1 })
  expect(guest.read32(MARK)).toBe(1)
  const bits = new Uint32Array(1)
  expect([log.take(bits), bits[0]]).toEqual([1, 1])
  // A mapping counts as written at its end as well.
  transport?.remote.post(Uint8Array.of(1))
  await until(() => log.isDirty(PAGE))
})

test('what it writes is announced before, to who puts RAM back', SLOW, async () => {
  const guest = await guestWithWorker((asm) => {
    map(map(asm).vmcall(), PAGE + 1)
      .mov(dx, 0x304)
      .mov(al, 7)
      .out(dx, al)
    leave(asm)
  })
  const { domain } = guest
  const seen = (): number[] => [guest.read32(PAGE << 12), guest.read32((PAGE + 1) << 12)]
  const vcpu = domain.vcpus[0] as X86Vcpu
  vcpu.hypercall = () => {
    domain.stop({ reason: 'pause' })
    return STATUS_DONE
  }
  expect(await guest.run()).toEqual({ reason: 'pause' })
  const rest = await domain.rest(DEADLINE_MS)
  const former = new BeforeImages(domain)
  rest.end()
  expect(await guest.run()).toMatchObject({ reason: 'debug-exit' })
  expect(seen()).toEqual([7, 7])
  const later = await domain.rest(DEADLINE_MS)
  former.putBack()
  later.end()
  expect(seen()).toEqual([0, 0])
})

test('a Worker that dies counts, and its vCPU goes on', SLOW, async () => {
  const guest = await guestWithWorker((asm) => leave(map(asm).vmcall().mov(byte(MARK), 1)))
  removePageAtVmcall(guest.domain)
  const run = guest.run()
  await until(() => guest.domain.dispatch.requests.has(0) && guest.domain.invalidations.epoch > 0)
  transport?.close()
  expect(await run).toEqual({ reason: 'debug-exit', code: 1 })
  expect(guest.read32(MARK)).toBe(1)
})
